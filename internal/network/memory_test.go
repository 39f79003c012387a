package network

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
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
