package recorder

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what one recording is.
type Options struct {
	// Path of the file, which must not exist. What it is made with is 0600.
	Path string
	// File is written instead of Path, unless it is nil.
	File File
	// Encoding is "PCMA", "PCM16" (both in WAVE) or "opus" (in Ogg); empty means "PCMA".
	Encoding string
	// Rate of the frames of all channels, in samples a second: 8000 (also 0), 16000, for PCM16 and Opus 48000, too. PCMA has 8000.
	Rate int
	// Channels is how many parties have a channel of their own: 1 to 8, for Opus 1 or 2; 0 means 2.
	Channels int
	// OmitPauses leaves pauses out of the file; else they are silence.
	OmitPauses bool
	// Limit is the longest time recorded, which ends it without an error; 0 for none.
	Limit time.Duration
	// Seal encrypts the file at rest, unless it is nil.
	Seal *Seal
	// Notify is told ErrSlow once when writing is too slow, and the error that ended the recording. It runs on the
	// goroutine of Run and must not block. It may be nil.
	Notify func(error)
}

// File is what is written to.
type File interface {
	WriteAt(b []byte, at int64) (int, error)
	Sync() error
	Close() error
}

// Recording is a call being recorded.
type Recording struct {
	engine   *Engine
	options  Options
	began    time.Time
	rate     int
	unit     int // samples that are encoded together; 1 for any
	channels []*Channel
	timeline atomic.Pointer[timeline]
	stopping atomic.Int64 // elapsed time of Stop, 0 while it goes on
	over     atomic.Bool
	pauses   sync.Mutex // held by Pause and Resume

	// Of the goroutine of Run.
	file    output
	written int64 // samples of each channel
	slow    bool  // Notify was told

	marks struct {
		sync.Mutex
		list []Mark
	}
	done chan struct{}
	err  error
}

// timeline says what was left out of the time that has passed.
type timeline struct {
	paused bool
	left   time.Duration // left out so far
	frozen time.Duration // elapsed time at which it stands still; -1 for none
}

// Mark is a place where something is missing.
type Mark struct {
	Channel int
	At      time.Duration // in the recording, to within a second
	Lost    time.Duration
}

// mostMarks is how many are kept.
const mostMarks = 256

// Start begins a recording.
func (e *Engine) Start(o Options) (*Recording, error) {
	if o.Rate == 0 {
		o.Rate = 8000
	}
	if o.Channels == 0 {
		o.Channels = 2
	}
	if o.Encoding == "" {
		o.Encoding = "PCMA"
	}
	coder, unit, err := e.newCoder(o)
	if err != nil {
		return nil, fmt.Errorf("start recording: %w", err)
	}
	file := o.File
	if file == nil {
		if file, err = os.OpenFile(o.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return nil, fmt.Errorf("start recording: %w", err)
		}
	}
	r := &Recording{engine: e, options: o, began: time.Now(), rate: o.Rate, unit: unit, done: make(chan struct{})}
	r.timeline.Store(&timeline{frozen: -1})
	for i := range o.Channels {
		r.channels = append(r.channels, newChannel(r, i))
	}
	r.file, err = newOutput(file, coder, o.Seal)
	if err == nil {
		err = e.add(r)
	}
	if err != nil {
		err = errors.Join(err, file.Close())
		if o.File == nil {
			err = errors.Join(err, os.Remove(o.Path))
		}
		return nil, fmt.Errorf("start recording: %w", err)
	}
	return r, nil
}

func (e *Engine) add(r *Recording) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.all[r] = struct{}{}
	return nil
}

// Channel is the sink of one party, from 0.
func (r *Recording) Channel(i int) *Channel { return r.channels[i] }

// Pause stops taking what is said, at once: nothing that comes after Pause has returned is in the file.
func (r *Recording) Pause() {
	r.pauses.Lock()
	defer r.pauses.Unlock()
	old := r.timeline.Load()
	if old.paused {
		return
	}
	next := &timeline{paused: true, left: old.left, frozen: -1}
	if r.options.OmitPauses {
		next.frozen = time.Since(r.began) - old.left
	}
	r.timeline.Store(next)
}

// Resume goes on after Pause.
func (r *Recording) Resume() {
	r.pauses.Lock()
	defer r.pauses.Unlock()
	old := r.timeline.Load()
	if !old.paused {
		return
	}
	next := &timeline{left: old.left, frozen: -1}
	if r.options.OmitPauses {
		next.left = time.Since(r.began) - old.frozen
	}
	r.timeline.Store(next)
}

// Paused tells whether the recording pauses.
func (r *Recording) Paused() bool { return r.timeline.Load().paused }

// Stop ends the recording. Done is closed when the file is complete.
func (r *Recording) Stop() {
	if r.stopping.CompareAndSwap(0, int64(time.Since(r.began))|1) {
		r.engine.nudge()
	}
}

// Done is closed when the recording has ended and the file is closed.
func (r *Recording) Done() <-chan struct{} { return r.done }

// Err is what ended the recording before its time, once Done is closed; nil otherwise.
func (r *Recording) Err() error {
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// Length is how much was recorded so far.
func (r *Recording) Length() time.Duration {
	if s := r.stopping.Load(); s != 0 {
		return r.elapsed(time.Duration(s))
	}
	return r.elapsed(time.Since(r.began))
}

// Marks lists where frames were lost, the first 256 places.
func (r *Recording) Marks() []Mark {
	r.marks.Lock()
	defer r.marks.Unlock()
	return append([]Mark(nil), r.marks.list...)
}

// elapsed is time since the start without what is left out.
func (r *Recording) elapsed(since time.Duration) time.Duration {
	t := r.timeline.Load()
	if t.frozen >= 0 {
		return t.frozen
	}
	return since - t.left
}

// samples is time as a position.
func (r *Recording) samples(d time.Duration) int64 {
	return max(0, int64(d/time.Millisecond)*int64(r.rate)/1000)
}

// loss collects what the channels have lost since the last time, and marks it.
func (r *Recording) loss() (total time.Duration) {
	for i, c := range r.channels {
		lost := c.lost.Swap(0)
		if lost == 0 {
			continue
		}
		d := time.Duration(lost) * time.Second / time.Duration(r.rate)
		total += d
		r.marks.Lock()
		if len(r.marks.list) < mostMarks {
			at := max(0, time.Duration(r.written)*time.Second/time.Duration(r.rate)-d)
			r.marks.list = append(r.marks.list, Mark{Channel: i, At: at, Lost: d})
		}
		r.marks.Unlock()
	}
	return total
}

func (r *Recording) notify(err error) {
	if r.options.Notify != nil {
		r.options.Notify(err)
	}
}
