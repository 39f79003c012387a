package interop

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"
)

// party is the least of a SIP party: it sends what a test writes and reads what comes, over UDP or TCP.
type party struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader // of a stream
}

// party connects to the server over a transport.
func (x *server) party(t *testing.T, transport string) *party {
	t.Helper()
	c, err := net.Dial(transport, net.JoinHostPort(host, strconv.Itoa(x.sip)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &party{t: t, conn: c, in: bufio.NewReader(c)}
}

func (p *party) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatal(err)
	}
}

// message is what was received.
type message struct {
	start  string
	header textproto.MIMEHeader
	body   string
}

// status is that of a response; 0 for a request.
func (m message) status() int {
	code, _, _ := strings.Cut(strings.TrimPrefix(m.start, "SIP/2.0 "), " ")
	n, _ := strconv.Atoi(code)
	return n
}

// receive reads a message; an error when none comes in time or the connection ends.
func (p *party) receive(patience time.Duration) (message, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return message{}, err
	}
	in := p.in
	if p.conn.LocalAddr().Network() == "udp" {
		datagram := make([]byte, 65536)
		n, err := p.conn.Read(datagram)
		if err != nil {
			return message{}, err
		}
		in = bufio.NewReader(strings.NewReader(string(datagram[:n])))
	}
	r := textproto.NewReader(in)
	start, err := r.ReadLine()
	if err != nil {
		return message{}, err
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		return message{}, err
	}
	n, _ := strconv.Atoi(header.Get("Content-Length"))
	body := make([]byte, n)
	if _, err := io.ReadFull(in, body); err != nil {
		return message{}, err
	}
	return message{start, header, string(body)}, nil
}

// answer reads responses until one to a Call-ID is final.
func (p *party) answer(callID string, patience time.Duration) (message, error) {
	deadline := time.Now().Add(patience)
	for {
		m, err := p.receive(time.Until(deadline))
		if err != nil || m.header.Get("Call-Id") == callID && m.status() >= 200 {
			return m, err
		}
	}
}

// request is a request that is new each time. more are header lines.
func (p *party) request(method, number, callID, body string, more ...string) string {
	local := p.conn.LocalAddr()
	uri := "sip:" + number + "@" + p.conn.RemoteAddr().String()
	lines := []string{
		method + " " + uri + " SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/%s %s;branch=z9hG4bK%s;rport", strings.ToUpper(local.Network()), local, rand.Text()),
		"From: <sip:100@" + p.conn.RemoteAddr().String() + ">;tag=" + rand.Text(),
		"To: <" + uri + ">",
		"Call-ID: " + callID,
		"CSeq: 1 " + method,
		fmt.Sprintf("Contact: <sip:100@%s;transport=%s>", local, local.Network()),
		"Max-Forwards: 70",
	}
	lines = append(lines, more...)
	return strings.Join(append(lines, "Content-Length: "+strconv.Itoa(len(body))), "\r\n") + "\r\n\r\n" + body
}

// options is an OPTIONS request.
func (p *party) options(callID string, more ...string) string {
	return p.request("OPTIONS", "x", callID, "", more...)
}

// alive asks for an answer to OPTIONS.
func (p *party) alive() {
	p.t.Helper()
	id := rand.Text()
	p.send(p.options(id))
	m, err := p.answer(id, 2*time.Second)
	if err != nil || m.status() != 200 {
		p.t.Fatalf("OPTIONS: %q, %v", m.start, err)
	}
}
