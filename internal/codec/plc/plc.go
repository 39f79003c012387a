// Package plc conceals packets that did not arrive in the decoders that have no concealment of their own.
//
// It follows ITU-T G.711 Appendix I: the last pitch period is repeated, later two and three of them, joined by
// overlap-add; after 10 ms the level falls by a fifth each 10 ms, so that 60 ms are silence; what arrives afterwards is
// blended in. It owns the history of one stream and nothing else: who decides that a packet is lost is the caller.
//
// Deviation: Appendix I delays all sound by 3.75 ms to blend the end of what arrived into the first repetition. Here
// nothing is delayed; the step that remains is spread over the first quarter period instead.
//
// No goroutines; nothing is allocated after New but the growth of dst.
package plc

import (
	"math"
	"slices"

	"dialtone/internal/codec"
)

// Lengths of Appendix I in samples of 8 kHz.
const (
	shortestPitch = 40  // 200 Hz
	longestPitch  = 120 // 66 Hz
	window        = 160 // that is compared to find the pitch
	stepLength    = 80  // 10 ms: the unit of fading
	regain        = 32  // 4 ms more of blending for each step lost
	// A repetition of three periods and the quarter before them.
	historyLength = 3*longestPitch + longestPitch/4
)

// steps is after how many steps there is silence.
const steps = 6

// Concealer holds what was heard last in one direction of one stream. Make it with New.
type Concealer struct {
	scale   int     // sampling rate by 8000
	history []int16 // what was heard last, made up or not
	frozen  []int16 // the history as it was at the beginning of a loss
	last    []int16 // the last quarter period of it as it arrived
	tail    []int16 // room for what is blended

	lost    int // samples made up since the last that arrived
	pitch   int // samples
	quarter int // of the pitch
	periods int // that are repeated
	offset  int // in the repeated samples
	step    int // what is left to be spread at the beginning
}

// New makes the concealer of a stream of rate Hz, a multiple of 8000.
func New(rate int) Concealer {
	scale := max(rate/codec.Rate, 1)
	room := make([]int16, scale*(2*historyLength+longestPitch/4+stepLength))
	cut := func(n int) []int16 {
		part := room[: n*scale : n*scale]
		room = room[n*scale:]
		return part
	}
	return Concealer{
		scale: scale, history: cut(historyLength), frozen: cut(historyLength), last: cut(longestPitch / 4), tail: cut(stepLength),
	}
}

// Take notes samples that have arrived. The first of them after a loss are blended with what would have gone on.
func (c *Concealer) Take(pcm codec.Frame) {
	if len(pcm) == 0 {
		return
	}
	if c.lost > 0 {
		unit := stepLength * c.scale
		n := c.quarter + regain*c.scale*((c.lost-1)/unit)
		n = min(n, unit, len(pcm))
		tail := c.tail[:n]
		c.repeat(tail)
		for i := range tail {
			pcm[i] = blend(tail[i], pcm[i], i, n)
		}
		c.lost = 0
	}
	c.remember(pcm)
}

// Conceal appends n samples in place of ones that did not arrive.
func (c *Concealer) Conceal(dst codec.Frame, n int) codec.Frame {
	if n <= 0 {
		return dst
	}
	begin := len(dst)
	dst = slices.Grow(dst, n)[:begin+n]
	unit := stepLength * c.scale
	for out := dst[begin:]; len(out) > 0; {
		part := out[:min(len(out), unit-c.lost%unit)]
		switch {
		case c.lost == 0:
			c.begin()
			c.repeat(part)
		case c.lost >= steps*unit:
			clear(part)
		case c.lost%unit == 0 && c.periods < 3:
			c.widen(part)
		default:
			c.repeat(part)
		}
		c.lost = min(c.lost+len(part), steps*unit) // no further: an hour of loss must not overflow
		out = out[len(part):]
		if c.lost == steps*unit {
			clear(out)
			break
		}
	}
	c.remember(dst[begin:])
	return dst
}

// remember keeps the end of what was heard.
func (c *Concealer) remember(pcm []int16) {
	if n := len(c.history); len(pcm) >= n {
		copy(c.history, pcm[len(pcm)-n:])
		return
	}
	kept := copy(c.history, c.history[len(pcm):])
	copy(c.history[kept:], pcm)
}

// begin finds the pitch and makes its last period fit to be repeated.
func (c *Concealer) begin() {
	copy(c.frozen, c.history)
	c.pitch = c.findPitch()
	c.quarter = c.pitch / 4
	c.last = c.last[:c.quarter]
	copy(c.last, c.frozen[len(c.frozen)-c.quarter:])
	c.periods, c.offset = 1, 0
	end := len(c.frozen)
	c.step = int(c.frozen[end-1]) - int(c.frozen[end-1-c.pitch])
	c.join()
}

// join blends the end of the repeated samples into the quarter before their beginning, so that one follows the other.
func (c *Concealer) join() {
	end := len(c.frozen)
	before := c.frozen[end-c.periods*c.pitch-c.quarter:]
	to := c.frozen[end-c.quarter:]
	for i, s := range c.last {
		to[i] = blend(s, before[i], i, c.quarter)
	}
}

// widen takes one more period into the repetition and blends from the old one to the new.
func (c *Concealer) widen(out []int16) {
	n := min(c.quarter, len(out))
	offset := c.offset
	c.repeat(c.tail[:n])
	c.offset = offset % c.pitch
	c.periods++
	c.join()
	c.repeat(out)
	for i, s := range c.tail[:n] {
		out[i] = blend(s, out[i], i, n)
	}
}

// repeat fills out with what is due of the repetition, at the level that is due.
func (c *Concealer) repeat(out []int16) {
	unit := stepLength * c.scale
	length := c.periods * c.pitch
	source := c.frozen[len(c.frozen)-length:]
	at := c.lost
	for i := range out {
		s := int(source[c.offset])
		if c.offset++; c.offset == length {
			c.offset = 0
		}
		if at < c.quarter {
			s += c.step * (c.quarter - at) / (c.quarter + 1)
		}
		if at > unit {
			s = s * max(steps*unit-at, 0) / ((steps - 1) * unit)
		}
		out[i] = clip(s)
		at++
	}
}

// findPitch is the lag at which the last 20 ms are most like what was before them: first coarsely on every second
// sample (of 8 kHz), then around the best.
func (c *Concealer) findPitch() int {
	coarse := 2 * c.scale
	best, most := longestPitch*c.scale, math.Inf(-1)
	try := func(lag, stride int) {
		if r := c.likeness(lag, stride); r > most {
			best, most = lag, r
		}
	}
	for lag := longestPitch * c.scale; lag >= shortestPitch*c.scale; lag -= coarse {
		try(lag, coarse)
	}
	middle := best
	most = math.Inf(-1)
	for lag := max(middle-coarse+1, shortestPitch*c.scale); lag <= min(middle+coarse-1, longestPitch*c.scale); lag++ {
		try(lag, 1)
	}
	return best
}

// likeness is the correlation of the last samples with those lag before, by the root of the energy of the latter.
func (c *Concealer) likeness(lag, stride int) float64 {
	now := c.history[len(c.history)-window*c.scale:]
	then := c.history[len(c.history)-window*c.scale-lag:]
	var product, energy int64
	for i := 0; i < len(now); i += stride {
		a, b := int64(now[i]), int64(then[i])
		product += a * b
		energy += b * b
	}
	// Appendix I: what is all but silent must not win by a small divisor.
	floor := int64(250 * window * c.scale / stride)
	return float64(product) / math.Sqrt(float64(max(energy, floor)))
}

// blend goes from a to b: at i of n.
func blend(a, b int16, i, n int) int16 {
	return int16((int(a)*(n-i) + int(b)*i) / n)
}

func clip(s int) int16 { return int16(min(max(s, math.MinInt16), math.MaxInt16)) }
