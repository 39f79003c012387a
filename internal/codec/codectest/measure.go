package codectest

import (
	"math"
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
	each(want, got, rate/frame, func(w, g []int16) {
		a, b := spectrum(w), spectrum(g)
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

// spectrum is the power of a windowed frame in decibels, from a floor on.
func spectrum(pcm []int16) []float64 {
	size := 1
	for size < len(pcm) {
		size *= 2
	}
	x := make([]complex128, size)
	for i, s := range pcm {
		x[i] = complex(float64(s)*(0.5-0.5*math.Cos(2*math.Pi*float64(i)/float64(len(pcm)))), 0)
	}
	transform(x)
	power := make([]float64, size/2)
	for i := range power {
		power[i] = 10 * math.Log10(max(real(x[i])*real(x[i])+imag(x[i])*imag(x[i]), 1e4))
	}
	return power
}

// transform is the fast Fourier transform; len(x) is a power of two.
func transform(x []complex128) {
	n := len(x)
	if n == 1 {
		return
	}
	even, odd := make([]complex128, n/2), make([]complex128, n/2)
	for i := range even {
		even[i], odd[i] = x[2*i], x[2*i+1]
	}
	transform(even)
	transform(odd)
	for i := range even {
		t := cmplx.Rect(1, -2*math.Pi*float64(i)/float64(n)) * odd[i]
		x[i], x[i+n/2] = even[i]+t, even[i]-t
	}
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
