// Package codectest is for tests of codecs: sound that is like speech, and measures of how far a copy is from it.
//
// Everything is computed and the same each time. No goroutines.
package codectest

import (
	"math"
	"math/rand/v2"
)

// Speech returns n samples at rate Hz that behave like speech: vowels of 200 to 400 ms whose pitch glides, with the
// formants of a voice; hissing consonants between some of them; a pause after each phrase.
func Speech(rate, n int) []int16 {
	random := rand.New(rand.NewPCG(20, 26))
	out := make([]float64, 0, n+rate)
	for len(out) < n {
		for range 3 + random.IntN(3) {
			if random.IntN(3) == 0 {
				out = hiss(out, rate, random)
			}
			out = vowel(out, rate, random)
		}
		out = append(out, make([]float64, rate*(150+random.IntN(250))/1000)...)
	}
	pcm := make([]int16, n)
	for i := range pcm {
		// The floor of noise that every microphone has.
		pcm[i] = int16(math.Round(out[i]*8000 + 4*random.NormFloat64()))
	}
	return pcm
}

// formants are of a, e, i, o, u: in Hz.
var formants = [5][3]float64{{730, 1090, 2440}, {530, 1840, 2480}, {270, 2290, 3010}, {570, 840, 2410}, {300, 870, 2240}}

func vowel(out []float64, rate int, random *rand.Rand) []float64 {
	length := rate * (200 + random.IntN(200)) / 1000
	from, to := 90+random.Float64()*80, 90+random.Float64()*80
	a, b := formants[random.IntN(5)], formants[random.IntN(5)]
	phase := 0.0
	var levels []float64 // of the harmonics; they change slowly
	for i := range length {
		at := float64(i) / float64(length)
		pitch := from + (to-from)*at
		if i%(rate/200) == 0 {
			levels = harmonics(levels[:0], a, b, at, pitch, min(float64(rate)/2-200, 6500))
		}
		phase += 2 * math.Pi * pitch / float64(rate)
		// sin(h*phase) from the two before.
		var sum, last float64
		now, twice := math.Sin(phase), 2*math.Cos(phase)
		for _, level := range levels {
			sum += level * now
			now, last = twice*now-last, now
		}
		out = append(out, 0.4*sum*envelope(i, length, rate))
	}
	return out
}

// harmonics appends how loud those below most Hz are, at a place between two vowels.
func harmonics(levels []float64, a, b [3]float64, at, pitch, most float64) []float64 {
	loud := [3]float64{1, 0.32, 0.1}
	for f := pitch; f < most; f += pitch {
		var level float64
		for k := range a {
			centre, width := a[k]+(b[k]-a[k])*at, 60+40*float64(k)
			d := (f - centre) / width
			level += loud[k] / (1 + d*d)
		}
		levels = append(levels, level)
	}
	return levels
}

func hiss(out []float64, rate int, random *rand.Rand) []float64 {
	length := rate * (60 + random.IntN(60)) / 1000
	last := 0.0
	for i := range length {
		x := random.NormFloat64()
		out = append(out, 0.06*(x-last)*envelope(i, length, rate))
		last = x
	}
	return out
}

// envelope rises and falls within 25 ms.
func envelope(i, length, rate int) float64 {
	edge := float64(rate) / 40
	return 0.5 - 0.5*math.Cos(math.Pi*min(1, float64(i)/edge, float64(length-i)/edge))
}
