package listen

import (
	"math"
	"math/rand/v2"
	"time"
)

// Speech is a signal that codecs, detectors of silence and metrics take for speech: phrases of voiced and unvoiced sounds
// with gliding pitch and formants, and pauses with a little noise between them; about two thirds of it is speech, at
// 22 dB under the loudest sine. The same seed says the same at every rate in Hz, with as much of the band as that has.
func Speech(seed uint64, rate int, duration time.Duration) []int16 {
	if rate <= 0 || duration <= 0 {
		return nil
	}
	n := int(duration.Seconds() * float64(rate))
	v := voice{
		rate:  float64(rate),
		plan:  rand.New(rand.NewPCG(seed, 0x5bee)),
		noise: rand.New(rand.NewPCG(seed, 0x0153)),
		out:   make([]float64, 0, n),
	}
	v.pitch = 95 + 110*v.plan.Float64()
	v.formants = vowel(v.plan)
	for len(v.out) < n {
		v.phrase(n)
	}
	return v.finish(n)
}

// voice is who speaks: a source of pulses or noise, and resonances that it goes through.
type voice struct {
	rate        float64
	plan, noise *rand.Rand // what is said; breath
	pitch       float64    // Hz, of this person
	phase       float64    // of the pulses, 0 to 1
	formants    [3]float64 // Hz, where they are now
	resonators  [4]resonator
	out         []float64
}

// vowel is a place of the formants in Hz.
func vowel(random *rand.Rand) [3]float64 {
	vowels := [...][3]float64{
		{730, 1090, 2440}, {530, 1840, 2480}, {390, 1990, 2550}, {270, 2290, 3010}, {570, 840, 2410}, {300, 870, 2240}, {640, 1190, 2390},
	}
	return vowels[random.IntN(len(vowels))]
}

// phrase says some syllables, in a falling tone, and pauses.
func (v *voice) phrase(n int) {
	syllables := 3 + v.plan.IntN(6)
	for i := range syllables {
		if v.plan.IntN(10) < 6 {
			v.unvoiced(0.05+0.07*v.plan.Float64(), 1800+3500*v.plan.Float64(), 0.15+0.2*v.plan.Float64())
		}
		fall := 1.15 - 0.3*float64(i)/float64(syllables)
		v.voiced(0.12+0.16*v.plan.Float64(), v.pitch*fall*(0.92+0.16*v.plan.Float64()), 0.7+0.3*v.plan.Float64())
	}
	v.pause(0.15 + 0.55*v.plan.Float64())
}

// voiced is a vowel that glides to the place of the next one.
func (v *voice) voiced(seconds, pitch, level float64) {
	from, to := v.formants, vowel(v.plan)
	glide := 0.9 + 0.2*v.plan.Float64()
	length := int(seconds * v.rate)
	update := max(1, int(v.rate/200))
	bandwidths := [3]float64{70, 100, 140}
	for i := range length {
		at := float64(i) / float64(length)
		if i%update == 0 {
			for k := range from {
				v.formants[k] = from[k] + (to[k]-from[k])*at
				v.resonators[k].tune(v.formants[k], bandwidths[k], v.rate)
			}
			v.resonators[3].tune(3500, 250, v.rate)
		}
		v.phase += pitch * (1 + (glide-1)*at) / v.rate
		x := v.pulse() + 0.01*v.breath()
		for k := range v.resonators {
			x = v.resonators[k].next(x)
		}
		v.out = append(v.out, x*level*edges(i, length, v.rate))
	}
}

// pulse is the flow through the glottis, differentiated: it opens slowly and closes at once.
func (v *voice) pulse() float64 {
	if v.phase >= 1 {
		v.phase -= math.Floor(v.phase)
	}
	const open = 0.6
	if v.phase > open {
		return 0
	}
	x := v.phase / open
	return 2*x - 3*x*x
}

// unvoiced is noise around one frequency, as far as the band has it.
func (v *voice) unvoiced(seconds, hz, level float64) {
	hz = min(hz, 0.42*v.rate)
	var r resonator
	r.tune(hz, hz/3, v.rate)
	length := int(seconds * v.rate)
	for i := range length {
		v.out = append(v.out, r.next(v.breath())*level*edges(i, length, v.rate))
	}
}

func (v *voice) pause(seconds float64) {
	for range int(seconds * v.rate) {
		v.out = append(v.out, 0)
	}
}

// breath is noise of variance 1, near enough to normal.
func (v *voice) breath() float64 {
	return (v.noise.Float64() + v.noise.Float64() + v.noise.Float64() - 1.5) * 2
}

// edges are the rise and fall of a sound, 15 ms each.
func edges(i, length int, rate float64) float64 {
	near := float64(min(i, length-1-i)) / (0.015 * rate)
	if near >= 1 {
		return 1
	}
	return 0.5 - 0.5*math.Cos(math.Pi*near)
}

// finish brings all to one level and puts a little noise under it.
func (v *voice) finish(n int) []int16 {
	x := v.out[:n]
	const wanted, noise = 2600.0, 6.0
	spoken := 0
	sum := 0.0
	for _, s := range x {
		if s != 0 {
			spoken++
			sum += s * s
		}
	}
	gain := 0.0
	if sum > 0 {
		gain = wanted / math.Sqrt(sum/float64(spoken))
	}
	pcm := make([]int16, n)
	for i, s := range x {
		pcm[i] = int16(math.Round(min(max(s*gain+noise*v.breath(), -32767), 32767)))
	}
	return pcm
}

// resonator is a filter of two poles whose gain is 1 at 0 Hz for formants.
type resonator struct{ a, b, c, y1, y2 float64 }

func (r *resonator) tune(hz, bandwidth, rate float64) {
	if hz > 0.46*rate {
		// The band has no room for it: let all through.
		r.a, r.b, r.c = 1, 0, 0
		return
	}
	radius := math.Exp(-math.Pi * bandwidth / rate)
	r.c = -radius * radius
	r.b = 2 * radius * math.Cos(2*math.Pi*hz/rate)
	r.a = 1 - r.b - r.c
}

func (r *resonator) next(x float64) float64 {
	y := r.a*x + r.b*r.y1 + r.c*r.y2
	r.y1, r.y2 = y, r.y1
	return y
}
