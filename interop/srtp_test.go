package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// encrypted is a line whose device takes encrypted media only.
func encrypted(number string) string {
	return fmt.Sprintf("  - number: %[1]q\n    devices: [{username: %[1]q, password: secret-of-%[1]s, srtp: required}]\n", number)
}

// TestEncryptedPhones (BB-11): two phones that insist on SRTP hear each other. Each leg has keys of its own; encryption ends
// at the exchange.
func TestEncryptedPhones(t *testing.T) {
	x := serve(t, setup{site: site(encrypted("101"), encrypted("102"))})
	a := x.phone(phoneSetup{number: "101", transport: "udp", hz: toneA, mediaenc: "srtp-mand"})
	b := x.phone(phoneSetup{number: "102", transport: "udp", hz: toneB, mediaenc: "srtp-mand"})
	x.registered(2)
	connect(a, b, "102")
	const talk = 4 * time.Second
	time.Sleep(talk)
	disconnect(a, b)
	a.hears(toneB, toneA, talk-time.Second)
	b.hears(toneA, toneB, talk-time.Second)
	for _, l := range x.record().Legs {
		if l.Crypto == nil || *l.Crypto != "sdes" {
			t.Errorf("leg of %s: crypto %v", *l.Device, l.Crypto)
		}
	}
}

// TestPhonesOnASharedPort: calls with and without encryption on one port, at the same time. There is one pair of ports besides, so that
// not even two of the four legs could have ports of their own.
func TestPhonesOnASharedPort(t *testing.T) {
	x := serve(t, setup{site: site(encrypted("101"), encrypted("102"), registering("103"), registering("104")), ports: 3, share: true})
	a := x.phone(phoneSetup{number: "101", transport: "udp", hz: toneA, mediaenc: "srtp-mand"})
	b := x.phone(phoneSetup{number: "102", transport: "udp", hz: toneB, mediaenc: "srtp-mand"})
	c := x.phone(phoneSetup{number: "103", transport: "udp", hz: toneA})
	d := x.phone(phoneSetup{number: "104", transport: "tcp", hz: toneB})
	x.registered(4)
	connect(a, b, "102")
	connect(c, d, "104")
	const talk = 4 * time.Second
	time.Sleep(talk)
	disconnect(a, b)
	disconnect(c, d)
	for _, pair := range [][2]*phone{{a, b}, {c, d}} {
		pair[0].hears(toneB, toneA, talk-time.Second)
		pair[1].hears(toneA, toneB, talk-time.Second)
	}
}

// TestPlainIsRefused (BB-11): a device with srtp: required takes no plain call, and makes none.
func TestPlainIsRefused(t *testing.T) {
	x := serve(t, setup{site: site(encrypted("101"), registering("102"))})
	a := x.phone(phoneSetup{number: "101", transport: "udp", hz: toneA})
	b := x.phone(phoneSetup{number: "102", transport: "udp", hz: toneB})
	x.registered(2)
	for _, call := range []struct {
		from *phone
		to   string
	}{{a, "102"}, {b, "101"}} {
		call.from.tell("dial", "sip:"+call.to+"@"+host)
		if e := call.from.expect("CALL_CLOSED", 10*time.Second); !strings.Contains(e.Param, "488") {
			t.Errorf("call to %s ended with %q, want 488", call.to, e.Param)
		}
	}
}
