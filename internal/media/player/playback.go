package player

import (
	"io"
	"sync/atomic"
	"time"

	"dialtone/internal/codec"
)

// Options say how sounds are played.
type Options struct {
	Times  int           // how often all of them; 0 means once, less than 0 without end
	Gap    time.Duration // silence between the times
	Start  time.Duration // how much of the first time is left out
	FadeIn time.Duration // at the very beginning
}

// Playback is a Source that plays sounds one behind the other, without a seam.
type Playback struct {
	sounds []*Sound
	rate   int
	times  int // still to be played, this one included; less than 0 without end
	gap    int // samples

	sound  int // of sounds
	at     int // in it
	silent int // samples of the gap that are left
	fade   int // samples of the fade
	faded  int // of them, done
}

// Play makes a Playback. All sounds must have the same rate; none is silence that ends at once.
func Play(o Options, sounds ...*Sound) (*Playback, error) {
	p := &Playback{times: o.Times, rate: codec.Rate}
	if o.Times == 0 {
		p.times = 1
	}
	total := 0
	for _, s := range sounds {
		if s.Rate != sounds[0].Rate {
			return nil, ErrRate
		}
		p.rate = s.Rate
		total += len(s.PCM)
		if len(s.PCM) > 0 {
			p.sounds = append(p.sounds, s)
		}
	}
	p.gap = samples(o.Gap, p.rate)
	p.fade = samples(o.FadeIn, p.rate)
	if total == 0 {
		p.times = 0
		return p, nil
	}
	skip := samples(o.Start, p.rate)
	if p.times > 0 && skip >= total {
		p.advanceTime()
		return p, nil
	}
	p.at = skip % total
	for p.at >= len(p.sounds[p.sound].PCM) {
		p.at -= len(p.sounds[p.sound].PCM)
		p.sound++
	}
	return p, nil
}

func samples(d time.Duration, rate int) int {
	return max(0, int(int64(d/time.Millisecond)*int64(rate)/1000))
}

// advanceTime begins all sounds anew, if they are to be played again.
func (p *Playback) advanceTime() {
	p.sound, p.at = 0, 0
	if p.times > 0 {
		p.times--
	}
	if p.times != 0 {
		p.silent = p.gap
	}
}

// Rate is how many samples a second it gives.
func (p *Playback) Rate() int { return p.rate }

// ReadFrame gives the next samples. The last frame is filled up with silence.
func (p *Playback) ReadFrame(frame codec.Frame) error {
	if p.times == 0 {
		return io.EOF
	}
	whole := frame
	for len(frame) > 0 && p.times != 0 {
		if p.silent > 0 {
			n := min(p.silent, len(frame))
			clear(frame[:n])
			frame, p.silent = frame[n:], p.silent-n
			continue
		}
		n := copy(frame, p.sounds[p.sound].PCM[p.at:])
		frame, p.at = frame[n:], p.at+n
		if p.at == len(p.sounds[p.sound].PCM) {
			p.at = 0
			if p.sound++; p.sound == len(p.sounds) {
				p.advanceTime()
			}
		}
	}
	clear(frame)
	if p.faded < p.fade {
		p.faded = fadeIn(whole, p.faded, p.fade)
	}
	return nil
}

// fadeIn goes on with a fade of so many samples of which some are done, and returns how many are then.
func fadeIn(frame codec.Frame, done, of int) int {
	for i := range frame {
		if done >= of {
			break
		}
		frame[i] = int16(int64(frame[i]) * int64(done) / int64(of))
		done++
	}
	return done
}

// Switch is a Source that plays another source from one moment to the next: the old one fades out while the new one fades
// in. To may be called from any goroutine.
type Switch struct {
	rate   int
	wanted atomic.Pointer[Source]
	is     *Source
	other  codec.Frame
}

// NewSwitch begins with a source. All sources must have that rate, in samples a second.
func NewSwitch(rate int, first Source) *Switch {
	s := &Switch{rate: rate, is: &first, other: make(codec.Frame, rate/50)}
	s.wanted.Store(&first)
	return s
}

// To plays another source from the next frame on.
func (s *Switch) To(next Source) { s.wanted.Store(&next) }

// Rate is how many samples a second it gives.
func (s *Switch) Rate() int { return s.rate }

// ReadFrame ends when the present source does.
func (s *Switch) ReadFrame(frame codec.Frame) error {
	wanted := s.wanted.Load()
	if wanted == s.is {
		return (*s.is).ReadFrame(frame)
	}
	s.other = s.other[:min(len(frame), cap(s.other))]
	old := (*s.is).ReadFrame(s.other) == nil
	s.is = wanted
	if err := (*s.is).ReadFrame(frame); err != nil {
		return err
	}
	n := int32(len(frame))
	for i, x := range frame {
		y := int32(0)
		if old && i < len(s.other) {
			y = int32(s.other[i])
		}
		frame[i] = int16((int32(x)*int32(i) + y*(n-int32(i))) / n)
	}
	return nil
}
