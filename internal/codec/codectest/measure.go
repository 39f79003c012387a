package codectest

import (
	"math"
	"math/bits"
	"math/cmplx"
)

// frame is the time that is compared at once, in parts of a second.
const frame = 50

// active is the level above which a frame counts as speech: the root of the mean square.
const active = 100

// SNR is the ratio of want to the difference between want and got, in decibels.
func SNR(want, got []int16) float64 {
	signal, noise := energies(want, got)
	return 10 * math.Log10(signal/max(noise, 1e-3))
}

func energies(want, got []int16) (signal, noise float64) {
	for i := range min(len(want), len(got)) {
		w := float64(want[i])
		d := w - float64(got[i])
		signal, noise = signal+w*w, noise+d*d
	}
	return signal, noise
}

// SegmentalSNR is the mean of SNR over the frames of 20 ms that are speech, each between -10 and 35 dB.
func SegmentalSNR(want, got []int16, rate int) float64 {
	var sum, n float64
	each(want, got, rate/frame, func(w, g []int16) {
		sum += min(max(SNR(w, g), -10), 35)
		n++
	})
	return sum / n
}

// SpectralDistance is the mean distance of the logarithmic spectra over the frames of 20 ms that are speech, in decibels.
func SpectralDistance(want, got []int16, rate int) float64 {
	var sum, n float64
	f := newFourier(rate / frame)
	each(want, got, rate/frame, func(w, g []int16) {
		a, b := f.spectrum(w), f.spectrum(g)
		var d float64
		for i := range a {
			d += (a[i] - b[i]) * (a[i] - b[i])
		}
		sum += math.Sqrt(d / float64(len(a)))
		n++
	})
	return sum / n
}

// each calls measure for the frames of want that are speech, and the same of got.
func each(want, got []int16, size int, measure func(w, g []int16)) {
	for i := 0; i+size <= min(len(want), len(got)); i += size {
		if Level(want[i:i+size]) > active {
			measure(want[i:i+size], got[i:i+size])
		}
	}
}

// Level is the root of the mean square.
func Level(pcm []int16) float64 {
	energy, _ := energies(pcm, pcm)
	return math.Sqrt(energy / float64(max(len(pcm), 1)))
}

// fourier holds what the transform of frames of one size needs.
type fourier struct {
	window []float64
	turns  []complex128 // the roots of one, half of them
}

func newFourier(length int) *fourier {
	size := 1
	for size < length {
		size *= 2
	}
	f := &fourier{window: make([]float64, length), turns: make([]complex128, size/2)}
	for i := range f.window {
		f.window[i] = 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(length))
	}
	for i := range f.turns {
		f.turns[i] = cmplx.Rect(1, -2*math.Pi*float64(i)/float64(size))
	}
	return f
}

// spectrum is the power of a frame in decibels, from a floor on.
func (f *fourier) spectrum(pcm []int16) []float64 {
	size := 2 * len(f.turns)
	x := make([]complex128, size)
	for i, s := range pcm {
		x[bits.Reverse32(uint32(i))>>(32-bits.TrailingZeros32(uint32(size)))] = complex(float64(s)*f.window[i], 0)
	}
	for half := 1; half < size; half *= 2 {
		for from := 0; from < size; from += 2 * half {
			for i := range half {
				t := f.turns[i*(size/(2*half))] * x[from+half+i]
				x[from+i], x[from+half+i] = x[from+i]+t, x[from+i]-t
			}
		}
	}
	power := make([]float64, size/2)
	for i := range power {
		power[i] = 10 * math.Log10(max(real(x[i])*real(x[i])+imag(x[i])*imag(x[i]), 1e4))
	}
	return power
}

// Delay finds by how many samples, up to most, got is behind want: where both are most alike.
func Delay(want, got []int16, most int) int {
	best, at := math.Inf(-1), 0
	for d := 0; d <= most; d++ {
		var product float64
		for i := 0; i < len(want) && i+d < len(got); i++ {
			product += float64(want[i]) * float64(got[i+d])
		}
		if product > best {
			best, at = product, d
		}
	}
	return at
}
