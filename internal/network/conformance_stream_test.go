package network

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestLocalAddrFor(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		for _, ip := range []netip.Addr{loop4, loop6, netip.MustParseAddr("::ffff:127.0.0.1")} {
			for range 2 { // the second answer comes from memory
				got, err := n.LocalAddrFor(ip)
				if err != nil || got != ip.Unmap() {
					t.Errorf("for %v: %v, %v", ip, got, err)
				}
			}
		}
		if got, err := n.LocalAddrFor(netip.Addr{}); err == nil {
			t.Errorf("for nothing: %v", got)
		}
	})
}

func TestStream(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		for _, ip := range []netip.Addr{loop4, loop6} {
			l, err := n.Listen(netip.AddrPortFrom(ip, 0))
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				c, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				io.Copy(c, c)
			})
			c, err := n.Dial(t.Context(), addrPort(l.Addr()))
			if err != nil {
				t.Fatal(err)
			}
			sent := bytes.Repeat([]byte("0123456789"), 100_000) // more than any window
			wg.Go(func() {
				if _, err := c.Write(sent); err != nil {
					t.Error(err)
				}
				c.(interface{ CloseWrite() error }).CloseWrite()
			})
			got, err := io.ReadAll(c)
			if addrPort(c.LocalAddr()).Addr() != ip || addrPort(c.RemoteAddr()) != addrPort(l.Addr()) {
				t.Errorf("from %v to %v", c.LocalAddr(), c.RemoteAddr())
			}
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes of %d came back, %v", len(got), len(sent), err)
			}
			wg.Wait()
			c.Close()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read after Close: %v", err)
			}
			l.Close()
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept after Close: %v", err)
			}
			if _, err := n.Dial(t.Context(), addrPort(l.Addr())); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("Dial where nobody listens: %v", err)
			}
		}
	})
}

func TestStreamDeadlines(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		l, err := n.Listen(netip.AddrPortFrom(loop4, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := n.Dial(context.Background(), addrPort(l.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := c.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write to one who does not read: %v", err)
		}
		c.SetDeadline(time.Time{})
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.Write([]byte("x"))
		if k, err := c.Read(make([]byte, 8)); k != 1 || err != nil {
			t.Errorf("read with the deadline lifted: %d, %v", k, err)
		}
	})
}
