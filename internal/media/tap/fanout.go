package tap

import (
	"errors"
	"io"
	"sync"

	"dialtone/internal/codec"
	"dialtone/internal/media/period"
)

// Fanout plays one source to many, for paging: it is read once for each period of 20 ms, by whoever comes first.
type Fanout struct {
	rate int

	mu     sync.Mutex // held while the source is read: whoever comes second waits for the same frame
	in     Source
	newest uint64 // period; they count from 1
	frames [period.History]codec.Frame
	err    error // what the source ended with, behind newest
}

// NewFanout reads in, which works at the rate that its method Rate() int says, else at 8000 samples a second.
func NewFanout(in Source) *Fanout {
	f := &Fanout{in: in, rate: rateOf(in)}
	for i := range f.frames {
		f.frames[i] = make(codec.Frame, f.rate/50)
	}
	return f
}

// Join makes a Source for one more, which hears what is played from now on.
func (f *Fanout) Join() *Branch { return &Branch{fanout: f} }

// End ends it for all: they get io.EOF. The source is not read once End has returned.
func (f *Fanout) End() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = io.EOF
	}
}

// Branch is a Source of what a Fanout plays.
type Branch struct {
	fanout *Fanout
	cursor period.Cursor // guarded by Fanout.mu
	over   bool
}

// errFrame is for a frame of another length than 20 ms.
var errFrame = errors.New("frame is not 20 ms")

// Rate is how many samples a second it gives.
func (b *Branch) Rate() int { return b.fanout.rate }

// ReadFrame gives the next frame, or what the source ended with, once all before it was read.
func (b *Branch) ReadFrame(frame codec.Frame) error {
	f := b.fanout
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.over {
		return f.err
	}
	if len(frame) != f.rate/50 {
		return errFrame
	}
	n := b.cursor.Pull(f.newest)
	if n > f.newest {
		if f.err == nil {
			f.err = f.in.ReadFrame(f.frames[n%period.History])
		}
		if f.err != nil {
			b.over = true
			return f.err
		}
		f.newest = n
	}
	copy(frame, f.frames[n%period.History])
	return nil
}
