package metrics

import (
	"math/rand/v2"
	"sort"
	"sync"
	"sync/atomic"
)

// cells is how many cache lines a counter is spread over; a power of two.
const cells = 8

// Counter is a number that many cores raise at the same time: each addition goes to one of several cache lines, chosen
// by the runtime's per-thread random numbers, so that cores do not wait for each other's line. The zero value is ready.
type Counter struct {
	cell [cells]struct {
		n atomic.Uint64
		_ [56]byte // fills the line of 64 bytes
	}
}

// Add raises the counter by n.
func (c *Counter) Add(n uint64) { c.cell[rand.Uint32()&(cells-1)].n.Add(n) }

// Value is the sum of everything added before the call.
func (c *Counter) Value() (sum uint64) {
	for i := range c.cell {
		sum += c.cell[i].n.Load()
	}
	return sum
}

// histogram counts values in buckets. bounds are the upper edges, ascending; one more bucket takes what is above.
type histogram struct {
	bounds []float64
	cell   [cells]histogramCell
}

// histogramCell is one core's share. The sum is kept in millionths, so that it is a plain atomic addition.
type histogramCell struct {
	buckets [maxBuckets + 1]atomic.Uint64
	micros  atomic.Int64
	_       [64]byte
}

const maxBuckets = 16

// observe counts v in the first bucket whose bound is not below it.
func (h *histogram) observe(v float64) {
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	c := &h.cell[rand.Uint32()&(cells-1)]
	c.buckets[i].Add(1)
	c.micros.Add(int64(v * 1e6))
}

// read returns how many values there were, their sum, and how many were at or below each bound.
func (h *histogram) read() (count uint64, sum float64, cumulative map[float64]uint64) {
	cumulative = make(map[float64]uint64, len(h.bounds))
	for i := range len(h.bounds) + 1 {
		for c := range h.cell {
			count += h.cell[c].buckets[i].Load()
		}
		if i < len(h.bounds) {
			cumulative[h.bounds[i]] = count
		}
	}
	for c := range h.cell {
		sum += float64(h.cell[c].micros.Load()) / 1e6
	}
	return count, sum, cumulative
}

// maxLabels bounds the label sets of one metric: callers pass words from catalogues, and this keeps a mistake there
// from filling the memory.
const maxLabels = 256

// labels are the values of up to two labels of a metric.
type labels [2]string

// other takes what comes after maxLabels sets.
func other() labels { return labels{"other", "other"} }

// labelled is a family of counters. Looking up a known one takes no lock; a new one copies the map.
type labelled struct {
	mu       sync.Mutex
	counters atomic.Pointer[map[labels]*Counter]
}

func (l *labelled) counter(a, b string) *Counter {
	key := labels{a, b}
	if known := l.counters.Load(); known != nil {
		if c := (*known)[key]; c != nil {
			return c
		}
	}
	return l.add(key)
}

// add makes the counter of key, or finds the one that another goroutine has just made.
func (l *labelled) add(key labels) *Counter {
	l.mu.Lock()
	defer l.mu.Unlock()
	var known map[labels]*Counter
	if p := l.counters.Load(); p != nil {
		known = *p
	}
	if len(known) >= maxLabels && known[key] == nil {
		key = other()
	}
	if c := known[key]; c != nil {
		return c
	}
	next := make(map[labels]*Counter, len(known)+1)
	for k, c := range known {
		next[k] = c
	}
	c := new(Counter)
	next[key] = c
	l.counters.Store(&next)
	return c
}

// each reports all counters, in the order of their labels.
func (l *labelled) each(report func(labels, uint64)) {
	p := l.counters.Load()
	if p == nil {
		return
	}
	keys := make([]labels, 0, len(*p))
	for k := range *p {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		return keys[i][0] < keys[j][0] || keys[i][0] == keys[j][0] && keys[i][1] < keys[j][1]
	})
	for _, k := range keys {
		report(k, (*p)[k].Value())
	}
}
