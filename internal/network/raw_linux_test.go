//go:build linux && (amd64 || arm64)

package network

import (
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// TestRawWaitLetsTheCollectorIn keeps a worker in the wait that the scheduler does not know of, and collects beside it.
func TestRawWaitLetsTheCollectorIn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 2))
	n := NewOS(OSConfig{})
	if !n.rawEnter() {
		t.Fatal("no raw wait with two processors to spare")
	}
	n.rawLeave()
	p, err := n.NewPoller(1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w, err := p.Open(netip.AddrPortFrom(loop4, 0), &echo{})
	if err != nil {
		t.Fatal(err)
	}
	c := listenPacket(t, n, loop4)
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for range 100 {
			c.WriteTo([]byte("x"), w.LocalAddr())
			readN(t, c, 1) // the worker has been busy and waits raw now
			runtime.GC()
		}
	}()
	select {
	case <-collected:
	case <-time.After(2 * time.Minute): // a tenth of a second as a rule
		t.Fatal("the collector waits for the worker")
	}
}
