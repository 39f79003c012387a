package teltest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/config"
	"dialtone/internal/network"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
	"dialtone/internal/softphone"
)

// behind makes every SIP listener of the exchange one of a role.
func behind(t *testing.T, role string) func(c *config.Config) {
	return func(c *config.Config) {
		c.SIP.Listen = nil
		for _, text := range []string{"udp://[::]:5060", "tcp://[::]:5060", "tls://[::]:5061", "ws://[::]:80", "wss://[::]:443"} {
			var l config.SIPListener
			if err := l.UnmarshalText([]byte(text + "?role=" + role)); err != nil {
				t.Fatal(err)
			}
			c.SIP.Listen = append(c.SIP.Listen, l)
		}
	}
}

// Phones register with a proxy and call each other through it; the speech goes its own way.
func TestPhonesBehindAProxy(t *testing.T) {
	for _, c := range []struct {
		name, role string
		a, b       transport.Kind
	}{
		{"stateful", "proxy", transport.UDP, transport.UDP},
		{"stateful, callee on TCP", "proxy", transport.UDP, transport.TCP},
		{"stateful, caller on TCP", "proxy", transport.TCP, transport.UDP},
		{"stateless", "stateless", transport.UDP, transport.UDP},
		{"stateful, callee on TLS", "proxy", transport.UDP, transport.TLS},
		{"stateful, callee on WebSocket", "proxy", transport.TLS, transport.WS},
		{"stateful, both on secure WebSocket", "proxy", transport.WSS, transport.WSS},
		{"stateless, both on TCP", "stateless", transport.TCP, transport.TCP},
		{"stateless, TLS to secure WebSocket", "stateless", transport.TLS, transport.WSS},
	} {
		t.Run(c.name, func(t *testing.T) {
			inLab(t, Options{Seed: 31, Configure: behind(t, c.role)}, func(t *testing.T, lab *Lab) {
				a, b := lab.Add(Device{User: "101", Transport: c.a}), lab.Add(Device{User: "102", Transport: c.b})
				lab.Capture()
				near, far := a.Connect("102", b)
				lab.Hears(near, b.Hz)
				lab.Hears(far, a.Hz)
				near.Hangup()
				for _, call := range []*softphone.Call{near, far} {
					lab.Ended(call)
				}
				challenged := 0
				for _, m := range lab.Messages(a.Host, "SIP/2.0 407") {
					if strings.Contains(m.Text, "Proxy-Authenticate: ") {
						challenged++
					}
				}
				// A stream is not captured; without state nobody is challenged.
				if want := c.role == "proxy"; c.a == transport.UDP && want != (challenged > 0) {
					t.Errorf("%d challenges", challenged)
				}
				for _, m := range lab.Messages(b.Host, "INVITE") {
					if strings.Contains(m.Text, "Authorization") {
						t.Errorf("the credentials went on:\n%s", m.Text)
					}
				}
				<-time.After(time.Minute)
			})
		})
	}
}

// A phone behind a NAT is reached over the path it has registered on, also inside the call.
func TestPhoneBehindNATAndProxy(t *testing.T) {
	inLab(t, Options{Seed: 32, Configure: behind(t, "proxy")}, func(t *testing.T, lab *Lab) {
		nat := lab.Net.NAT(network.NATConfig{Public: netip.MustParseAddr("198.51.100.1"), Mapping: network.AddressAndPortDependent,
			Filtering: network.AddressAndPortDependent, Timeout: time.Minute})
		a, b := lab.Phone("101"), lab.Add(Device{User: "102", NAT: nat})
		near := a.Dial("102")
		far := b.Called()
		lab.Answered(near)
		near.Hangup()
		lab.Ended(near)
		lab.Ended(far)
	})
}

// What a redirect server and a proxy without state answer to those they know and those they do not.
func TestStrangersAtListenersWithoutState(t *testing.T) {
	for _, c := range []struct{ role, from, want, contact string }{
		{"redirect", "sip:x@elsewhere.example", "SIP/2.0 302 ", "Contact: <sip:102@"},
		{"redirect", "sip:101@10.0.0.1", "SIP/2.0 403 ", ""},
		{"stateless", "sip:101@10.0.0.1", "SIP/2.0 403 ", ""},
		{"proxy", "sip:101@10.0.0.1", "SIP/2.0 407 ", ""},
	} {
		inLabAlone(t, Options{Seed: 33, Configure: behind(t, c.role)}, func(t *testing.T, lab *Lab) {
			lab.Phone("102")
			stranger := netip.MustParseAddrPort("10.9.9.9:5060")
			pc, err := lab.Net.Host(stranger.Addr()).ListenPacket(stranger, false)
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			text := "MESSAGE sip:102@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bK1\nFrom: <" + c.from +
				">;tag=1\nTo: <sip:102@10.0.0.1>\nCall-ID: c\nCSeq: 1 MESSAGE\nMax-Forwards: 70\nContent-Length: 0\n\n"
			if err := pc.WriteTo([]byte(strings.ReplaceAll(text, "\n", "\r\n")), netip.MustParseAddrPort("10.0.0.1:5060")); err != nil {
				t.Fatal(err)
			}
			in := []network.Packet{{Data: make([]byte, 4096)}}
			if _, err := pc.ReadBatch(in); err != nil {
				t.Fatal(err)
			}
			if got := string(in[0].Data); !strings.HasPrefix(got, c.want) || !strings.Contains(got, c.contact) {
				t.Errorf("%s, from %s: got\n%s", c.role, c.from, got)
			}
		})
	}
}

// An exchange and a proxy in one server share the bindings: a phone that is registered with the one is reached by the
// other, over the path of its registration, and what follows in the dialog comes to the proxy.
func TestProxyBesideAnExchange(t *testing.T) {
	beside := func(c *config.Config) {
		var l config.SIPListener
		if err := l.UnmarshalText([]byte("udp://[::]:5070?role=proxy")); err != nil {
			t.Fatal(err)
		}
		c.SIP.Listen = append(c.SIP.Listen, l)
	}
	inLab(t, Options{Seed: 34, Configure: beside}, func(t *testing.T, lab *Lab) {
		b := lab.Phone("102")
		caller := netip.MustParseAddrPort("10.9.9.9:5060")
		pc, err := lab.Net.Host(caller.Addr()).ListenPacket(caller, false)
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		send := func(method, uri, routes, to string, cseq string) {
			text := method + " " + uri + " SIP/2.0\nVia: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bK" + method + "\n" + routes +
				"From: <sip:x@elsewhere.example>;tag=1\nTo: " + to + "\nCall-ID: c\nCSeq: " + cseq + " " + method +
				"\nContact: <sip:x@10.9.9.9>\nMax-Forwards: 70\nContent-Length: 0\n\n"
			if err := pc.WriteTo([]byte(strings.ReplaceAll(text, "\n", "\r\n")), netip.MustParseAddrPort("10.0.0.1:5070")); err != nil {
				t.Fatal(err)
			}
		}
		receive := func(prefix string) *sip.Message {
			for {
				in := []network.Packet{{Data: make([]byte, 4096)}}
				if _, err := pc.ReadBatch(in); err != nil {
					t.Fatal(err)
				}
				m := &sip.Message{}
				if err := m.Parse(in[0].Data); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(string(m.Bytes()), prefix) {
					return m
				}
				if m.Status() >= 300 {
					t.Fatalf("got\n%s", m.Bytes())
				}
			}
		}
		send("OPTIONS", "sip:102@10.0.0.1:5070", "", "<sip:102@10.0.0.1:5070>", "1")
		receive("SIP/2.0 200 ")
		send("INVITE", "sip:102@10.0.0.1:5070", "", "<sip:102@10.0.0.1:5070>", "2") // without a description: the phone offers
		ok := receive("SIP/2.0 200 ")
		route, _ := ok.Header(sip.HRecordRoute)
		if !strings.Contains(string(route), "@10.0.0.1:5070;lr>") {
			t.Errorf("Record-Route %s", route)
		}
		to, _ := ok.Header(sip.HTo)
		contact, _ := ok.Header(sip.HContact)
		target, err := sip.ParseAddress(contact)
		if err != nil {
			t.Fatal(err)
		}
		send("ACK", target.URI.String(), "Route: "+string(route)+"\n", string(to), "2")
		send("BYE", target.URI.String(), "Route: "+string(route)+"\n", string(to), "3")
		receive("SIP/2.0 200 ")
		lab.Ended(b.Called())
	})
}
