//go:build linux && (amd64 || arm64)

package network

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

func TestSockaddrRoundTrip(t *testing.T) {
	z := &zones{}
	lo, err := net.InterfaceByIndex(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr string
		v6   bool // family of the socket
		want string
		n    uint32
	}{
		{"192.0.2.1:5060", false, "192.0.2.1:5060", 16},
		{"192.0.2.1:5060", true, "192.0.2.1:5060", 28},
		{"[::ffff:192.0.2.1]:5060", false, "192.0.2.1:5060", 16},
		{"[::ffff:192.0.2.1]:5060", true, "192.0.2.1:5060", 28},
		{"[2001:db8::1]:65535", true, "[2001:db8::1]:65535", 28},
		{"[2001:db8::1]:65535", false, "", 0},
		{"[::]:0", true, "[::]:0", 28},
		{"0.0.0.0:0", false, "0.0.0.0:0", 16},
		{"[fe80::1%" + lo.Name + "]:5060", true, "[fe80::1%" + lo.Name + "]:5060", 28},
		{"[fe80::1%4711]:5060", true, "[fe80::1%4711]:5060", 28},
	} {
		for range 2 { // the second time the zone is remembered
			var s sockaddr
			for i := range s {
				s[i] = 0xff // nothing may shine through
			}
			if n := s.put(netip.MustParseAddrPort(c.addr), c.v6, z); n != c.n {
				t.Errorf("%s: %d bytes, want %d", c.addr, n, c.n)
			}
			if c.n == 0 {
				continue
			}
			if got := s.take(z); got.String() != c.want {
				t.Errorf("%s: came back as %v", c.addr, got)
			}
		}
	}
	var s sockaddr
	if n := s.put(netip.AddrPort{}, true, z); n != 0 {
		t.Errorf("no address: %d bytes", n)
	}
}

// TestSocketUsers closes while others send: the descriptor is released once, and only when nobody uses it.
func TestSocketUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			var mu sync.Mutex
			released, inside := 0, 0
			s := &socket{}
			s.release = func() {
				mu.Lock()
				defer mu.Unlock()
				released++
				if inside > 0 {
					t.Error("released while in use")
				}
			}
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					for range 20 {
						if i == 0 {
							s.shut()
						}
						if !s.hold() {
							continue
						}
						mu.Lock()
						inside++
						mu.Unlock()
						<-time.After(time.Microsecond)
						mu.Lock()
						inside--
						mu.Unlock()
						s.drop()
					}
				})
			}
			wg.Wait()
			if released != 1 {
				t.Fatalf("released %d times", released)
			}
		}
	})
}

// What a packet touches of a socket is one cache line.
func TestPolledSocketLayout(t *testing.T) {
	var s polledSocket
	if at := unsafe.Offsetof(s.release); at != 64 {
		t.Errorf("the rest begins at %d, want 64", at)
	}
	if n := unsafe.Sizeof(s); n%64 != 0 {
		t.Errorf("%d bytes are no whole lines", n)
	}
}
