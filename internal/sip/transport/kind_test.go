package transport

import (
	"net/netip"
	"testing"
)

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		k                Kind
		name             string
		reliable, secure bool
		port             uint16
		prefix, naptr    string
	}{
		{UDP, "UDP", false, false, 5060, "_sip._udp.", "SIP+D2U"},
		{TCP, "TCP", true, false, 5060, "_sip._tcp.", "SIP+D2T"},
		{TLS, "TLS", true, true, 5061, "_sips._tcp.", "sips+d2t"},
		{WS, "WS", true, false, 80, "_sip._ws.", "SIP+D2W"},
		{WSS, "WSS", true, true, 443, "_sips._ws.", "SIPS+D2W"},
	} {
		if c.k.String() != c.name || c.k.Reliable() != c.reliable || c.k.Secure() != c.secure ||
			c.k.DefaultPort() != c.port || c.k.prefix() != c.prefix {
			t.Errorf("%v: %v %v %d %s", c.k, c.k.Reliable(), c.k.Secure(), c.k.DefaultPort(), c.k.prefix())
		}
		if ParseKind(c.name) != c.k || ParseKind(" "+c.name) != 0 || serviceOf(c.naptr) != c.k {
			t.Errorf("%s is not read back", c.name)
		}
	}
	if Kind(0).String() != "" || Kind(9).String() != "" || ParseKind("") != 0 || serviceOf("SIP+D2S") != 0 {
		t.Error("what is no kind has a name")
	}
}

func TestStreamsPerAddressCountsAnIPv6Subnet(t *testing.T) {
	s := &streams{}
	s.init(Limits{Streams: 100, StreamsPerAddress: 2})
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1")
	other := netip.MustParseAddr("2001:db8:0:1::1")
	if !s.admit(a) || !s.admit(b) || s.admit(a) || !s.admit(other) {
		t.Error("one /64 is one place")
	}
	s.release(b)
	if !s.admit(a) {
		t.Error("a place that was given back is taken")
	}
}
