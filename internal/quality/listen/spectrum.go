package listen

import (
	"math"
	"math/bits"
	"math/cmplx"
)

// spectrum compares frames of n samples band by band.
type spectrum struct {
	window []float64
	edges  []int // first bin of each band, and the one behind the last
	x      []complex128
	a, b   []float64 // powers of the bands
}

// bands is how many there are up to 3.7 kHz; above, they go on in the same widths.
const bands = 18

func newSpectrum(rate, n int) *spectrum {
	size := 1
	for size < n {
		size *= 2
	}
	s := &spectrum{window: make([]float64, n), x: make([]complex128, size)}
	for i := range s.window {
		s.window[i] = math.Sin(math.Pi * (float64(i) + 0.5) / float64(n))
	}
	top := 3700.0
	if rate >= 16000 {
		top = 7000
	}
	// Bands are as wide as each other on the mel scale, and at least a bin.
	low, width := mel(100), (mel(3700)-mel(100))/bands
	for i := 0; ; i++ {
		hz := 700 * (math.Pow(10, (low+float64(i)*width)/2595) - 1)
		bin := int(math.Round(hz * float64(size) / float64(rate)))
		if k := len(s.edges); k == 0 || bin > s.edges[k-1] {
			s.edges = append(s.edges, bin)
		}
		if hz >= top-1 {
			break
		}
	}
	s.a, s.b = make([]float64, len(s.edges)-1), make([]float64, len(s.edges)-1)
	return s
}

func mel(hz float64) float64 { return 2595 * math.Log10(1+hz/700) }

// distance is the root mean square over the bands of their difference in dB. What is under floor (a mean square of the
// whole frame), or far under the rest of its frame, is not heard; more than 30 dB is as bad as 30.
func (s *spectrum) distance(a, b []float64, floor float64) float64 {
	const masked, most = 1e-2, 30.0
	s.powers(s.a, a)
	s.powers(s.b, b)
	least := 0.0
	for i := range s.a {
		least += max(s.a[i], s.b[i]) * masked
	}
	least = max(least, floor) / float64(len(s.a))
	sum := 0.0
	for i := range s.a {
		d := min(math.Abs(10*math.Log10((s.a[i]+least)/(s.b[i]+least))), most)
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(s.a)))
}

// powers are the mean squares of x in each band.
func (s *spectrum) powers(dst, x []float64) {
	clear(s.x)
	for i, w := range s.window {
		s.x[i] = complex(x[i]*w, 0)
	}
	transform(s.x)
	// Parseval; the window has a mean square of 1/2, and half of the spectrum has half of the power.
	scale := 4 / (float64(len(s.x)) * float64(len(s.window)))
	for i := range dst {
		dst[i] = 0
		for _, v := range s.x[s.edges[i]:s.edges[i+1]] {
			dst[i] += (real(v)*real(v) + imag(v)*imag(v)) * scale
		}
	}
}

// transform is the discrete Fourier transform in place; len(x) is a power of two.
func transform(x []complex128) {
	n := len(x)
	shift := 64 - bits.Len(uint(n-1))
	for i := range x {
		if j := int(bits.Reverse64(uint64(i)) >> shift); n > 1 && i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for size := 2; size <= n; size *= 2 {
		half := size / 2
		step := cmplx.Rect(1, -2*math.Pi/float64(size))
		for from := 0; from < n; from += size {
			w := complex(1, 0)
			for k := from; k < from+half; k++ {
				even, odd := x[k], x[k+half]*w
				x[k], x[k+half] = even+odd, even-odd
				w *= step
			}
		}
	}
}
