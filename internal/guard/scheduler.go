package guard

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"dialtone/internal/network"
)

// Scheduler tells how long goroutines that could run wait for a processor: where work has left the queue of its socket
// but not been done. It asks the runtime, which measures one goroutine in eight.
//
// A process that waits although the processors do little for it has been put aside by others on the machine. To refuse
// work would not shorten that wait, so it does not count.
type Scheduler struct {
	mu     sync.Mutex
	sample [1]metrics.Sample
	before []uint64
	then   time.Time
	worked time.Duration
	last   time.Duration
}

const (
	// The runtime's histogram is a thousand numbers; the delay it tells of moves in hundredths of a second.
	schedulerPeriod = 20 * time.Millisecond
	// busyShare of what the processors could do is full work.
	busyShare = 0.7
	// fewest measurements that say something: 6,400 goroutines a second find a processor. Where fewer do, what waits
	// is background work that a busy socket's worker holds up, and nobody else waits for it.
	fewest = 16
)

// NewScheduler makes a watch over the runtime's scheduler.
func NewScheduler() *Scheduler {
	s := &Scheduler{}
	s.sample[0].Name = "/sched/latencies:seconds"
	return s
}

// Delay is what a tenth of the goroutines have waited at least, of those that got a processor since the last time; 0
// where this process has not kept the processors busy.
func (s *Scheduler) Delay() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	elapsed := now.Sub(s.then)
	if elapsed < schedulerPeriod {
		return s.last
	}
	s.then, s.last = now, 0
	worked, known := network.ProcessorTime()
	busy := !known || isBusy(worked-s.worked, elapsed, runtime.GOMAXPROCS(0))
	s.worked = worked
	metrics.Read(s.sample[:])
	if s.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0 // a runtime that does not know it
	}
	h := s.sample[0].Value.Float64Histogram()
	if len(s.before) == len(h.Counts) && busy && elapsed < 10*schedulerPeriod { // what was before is not now
		s.last = upperTenth(h.Counts, s.before, h.Buckets)
	}
	s.before = append(s.before[:0], h.Counts...)
	return s.last
}

// isBusy reports whether processors have worked about as much as they could.
func isBusy(worked, elapsed time.Duration, processors int) bool {
	return worked.Seconds() >= busyShare*elapsed.Seconds()*float64(processors)
}

// upperTenth is the lower edge of the bucket that the ninth tenth of what has been added falls into.
func upperTenth(now, before []uint64, edges []float64) time.Duration {
	var sum uint64
	for i, n := range now {
		sum += n - before[i]
	}
	if sum < fewest {
		return 0
	}
	var seen uint64
	for i, n := range now {
		seen += n - before[i]
		if seen*10 >= sum*9 {
			if edge := edges[i]; edge > 0 && !math.IsInf(edge, 1) {
				return time.Duration(edge * float64(time.Second))
			}
			return 0
		}
	}
	return 0
}
