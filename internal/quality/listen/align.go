package listen

import (
	"math"
	"math/cmplx"
	"slices"
)

// lag is the delay of one block of the reference.
type lag struct {
	samples int
	sure    bool // it was found in this block, not taken over from the one before
}

const (
	block     = 0.4   // s of reference that one delay is found for
	envelope  = 0.005 // s of a point of the envelope
	stretch   = 30.0  // s of reference that the first delay is found with
	narrow    = 0.012 // s that the delay may change from block to block
	wide      = 0.150 // s that it may jump when nothing fits any more
	firstWide = 0.040 // s around the delay of the envelopes
	searching = 8000  // Hz, about: rate at which delays are searched for
)

// align finds the delay of each block: the first one by the envelopes of both sounds, all by their waveforms.
func (c *comparison) align() {
	factor := max(1, c.rate/searching)
	ref, deg := decimate(c.ref, factor), decimate(c.deg, factor)
	rate := c.rate / factor
	current := c.envelopeDelay() / factor
	width := int(block * float64(rate))
	found := false
	for from := 0; from < len(ref); from += width {
		to := min(from+width, len(ref))
		if !c.speaks(from*factor, to*factor) {
			c.lags = append(c.lags, lag{samples: current * factor})
			continue
		}
		reach := narrow
		if !found {
			reach = firstWide
		}
		best, fits := search(ref[from:to], deg, from, current, int(reach*float64(rate)))
		if fits < 0.5 {
			best, fits = search(ref[from:to], deg, from, current, int(wide*float64(rate)))
		}
		sure := fits >= 0.5
		if sure {
			current, found = best, true
		}
		exact := current * factor
		if factor > 1 && sure {
			exact, _ = search(c.ref[from*factor:to*factor], c.deg, from*factor, exact, factor)
		}
		c.lags = append(c.lags, lag{samples: exact, sure: sure})
	}
	c.backdate()
}

// backdate gives the blocks before the first sure one its delay.
func (c *comparison) backdate() {
	first := slices.IndexFunc(c.lags, func(l lag) bool { return l.sure })
	for i := 0; i < first; i++ {
		c.lags[i].samples = c.lags[first].samples
	}
}

// speaks tells whether at least a quarter of the samples is speech.
func (c *comparison) speaks(from, to int) bool {
	step := c.count(hop)
	speaking, all := 0, 0
	for i := from / step; i < to/step && i < len(c.speech); i++ {
		all++
		if c.speech[i] {
			speaking++
		}
	}
	return all > 0 && 4*speaking >= all
}

// lagAt is the delay in samples of what the reference has at sample i.
func (c *comparison) lagAt(i int) int {
	factor := max(1, c.rate/searching)
	width := int(block*float64(c.rate/factor)) * factor
	return c.lags[min(i/width, len(c.lags)-1)].samples
}

// search finds where a piece of the reference, which is at sample from there, fits best, and how well: the normalised
// correlation. A delay other than the current one must fit clearly better,
// and is not looked for when that fits.
func search(piece, deg []float64, from, current, reach int) (best int, fits float64) {
	const clearly, perfect = 0.02, 0.998
	energy := 0.0
	for _, s := range piece {
		energy += s * s
	}
	correlate := func(delay int) float64 {
		sum, power := 0.0, 0.0
		lo, hi := max(0, -(from+delay)), min(len(piece), len(deg)-(from+delay))
		for i := lo; i < hi; i++ {
			d := deg[from+delay+i]
			sum += piece[i] * d
			power += d * d
		}
		if power == 0 || energy == 0 {
			return 0
		}
		return sum / math.Sqrt(energy*power)
	}
	stays := correlate(current)
	best, fits = current, stays
	if stays > perfect {
		return best, fits
	}
	for delay := current - reach; delay <= current+reach; delay++ {
		if f := correlate(delay); f > fits {
			best, fits = delay, f
		}
	}
	if fits < stays+clearly {
		return current, stays
	}
	return best, fits
}

// envelopeDelay is the delay in samples, to within some milliseconds, by the cross-correlation of the logarithmic envelopes.
func (c *comparison) envelopeDelay() int {
	n := c.count(envelope)
	begin := 0
	if i := slices.Index(c.speech, true); i > 0 {
		begin = max(0, i*c.count(hop)-c.rate/2) / n
	}
	points := int(stretch / envelope)
	a, b := loudness(c.ref, n), loudness(c.deg, n)
	a = a[begin:]
	a = a[:min(len(a), points)]
	b = b[:min(len(b), begin+3*points)]
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	at := correlationPeak(a, b)
	return (at - begin) * n
}

// loudness is the level of each n samples in bels above silence.
func loudness(x []float64, n int) []float64 {
	var points []float64
	for i := 0; i+n <= len(x); i += n {
		points = append(points, math.Log10(1+meanSquare(x[i:i+n])/silence))
	}
	return points
}

// correlationPeak is the place in b where a fits best, by Fourier transform; it may be negative.
func correlationPeak(a, b []float64) int {
	size := 1
	for size < len(a)+len(b) {
		size *= 2
	}
	x, y := centred(a, size), centred(b, size)
	transform(x)
	transform(y)
	for i := range x {
		x[i] = cmplx.Conj(x[i]) * y[i]
	}
	// The inverse transform, but for a factor, is the transform read backwards.
	transform(x)
	peak := 0
	for i := range x {
		if real(x[i]) > real(x[peak]) {
			peak = i
		}
	}
	place := (size - peak) % size
	if place >= len(b) {
		place -= size
	}
	return place
}

// centred are the points without their mean, filled up with zeros.
func centred(points []float64, size int) []complex128 {
	mean := 0.0
	for _, p := range points {
		mean += p / float64(len(points))
	}
	x := make([]complex128, size)
	for i, p := range points {
		x[i] = complex(p-mean, 0)
	}
	return x
}

// decimate takes means of so many samples.
func decimate(x []float64, factor int) []float64 {
	if factor == 1 {
		return x
	}
	y := make([]float64, len(x)/factor)
	for i := range y {
		for k := range factor {
			y[i] += x[i*factor+k] / float64(factor)
		}
	}
	return y
}

// medianDelay is in milliseconds.
func (c *comparison) medianDelay() float64 {
	var delays []float64
	for _, l := range c.lags {
		if l.sure {
			delays = append(delays, float64(l.samples))
		}
	}
	if len(delays) == 0 {
		return float64(c.lags[0].samples) / float64(c.rate) * 1000
	}
	return quantile(delays, 0.5) / float64(c.rate) * 1000
}

// drift is the slope of the delays in millionths: the median of those from blocks of the first half to blocks of the second, so
// that single jumps do not count.
func (c *comparison) drift() float64 {
	var slopes []float64
	half := len(c.lags) / 2
	width := block * float64(c.rate)
	for i := 0; i+half < len(c.lags); i++ {
		if a, b := c.lags[i], c.lags[i+half]; a.sure && b.sure && half > 0 {
			slopes = append(slopes, float64(b.samples-a.samples)/(float64(half)*width)*1e6)
		}
	}
	return quantile(slopes, 0.5)
}

// quantile is the value that so large a share of x is not above; 0 for none. x is left as it is.
func quantile(x []float64, share float64) float64 {
	if len(x) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(x))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
