package wav

import (
	"fmt"
	"math"
)

// zeroCrossings is the half-width of the filter in periods of the lower rate: what decides how sharp its edge is.
const zeroCrossings = 24

// Resampler changes the sampling rate of a stream by a fixed ratio: a polyphase filter with a Kaiser-windowed sinc,
// flat to 0.9 of the lower Nyquist frequency and at least 60 dB down where aliases would fold into speech.
type Resampler struct {
	up, down int         // ratio in lowest terms: out = in * up / down
	phases   [][]float32 // one set of taps for each place between two input samples
	history  []float32   // input that is still needed
	position int         // of the next output, in 1/up of an input sample from the start of history
	in, out  int64       // samples taken and given
}

// knownRate tells whether files of that rate are read. The list bounds the size of the filters.
func knownRate(rate int) bool {
	switch rate {
	case 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000:
		return true
	}
	return false
}

// NewResampler prepares a change between two of the usual sampling rates in Hz: 8000, 11025, 12000, 16000, 22050,
// 24000, 32000, 44100, 48000, 96000.
func NewResampler(from, to int) (*Resampler, error) {
	if !knownRate(from) || !knownRate(to) {
		return nil, fmt.Errorf("%w: no conversion from %d to %d samples a second", ErrFormat, from, to)
	}
	g := gcd(from, to)
	r := &Resampler{up: to / g, down: from / g}
	if r.up == r.down {
		return r, nil
	}
	// The filter in units of input samples; when the rate falls it is wider by the ratio.
	stretch := max(1, float64(from)/float64(to))
	half := int(math.Ceil(zeroCrossings * stretch))
	cutoff := 0.95 / stretch // of the input's Nyquist frequency
	r.phases = make([][]float32, r.up)
	for p := range r.phases {
		r.phases[p] = taps(half, float64(p)/float64(r.up), cutoff, zeroCrossings*stretch)
	}
	// Output 0 lies on input 0: silence stands before it.
	r.history = make([]float32, half-1)
	return r, nil
}

// taps are the 2*half weights of the inputs around an output that lies fraction behind input half-1.
func taps(half int, fraction, cutoff, width float64) []float32 {
	const beta = 8 // of the Kaiser window: 80 dB
	t := make([]float32, 2*half)
	var sum float64
	weights := make([]float64, 2*half)
	for i := range t {
		x := float64(i-(half-1)) - fraction
		if math.Abs(x) >= width {
			continue
		}
		u := x / width
		weights[i] = cutoff * sinc(cutoff*x) * bessel(beta*math.Sqrt(1-u*u)) / bessel(beta)
		sum += weights[i]
	}
	for i := range t {
		t[i] = float32(weights[i] / sum) // the same gain for all phases, or a constant would hum
	}
	return t
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel is the modified Bessel function of the first kind and order 0.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-12*sum; k++ {
		term *= x / (2 * k) * x / (2 * k)
		sum += term
	}
	return sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Write appends to dst what pcm makes possible to compute. The output lags by the half-width of the filter, which
// Flush gives at the end.
func (r *Resampler) Write(dst, pcm []int16) []int16 {
	r.in += int64(len(pcm))
	if r.phases == nil {
		r.out += int64(len(pcm))
		return append(dst, pcm...)
	}
	for _, s := range pcm {
		r.history = append(r.history, float32(s))
	}
	return r.produce(dst)
}

func (r *Resampler) produce(dst []int16) []int16 {
	width := len(r.phases[0])
	for {
		start := r.position / r.up
		if start+width > len(r.history) {
			break
		}
		var sum float32
		window := r.history[start : start+width]
		for i, w := range r.phases[r.position%r.up] {
			sum += w * window[i]
		}
		dst = append(dst, int16(max(-32768, min(32767, math.Round(float64(sum))))))
		r.out++
		r.position += r.down
	}
	used := min(r.position/r.up, len(r.history))
	r.history = r.history[:copy(r.history, r.history[used:])]
	r.position -= used * r.up
	return dst
}

// Flush appends the rest of the output: altogether as many samples as the input lasted, rounded up.
func (r *Resampler) Flush(dst []int16) []int16 {
	total := (r.in*int64(r.up) + int64(r.down) - 1) / int64(r.down)
	if r.phases == nil {
		return dst
	}
	missing := int(total - r.out)
	before := len(dst)
	for len(dst)-before < missing {
		r.history = append(r.history, 0)
		dst = r.produce(dst)
	}
	return dst[:before+missing]
}
