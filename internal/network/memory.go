package network

import (
	"container/heap"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// minDelay is the least time that anything takes on a Memory. What arrives at one instant was then all sent before it,
// and can be put in an order that does not depend on the scheduler.
const minDelay = 10 * time.Microsecond

// Test is what a Memory needs of a *testing.T: to end with the test, and to print the seed of one that failed.
type Test interface {
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
}

// MemoryConfig says how a Memory behaves.
type MemoryConfig struct {
	// Seed decides every draw; 0 takes a random one.
	Seed uint64
	// Default holds for each pair of hosts without a link of its own.
	Default Conditions
	// Test, when not nil, closes the network at the end of the test and prints the seed when the test failed.
	Test Test
}

// Memory is a network inside the process. Its goroutine delivers everything in an order that follows from the seed and
// from what each host sent: each direction between two hosts draws from a source of its own, and what arrives at one
// instant is ordered by sender, receiver and sequence. Inside a synctest bubble time is virtual and a run repeats
// exactly, as long as each host's own sends come in the same order.
type Memory struct {
	seed uint64

	mu     sync.Mutex // guards everything below and everything that hangs off it
	def    Conditions
	links  map[linkKey]*link
	world  *realm
	hosts  []*Host
	queue  eventQueue
	tap    func(Frame)
	calls  []call // handlers and taps that the goroutine owes, to be run without the lock
	closed bool

	wake chan struct{} // one token: the queue has a new head, or the network is closed
	done chan struct{} // closed when the goroutine has ended
}

// call is one handler to run, or one frame to show.
type call struct {
	s     *memorySocket
	p     Packet
	tap   func(Frame)
	frame Frame
}

// Fate says what became of a frame.
type Fate string

// The fates of a frame.
const (
	Delivered Fate = "delivered"
	Lost      Fate = "lost"      // by the conditions of the link
	TooLong   Fate = "too long"  // for the MTU of the link
	NoRoute   Fate = "no route"  // no such host, or a NAT without a mapping or with a filter
	NoSocket  Fate = "no socket" // nobody listens there, or the receive queue is full
)

// Frame is a datagram or stream segment as a capture at the receiver would show it.
type Frame struct {
	At     time.Time
	Stream bool // TCP; else UDP
	// From and To are what the receiver sees; where there is none, what the sender wrote.
	From, To netip.AddrPort
	// Data is the payload, after corruption; valid until the function that is shown it returns.
	Data []byte
	Fate Fate
}

// NewMemory starts an empty network. Close ends it.
func NewMemory(c MemoryConfig) *Memory {
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	m := &Memory{
		seed:  c.Seed,
		def:   c.Default,
		links: map[linkKey]*link{},
		world: newRealm(nil),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	if t := c.Test; t != nil {
		t.Cleanup(func() {
			m.Close()
			if t.Failed() {
				t.Logf("network seed %d", m.seed)
			}
		})
	}
	go m.run()
	return m
}

// Seed is the seed in use.
func (m *Memory) Seed() uint64 { return m.seed }

// Tap shows every frame to f, on the network's goroutine, in the order of arrival; nil stops it. A lost frame is shown
// at the time when it would have arrived.
func (m *Memory) Tap(f func(Frame)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tap = f
}

// Close ends the network and everything open on it.
func (m *Memory) Close() error {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		for _, h := range m.hosts {
			h.shut(net.ErrClosed)
		}
		m.kick()
	}
	m.mu.Unlock()
	<-m.done
	return nil
}

// kick wakes the goroutine.
func (m *Memory) kick() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// run delivers what is due, in order, until the network is closed.
func (m *Memory) run() {
	defer close(m.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var calls []call
	for {
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return
		}
		now := time.Now()
		for len(m.queue) > 0 && !m.queue[0].at.After(now) {
			heap.Pop(&m.queue).(*event).fire()
		}
		calls, m.calls = m.calls, calls[:0]
		wait := time.Hour
		if len(m.queue) > 0 {
			wait = m.queue[0].at.Sub(now)
		}
		m.mu.Unlock()
		runCalls(calls)
		if len(calls) > 0 {
			clear(calls)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-m.wake:
		}
	}
}

// runCalls runs handlers, neighbours of one socket as one batch, and taps.
func runCalls(calls []call) {
	var batch []Packet
	for i := 0; i < len(calls); {
		c := calls[i]
		if c.tap != nil {
			c.tap(c.frame)
			i++
			continue
		}
		batch = batch[:0]
		for ; i < len(calls) && calls[i].s == c.s && len(batch) < 32; i++ {
			batch = append(batch, calls[i].p)
		}
		c.s.handle(batch)
	}
}

// event is something that happens at a time. Events of one time are ordered by link and then by sequence.
type event struct {
	at   time.Time
	link linkKey
	seq  uint64
	fire func() // called on the goroutine with the lock held
}

// schedule adds an event for a link. The caller holds the lock.
func (m *Memory) schedule(l *link, at time.Time, fire func()) {
	l.seq++
	e := &event{at: at, link: l.key, seq: l.seq, fire: fire}
	heap.Push(&m.queue, e)
	if m.queue[0] == e {
		m.kick()
	}
}

// show owes the tap a frame. The caller holds the lock.
func (m *Memory) show(f Frame) {
	if m.tap == nil {
		return
	}
	f.At = time.Now()
	m.calls = append(m.calls, call{tap: m.tap, frame: f})
}

type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	switch {
	case !a.at.Equal(b.at):
		return a.at.Before(b.at)
	case a.link.from != b.link.from:
		return a.link.from < b.link.from
	case a.link.to != b.link.to:
		return a.link.to < b.link.to
	}
	return a.seq < b.seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}
