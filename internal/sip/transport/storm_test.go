package transport

import (
	"bufio"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"dialtone/internal/network"
)

// TestStormOnLoopback opens streams, speaks and leaves, half of them with a reset, while the layer answers.
func TestStormOnLoopback(t *testing.T) {
	h := &answererOfMany{}
	l := start(t, Config{Network: network.NewOS(network.OSConfig{}), Handler: h, Workers: 1,
		Listeners: []Listener{{Kind: TCP, Addr: netip.AddrPortFrom(loopback, 0)}}})
	request := options("SIP/2.0/TCP 127.0.0.1", "storm", 200)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 100 {
				c, err := net.Dial("tcp", l.Addrs(TCP)[0].String())
				if err != nil {
					t.Error(err)
					return
				}
				c.Write(request)
				switch (w + i) % 4 {
				case 0:
					readMessage(bufio.NewReader(c))
				case 1:
					c.(*net.TCPConn).SetLinger(0) // a reset
				case 2:
					c.Write(request[:50])
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	c, err := net.Dial("tcp", l.Addrs(TCP)[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(request)
	if got, err := readMessage(bufio.NewReader(c)); err != nil || got[:11] != "SIP/2.0 200" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// TestIdleStreamsAreSmall holds a thousand and looks at what each costs, its end in this process included.
func TestIdleStreamsAreSmall(t *testing.T) {
	l := start(t, Config{Network: network.NewOS(network.OSConfig{}), Handler: &answererOfMany{}, Workers: 1,
		Limits:    Limits{StreamsPerAddress: 2000},
		Listeners: []Listener{{Kind: TCP, Addr: netip.AddrPortFrom(loopback, 0)}}})
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	const n = 1000
	before := used()
	var cs []net.Conn
	for range n {
		c, err := net.Dial("tcp", l.Addrs(TCP)[0].String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write(options("SIP/2.0/TCP 127.0.0.1", "idle", 30_000))
		readMessage(bufio.NewReaderSize(c, 600))
		cs = append(cs, c)
	}
	each := (used() - before) / n
	for _, c := range cs {
		c.Close()
	}
	t.Logf("%d bytes each", each)
	if each > 40_000 {
		t.Errorf("an idle stream costs %d bytes: it must not keep the buffer of a long message", each)
	}
}
