package transport

import (
	"net/netip"
	"testing"

	"dialtone/internal/sip"
)

// FuzzSTUN: an answer is a well-formed success with the request's transaction, from which the source can be read back,
// and never longer than what was asked by more than the address.
func FuzzSTUN(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"), true)
	f.Add([]byte("\x00\x01\x00\x08\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\x80\x22\x00\x03abc\x00"), false)
	f.Fuzz(func(t *testing.T, b []byte, six bool) {
		src := netip.MustParseAddrPort("198.51.100.7:7000")
		if six {
			src = netip.MustParseAddrPort("[2001:db8::7]:7000")
		}
		if !isSTUN(b) {
			return
		}
		var m sip.Message
		if m.Parse(b) == nil {
			t.Fatal("taken for STUN, but it is SIP")
		}
		a := answerSTUN(b, src)
		if a == nil {
			return
		}
		if !isSTUN(a) || a[0] != 1 || a[1] != 1 || string(a[4:20]) != string(b[4:20]) || len(a) > len(b)+24 {
			t.Fatalf("answer % x to % x", a, b)
		}
		ip := append([]byte(nil), a[28:]...)
		for i := range ip {
			ip[i] ^= a[4+i]
		}
		port := uint16(a[26]^0x21)<<8 | uint16(a[27]^0x12)
		if got, ok := netip.AddrFromSlice(ip); !ok || netip.AddrPortFrom(got, port) != src {
			t.Fatalf("mapped address %v:%d", got, port)
		}
	})
}

// FuzzResolve: a URI that needs no DNS leads to valid targets; sips never leads to one that is not secure.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{"sip:192.0.2.7", "sips:u@[2001:db8::1]:5070;transport=tcp", "sip:a.example;maddr=192.0.2.8",
		"sips:192.0.2.7;transport=udp", "tel:+1234", "sip:x;maddr=[::1]"} {
		f.Add(s)
	}
	r := NewResolver(ResolverConfig{DNS: &zone{addrs: map[string]string{"a.example": "192.0.2.10"}},
		Kinds: []Kind{UDP, TCP, TLS, WS, WSS}})
	f.Cleanup(r.Close)
	f.Fuzz(func(t *testing.T, s string) {
		u, err := sip.ParseURI([]byte(s))
		if err != nil {
			return
		}
		ts, err := r.Resolve(t.Context(), &u)
		if (err == nil) != (len(ts) > 0) {
			t.Fatalf("%q: %v, %v", s, ts, err)
		}
		for _, x := range ts {
			if !x.Addr.IsValid() || x.Addr.Port() == 0 || x.Kind == 0 || x.Kind > WSS {
				t.Fatalf("%q leads to %+v", s, x)
			}
			if u.Scheme == sip.SchemeSIPS && !x.Kind.Secure() {
				t.Fatalf("%q leads to %v", s, x)
			}
		}
	})
}
