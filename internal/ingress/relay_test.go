package ingress_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// RFC 5626 §4.4.1, §5.4: a ping over a connection is answered with a pong, whatever the role; the connection stays.
func TestRFC5626Pong(t *testing.T) {
	for _, role := range []string{"proxy", "stateless", "redirect"} {
		nodes, via := oneServer(relayNode{role: role})
		inRelays(t, nodes, via, func(r *relays) {
			c, err := r.network.Host(netip.MustParseAddr("203.0.113.9")).Dial(r.t.Context(), netip.MustParseAddrPort(first+":5060"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 3 {
				if _, err := c.Write([]byte("\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 100)
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
				if n, err := c.Read(b); err != nil || string(b[:n]) != "\r\n" {
					t.Errorf("%s: pong %q, %v", role, b[:n], err)
				}
			}
		})
	}
}

// RFC 3261 §18.1.1: a request that is too long for a datagram leaves by TCP, with TCP in our Via, and where it came by a
// datagram its answer goes back by one. Its body arrives whole.
func TestLongMessageGoesByTCP(t *testing.T) {
	nodes, via := oneServer(relayNode{role: "proxy"})
	inRelays(t, nodes, via, func(r *relays) {
		gateway := netip.MustParseAddrPort("192.0.2.205:5060")
		l, err := r.Host("gateway").Listen(gateway)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		got := make(chan []byte, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			var all []byte
			b := make([]byte, 4096)
			for {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				all = append(all, b[:n]...)
				if _, total, err := sip.Frame(all); err == nil && total > 0 {
					got <- bytes.Clone(all[:total])
					m := &sip.Message{}
					if m.Parse(bytes.Clone(all[:total])) == nil {
						_, _ = c.Write(sip.NewResponse(m, 200, "", "long").Append(nil))
					}
					all = nil
				}
			}
		}()
		body := strings.Repeat("چای و قهوه ", 100)
		r.Do("alice -> MESSAGE gateway@biloxi.example.com (text " + body + ")\nalice <- 200")
		m := &sip.Message{}
		if err := m.Parse(<-got); err != nil {
			t.Fatal(err)
		}
		if len(m.Bytes()) <= transport.MaxDatagram || string(m.Body()) != strings.TrimSpace(body) && string(m.Body()) != body {
			t.Errorf("%d bytes came:\n%s", len(m.Bytes()), m.Bytes())
		}
		if v, err := m.Via(); err != nil || string(v.Transport) != "TCP" {
			t.Errorf("Via %s, %v", v.Transport, err)
		}
	})
}
