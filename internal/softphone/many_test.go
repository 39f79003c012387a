package softphone

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/media"
	"dialtone/internal/network"
)

// Many phones of one host share one media engine and call each other, each with a tone of its own.
func TestPhonesShareAnEngine(t *testing.T) {
	const n = 50
	synctest.Test(t, func(t *testing.T) {
		host := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t}).Host(netip.MustParseAddr("192.0.2.1"))
		engine, err := media.New(media.Config{Network: host, Ports: media.PortRange{Min: 20000, Max: 20999}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = engine.Close() })
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		goroutines := runtime.NumGoroutine()
		phones := make([]*Phone, n)
		server := "192.0.2.9"
		for i := range phones {
			hz := float64(400 + 20*i)
			p, err := New(Config{Network: host, Server: server, User: fmt.Sprint(100 + i), Media: engine,
				Answer: func(Incoming) Decision { return Decision{Talk: Talk{Hz: hz}} }})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			phones[i] = p
			server = p.Addr() // the next one calls this one
		}
		synctest.Wait()
		var after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := (runtime.NumGoroutine() - goroutines) / n
		t.Logf("each phone has %d goroutines and %d KB", each, (after.HeapAlloc-before.HeapAlloc)/n>>10)
		if each > 3 { // its transport, the socket, the timers of its transactions
			t.Errorf("each phone has %d goroutines", each)
		}
		calls := make([]*Call, 0, n)
		for _, p := range phones[1:] {
			c, err := p.Dial("anybody", Talk{Duration: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, c)
		}
		for i, c := range calls {
			o, err := c.Wait(t.Context())
			if want := []int{400 + 20*i}; err != nil || o.Status() != 200 || !slices.Equal(o.TonesHz, want) {
				t.Errorf("call %d: %v, heard %v, want %v", i, o.Cause, o.TonesHz, want)
			}
		}
		for _, p := range phones {
			p.Close()
		}
		if used := engine.Counters().PortsUsed; used != 0 {
			t.Errorf("%d ports are still in use", used)
		}
	})
}
