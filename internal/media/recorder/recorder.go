// Package recorder writes calls to files, a channel for each party.
//
// It owns the way from a frame to the disk: rings, alignment of the channels, encoding, crash-safe files (WAVE, Ogg Opus,
// and a sealed container around either), their repair and reading. It does not decide what is recorded, tell anybody (but
// for the optional beep), nor keep a list of recordings.
//
// The realtime side only copies a frame into a ring of two seconds. One goroutine, Engine.Run, encodes and writes for all
// recordings every half second. A slow disk fills the rings: what does not fit is counted, marked and becomes silence, so
// that the channels stay aligned; the call is never held up. A failing disk ends the recording, loudly, and nothing else.
//
// Files are whole after each write: a killed process loses less than a second of a recording (sealed ones: the last
// chunk). Nothing is promised for the death of the machine before Stop, which syncs.
//
// Frames of one channel come from one goroutine at a time; everything else may be called from anywhere. RFC 3551 (G.711 as
// in files), RFC 7845 (Ogg Opus).
package recorder

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// interval is how often rings are emptied; latency is how long a frame may take to its ring before the file goes on
	// without it. Together they are what a crash costs.
	interval = 500 * time.Millisecond
	latency  = 300 * time.Millisecond
	ringTime = 2 * time.Second
)

var (
	// ErrClosed is for recordings that begin when the engine has ended.
	ErrClosed = errors.New("recorder has ended")
	// ErrSlow says that some of a recording has become silence because writing took too long. The recording goes on.
	ErrSlow = errors.New("writing the recording is too slow")
	// ErrFull ends a recording at the greatest size that its format has.
	ErrFull = errors.New("recording has the greatest size of its format")
)

// Engine writes all recordings of a process.
type Engine struct {
	newOpus func(rate int) (encoder, error)
	wake    chan struct{} // holds one: something is to be stopped

	mu     sync.Mutex
	all    map[*Recording]struct{}
	closed bool

	failures, lost atomic.Int64

	// Of the goroutine of Run.
	list  []*Recording
	block [][]int16 // one for each channel
}

// blockSamples is how much of a channel is encoded at a time.
const blockSamples = 4800

// New makes an engine; it writes while Run runs.
func New() *Engine {
	return &Engine{newOpus: newOpus, wake: make(chan struct{}, 1), all: map[*Recording]struct{}{}}
}

// Stats are counters since the start.
type Stats struct {
	Recordings int           // under way now
	Failed     int64         // ended by an error
	Lost       time.Duration // of all channels, that became silence because writing was slow
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Stats{Recordings: len(e.all), Failed: e.failures.Load(), Lost: time.Duration(e.lost.Load())}
}

// Run writes until ctx ends, then ends all recordings and returns nil.
func (e *Engine) Run(ctx context.Context) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			e.mu.Lock()
			e.closed = true
			for r := range e.all {
				r.stopping.CompareAndSwap(0, int64(time.Since(r.began))|1)
			}
			e.mu.Unlock()
			e.pass()
			return nil
		case <-e.wake:
		case <-ticker.C:
		}
		e.pass()
	}
}

// pass brings every recording up to date.
func (e *Engine) pass() {
	e.mu.Lock()
	e.list = e.list[:0]
	for r := range e.all {
		e.list = append(e.list, r)
	}
	e.mu.Unlock()
	for _, r := range e.list {
		if e.advance(r) {
			e.mu.Lock()
			delete(e.all, r)
			e.mu.Unlock()
			close(r.done)
		}
	}
	clear(e.list)
}

// advance writes what has come; true when the recording is over.
func (e *Engine) advance(r *Recording) bool {
	stop := r.stopping.Load()
	until := r.samples(r.elapsed(time.Since(r.began)) - latency)
	if stop != 0 {
		until = r.samples(r.elapsed(time.Duration(stop)))
		for _, c := range r.channels {
			until = max(until, c.head.Load())
		}
	}
	limit := int64(0)
	if r.options.Limit > 0 {
		limit = r.samples(r.options.Limit)
		until = min(until, limit)
	}
	err := e.write(r, until)
	if err == nil {
		err = r.file.flush()
	}
	if lost := r.loss(); lost > 0 {
		e.lost.Add(int64(lost))
		if !r.slow {
			r.slow = true
			r.notify(ErrSlow)
		}
	}
	over := stop != 0 || limit > 0 && until == limit
	if err == nil && !over {
		return false
	}
	r.over.Store(true)
	if closed := r.file.close(err == nil); err == nil {
		err = closed
	}
	if err != nil {
		r.err = fmt.Errorf("record call: %w", err)
		e.failures.Add(1)
		r.notify(r.err)
	}
	return true
}

// write encodes all channels up to a position.
func (e *Engine) write(r *Recording, until int64) error {
	for len(e.block) < len(r.channels) {
		e.block = append(e.block, make([]int16, blockSamples))
	}
	for r.written < until {
		n := min(blockSamples, until-r.written)
		if u := int64(r.unit); u > 1 {
			// Whole frames only; the last one is filled up with silence.
			if n -= n % u; n == 0 {
				if r.stopping.Load() == 0 {
					return nil
				}
				n = u
			}
		}
		for i, c := range r.channels {
			c.drain(r.written, e.block[i][:n])
		}
		if err := r.file.write(e.block[:len(r.channels)], int(n)); err != nil {
			return err
		}
		r.written += n
	}
	return nil
}

// nudge makes Run look at once.
func (e *Engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
