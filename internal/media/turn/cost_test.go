package turn

import (
	"net/netip"
	"testing"
	"time"
)

// What stands around Pion allocates nothing for a packet.
func TestGateAllocatesNothing(t *testing.T) {
	s := &Server{clients: newClients(), sources: newSources(1e6, 1e6)}
	s.config.Policy.Local = func(netip.Addr) bool { return false }
	from, peer := netip.AddrPortFrom(browser, 50000), netip.MustParseAddrPort("192.0.2.99:9000")
	s.clients.v[from] = &holding{permissions: 1}
	binding := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	data := append([]byte{0x40, 0, 0, 160}, make([]byte, 160)...)
	p := &packetConn{}
	var budget gate
	if n := testing.AllocsPerRun(1000, func() {
		if !s.admits(binding, from) || !s.admits(data, from) || !budget.allows(s.config.Policy, peer, time.Now()) || !budget.pass(160, 1e9, time.Now()) {
			t.Fatal("refused")
		}
		_ = p.netAddr(from)
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
