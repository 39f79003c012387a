package teltest

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/config"
	"dialtone/internal/network"
	"dialtone/internal/sip/transport"
)

func TestPhonesOverStreams(t *testing.T) {
	listen := func(c *config.Config) {
		for _, text := range []string{"tls://[::]:5061", "ws://[::]:80", "wss://[::]:443"} {
			var l config.SIPListener
			if err := l.UnmarshalText([]byte(text)); err != nil {
				t.Fatal(err)
			}
			c.SIP.Listen = append(c.SIP.Listen, l)
		}
	}
	for _, kind := range []transport.Kind{transport.TCP, transport.TLS, transport.WS, transport.WSS} {
		t.Run(kind.String(), func(t *testing.T) {
			inLab(t, Options{Seed: 12, Configure: listen}, func(t *testing.T, lab *Lab) {
				a, b := lab.Phone("101"), lab.Add(Device{User: "102", Transport: kind})
				near, far := a.Connect("102", b)
				lab.Hears(near, b.Hz)
				far.Hangup()
				lab.Ended(near)
				near, far = b.Connect("101", a)
				lab.Hears(far, b.Hz)
				near.Hangup()
				lab.Ended(far)
			})
		})
	}
}

// Phones that are challenged with SHA-256 and MD5 answer the stronger one.
func TestDigestSHA256(t *testing.T) {
	both := func(c *config.Config) { c.SIP.Digest = []config.Algorithm{"md5", "sha-256"} }
	inLab(t, Options{Seed: 17, Configure: both}, func(t *testing.T, lab *Lab) {
		lab.Capture()
		a, b := lab.Phone("101"), lab.Phone("102")
		near, _ := a.Connect("102", b)
		near.Hangup()
		lab.Ended(near)
		for _, m := range slices.Concat(lab.Messages(a.Host, "REGISTER"), lab.Messages(a.Host, "INVITE")) {
			if strings.Contains(m.Text, "Authorization: ") && !strings.Contains(m.Text, "algorithm=SHA-256") {
				t.Errorf("answered with another algorithm: %s", m.Text)
			}
		}
	})
}

// Two phones behind NATs of the strictest kind reach each other through the exchange.
func TestPhonesBehindNAT(t *testing.T) {
	inLab(t, Options{Seed: 13}, func(t *testing.T, lab *Lab) {
		nat := func(public string) *network.NAT {
			return lab.Net.NAT(network.NATConfig{Public: netip.MustParseAddr(public), Mapping: network.AddressAndPortDependent, Filtering: network.AddressAndPortDependent,
				Timeout: 60 * time.Second})
		}
		a := lab.Add(Device{User: "101", NAT: nat("198.51.100.1")})
		b := lab.Add(Device{User: "102", NAT: nat("198.51.100.2")})
		lab.Pass(5 * time.Minute) // the keep-alives hold the mappings open
		near, far := a.Connect("102", b)
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		far.Hangup()
		lab.Ended(near)
	})
}

func TestWrongPassword(t *testing.T) {
	inLab(t, Options{Seed: 14}, func(t *testing.T, lab *Lab) {
		p := lab.Place(Device{User: "101", Password: "no"})
		if err := p.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("register: %v", err)
		}
		if n := lab.Server.Load().Registrations; n != 0 {
			t.Errorf("%d registrations", n)
		}
		if o := lab.Ended(p.Dial("*43")); o.Status() != 401 {
			t.Errorf("call: %v", o.Cause)
		}
		p.Close() // it would try again
	})
}

// Registrations are refreshed before they run out, and ended when the phone goes.
func TestRegistrationsAreKept(t *testing.T) {
	inLab(t, Options{Seed: 15}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Add(Device{User: "102", Expires: 10 * time.Second}) // raised to the exchange's least
		for range 60 {
			lab.Pass(5 * time.Minute)
			if n := lab.Server.Load().Registrations; n != 2 {
				t.Fatalf("%d registrations", n)
			}
		}
		b.Close()
		if n := lab.Server.Load().Registrations; n != 1 {
			t.Errorf("%d registrations after one has left", n)
		}
		if o := lab.Ended(a.Dial("102")); o.Status() != 480 {
			t.Errorf("call to the phone that has left: %v", o.Cause)
		}
	})
}
