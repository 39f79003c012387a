package guard

import (
	"net/netip"
	"testing"
	"time"
)

func TestVouched(t *testing.T) {
	g := newGuard(t, Config{Trusted: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
	phone, neighbour := addrPort("192.0.2.1:5060"), addrPort("192.0.2.1:5062")
	if g.Vouched(phone, epoch) {
		t.Error("a stranger is vouched for")
	}
	g.AuthPassed(phone, epoch)
	for _, c := range []struct {
		src   netip.AddrPort
		after time.Duration
		want  bool
	}{
		{phone, 0, true},
		{addrPort("[::ffff:192.0.2.1]:5060"), 0, true},
		{neighbour, 0, false}, // an address says nothing about its other ports
		{phone, time.Duration(flowMemory) - time.Second, true},
		{phone, time.Duration(flowMemory) + time.Second, false},
		{addrPort("198.51.100.9:5060"), 0, true}, // trusted
	} {
		if got := g.Vouched(c.src, epoch.Add(c.after)); got != c.want {
			t.Errorf("%v after %v: %v", c.src, c.after, got)
		}
	}
}
