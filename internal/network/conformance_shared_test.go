package network

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
)

// exchange is a handler that passes what each sender says on to its neighbour, all of a batch at once, and notes who came.
type exchange struct {
	mu    *sync.Mutex
	pairs map[netip.AddrPort]netip.AddrPort
	seen  map[netip.AddrPort]map[int]bool // sender -> workers
	most  *int                            // in one batch
	self  int
}

func (e exchange) HandlePackets(w PacketWriter, ps []Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*e.most = max(*e.most, len(ps))
	for i := range ps {
		if e.seen[ps[i].Addr] == nil {
			e.seen[ps[i].Addr] = map[int]bool{}
		}
		e.seen[ps[i].Addr][e.self] = true
		ps[i].Addr = e.pairs[ps[i].Addr]
	}
	w.WriteBatch(ps)
}

func TestSharedPortServesManyPairs(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		p, err := n.NewPoller(3)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		const parties, each = 40, 25
		var mu sync.Mutex
		most := 0
		pairs, seen := map[netip.AddrPort]netip.AddrPort{}, map[netip.AddrPort]map[int]bool{}
		ws, err := p.(Sharer).OpenShared(netip.AddrPortFrom(loop4, 0), func(worker int) PacketHandler {
			return exchange{&mu, pairs, seen, &most, worker}
		})
		if err != nil {
			t.Fatal(err)
		}
		to := ws[0].LocalAddr()
		for _, w := range ws {
			if w.LocalAddr() != to {
				t.Errorf("bound to %v and to %v", to, w.LocalAddr())
			}
		}
		var conns [parties]PacketConn
		for i := range conns {
			conns[i] = listenPacket(t, n, loop4)
		}
		mu.Lock()
		for i, c := range conns {
			pairs[c.LocalAddr()] = conns[i^1].LocalAddr()
		}
		mu.Unlock()
		for k := range each {
			for i, c := range conns {
				if err := c.WriteTo(binary.BigEndian.AppendUint16(nil, uint16(k*parties+i)), to); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, c := range conns {
			for k, got := range readN(t, c, each) {
				if v := int(binary.BigEndian.Uint16(got.Data)); v != k*parties+i^1 || got.Addr != to {
					t.Fatalf("party %d, datagram %d: %d from %v", i, k, v, got.Addr)
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		used := map[int]bool{}
		for who, by := range seen {
			if len(by) != 1 {
				t.Errorf("%v was served by workers %v", who, by)
			}
			for w := range by {
				used[w] = true
			}
		}
		if len(used) != len(ws) {
			t.Errorf("%d of %d workers had something to do", len(used), len(ws))
		}
		if most > 64 || len(seen) != parties {
			t.Errorf("%d datagrams in a batch, %d senders", most, len(seen))
		}
		for _, w := range ws {
			w.Close()
		}
	})
}
