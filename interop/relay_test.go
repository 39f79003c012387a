package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// stranger is the From of somebody who is no line of ours.
const stranger = "From: <sip:x@elsewhere.example>;tag=1"

// from makes a request a stranger's.
func from(text string) string {
	i := strings.Index(text, "From: ")
	j := i + strings.Index(text[i:], "\r\n")
	return text[:i] + stranger + text[j:]
}

// TestAmplification is BB-5: two lines, each registered at the addresses of both (RFC 5393 §4.1).
func TestAmplification(t *testing.T) {
	x := serve(t, setup{site: site(registering("101"), registering("102")), role: "proxy"})
	both := fmt.Sprintf("<%s>, <%s>", x.uri("101"), x.uri("102"))
	for _, line := range []string{"101", "102"} {
		x.begin(sipp{scenario: "register_contact", service: line, more: []string{"-key", "contact", both}}).end()
	}
	before := x.metric("dialtone_sip_messages_total")
	p := x.party(t, "udp")
	p.send(from(p.request("INVITE", "101", "loop", "")))
	m, err := p.answer("loop", 10*time.Second)
	if err != nil || m.status() != 482 && m.status() != 440 {
		t.Errorf("answered %q, %v", m.start, err)
	}
	time.Sleep(500 * time.Millisecond) // what is still under way
	n := x.metric("dialtone_sip_messages_total") - before
	if n < 10 || n >= 200 { // each counts where it leaves and where it arrives
		t.Errorf("%v messages", n)
	}
	t.Logf("%v messages, counted at both ends", n)
}

// TestStatelessIsTheSameTwice is BB-6: a request that is repeated leaves with the same branch, to the same target, byte for
// byte, and its CANCEL with them; there is no 100.
func TestStatelessIsTheSameTwice(t *testing.T) {
	first := freePorts(t, 3)
	x := serve(t, setup{site: site(registering("102")), role: "stateless"})
	var phones []net.PacketConn
	var contacts []string
	for i := range 3 {
		c, err := net.ListenPacket("udp", fmt.Sprintf("%s:%d", host, first+i))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		phones = append(phones, c)
		contacts = append(contacts, fmt.Sprintf("<sip:102@%s:%d>", host, first+i))
	}
	x.begin(sipp{scenario: "register_contact", service: "102", more: []string{"-key", "contact", strings.Join(contacts, ", ")}}).end()
	heard := func() (all [][]byte) {
		for i, c := range phones {
			for {
				b := make([]byte, 65536)
				_ = c.SetReadDeadline(time.Now().Add(40 * time.Millisecond))
				n, _, err := c.ReadFrom(b)
				if err != nil {
					break
				}
				all = append(all, append([]byte{byte(i)}, b[:n]...)) // which one, and what
			}
		}
		return all
	}
	targets := map[byte]bool{}
	for n := range 12 {
		p := x.party(t, "udp")
		invite := from(p.request("INVITE", "102", fmt.Sprint("same-", n), ""))
		p.send(invite)
		p.send(invite)
		got := heard()
		if len(got) != 2 || !bytes.Equal(got[0], got[1]) {
			t.Fatalf("the repetition is another:\n%q", got)
		}
		targets[got[0][0]] = true
		p.send(strings.NewReplacer("INVITE sip", "CANCEL sip", "1 INVITE", "1 CANCEL").Replace(invite))
		cancel := heard()
		if len(cancel) != 1 || cancel[0][0] != got[0][0] || via(t, cancel[0][1:]) != via(t, got[0][1:]) {
			t.Fatalf("the CANCEL went another way:\n%q\n%q", got[0], cancel)
		}
		if m, err := p.receive(100 * time.Millisecond); err == nil {
			t.Errorf("the proxy says %q", m.start)
		}
	}
	if len(targets) < 2 {
		t.Errorf("twelve calls went to %d of three phones", len(targets))
	}
}

// via is the top Via of a message.
func via(t *testing.T, b []byte) string {
	t.Helper()
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(b)))
	_, _ = r.ReadLine()
	h, err := r.ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	return h.Get("Via")
}

// TestRegistrarListener: what a listener for registrations alone answers. The rules of RFC 3261 §10.3 are in the scenario.
func TestRegistrarListener(t *testing.T) {
	x := serve(t, setup{site: site(registering("101")), role: "registrar"})
	x.begin(sipp{scenario: "register_rules", service: "101"}).end()
	if n := x.status().Registrations; n != 0 {
		t.Errorf("%d registrations", n)
	}
	p := x.party(t, "udp")
	p.send(from(p.request("INVITE", "101", "not-here", "")))
	if m, err := p.answer("not-here", 5*time.Second); err != nil || m.status() != 405 {
		t.Errorf("an INVITE is answered %q, %v", m.start, err)
	}
}

// TestForeignDomainIsNotRelayed is FR-7.
func TestForeignDomainIsNotRelayed(t *testing.T) {
	c, err := net.ListenPacket("udp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for role, want := range map[string]int{"proxy": 403, "stateless": 403, "redirect": 404} {
		x := serve(t, setup{site: site(registering("101")), role: role})
		p := x.party(t, "udp")
		for n, more := range []string{"", "Route: <sip:" + c.LocalAddr().String() + ";lr>"} {
			id := fmt.Sprint("relay-", n)
			text := from(p.request("MESSAGE", "101", id, ""))
			text = strings.Replace(text, p.conn.RemoteAddr().String()+" SIP/2.0", c.LocalAddr().String()+" SIP/2.0", 1)
			if more != "" {
				text = strings.Replace(text, "Max-Forwards", more+"\r\nMax-Forwards", 1)
			}
			p.send(text)
			if m, err := p.answer(id, 5*time.Second); err != nil || m.status() != want && m.status() != 407 {
				t.Errorf("%s, %q: %q, %v", role, more, m.start, err)
			}
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	b := make([]byte, 4096)
	if n, _, err := c.ReadFrom(b); err == nil {
		t.Errorf("relayed:\n%s", b[:n])
	}
}
