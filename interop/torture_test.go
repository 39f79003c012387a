package interop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// torture are the messages of RFC 4475 and RFC 5118, as they would stand on the wire.
func torture(t *testing.T) map[string][]byte {
	t.Helper()
	messages := map[string][]byte{}
	for _, dir := range []string{"rfc4475", "rfc5118"} {
		files, err := filepath.Glob(filepath.Join("../internal/sip/testdata", dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(text, []byte("\r\n")) {
				text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
			}
			messages[filepath.Base(name)] = text
		}
	}
	if len(messages) != 61 {
		t.Fatalf("%d messages, want 61", len(messages))
	}
	return messages
}

// callWorks makes a real call. A server that answers OPTIONS while no call succeeds is not alive.
func callWorks(x *server, port int) {
	x.t.Helper()
	called := x.begin(sipp{scenario: "callee", port: port})
	x.begin(sipp{scenario: "caller", service: "102", hold: 200 * time.Millisecond}).end()
	called.end()
	if n := x.metric("dialtone_panics_total"); n != 0 {
		x.t.Errorf("%v panics", n)
	}
}

func TestTorture(t *testing.T) {
	port := freePorts(t, 1)
	x := serve(t, setup{site: site(caller, callee("102", "", port))})
	for name, text := range torture(t) {
		udp := x.party(t, "udp")
		udp.send(string(text))
		udp.alive()
		tcp := x.party(t, "tcp")
		tcp.send(string(text))
		// What cannot be framed ends the connection; the next one works.
		if err := tcp.conn.(*net.TCPConn).CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) {
			t.Errorf("%s: %v", name, err)
		}
		x.party(t, "tcp").alive()
	}
	callWorks(x, port)
}

// TestTwoRequestsInOneDatagram: RFC 3261 §18.3 has the rest of a datagram ignored; on a stream both are served.
func TestTwoRequestsInOneDatagram(t *testing.T) {
	x := serve(t, setup{})
	for transport, want := range map[string]int{"udp": 1, "tcp": 2} {
		p := x.party(t, transport)
		p.send(p.options("one-"+transport) + p.options("two-"+transport))
		got := 0
		for {
			m, err := p.receive(time.Second)
			if err != nil {
				break
			}
			if m.status() != 200 {
				t.Errorf("%s: %s", transport, m.start)
			}
			got++
		}
		if got != want {
			t.Errorf("%s: %d answers, want %d", transport, got, want)
		}
	}
}

// TestSlowSenders: a request that comes byte by byte is served, and keeps nobody else waiting.
func TestSlowSenders(t *testing.T) {
	x := serve(t, setup{})
	var idle []*party
	for range 200 { // connections that have begun a request and do not go on
		p := x.party(t, "tcp")
		p.send("OPTIONS sip:x@")
		idle = append(idle, p)
	}
	slow, other := x.party(t, "tcp"), x.party(t, "tcp")
	for i, b := range []byte(slow.options("slow")) {
		slow.send(string(b))
		if i%50 == 0 {
			start := time.Now()
			other.alive()
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Errorf("another one waited %v", took)
			}
		}
	}
	if m, err := slow.answer("slow", 2*time.Second); err != nil || m.status() != 200 {
		t.Errorf("the slow one: %q, %v", m.start, err)
	}
	// Whoever does not go on is cut off: none of these may hold a connection for ever.
	deadline := time.Now().Add(40 * time.Second)
	for _, p := range idle {
		if err := p.conn.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, p.conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a connection with half a request is still open after 40 s")
		}
	}
}

// TestLyingContentLength: over TCP, where it frames the messages (RFC 3261 §18.3).
func TestLyingContentLength(t *testing.T) {
	port := freePorts(t, 1)
	x := serve(t, setup{site: site(caller, callee("102", "", port))})
	for _, length := range []string{"-1", "99999999999999999999", "4294967295", "70000", "abc", "1 2", "", "0x10", "10\r\nContent-Length: 0"} {
		p := x.party(t, "tcp")
		p.send(strings.Replace(p.options(rand.Text()), "Content-Length: 0", "Content-Length: "+length, 1))
		start := time.Now()
		for {
			m, err := p.receive(5 * time.Second)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Content-Length %q: neither refused nor closed", length)
			}
			if err != nil {
				break
			}
			if m.status() < 400 {
				t.Errorf("Content-Length %q: %s", length, m.start)
			}
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("Content-Length %q: closed after %v", length, took)
		}
	}
	// A body that is shorter than said swallows what follows, and no more than that connection.
	p := x.party(t, "tcp")
	p.send(strings.Replace(p.options("short"), "Content-Length: 0", "Content-Length: 5000", 1))
	p.send(p.options("swallowed"))
	if m, err := p.answer("swallowed", time.Second); err == nil {
		t.Errorf("a request inside the body of another was answered: %s", m.start)
	}
	callWorks(x, port)
}

// TestHeaderBombs: what is too large is refused or dropped, quickly, and does not grow the server.
func TestHeaderBombs(t *testing.T) {
	port := freePorts(t, 1)
	x := serve(t, setup{site: site(caller, callee("102", "", port))})
	bombs := map[string]func(p *party) string{
		"64 KiB header": func(p *party) string { return p.options(rand.Text(), "X: "+strings.Repeat("a", 65536)) },
		"10,000 headers": func(p *party) string {
			return p.options(rand.Text(), strings.TrimSuffix(strings.Repeat("X: y\r\n", 10000), "\r\n"))
		},
		"1,000 Vias": func(p *party) string {
			return p.options(rand.Text(), many("Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKx", 1000))
		},
		"1,500 Contacts": func(p *party) string {
			return p.request("REGISTER", "102", rand.Text(), "", many("Contact: <sip:x@192.0.2.1>", 1500))
		},
		"NUL": func(p *party) string { return p.options(rand.Text(), "X: \x00") },
		"2,500 media": func(p *party) string {
			return p.request("INVITE", "102", rand.Text(), "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"+
				strings.Repeat("m=audio 9 RTP/AVP 8\r\n", 2500), "Content-Type: application/sdp")
		},
	}
	before := x.memory()
	for name, bomb := range bombs {
		for range 20 {
			p := x.party(t, "tcp")
			if _, err := io.WriteString(p.conn, bomb(p)); err != nil {
				continue // it has been cut off in the middle
			}
			m, err := p.receive(5 * time.Second)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: neither answered nor closed", name)
				break
			}
			if err == nil && m.status() >= 200 && m.status() < 300 && name != "NUL" {
				t.Errorf("%s: %s", name, m.start)
			}
		}
		x.party(t, "tcp").alive()
	}
	if grown := x.memory() - before; grown > 64<<20 {
		t.Errorf("the server has grown by %d MiB", grown>>20)
	}
	callWorks(x, port)
}

func many(line string, n int) string {
	return strings.TrimSuffix(strings.Repeat(line+"\r\n", n), "\r\n")
}
