package network

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestNAT(t *testing.T) {
	inside := netip.MustParseAddr("10.0.0.5")
	for _, c := range []struct {
		mapping, filtering Dependence
		samePort           bool // towards another host
		samePort2          bool // towards another port of one host
		stranger           bool // may another host send in
		otherPort          bool // may another port of a known host send in
	}{
		{EndpointIndependent, EndpointIndependent, true, true, true, true},
		{EndpointIndependent, AddressDependent, true, true, false, true},
		{EndpointIndependent, AddressAndPortDependent, true, true, false, false},
		{AddressDependent, AddressDependent, false, true, false, true},
		{AddressAndPortDependent, AddressAndPortDependent, false, false, false, false},
	} {
		t.Run(fmt.Sprintf("mapping %d filtering %d", c.mapping, c.filtering), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := NewMemory(MemoryConfig{Seed: 1, Test: t})
				nat := m.NAT(NATConfig{Public: ipA, Mapping: c.mapping, Filtering: c.filtering, Timeout: 30 * time.Second})
				phone := bindAt(t, nat.Host(inside), 5060)
				b, other := m.Host(ipB), m.Host(ipC)
				b1, b2, o := bindAt(t, b, 1), bindAt(t, b, 2), bindAt(t, other, 1)

				port := func(c PacketConn, to netip.Addr) netip.AddrPort {
					phone.WriteTo([]byte("x"), netip.AddrPortFrom(to, c.LocalAddr().Port()))
					return readN(t, c, 1)[0].Addr
				}
				first := port(b1, ipB)
				if first.Addr() != ipA || first.Port() == 5060 {
					t.Fatalf("seen as %v", first)
				}
				arrives := func(c PacketConn) bool {
					c.WriteTo([]byte("y"), first)
					<-time.After(time.Millisecond)
					m.mu.Lock()
					defer m.mu.Unlock()
					s := phone.(*memorySocket)
					n := len(s.queue)
					s.queue = nil
					return n > 0
				}
				if !arrives(b1) {
					t.Error("the answer did not come in")
				}
				if got := arrives(o); got != c.stranger {
					t.Errorf("a stranger comes in: %v", got)
				}
				if got := arrives(b2); got != c.otherPort {
					t.Errorf("another port comes in: %v", got)
				}
				if got := port(b2, ipB) == first; got != c.samePort2 {
					t.Errorf("same mapping towards another port: %v", got)
				}
				if got := port(o, ipC) == first; got != c.samePort {
					t.Errorf("same mapping towards another host: %v", got)
				}
				<-time.After(31 * time.Second)
				if arrives(b1) {
					t.Error("the mapping outlived its timeout")
				}
				first = port(b1, ipB)
				nat.Reboot()
				if arrives(b1) {
					t.Error("the mapping outlived a reboot")
				}
			})
		})
	}
}

func TestNATHairpinAndNesting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(MemoryConfig{Seed: 1, Test: t})
		carrier := m.NAT(NATConfig{Public: ipA})
		home := carrier.NAT(NATConfig{Public: netip.MustParseAddr("100.64.0.9")})
		x := bindAt(t, home.Host(netip.MustParseAddr("10.0.0.5")), 5060)
		y := bindAt(t, carrier.Host(netip.MustParseAddr("100.64.0.10")), 5060)
		server := bindAt(t, m.Host(ipB), 5060)

		seen := map[PacketConn]netip.AddrPort{}
		for _, c := range []PacketConn{x, y} {
			c.WriteTo([]byte("x"), netip.AddrPortFrom(ipB, 5060))
			seen[c] = readN(t, server, 1)[0].Addr
			if seen[c].Addr() != ipA {
				t.Errorf("seen as %v", seen[c])
			}
			server.WriteTo([]byte("back"), seen[c])
			readN(t, c, 1)
		}
		x.WriteTo([]byte("over the top"), seen[y])
		got := readN(t, y, 1)[0]
		if got.Addr != seen[x] {
			t.Errorf("hairpin came from %v, want %v", got.Addr, seen[x])
		}
	})
}

func TestNATPortsAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(MemoryConfig{Seed: 1, Test: t})
		nat := m.NAT(NATConfig{Public: ipA, Mapping: AddressAndPortDependent, Timeout: time.Second})
		phone := bindAt(t, nat.Host(netip.MustParseAddr("10.0.0.5")), 5060)
		server := bindAt(t, m.Host(ipB), 5060)
		for i := range 70_000 { // more than there are ports, but never at the same time
			phone.WriteTo([]byte("x"), netip.AddrPortFrom(ipC, uint16(i%60_000+1)))
			if i%10_000 == 0 {
				<-time.After(2 * time.Second)
			}
		}
		phone.WriteTo([]byte("x"), netip.AddrPortFrom(ipB, 5060))
		readN(t, server, 1)
		for i := range 64_600 { // now at one time: the last few find no port
			phone.WriteTo([]byte("x"), netip.AddrPortFrom(ipC, uint16(i+1)))
		}
		if len(nat.in) > 65_000 || len(nat.in) != len(nat.out) {
			t.Errorf("%d ports of %d mappings", len(nat.in), len(nat.out))
		}
	})
}
