package transport

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"dialtone/internal/network"
)

// TestPortOfAnotherServer: the workers of one server share a port, two servers do not.
func TestPortOfAnotherServer(t *testing.T) {
	for _, workers := range []int{1, 2} {
		c := Config{Network: network.NewOS(network.OSConfig{}), Handler: &answerer{}, Workers: workers,
			Listeners: []Listener{{Kind: UDP, Addr: netip.AddrPortFrom(loopback, 0)}}}
		first, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		c.Listeners[0].Addr = first.Addrs(UDP)[0]
		second, err := New(c)
		if err == nil {
			second.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%d workers: %v, want the port to be in use", workers, err)
		}
	}
}
