package mixer

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/media/period"
)

// gainBits is the point of fixed-point gains: 1 is 1<<gainBits.
const gainBits = 12

const (
	unity = 1 << gainBits
	// slowRead is how long an input may take, a whole period, and slowReads how often running it may take longer, before
	// it is not read for rest periods. A process that was not given the processor for a moment is not yet a slow input.
	slowRead  = 20 * time.Millisecond
	slowReads = 10
	rest      = 50
)

// voice is what is said by one member or announcement.
type voice struct {
	samples int // of a frame of the mix
	in      Source
	member  *Member // nil: an announcement
	only    *Member // heard by this one alone; for announcements

	gain    atomic.Int32 // in 1/4096
	mute    atomic.Bool
	whisper atomic.Pointer[Member] // heard by this one alone; for members
	talking atomic.Bool
	power   atomic.Int64 // mean square of the last frame, after gain
	gone    atomic.Bool
	slow    atomic.Int64 // periods that were not read because the input is slow

	once sync.Once
	done chan struct{}
	err  error

	// Guarded by Mixer.mixing.
	raw     codec.Frame // a frame at the input's rate
	mouth   *converter  // nil: same rate as the mix
	frames  [period.History]codec.Frame
	mixedAt [period.History]uint64 // the period in which the frame was added to the total
	ended   bool
	slowRun int // slow reads running
	resting int // periods that it is not read for
	score   int64
	wanted  bool   // says something in this period
	chosen  bool   // is mixed, as of this period
	was     bool   // was mixed in the period before
	loudAt  uint64 // period in which it last spoke up; 0 for never
	rank    int64  // of the choice, when there are too many
}

func (m *Mixer) newVoice(in Source) (*voice, error) {
	v := &voice{samples: m.samples, in: in, done: make(chan struct{})}
	v.gain.Store(unity)
	for i := range v.frames {
		v.frames[i] = make(codec.Frame, m.samples)
	}
	if in == nil {
		v.ended = true
		return v, nil
	}
	from := 8000
	if r, ok := in.(interface{ Rate() int }); ok {
		from = r.Rate()
	}
	mouth, err := newConverter(from, m.rate)
	if err != nil {
		return nil, fmt.Errorf("input of a conference: %w", err)
	}
	v.mouth = mouth
	v.raw = make(codec.Frame, from/50)
	return v, nil
}

// end says that nothing more comes.
func (v *voice) end(err error) {
	v.once.Do(func() {
		v.err = err
		close(v.done)
	})
}

// failure is why the input ended; nil while it has not, and when it just had no more.
func (v *voice) failure() error {
	select {
	case <-v.done:
		if errors.Is(v.err, io.EOF) {
			return nil
		}
		return v.err
	default:
		return nil
	}
}

// gather reads the input for period n and measures it. The caller holds Mixer.mixing.
func (v *voice) gather(n uint64) {
	v.was, v.wanted, v.chosen = v.chosen, false, false
	if v.ended || v.gone.Load() {
		v.quiet()
		return
	}
	if v.resting > 0 {
		v.resting--
		v.slow.Add(1)
		v.quiet()
		return
	}
	if err := v.in.ReadFrame(v.raw); err != nil {
		v.ended = true
		v.quiet()
		v.end(err)
		return
	}
	frame := v.frames[n%period.History]
	if v.mouth == nil {
		copy(frame, v.raw)
	} else {
		v.mouth.convert(frame, v.raw)
	}
	if v.mute.Load() {
		v.quiet()
		return
	}
	if gain := v.gain.Load(); gain != unity {
		for i, s := range frame {
			frame[i] = scaled(s, gain)
		}
	}
	v.measure(n, frame)
}

// judge notes how long a read took. The caller holds Mixer.mixing.
func (v *voice) judge(took time.Duration) {
	if took < slowRead {
		v.slowRun = 0
		return
	}
	if v.slowRun++; v.slowRun >= slowReads {
		v.slowRun, v.resting = 0, rest
	}
}

// place adds the voice to what is heard in period n. The caller holds Mixer.mixing.
func (v *voice) place(n uint64, s *slot) {
	to := v.only
	if v.member != nil {
		to = v.whisper.Load()
	}
	frame := v.frames[n%period.History]
	switch {
	case to != nil:
		if v.wanted {
			s.privates = append(s.privates, private{v, to})
		}
		v.chosen = false
		return
	case v.chosen && !v.was && v.member != nil:
		ramp(frame[:v.samples/16], 0, 1) // its start must not click, nor lose the beginning of a word: 1.25 ms
	case !v.chosen && v.was && v.wanted:
		ramp(frame, 1, 0)
	case !v.chosen:
		return
	}
	v.mixedAt[n%period.History] = n
	total := s.total[:len(frame)]
	for i, x := range frame {
		total[i] += int32(x)
	}
}

// ramp fades from one level to another, in steps of samples.
func ramp(frame codec.Frame, from, to int32) {
	n := int32(len(frame))
	for i := range frame {
		g := (from*(n-int32(i)) + to*int32(i)) * unity / n
		frame[i] = scaled(frame[i], g)
	}
}
