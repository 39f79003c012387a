package auth

import (
	"net/netip"
	"testing"
)

func TestStaticDevices(t *testing.T) {
	loopback := netip.MustParseAddrPort("127.0.0.1:26000")
	tests := []struct {
		name, method, from string
		src                string
		registered         string // number of a line that is registered from src
		verdict            Verdict
		device             string
	}{
		{"by its address", "INVITE", "sip:anybody@pbx.example", "127.0.0.1:26000", "", Allow, "bench"},
		{"the IPv6-mapped form", "INVITE", "sip:anybody@pbx.example", "[::ffff:127.0.0.1]:26000", "", Allow, "bench"},
		{"from a domain that nobody has", "INVITE", "sip:x@carrier.net", "127.0.0.1:1", "", Allow, "bench"},
		{"named by another tenant's domain", "INVITE", "sip:100@other.example", "127.0.0.1:1", "", Allow, "bench"},
		{"the most specific network", "INVITE", "sip:wide@pbx.example", "10.1.2.3:5060", "", Allow, "narrow"},
		{"the wider network", "INVITE", "sip:x@pbx.example", "10.2.0.1:5060", "", Allow, "wide"},
		{"the one that From names", "INVITE", "sip:narrow2@pbx.example", "10.1.2.3:5060", "", Allow, "narrow2"},
		{"the line that From names", "INVITE", "sip:902@pbx.example", "10.1.2.3:5060", "", Allow, "narrow"},
		{"another address", "INVITE", "sip:bench@pbx.example", "192.0.2.7:5060", "", Challenge, ""},
		{"REGISTER is never static", "REGISTER", "sip:100@pbx.example", "127.0.0.1:26000", "", Challenge, ""},
		{"the flow of a registered phone on the same address", "INVITE", "sip:100@pbx.example", "127.0.0.1:26000", "100", Challenge, ""},
		{"that phone by its device's name", "INVITE", "sip:mobile@pbx.example", "127.0.0.1:26000", "100", Challenge, ""},
		{"another phone is registered there", "INVITE", "sip:bench@pbx.example", "127.0.0.1:26000", "100", Allow, "bench"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			src := netip.MustParseAddrPort(tt.src)
			if tt.registered != "" {
				b.registered(tt.registered, loopback)
			}
			res, _ := b.identify(message(t, tt.method, "sip:102@pbx.example", tt.from, tt.from), src)
			if res.Verdict != tt.verdict {
				t.Fatalf("%+v", res)
			}
			if tt.verdict == Allow && (res.Device.Username != tt.device || res.Tenant.Name != "default" || !res.Proved) {
				t.Errorf("device %s of %s", res.Device.Username, res.Tenant.Name)
			}
		})
	}
}

func TestForeignDomain(t *testing.T) {
	tests := []struct {
		name, method, uri string
		known             bool
		verdict           Verdict
		status            int
	}{
		{"our domain", "INVITE", "sip:102@pbx.example", false, Challenge, 401},
		{"our domain in capitals", "INVITE", "sip:102@PBX.Example", false, Challenge, 401},
		{"another tenant's", "INVITE", "sip:100@other.example", false, Challenge, 401},
		{"our address", "INVITE", "sip:102@192.0.2.1:5060", false, Challenge, 401},
		{"localhost", "OPTIONS", "sip:localhost", false, Challenge, 401},
		{"tel", "INVITE", "tel:+982112345678", false, Challenge, 401},
		{"foreign name", "INVITE", "sip:victim@example.net", false, Forbid, 403},
		{"foreign address", "MESSAGE", "sip:victim@198.51.100.1", false, Forbid, 403},
		{"foreign IPv6 address", "INVITE", "sip:victim@[2001:db8::1]", false, Forbid, 403},
		{"foreign name, from a registered phone", "INVITE", "sip:102@pbx.lan", true, Challenge, 401},
		{"foreign name in REGISTER", "REGISTER", "sip:pbx.lan", false, Challenge, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if tt.known {
				b.registered("100", phone)
			}
			if res, _ := b.identify(message(t, tt.method, tt.uri, "sip:100@pbx.lan", "sip:x@pbx.lan"), phone); res.Verdict != tt.verdict || res.Status != tt.status {
				t.Errorf("%+v", res)
			}
		})
	}
	// With a password the dial plan decides.
	b := newBench(t)
	c := answer(t, "100", "secret-100", b.challenges(phone, "INVITE", server, own, own))
	if res, _ := b.identify(message(t, "INVITE", "sip:v@example.net", own, own, authorization(c, "INVITE", "sip:v@example.net")), phone); res.Verdict != Allow {
		t.Errorf("%+v", res)
	}
}
