package guard

import (
	"math"
	"runtime/metrics"
	"sync"
	"time"
)

// Scheduler tells how long goroutines that could run wait for a processor: where work has left the queue of its socket
// but not been done. It asks the runtime, which measures one goroutine in eight.
type Scheduler struct {
	mu     sync.Mutex
	sample [1]metrics.Sample
	before []uint64
	then   time.Time
	last   time.Duration
}

// The runtime's histogram is a thousand numbers; the delay it tells of moves in hundredths of a second.
const schedulerPeriod = 20 * time.Millisecond

// NewScheduler makes a watch over the runtime's scheduler.
func NewScheduler() *Scheduler {
	s := &Scheduler{}
	s.sample[0].Name = "/sched/latencies:seconds"
	return s
}

// Delay is what a tenth of the goroutines have waited at least, of those that got a processor since the last time.
func (s *Scheduler) Delay() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.then) < schedulerPeriod {
		return s.last
	}
	long := now.Sub(s.then) > 10*schedulerPeriod // what was before is not now
	s.then, s.last = now, 0
	metrics.Read(s.sample[:])
	if s.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0 // a runtime that does not know it
	}
	h := s.sample[0].Value.Float64Histogram()
	if len(s.before) == len(h.Counts) && !long {
		s.last = upperTenth(h.Counts, s.before, h.Buckets)
	}
	s.before = append(s.before[:0], h.Counts...)
	return s.last
}

// upperTenth is the lower edge of the bucket that the ninth tenth of what has been added falls into.
func upperTenth(now, before []uint64, edges []float64) time.Duration {
	var sum uint64
	for i, n := range now {
		sum += n - before[i]
	}
	var seen uint64
	for i, n := range now {
		seen += n - before[i]
		if seen*10 >= sum*9 && seen > 0 {
			if edge := edges[i]; edge > 0 && !math.IsInf(edge, 1) {
				return time.Duration(edge * float64(time.Second))
			}
			return 0
		}
	}
	return 0
}
