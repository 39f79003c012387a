package tap

import (
	"sync"

	"dialtone/internal/codec"
)

const (
	// monitorDelay is how many frames a direction is ahead before it is heard, against the jitter of two clocks;
	// monitorMost is how many it may be ahead before its oldest sound is dropped.
	monitorDelay = 2
	monitorMost  = 6
)

// Monitor is a Listener and a Source: both directions of a call, mixed, for one who listens in.
type Monitor struct {
	rate   int
	frames int // samples of a frame

	mu      sync.Mutex // held for copies of frames
	queues  [2]queue
	dropped int64
	scratch codec.Frame
}

// queue is what one direction has said and was not heard yet, a ring.
type queue struct {
	pcm   []int16
	first int
	count int
	plays bool // was filled up to the delay since it was empty
}

// NewMonitor makes a monitor of a tap whose frames have the rate, in samples a second.
func NewMonitor(rate int) *Monitor {
	m := &Monitor{rate: rate, frames: rate / 50, scratch: make(codec.Frame, rate/50)}
	for i := range m.queues {
		m.queues[i].pcm = make([]int16, monitorMost*m.frames)
	}
	return m
}

// WriteTap implements Listener.
func (m *Monitor) WriteTap(d Direction, frame codec.Frame) {
	if d != Said && d != Heard {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	q := &m.queues[d-1]
	if over := len(frame) - len(q.pcm); over > 0 {
		m.dropped += int64(over)
		frame = frame[over:]
	}
	if over := q.count + len(frame) - len(q.pcm); over > 0 {
		// Back to the delay at once: what piles up would stay as delay for ever.
		over = max(over, min(q.count, q.count+len(frame)-monitorDelay*m.frames))
		q.take(nil, over)
		m.dropped += int64(over)
	}
	q.put(frame)
	if q.count >= monitorDelay*m.frames {
		q.plays = true
	}
}

// put appends; there is room.
func (q *queue) put(frame []int16) {
	at := (q.first + q.count) % len(q.pcm)
	n := copy(q.pcm[at:], frame)
	copy(q.pcm, frame[n:])
	q.count += len(frame)
}

// take removes n samples, which are there, and copies them unless dst is nil.
func (q *queue) take(dst []int16, n int) {
	if dst != nil {
		k := copy(dst[:n], q.pcm[q.first:])
		copy(dst[k:n], q.pcm)
	}
	q.first = (q.first + n) % len(q.pcm)
	q.count -= n
}

// Rate is how many samples a second it gives.
func (m *Monitor) Rate() int { return m.rate }

// ReadFrame gives both directions added up; silence where nothing came.
func (m *Monitor) ReadFrame(frame codec.Frame) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(frame)
	n := min(len(frame), m.frames)
	for i := range m.queues {
		q := &m.queues[i]
		if q.count < n {
			q.plays = false
		}
		if !q.plays {
			continue
		}
		q.take(m.scratch, n)
		for k, s := range m.scratch[:n] {
			frame[k] = int16(max(-32768, min(32767, int(frame[k])+int(s))))
		}
	}
	return nil
}

// Dropped is how many samples were dropped because nobody fetched them in time.
func (m *Monitor) Dropped() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dropped
}
