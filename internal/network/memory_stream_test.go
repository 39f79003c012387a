package network

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

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
