// Package resample changes the sampling rate of a stream of samples.
//
// It owns the filters: a polyphase filter with a Kaiser-windowed sinc, flat to 0.85 of the lower Nyquist frequency and at
// least 60 dB down where aliases would fold into speech. From one rate to a multiple of it, as from 8 to 16 or 48 kHz,
// every sample that was there stays as it is. No goroutines; a Resampler belongs to one goroutine at a time. Nothing is
// allocated after New but the growth of dst.
package resample

import (
	"errors"
	"fmt"
	"slices"
)

// ErrRate is wrapped by the errors of conversions that are not made.
var ErrRate = errors.New("unsupported sampling rate")

// chunk is how many samples are worked off at once.
const chunk = 480

// Resampler changes the sampling rate of one stream by a fixed ratio.
type Resampler struct {
	first, second *Resampler // by way of 16 kHz, when there are two steps; the rest is not used then
	between       []int16    // what the first step gave

	up, down int         // ratio in lowest terms: out = in * up / down
	phases   [][]float32 // one set of taps for each place between two input samples; nil when nothing changes
	plain    int         // the input that is the output of phase 0, as it is; -1 when it is computed like the others
	halving  *halving    // in place of phases[0] for half the rate
	history  []float32   // input that is still needed
	step     int         // down / up, in whole input samples
	rest     int         // and the remaining phases
	phase    int         // of the next output
	start    int         // of its first input in history; behind its end when some must be left out
	late     int         // input samples that the output is behind
	in, out  int64       // samples taken and given
}

// Supported tells whether conversions from and to a rate in Hz are made: 8000, 11025, 12000, 16000, 22050, 24000, 32000,
// 44100, 48000, 96000. The list bounds the size of the filters.
func Supported(rate int) bool {
	switch rate {
	case 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000:
		return true
	}
	return false
}

// New prepares a change for something that is there as a whole: the first sample that comes out lies on the first that
// went in, Write gives what can be computed, and Flush gives the rest.
func New(from, to int) (*Resampler, error) { return prepare(from, to, false) }

// NewStream prepares a change for something that goes on: 10 ms that go in come out as 10 ms at once. They are late by
// half the filter, 24 samples of the lower rate and between 8 and 48 kHz a few more (at 8 kHz 3 to 3.5 ms).
func NewStream(from, to int) (*Resampler, error) { return prepare(from, to, true) }

func prepare(from, to int, live bool) (*Resampler, error) {
	if !Supported(from) || !Supported(to) {
		return nil, fmt.Errorf("%w: no conversion from %d to %d samples a second", ErrRate, from, to)
	}
	// Between 8 and 48 kHz two steps take less than half the time of one.
	const middle = 16000
	switch {
	case from == 8000 && to == 48000:
		return &Resampler{first: step(from, middle, zeroCrossings, live), second: step(middle, to, fewCrossings, live)}, nil
	case from == 48000 && to == 8000:
		return &Resampler{first: step(from, middle, fewCrossings, live), second: step(middle, to, zeroCrossings, live)}, nil
	}
	return step(from, to, zeroCrossings, live), nil
}

// step prepares a change by one filter.
func step(from, to, crossings int, live bool) *Resampler {
	g := gcd(from, to)
	r := &Resampler{up: to / g, down: from / g, plain: -1}
	if r.up == r.down {
		return r
	}
	r.step, r.rest = r.down/r.up, r.down%r.up
	f := design(r.up, r.down, crossings)
	r.phases = f.phases
	switch {
	case r.down == 1:
		r.plain = f.width - f.half - 1
	case r.up == 1 && r.down == 2:
		r.halving = halve(f.phases[0])
	}
	silence := f.width - f.half - 1 // before the first input, when output 0 lies on it
	if live {
		behind := f.width - (r.down+r.up-1)/r.up
		r.late, silence = behind-silence, behind
	}
	r.history = make([]float32, silence, f.width+r.step+chunk)
	return r
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Delay is how late the output of NewStream is, in samples of the input.
func (r *Resampler) Delay() int {
	if r.first != nil {
		return r.first.late + r.second.late*r.first.down/r.first.up
	}
	return r.late
}

// Write appends to dst what pcm makes possible to compute. pcm must not be a part of dst's spare room.
func (r *Resampler) Write(dst, pcm []int16) []int16 {
	if r.first != nil {
		for len(pcm) > 0 {
			n := min(len(pcm), 2*chunk)
			r.between = r.first.Write(r.between[:0], pcm[:n])
			dst = r.second.Write(dst, r.between)
			pcm = pcm[n:]
		}
		return dst
	}
	r.in += int64(len(pcm))
	if r.phases == nil {
		r.out += int64(len(pcm))
		return append(dst, pcm...)
	}
	dst = slices.Grow(dst, (len(pcm)*r.up+r.down-1)/r.down+1)
	for len(pcm) > 0 {
		n := min(len(pcm), chunk)
		old := len(r.history)
		r.history = r.history[:old+n]
		for i, s := range pcm[:n] {
			r.history[old+i] = float32(s)
		}
		dst = r.produce(dst)
		pcm = pcm[n:]
	}
	return dst
}

// produce computes what history allows and forgets what is no longer needed.
func (r *Resampler) produce(dst []int16) []int16 {
	width := len(r.phases[0])
	before := len(dst)
	start, phase := r.start, r.phase
	for start+width <= len(r.history) {
		window := r.history[start : start+width]
		var s float32
		switch {
		case r.halving != nil:
			s = r.halving.at((*[2*farthest + 1]float32)(window))
		case phase == 0 && r.plain >= 0:
			s = window[r.plain]
		default:
			s = dot(r.phases[phase], window)
		}
		dst = append(dst, round(s))
		start += r.step
		if phase += r.rest; phase >= r.up {
			phase -= r.up
			start++
		}
	}
	r.out += int64(len(dst) - before)
	used := min(start, len(r.history))
	r.history = r.history[:copy(r.history, r.history[used:])]
	r.start, r.phase = start-used, phase
	return dst
}

// Flush appends the rest of the output: altogether as many samples as the input lasted, rounded up. The Resampler is at
// its end then.
func (r *Resampler) Flush(dst []int16) []int16 {
	if r.first != nil {
		return r.second.Flush(r.second.Write(dst, r.first.Flush(r.between[:0])))
	}
	if r.phases == nil {
		return dst
	}
	total := ((r.in+int64(r.late))*int64(r.up) + int64(r.down) - 1) / int64(r.down)
	missing := int(total - r.out)
	before := len(dst)
	for len(dst)-before < missing {
		r.history = append(r.history, 0)
		dst = r.produce(dst)
	}
	return dst[:before+max(missing, 0)]
}

// round keeps a sample in 16 bits.
func round(s float32) int16 {
	const middle = 1 << 15 // what is positive is cut off downwards
	return int16(min(max(int32(s+middle+0.5)-middle, -32768), 32767))
}

// dot is the sum of the products. Both are as long as each other, a multiple of eight. Four sums run beside each other:
// one alone would wait for each addition.
func dot(weights, window []float32) float32 {
	var a, b, c, d float32
	for len(weights) >= 8 && len(window) >= 8 {
		w, x := (*[8]float32)(weights), (*[8]float32)(window)
		a += w[0]*x[0] + w[4]*x[4]
		b += w[1]*x[1] + w[5]*x[5]
		c += w[2]*x[2] + w[6]*x[6]
		d += w[3]*x[3] + w[7]*x[7]
		weights, window = weights[8:], window[8:]
	}
	return (a + b) + (c + d)
}
