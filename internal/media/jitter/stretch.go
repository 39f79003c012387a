package jitter

import (
	"math"
	"time"

	"dialtone/internal/codec"
)

const (
	// patience is how long a change of the delay looks for a place where it is not heard.
	patience = 2 * time.Second
	alike    = 0.6 // correlation of two stretches that are taken for periods of one sound
	hush     = 64  // RMS below which a packet is silence
)

// debt is how many samples are to be put in (positive) or left out.
type debt struct {
	samples int
	tried   time.Duration // length of the speech that was searched
}

// stretch puts samples into the packet that was queued last, or leaves some out, when that is not heard.
func (r *Receiver) stretch(pcm codec.Frame) {
	r.debt.tried += r.duration(len(pcm))
	lag := r.lag(pcm)
	begin := r.pcm.len() - len(pcm)
	switch {
	case lag == 0:
		return
	case r.debt.samples > 0:
		r.pcm.grow(lag)
		insert(r.pcm.tail(begin), lag)
		r.debt.samples -= lag
		r.stats.stretched += uint64(lag)
	default:
		remove(pcm, lag)
		r.pcm.shorten(lag)
		r.debt.samples += lag
		r.stats.dropped += uint64(lag)
	}
	if r.debt.samples == 0 {
		r.debt = debt{}
	}
	r.delay.moved = true
}

// lag is how many samples of these can be put in or left out; 0 when it would be heard.
func (r *Receiver) lag(pcm codec.Frame) int {
	want := r.debt.samples
	if want < 0 {
		want = -want
	}
	most := min(want, len(pcm)/2)
	if most == 0 {
		return 0
	}
	if quiet(pcm) {
		return most
	}
	hurried := r.debt.tried > patience
	least := r.cfg.Rate / 400 // 2.5 ms, 400 Hz
	if want < least {
		// A rest: too short for a period, but often two neighbouring stretches are alike all the same.
		if hurried || likeness(pcm, most, 1) > alike {
			return most
		}
		return 0
	}
	most = min(most, r.cfg.Rate/64) // 64 Hz
	if most < least {
		return 0
	}
	stride := max(r.cfg.Rate/8000, 1) // as fine as the telephone network needs
	best, value := 0, math.Inf(-1)
	for lag := least; lag <= most; lag += stride {
		if l := likeness(pcm, lag, stride); l > value {
			best, value = lag, l
		}
	}
	if value > alike || hurried {
		return best
	}
	return 0
}

// quiet tells whether samples are all but silent.
func quiet(pcm codec.Frame) bool {
	return square(pcm) < hush*hush*int64(len(pcm))
}

// likeness is the normalized correlation of the first half of pcm with what is lag behind it.
func likeness(pcm codec.Frame, lag, stride int) float64 {
	n := len(pcm) / 2
	a, b := pcm[:n], pcm[lag:lag+n]
	var product, left, right int64
	for i := 0; i < n; i += stride {
		x, y := int64(a[i]), int64(b[i])
		product += x * y
		left += x * x
		right += y * y
	}
	if left == 0 || right == 0 {
		return 0
	}
	return float64(product) / math.Sqrt(float64(left)*float64(right))
}

// remove leaves out lag samples: the beginning goes over into what is lag behind it. The rest moves up; the last lag
// samples of pcm are left over.
func remove(pcm codec.Frame, lag int) {
	n := len(pcm) - lag
	fade := min(lag, n)
	for i := range fade {
		pcm[i] = between(pcm[i], pcm[i+lag], i, fade)
	}
	copy(pcm[fade:n], pcm[fade+lag:])
}

// insert repeats lag samples of the beginning; pcm has room for them at its end.
func insert(pcm codec.Frame, lag int) {
	n := len(pcm) - lag
	fade := min(lag, n-lag)
	copy(pcm[lag+fade:], pcm[fade:n])
	for i := range fade {
		pcm[lag+i] = between(pcm[lag+i], pcm[i], i, fade)
	}
}

// between goes from a to b: at i of n.
func between(a, b int16, i, n int) int16 {
	return int16((int(a)*(n-i) + int(b)*i) / n)
}
