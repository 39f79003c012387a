package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// networks runs one test on every implementation.
func networks(t *testing.T, f func(t *testing.T, n Network)) {
	t.Run("os", func(t *testing.T) { f(t, NewOS(OSConfig{})) })
	t.Run("portable", func(t *testing.T) { f(t, NewOS(OSConfig{Portable: true})) })
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := NewMemory(MemoryConfig{Seed: 7, Test: t})
			f(t, m.Host(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")))
		})
	})
}

var (
	loop4 = netip.MustParseAddr("127.0.0.1")
	loop6 = netip.MustParseAddr("::1")
	any4  = netip.IPv4Unspecified()
	any6  = netip.IPv6Unspecified()
)

func listenPacket(t *testing.T, n Network, ip netip.Addr) PacketConn {
	t.Helper()
	c, err := n.ListenPacket(netip.AddrPortFrom(ip, 0), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func batch(n int) []Packet {
	ps := make([]Packet, n)
	for i := range ps {
		ps[i].Data = make([]byte, 2048)
	}
	return ps
}

// readN reads n datagrams however they are batched.
func readN(t *testing.T, c PacketConn, n int) []Packet {
	t.Helper()
	var out []Packet
	for len(out) < n {
		ps := batch(8)
		k, err := c.ReadBatch(ps)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ps[:k]...)
	}
	return out
}

func TestPacketFamilies(t *testing.T) {
	for _, c := range []struct {
		name       string
		bind, from netip.Addr
		reach      netip.Addr
	}{
		{"IPv4", loop4, loop4, loop4},
		{"IPv6", loop6, loop6, loop6},
		{"any IPv4", any4, loop4, loop4},
		{"dual stack hears IPv4", any6, loop4, loop4},
		{"dual stack hears IPv6", any6, loop6, loop6},
		{"dual stack speaks IPv4", loop4, any6, loop4},
	} {
		t.Run(c.name, func(t *testing.T) {
			networks(t, func(t *testing.T, n Network) {
				a, b := listenPacket(t, n, c.bind), listenPacket(t, n, c.from)
				if err := b.WriteTo([]byte("ping"), netip.AddrPortFrom(c.reach, a.LocalAddr().Port())); err != nil {
					t.Fatal(err)
				}
				got := readN(t, a, 1)[0]
				if string(got.Data) != "ping" {
					t.Errorf("data %q", got.Data)
				}
				if want := netip.AddrPortFrom(c.reach, b.LocalAddr().Port()); got.Addr != want {
					t.Errorf("from %v, want %v", got.Addr, want)
				}
				if err := a.WriteTo([]byte("pong"), got.Addr); err != nil {
					t.Fatal(err)
				}
				if back := readN(t, b, 1)[0]; string(back.Data) != "pong" {
					t.Errorf("back %q", back.Data)
				}
			})
		})
	}
}

func TestPacketBatchKeepsOrder(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		a, b := listenPacket(t, n, loop4), listenPacket(t, n, loop4)
		const count = 100
		var out []Packet
		for i := range count {
			out = append(out, Packet{Data: fmt.Appendf(nil, "%d", i), Addr: a.LocalAddr()})
		}
		out = append(out, Packet{Data: nil, Addr: a.LocalAddr()}) // an empty datagram is a datagram
		if sent, err := b.WriteBatch(out); sent != len(out) || err != nil {
			t.Fatal(sent, err)
		}
		for i, p := range readN(t, a, len(out)) {
			want := fmt.Sprint(i)
			if i == count {
				want = ""
			}
			if string(p.Data) != want {
				t.Fatalf("datagram %d is %q", i, p.Data)
			}
		}
	})
}

func TestPacketBatchSkipsWhatCannotBeSent(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		a, b := listenPacket(t, n, loop4), listenPacket(t, n, loop4)
		sent, err := b.WriteBatch([]Packet{
			{Data: []byte("one"), Addr: a.LocalAddr()},
			{Data: []byte("wrong family"), Addr: netip.AddrPortFrom(loop6, 9)},
			{Data: make([]byte, 70000), Addr: a.LocalAddr()},
			{Data: []byte("two"), Addr: a.LocalAddr()},
		})
		if sent != 2 || err == nil {
			t.Errorf("sent %d, %v", sent, err)
		}
		got := readN(t, a, 2)
		if string(got[0].Data) != "one" || string(got[1].Data) != "two" {
			t.Errorf("%q %q", got[0].Data, got[1].Data)
		}
	})
}

func TestPacketClose(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		c := listenPacket(t, n, loop4)
		got := make(chan error)
		go func() {
			_, err := c.ReadBatch(batch(1))
			got <- err
		}()
		c.Close()
		if err := <-got; !errors.Is(err, net.ErrClosed) {
			t.Errorf("reader: %v", err)
		}
		if err := c.WriteTo([]byte("x"), c.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteTo: %v", err)
		}
		if _, err := c.WriteBatch([]Packet{{Data: []byte("x"), Addr: c.LocalAddr()}}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBatch: %v", err)
		}
		c.Close()
		c.CloseLater()
	})
}

func TestPortTaken(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		c := listenPacket(t, n, loop4)
		if _, err := n.ListenPacket(c.LocalAddr(), false); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second socket: %v", err)
		}
		p, err := n.NewPoller(1)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Open(c.LocalAddr(), discard{}); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("polled socket: %v", err)
		}
		c.Close()
		again, err := n.ListenPacket(c.LocalAddr(), false)
		if err != nil {
			t.Fatalf("after Close: %v", err)
		}
		again.Close()
	})
}

type discard struct{}

func (discard) HandlePackets(PacketWriter, []Packet) {}

func TestSharedSocketsKeepEachPeer(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		const shards, peers, each = 4, 12, 5
		first, err := n.ListenPacket(netip.AddrPortFrom(loop4, 0), true)
		if err != nil {
			t.Fatal(err)
		}
		conns := []PacketConn{first}
		for range shards - 1 {
			c, err := n.ListenPacket(first.LocalAddr(), true)
			if !fastPath && errors.Is(err, errors.ErrUnsupported) {
				first.Close()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		var (
			mu   sync.Mutex
			seen = map[netip.AddrPort]map[int]int{}
			all  sync.WaitGroup
			wg   sync.WaitGroup
		)
		all.Add(peers * each)
		for i, c := range conns {
			wg.Go(func() {
				for {
					ps := batch(4)
					k, err := c.ReadBatch(ps)
					if err != nil {
						return
					}
					mu.Lock()
					for _, p := range ps[:k] {
						if seen[p.Addr] == nil {
							seen[p.Addr] = map[int]int{}
						}
						seen[p.Addr][i]++
						all.Done()
					}
					mu.Unlock()
				}
			})
		}
		for range peers {
			c := listenPacket(t, n, loop4)
			for range each {
				if err := c.WriteTo([]byte("x"), first.LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
		}
		all.Wait()
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
		used := map[int]bool{}
		for peer, by := range seen {
			if len(by) != 1 {
				t.Errorf("%v was spread over sockets %v", peer, by)
			}
			for i := range by {
				used[i] = true
			}
		}
		if len(used) < 2 {
			t.Errorf("only sockets %v were used", used)
		}
	})
}

// echo answers each datagram and counts.
type echo struct {
	mu    sync.Mutex
	count int
}

func (e *echo) HandlePackets(w PacketWriter, ps []Packet) {
	e.mu.Lock()
	e.count += len(ps)
	e.mu.Unlock()
	w.WriteBatch(ps)
}

func TestPollerEcho(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		p, err := n.NewPoller(2)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		client := listenPacket(t, n, any6)
		const sockets, each = 40, 7
		e := &echo{}
		for i := range sockets {
			ip := []netip.Addr{loop4, loop6, any6, any4}[i%4]
			w, err := p.Open(netip.AddrPortFrom(ip, 0), e)
			if err != nil {
				t.Fatal(err)
			}
			if w.LocalAddr().Port() == 0 || w.LocalAddr().Addr() != ip {
				t.Fatalf("bound to %v", w.LocalAddr())
			}
			to := netip.AddrPortFrom(loop4, w.LocalAddr().Port())
			if ip.Is6() {
				to = netip.AddrPortFrom(loop6, w.LocalAddr().Port())
			}
			for k := range each {
				if err := client.WriteTo([]byte{byte(k)}, to); err != nil {
					t.Fatal(err)
				}
			}
			for k, got := range readN(t, client, each) {
				if got.Addr != to || !bytes.Equal(got.Data, []byte{byte(k)}) {
					t.Fatalf("socket %d, datagram %d: %v from %v", i, k, got.Data, got.Addr)
				}
			}
		}
		p.Close()
		if e.count != sockets*each {
			t.Errorf("handled %d", e.count)
		}
	})
}

func TestPollerBurstAndGiants(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		p, err := n.NewPoller(1)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		w, err := p.Open(netip.AddrPortFrom(loop4, 0), &echo{})
		if err != nil {
			t.Fatal(err)
		}
		if wide, ok := w.(Widener); ok { // the burst is meant to arrive whole
			wide.Widen(1 << 20)
		}
		client := listenPacket(t, n, loop4)
		const count = 200
		var out []Packet
		for i := range count {
			if i%20 == 0 {
				out = append(out, Packet{Data: make([]byte, pollDatagram+1), Addr: w.LocalAddr()})
			}
			size := 1
			if i == 7 {
				size = 1500
			}
			out = append(out, Packet{Data: bytes.Repeat([]byte{byte(i)}, size), Addr: w.LocalAddr()})
		}
		client.WriteBatch(out)
		for i, got := range readN(t, client, count) {
			if got.Data[0] != byte(i) || len(got.Data) != 1 && i != 7 {
				t.Fatalf("datagram %d: %d bytes of %d", i, len(got.Data), got.Data[0])
			}
		}
		if o, ok := n.(*OS); ok && (o.Truncated() != count/20 || o.Dropped() != 0) {
			t.Errorf("%d truncated, %d dropped", o.Truncated(), o.Dropped())
		}
	})
}

// gate is a handler that says when it runs and waits to be let go.
type gate struct{ in, out chan struct{} }

func (g gate) HandlePackets(PacketWriter, []Packet) {
	g.in <- struct{}{}
	<-g.out
}

func TestPollerCloseWaitsForHandler(t *testing.T) {
	// Not on Memory: a handler that blocks would, inside a bubble, hold the network itself.
	for _, portable := range []bool{false, true} {
		t.Run(fmt.Sprintf("portable=%v", portable), func(t *testing.T) {
			n := NewOS(OSConfig{Portable: portable})
			p, err := n.NewPoller(1)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			g := gate{make(chan struct{}), make(chan struct{})}
			w, err := p.Open(netip.AddrPortFrom(loop4, 0), g)
			if err != nil {
				t.Fatal(err)
			}
			listenPacket(t, n, loop4).WriteTo([]byte("x"), w.LocalAddr())
			<-g.in
			closed := make(chan struct{})
			go func() {
				w.Close()
				close(closed)
			}()
			select {
			case <-closed:
				t.Error("Close returned while the handler ran")
			case <-time.After(20 * time.Millisecond):
			}
			close(g.out)
			<-closed
		})
	}
}

// ender closes its own socket at the first datagram and counts.
type ender struct{ count chan int }

func (e ender) HandlePackets(w PacketWriter, ps []Packet) {
	w.CloseLater()
	e.count <- len(ps)
}

func TestPollerCloseLaterFromHandler(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		p, err := n.NewPoller(1)
		if err != nil {
			t.Fatal(err)
		}
		e := ender{make(chan int, 10)}
		w, err := p.Open(netip.AddrPortFrom(loop4, 0), e)
		if err != nil {
			t.Fatal(err)
		}
		client := listenPacket(t, n, loop4)
		client.WriteTo([]byte("x"), w.LocalAddr())
		<-e.count
		w.Close()
		client.WriteTo([]byte("y"), w.LocalAddr())
		if err := w.WriteTo([]byte("x"), client.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteTo after the end: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if len(e.count) != 0 {
			t.Error("handled after the end")
		}
		if _, err := p.Open(netip.AddrPortFrom(loop4, 0), e); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Open after Close: %v", err)
		}
	})
}

func TestPollerOpenCloseUnderLoad(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		p, err := n.NewPoller(2)
		if err != nil {
			t.Fatal(err)
		}
		client := listenPacket(t, n, loop4)
		e := &echo{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					w, err := p.Open(netip.AddrPortFrom(loop4, 0), e)
					if err != nil {
						t.Error(err)
						return
					}
					client.WriteTo([]byte("x"), w.LocalAddr())
					w.WriteTo([]byte("y"), client.LocalAddr())
					w.Close()
				}
			})
		}
		wg.Wait()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestMark(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		for _, ip := range []netip.Addr{loop4, loop6, any6} {
			if err := listenPacket(t, n, ip).(Marker).Mark(46); err != nil && (fastPath || !errors.Is(err, errors.ErrUnsupported)) {
				t.Errorf("%v: %v", ip, err)
			}
		}
	})
}
