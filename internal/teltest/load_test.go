package teltest

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/network"
	"dialtone/internal/softphone"
)

// calls makes n calls from a to b, some at a time, and returns what became of them.
func calls(t *testing.T, lab *Lab, a, b *Phone, n, every int, talk time.Duration) []softphone.Outcome {
	t.Helper()
	b.Answers(softphone.Decision{})
	running := make([]*softphone.Call, n)
	for i := range running {
		running[i] = a.DialWith(b.User, softphone.Talk{Duration: talk})
		if i%every == every-1 {
			lab.Pass(time.Second)
		}
	}
	outcomes := make([]softphone.Outcome, n)
	for i, c := range running {
		outcomes[i] = lab.Ended(c)
	}
	for _, p := range []*Phone{a, b} {
		p.forget()
	}
	return outcomes
}

// Thousands of calls over a network that loses, repeats and swaps packets: all that were asked for are answered (at 30 %
// loss nearly all), each leaves one record, and nothing is left of any of them.
func TestCallsOverABadNetwork(t *testing.T) {
	for _, c := range []struct {
		name  string
		link  network.Conditions
		calls int
		least int // answered
	}{
		{"good", network.Conditions{}, 200, 200},
		{"10 % lost", network.Conditions{Loss: 0.1}, 2000, 2000},
		{"10 % lost in bursts", network.Conditions{Loss: 0.1, Burst: 3}, 500, 495},
		{"30 % lost", network.Conditions{Loss: 0.3}, 2000, 1990},
		{"10 % twice, 5 % late", network.Conditions{Duplicate: 0.1, Reorder: 0.05}, 500, 500},
		{"1 % with a wrong bit", network.Conditions{Corrupt: 0.01}, 500, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, least := c.calls, c.least
			if testing.Short() {
				n, least = n/10, least/10-1
			}
			c.link.Delay, c.link.Jitter = 10*time.Millisecond, 5*time.Millisecond
			inLab(t, Options{}, func(t *testing.T, lab *Lab) { callsOverABadNetwork(t, lab, c.link, n, least) })
		})
	}
}

func callsOverABadNetwork(t *testing.T, lab *Lab, link network.Conditions, n, least int) {
	t.Logf("network seed %d", lab.Net.Seed())
	a, b := lab.Phone("101"), lab.Phone("102")
	lab.Net.Default(link)
	answered := 0
	for _, o := range calls(t, lab, a, b, n, 50, 500*time.Millisecond) {
		if o.Status() == 200 {
			answered++
		}
	}
	lab.Net.Default(network.Conditions{})
	lab.Pass(3 * time.Minute) // whoever waits in vain has given up, and what was repeated has lingered
	records := lab.Records()
	causes, ids := map[string]int{}, map[string]bool{}
	for _, r := range records {
		causes[r.Cause.String()]++
		ids[r.CallID] = true
	}
	t.Logf("%d of %d calls answered; records: %v", answered, n, causes)
	if answered < least {
		t.Errorf("%d of %d calls answered, want %d", answered, n, least)
	}
	// A call whose every INVITE was lost never came to be.
	if len(records) != len(ids) || len(records) > n || len(records) < least {
		t.Errorf("%d records of %d calls", len(records), n)
	}
	for _, p := range []*Phone{a, b} {
		if !p.Idle() {
			t.Errorf("phone %s has something left of its calls", p.User)
		}
	}
}

// After the last call of a busy hour the exchange is as it was before the first: goroutines, sockets, memory.
func TestNothingIsLeftOfCalls(t *testing.T) {
	inLabAlone(t, Options{Seed: 21}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		rest := func() (goroutines int, heap uint64) {
			lab.Pass(time.Minute)
			lab.Settle()
			synctest.Wait()
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return runtime.NumGoroutine(), m.HeapAlloc
		}
		const warm = 3000 // what is made once is made, and rings and tables are as full as they get
		calls(t, lab, a, b, warm, 50, 200*time.Millisecond)
		goroutines, heap := rest()
		const n = 3000
		calls(t, lab, a, b, n, 50, 200*time.Millisecond)
		after, grown := rest()
		if after > goroutines {
			t.Errorf("%d goroutines, %d before", after, goroutines)
		}
		if grown > heap+n*64 {
			t.Errorf("the heap has grown from %d to %d bytes in %d calls", heap, grown, n)
		}
		t.Logf("%d goroutines, heap %d KB before and %d KB after %d calls", after, heap>>10, grown>>10, n)
		if c := lab.Server.Calls().Counters(); c != (call.Counters{Started: n + warm}) {
			t.Errorf("counters %+v", c)
		}
	})
}
