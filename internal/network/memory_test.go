package network

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	ipA = netip.MustParseAddr("192.0.2.1")
	ipB = netip.MustParseAddr("198.51.100.2")
	ipC = netip.MustParseAddr("203.0.113.3")
)

// pair is two hosts with a socket each; A's has the port 1000 and B's 2000.
type pair struct {
	m    *Memory
	a, b *Host
	ca   PacketConn
	cb   PacketConn
}

func newPair(t *testing.T, seed uint64, c Conditions) pair {
	m := NewMemory(MemoryConfig{Seed: seed, Default: c, Test: t})
	p := pair{m: m, a: m.Host(ipA), b: m.Host(ipB)}
	p.ca, p.cb = bindAt(t, p.a, 1000), bindAt(t, p.b, 2000)
	return p
}

func bindAt(t *testing.T, h *Host, port uint16) PacketConn {
	t.Helper()
	c, err := h.ListenPacket(netip.AddrPortFrom(any6, port), false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// gather reads until the sockets have been silent for a second of virtual time.
func gather(c PacketConn) []Packet {
	var out []Packet
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			ps := batch(32)
			n, err := c.ReadBatch(ps)
			if err != nil {
				return
			}
			out = append(out, ps[:n]...)
		}
	}()
	<-time.After(time.Minute)
	c.Close()
	<-done
	return out
}

func TestConditions(t *testing.T) {
	const sent = 4000
	for _, c := range []struct {
		name  string
		c     Conditions
		check func(t *testing.T, got []string)
	}{
		{"perfect", Conditions{}, func(t *testing.T, got []string) {
			if len(got) != sent || !ascending(got) {
				t.Errorf("%d arrived, in order %v", len(got), ascending(got))
			}
		}},
		{"loss", Conditions{Loss: 0.1}, func(t *testing.T, got []string) {
			near(t, "lost share", 1-float64(len(got))/sent, 0.1, 0.02)
			near(t, "mean burst", meanBurst(got, sent), 1/(1-0.1), 0.1)
		}},
		{"burst loss", Conditions{Loss: 0.1, Burst: 5}, func(t *testing.T, got []string) {
			near(t, "lost share", 1-float64(len(got))/sent, 0.1, 0.03)
			near(t, "mean burst", meanBurst(got, sent), 5, 1)
		}},
		{"down", Conditions{Down: true}, func(t *testing.T, got []string) {
			if len(got) != 0 {
				t.Errorf("%d arrived", len(got))
			}
		}},
		{"duplicates", Conditions{Duplicate: 0.2}, func(t *testing.T, got []string) {
			near(t, "duplicated share", float64(len(got))/sent-1, 0.2, 0.02)
		}},
		{"jitter keeps order", Conditions{Delay: 10 * time.Millisecond, Jitter: 50 * time.Millisecond},
			func(t *testing.T, got []string) {
				if len(got) != sent || !ascending(got) {
					t.Errorf("%d arrived, in order %v", len(got), ascending(got))
				}
			}},
		{"reordering", Conditions{Reorder: 0.05, ReorderBy: 10 * time.Millisecond}, func(t *testing.T, got []string) {
			if len(got) != sent || ascending(got) {
				t.Errorf("%d arrived, in order %v", len(got), ascending(got))
			}
		}},
		{"corruption", Conditions{Corrupt: 0.1}, func(t *testing.T, got []string) {
			bad := 0
			for i, s := range got {
				if s != label(i) {
					bad++
				}
			}
			near(t, "corrupted share", float64(bad)/sent, 0.1, 0.02)
		}},
		{"MTU", Conditions{MTU: 30}, func(t *testing.T, got []string) {
			if len(got) != 0 {
				t.Errorf("%d arrived", len(got))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 11, c.c)
				go func() {
					for i := range sent {
						p.ca.WriteTo([]byte(label(i)), netip.AddrPortFrom(ipB, 2000))
						<-time.After(time.Millisecond)
					}
				}()
				var got []string
				for _, d := range gather(p.cb) {
					got = append(got, string(d.Data))
				}
				c.check(t, got)
			})
		})
	}
}

func label(i int) string { return fmt.Sprintf("%05d", i) }

func ascending(s []string) bool { return slices.IsSorted(s) }

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s %.3f, want %.3f", what, got, want)
	}
}

// meanBurst is the mean number of datagrams lost in a row.
func meanBurst(got []string, sent int) float64 {
	have := map[string]bool{}
	for _, s := range got {
		have[s] = true
	}
	lost, bursts, in := 0, 0, false
	for i := range sent {
		if have[label(i)] {
			in = false
			continue
		}
		lost++
		if !in {
			bursts++
		}
		in = true
	}
	if bursts == 0 {
		return 0
	}
	return float64(lost) / float64(bursts)
}

func TestDelayIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, Conditions{Delay: 40 * time.Millisecond})
		p.m.Link(p.b, p.a, Conditions{Delay: 70 * time.Millisecond})
		start := time.Now()
		p.ca.WriteTo([]byte("x"), netip.AddrPortFrom(ipB, 2000))
		got := readN(t, p.cb, 1)[0]
		p.cb.WriteTo(got.Data, got.Addr)
		readN(t, p.ca, 1)
		if d := time.Since(start); d != 110*time.Millisecond {
			t.Errorf("round trip %v", d)
		}
		// Changed while running.
		p.m.Default(Conditions{Delay: time.Second})
		start = time.Now()
		p.ca.WriteTo([]byte("x"), netip.AddrPortFrom(ipB, 2000))
		readN(t, p.cb, 1)
		if d := time.Since(start); d != time.Second {
			t.Errorf("after the change %v", d)
		}
	})
}

// TestSameSeedSameRun sends over bad links from several hosts at once and compares everything that a capture sees.
func TestSameSeedSameRun(t *testing.T) {
	run := func(seed uint64) (sum [32]byte) {
		synctest.Test(t, func(t *testing.T) {
			m := NewMemory(MemoryConfig{Seed: seed, Test: t, Default: Conditions{
				Delay: 5 * time.Millisecond, Jitter: 9 * time.Millisecond, Loss: 0.1, Burst: 2, Duplicate: 0.1,
				Reorder: 0.1, Corrupt: 0.05,
			}})
			start := time.Now()
			h := sha256.New()
			m.Tap(func(f Frame) {
				fmt.Fprintln(h, f.At.Sub(start), f.Stream, f.From, f.To, f.Data, f.Fate)
			})
			var hosts []*Host
			for i := range 5 {
				hosts = append(hosts, m.Host(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})))
			}
			poller, _ := hosts[0].NewPoller(1)
			if _, err := poller.Open(netip.AddrPortFrom(any4, 5060), &echo{}); err != nil {
				t.Fatal(err)
			}
			to := netip.AddrPortFrom(hosts[0].Addr(), 5060)
			done := make(chan struct{})
			for _, from := range hosts[1:] {
				c := bindAt(t, from, 5060)
				go func() {
					for i := range 200 {
						c.WriteTo([]byte(label(i)), to)
						<-time.After(3 * time.Millisecond)
					}
					done <- struct{}{}
				}()
			}
			for range hosts[1:] {
				<-done
			}
			<-time.After(time.Minute)
			m.Close()
			copy(sum[:], h.Sum(nil))
		})
		return sum
	}
	first := run(42)
	for range 5 {
		if again := run(42); again != first {
			t.Fatal("the same seed gave another run")
		}
	}
	if run(43) == first {
		t.Error("another seed gave the same run")
	}
}

func TestTapShowsFates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, Conditions{MTU: 100})
		var got []Fate
		p.m.Tap(func(f Frame) { got = append(got, f.Fate) })
		send := func(n int, to netip.AddrPort) {
			p.ca.WriteTo(make([]byte, n), to)
			<-time.After(time.Millisecond)
		}
		send(10, netip.AddrPortFrom(ipB, 2000))
		send(200, netip.AddrPortFrom(ipB, 2000))
		send(10, netip.AddrPortFrom(ipB, 9))
		send(10, netip.AddrPortFrom(ipC, 9))
		p.m.Between(p.a, p.b, Conditions{Down: true})
		send(10, netip.AddrPortFrom(ipB, 2000))
		synctest.Wait()
		if want := []Fate{Delivered, TooLong, NoSocket, NoRoute, Lost}; !slices.Equal(got, want) {
			t.Errorf("fates %v, want %v", got, want)
		}
	})
}

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

func TestStreamOverBadLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 5, Conditions{Delay: 20 * time.Millisecond, Jitter: 15 * time.Millisecond, Loss: 0.2, Reorder: 0.1, MTU: 300})
		l, err := p.b.Listen(netip.AddrPortFrom(any6, 80))
		if err != nil {
			t.Fatal(err)
		}
		longest := 0
		p.m.Tap(func(f Frame) { longest = max(longest, len(f.Data)) })
		sent := bytes.Repeat([]byte("abcdefghij"), 3000)
		go func() {
			c, err := p.a.Dial(t.Context(), netip.AddrPortFrom(ipB, 80))
			if err != nil {
				t.Error(err)
				return
			}
			c.Write(sent)
			c.Close()
		}()
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := addrPort(s.RemoteAddr()).Addr(); got != ipA {
			t.Errorf("caller is %v", got)
		}
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes of %d, %v", len(got), len(sent), err)
		}
		if longest > 260 {
			t.Errorf("a segment of %d bytes", longest)
		}
	})
}

// connected is a stream from A to B.
func connected(t *testing.T, p pair) (client, server net.Conn) {
	t.Helper()
	l, err := p.b.Listen(netip.AddrPortFrom(any6, 80))
	if err != nil {
		t.Fatal(err)
	}
	if client, err = p.a.Dial(t.Context(), netip.AddrPortFrom(ipB, 80)); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestStreamSurvivesACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, Conditions{})
		client, server := connected(t, p)
		p.m.Between(p.a, p.b, Conditions{Down: true})
		client.Write([]byte("held back"))
		<-time.After(5 * time.Second)
		p.m.Between(p.a, p.b, Conditions{})
		b := make([]byte, 20)
		n, err := server.Read(b)
		if string(b[:n]) != "held back" || err != nil {
			t.Errorf("%q, %v", b[:n], err)
		}
		p.m.Between(p.a, p.b, Conditions{Down: true})
		start := time.Now()
		client.Write([]byte("never"))
		if _, err := client.Read(b); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("given up with %v", err)
		}
		if d := time.Since(start); d < time.Minute || d > 20*time.Minute {
			t.Errorf("given up after %v", d)
		}
	})
}

func TestStreamEnds(t *testing.T) {
	for name, end := range map[string]func(p pair, server net.Conn){
		"crash": func(p pair, _ net.Conn) { p.b.Crash() },
		"close": func(_ pair, server net.Conn) { server.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 1, Conditions{Delay: time.Millisecond})
				client, server := connected(t, p)
				end(p, server)
				<-time.After(time.Hour)
				if _, err := client.Write([]byte("x")); err != nil {
					t.Fatalf("the first write cannot know: %v", err)
				}
				<-time.After(time.Second)
				if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("second write: %v", err)
				}
			})
		})
	}
}

func TestStreamThroughNATReboot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(MemoryConfig{Seed: 1, Test: t})
		nat := m.NAT(NATConfig{Public: ipA, Filtering: AddressAndPortDependent})
		p := pair{m: m, a: nat.Host(netip.MustParseAddr("10.0.0.5")), b: m.Host(ipB)}
		client, server := connected(t, p)
		if got := addrPort(server.RemoteAddr()).Addr(); got != ipA {
			t.Errorf("client is seen as %v", got)
		}
		server.Write([]byte("hello"))
		if n, err := client.Read(make([]byte, 10)); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		nat.Reboot()
		client.Write([]byte("x"))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after the reboot: %v", err)
		}
	})
}

func TestDialIntoTheDark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, Conditions{Down: true})
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start := time.Now()
		_, err := p.a.Dial(ctx, netip.AddrPortFrom(ipB, 80))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		start = time.Now()
		_, err = p.a.Dial(t.Context(), netip.AddrPortFrom(ipC, 80))
		if !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) < 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err = p.a.Dial(t.Context(), netip.AddrPortFrom(loop6, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("own host: %v", err)
		}
	})
}

func TestReaddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, Conditions{})
		p.a.Readdress(ipC)
		p.ca.WriteTo([]byte("x"), netip.AddrPortFrom(ipB, 2000))
		if got := readN(t, p.cb, 1)[0].Addr; got.Addr() != ipC {
			t.Errorf("seen as %v", got)
		}
		if got, err := p.a.LocalAddrFor(ipB); got != ipC || err != nil {
			t.Errorf("local address %v, %v", got, err)
		}
	})
}

// recorder is a Test that failed.
type recorder struct {
	cleanup []func()
	log     string
}

func (r *recorder) Cleanup(f func())           { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Failed() bool               { return true }
func (r *recorder) Logf(f string, args ...any) { r.log += fmt.Sprintf(f, args...) }

func TestFailurePrintsSeed(t *testing.T) {
	r := &recorder{}
	m := NewMemory(MemoryConfig{Test: r})
	for _, f := range r.cleanup {
		f()
	}
	if want := fmt.Sprint(m.Seed()); m.Seed() == 0 || !bytes.Contains([]byte(r.log), []byte(want)) {
		t.Errorf("seed %d, log %q", m.Seed(), r.log)
	}
}

func TestPortsAreClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(MemoryConfig{Seed: 1, Test: t})
		h := m.Host(ipA, netip.MustParseAddr("2001:db8::1"))
		at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
		for _, c := range []struct {
			addr string
			want error
		}{
			{"0.0.0.0:5060", nil},
			{"192.0.2.1:5060", syscall.EADDRINUSE},
			{"[::]:5060", syscall.EADDRINUSE},
			{"[2001:db8::1]:5060", nil},
			{"[2001:db8::1]:5060", syscall.EADDRINUSE},
			{"192.0.2.1:5070", nil},
			{"127.0.0.1:5070", nil},
			{"0.0.0.0:5070", syscall.EADDRINUSE},
			{"198.51.100.2:5080", syscall.EADDRNOTAVAIL},
		} {
			if _, err := h.ListenPacket(at(c.addr), false); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.addr, err, c.want)
			}
			if _, err := h.Listen(at(c.addr)); !errors.Is(err, c.want) {
				t.Errorf("%s, stream: %v, want %v", c.addr, err, c.want)
			}
		}
		l, err := h.Listen(at("192.0.2.1:9"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := m.Host(ipB).Dial(t.Context(), at("192.0.2.1:9"))
		if err != nil {
			t.Fatal(err)
		}
		l.Close() // before it was accepted: reset
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a stream that was never accepted: %v", err)
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
