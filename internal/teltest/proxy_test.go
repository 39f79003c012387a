package teltest

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/config"
	"dialtone/internal/sip/transport"
	"dialtone/internal/softphone"
)

// behind makes every SIP listener of the exchange one of a role.
func behind(t *testing.T, role string) func(c *config.Config) {
	return func(c *config.Config) {
		c.SIP.Listen = nil
		for _, text := range []string{"udp://[::]:5060?role=" + role, "tcp://[::]:5060?role=" + role} {
			var l config.SIPListener
			if err := l.UnmarshalText([]byte(text)); err != nil {
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
		{"stateless, both on TCP", "stateless", transport.TCP, transport.TCP},
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
