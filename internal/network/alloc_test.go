package network

import (
	"net/netip"
	"testing"
)

func TestHotPathsDoNotAllocate(t *testing.T) {
	n := NewOS(OSConfig{})
	a, b := listenPacket(t, n, loop4), listenPacket(t, n, any6)
	payload := make([]byte, 400)
	to := a.LocalAddr()
	out := make([]Packet, 8)
	for i := range out {
		out[i] = Packet{Data: payload, Addr: to}
	}
	in := batch(32)
	read := func(want int) {
		for got := 0; got < want; {
			for i := range in {
				in[i].Data = in[i].Data[:cap(in[i].Data)]
			}
			k, err := a.ReadBatch(in)
			if err != nil {
				t.Fatal(err)
			}
			got += k
		}
	}
	if got := testing.AllocsPerRun(200, func() { b.WriteTo(payload, to); read(1) }); got != 0 {
		t.Errorf("one datagram: %v allocations", got)
	}
	if got := testing.AllocsPerRun(200, func() { b.WriteBatch(out); read(len(out)) }); got >= 1 {
		t.Errorf("a batch: %v allocations", got)
	}
	p, err := n.NewPoller(1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w, err := p.Open(netip.AddrPortFrom(loop4, 0), &echo{})
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(200, func() { a.WriteTo(payload, w.LocalAddr()); read(1) }); got != 0 {
		t.Errorf("polled: %v allocations", got)
	}
}
