package media

import (
	"container/heap"
	"slices"
	"sync"
	"time"
)

const (
	frameTime    = 20 * time.Millisecond // packet time of all that we originate
	frameSamples = 160                   // at 8 kHz
	tickTime     = time.Millisecond
	slotCount    = int64(frameTime / tickTime)
	// catchUp is how far the clock may lag before it lets ticks go: a starved machine makes up for 60 ms at most, so
	// that a burst never overruns a receiver's jitter buffer.
	catchUp = 3 * slotCount
)

// clock paces everything that is originated here: one goroutine for all streams, which are spread over the slots of
// a frame so that a thousand of them make twenty small bursts, not one. It also says when RTCP reports are due.
// With nothing to pace it sleeps.
type clock struct {
	epoch time.Time
	wake  chan struct{} // holds one: the schedule has changed
	quit  chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	slots   [slotCount][]paced // each immutable, replaced as a whole
	members int
	tick    int64 // the last tick that was served, in milliseconds since epoch
	reports reportQueue
}

// paced is what the clock moves: a talker, or a pump.
type paced interface {
	// tick is called every 20 ms of engine time, which is given in milliseconds, on the clock's goroutine.
	tick(tick int64, s *scratch)
	// place is where the clock notes the slot of a frame in which the member is served. The clock's lock guards it.
	place() *int64
}

func newClock(epoch time.Time) *clock {
	return &clock{epoch: epoch, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// stop ends the goroutine and waits for it.
func (c *clock) stop() {
	close(c.quit)
	<-c.done
}

func (c *clock) now() int64 { return int64(time.Since(c.epoch)) }

// add puts a member on the clock; it is ticked every 20 ms until it is removed.
func (c *clock) add(t paced) {
	c.mu.Lock()
	now := c.now() / int64(tickTime)
	if c.members == 0 {
		c.tick = now
	}
	// The emptiest slot; among equals the one that comes next.
	best := (c.tick + 1) % slotCount
	for i := range slotCount {
		if slot := (c.tick + 1 + i) % slotCount; len(c.slots[slot]) < len(c.slots[best]) {
			best = slot
		}
	}
	*t.place() = best
	c.slots[best] = append(slices.Clone(c.slots[best]), t)
	c.members++
	c.mu.Unlock()
	c.nudge()
}

// remove takes a member off the clock. A tick that is under way may still reach it.
func (c *clock) remove(t paced) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.slots[*t.place()]
	i := slices.Index(old, t)
	if i < 0 {
		return
	}
	c.slots[*t.place()] = slices.Delete(slices.Clone(old), i, i+1)
	c.members--
}

// schedule sets when a stream's next report is due, in engine time.
func (c *clock) schedule(r *reporter, at int64) {
	c.mu.Lock()
	r.due = at
	if r.queued {
		heap.Fix(&c.reports, r.place)
	} else {
		heap.Push(&c.reports, r)
	}
	c.mu.Unlock()
	c.nudge()
}

// cancel takes a stream's report out of the schedule.
func (c *clock) cancel(r *reporter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.queued {
		heap.Remove(&c.reports, r.place)
	}
}

func (c *clock) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *clock) run() {
	defer close(c.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var s scratch
	for {
		var expired <-chan time.Time
		if next := c.next(); next >= 0 {
			timer.Reset(time.Duration(next - c.now()))
			expired = timer.C
		}
		select {
		case <-c.quit:
			return
		case <-c.wake:
		case <-expired:
		}
		c.serve(&s)
	}
}

// next is when there is something to do, in engine time; -1 when there is nothing.
func (c *clock) next() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := int64(-1)
	if len(c.reports) > 0 {
		next = c.reports[0].due
	}
	if c.members == 0 {
		return next
	}
	for i := c.tick + 1; i <= c.tick+slotCount; i++ {
		if len(c.slots[i%slotCount]) > 0 {
			if at := i * int64(tickTime); next < 0 || at < next {
				next = at
			}
			break
		}
	}
	return next
}

// serve does everything that is due.
func (c *clock) serve(s *scratch) {
	now := c.now()
	for {
		tick, members := c.turn(now / int64(tickTime))
		if tick < 0 {
			break
		}
		for _, m := range members {
			m.tick(tick, s)
		}
	}
	for {
		r := c.overdue(now)
		if r == nil {
			return
		}
		if next := r.report(now, s); next > 0 {
			c.schedule(r, next)
		}
	}
}

// turn moves to the next tick that has members, up to now, and returns them; -1 when there is none.
func (c *clock) turn(now int64) (int64, []paced) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members == 0 {
		return -1, nil
	}
	c.tick = max(c.tick, now-catchUp)
	for c.tick < now {
		c.tick++
		if list := c.slots[c.tick%slotCount]; len(list) > 0 {
			return c.tick, list
		}
	}
	return -1, nil
}

// overdue takes the first report that is due out of the queue; nil when there is none.
func (c *clock) overdue(now int64) *reporter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reports) == 0 || c.reports[0].due > now {
		return nil
	}
	return heap.Pop(&c.reports).(*reporter)
}

// reportQueue is a heap of reporters by due time.
type reportQueue []*reporter

func (q reportQueue) Len() int           { return len(q) }
func (q reportQueue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q reportQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *reportQueue) Push(x any) {
	r := x.(*reporter)
	r.queued, r.place = true, len(*q)
	*q = append(*q, r)
}

func (q *reportQueue) Pop() any {
	last := len(*q) - 1
	r := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	r.queued = false
	return r
}
