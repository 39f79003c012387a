package resample

import "math"

// zeroCrossings is the half-width of the filter in periods of the lower rate: what decides how sharp its edge is.
const zeroCrossings = 24

// fewCrossings is enough for a step between 16 and 48 kHz when nothing above 4 kHz matters: the edge may be wide.
const fewCrossings = 6

// beta of the Kaiser window: 80 dB.
const beta = 8

// filter is a low-pass filter cut into phases.
type filter struct {
	phases [][]float32
	width  int // of each phase: a multiple of eight
	half   int // inputs behind an output
}

// design makes the filter that changes the rate by up/down, of a half-width in periods of the lower rate.
func design(up, down, crossings int) filter {
	// In units of input samples; when the rate falls the filter is wider by the ratio.
	stretch := max(1, float64(down)/float64(up))
	reach := float64(crossings) * stretch
	half := int(math.Ceil(reach))
	// A little below the lower Nyquist frequency; or just on it, where taps are zero that save work: for a multiple the
	// samples that are there stay as they are, and of a filter for half the rate every second tap is zero.
	cutoff := 0.95 / stretch
	if down == 1 || up == 1 && down == 2 {
		cutoff = 1 / stretch
	}
	f := filter{phases: make([][]float32, up), width: (2*half + 7) &^ 7, half: half}
	for p := range f.phases {
		f.phases[p] = taps(f.width, half, float64(p)/float64(up), cutoff, reach)
	}
	return f
}

// taps are the weights of the inputs around an output that lies fraction behind input width-half-1.
func taps(width, half int, fraction, cutoff, edge float64) []float32 {
	weights := make([]float64, width)
	var sum float64
	for i := range weights {
		x := float64(i-(width-half-1)) - fraction
		if math.Abs(x) >= edge {
			continue
		}
		u := x / edge
		weights[i] = cutoff * sinc(cutoff*x) * bessel(beta*math.Sqrt(1-u*u)) / bessel(beta)
		sum += weights[i]
	}
	t := make([]float32, width)
	for i := range t {
		t[i] = float32(weights[i] / sum) // the same gain for all phases, or a constant would hum
	}
	return t
}

// halving is the filter for half the rate without its zeros: it is symmetric around the middle.
type halving struct {
	middle float32
	sides  [zeroCrossings]float32 // weights of the inputs 1, 3, 5 ... before and behind the middle
}

// farthest is how far the sides go from the middle.
const farthest = 2*zeroCrossings - 1

func halve(taps []float32) *halving {
	h := &halving{middle: taps[farthest]}
	for i := range h.sides {
		h.sides[i] = taps[farthest+1+2*i]
	}
	return h
}

// at is the output in the middle of a window.
func (h *halving) at(x *[2*farthest + 1]float32) float32 {
	a, b := h.middle*x[farthest], float32(0)
	for i := 0; i < zeroCrossings; i += 2 {
		a += h.sides[i] * (x[farthest-1-2*i] + x[farthest+1+2*i])
		b += h.sides[i+1] * (x[farthest-3-2*i] + x[farthest+3+2*i])
	}
	return a + b
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
