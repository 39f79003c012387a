package tone

import (
	"math"
	"math/rand/v2"
	"time"
)

// speech is sound with the traits of speech that fool detectors of tones: voiced stretches of harmonics under formants
// that glide, whistling fricatives, pauses, every voice from a deep one to a child's.
func speech(seed uint64, d time.Duration) []int16 {
	random := rand.New(rand.NewPCG(seed, 77))
	pcm := make([]int16, int(d.Seconds()*Rate))
	phase := 0.0
	for at := 0; at < len(pcm); {
		n := min(len(pcm)-at, 400+random.IntN(2400)) // 50 to 350 ms
		kind := random.IntN(10)
		pitch, glide := 80+random.Float64()*320, (random.Float64()-0.5)*0.6
		formants := [3]float64{250 + random.Float64()*650, 800 + random.Float64()*1500, 2200 + random.Float64()*900}
		loud := 1000 + random.Float64()*5000
		hiss := 1500 + random.Float64()*2200
		var y1, y2 float64
		for i := range n {
			x := float64(i) / float64(n)
			envelope := math.Min(1, math.Min(x, 1-x)*8)
			v := 0.0
			switch {
			case kind < 7: // voiced
				hz := pitch * (1 + glide*x)
				phase += 2 * math.Pi * hz / Rate
				for h := 1; float64(h)*hz < 3600 && h <= 24; h++ {
					gain := 0.0
					for k, f := range formants {
						w := 70 + 50*float64(k)
						off := (float64(h)*hz - f*(1+0.1*glide*x)) / w
						gain += 1 / (1 + off*off) / float64(k+1)
					}
					v += gain * math.Sin(float64(h)*phase)
				}
			case kind < 9: // a fricative: noise through a resonance
				r := 0.9
				y1, y2 = random.NormFloat64()*0.3+2*r*math.Cos(2*math.Pi*hiss/Rate)*y1-r*r*y2, y1
				v = y1
			}
			pcm[at+i] = int16(max(-32767, min(32767, v*envelope*loud)))
		}
		at += n
	}
	return pcm
}

// music is chords of instruments with harmonics, vibrato and decay, in equal temperament.
func music(seed uint64, d time.Duration) []int16 {
	random := rand.New(rand.NewPCG(seed, 78))
	sum := make([]float64, int(d.Seconds()*Rate))
	for at := 0; at < len(sum); {
		n := min(len(sum)-at, 1000+random.IntN(5000))
		for range 2 + random.IntN(3) {
			hz := 110 * math.Pow(2, float64(random.IntN(40))/12)
			vibrato, decay := random.Float64()*0.01, 1+random.Float64()*4
			bright := 0.3 + random.Float64()*0.4
			for i := range n {
				s := float64(i) / Rate
				p := 2 * math.Pi * hz * (s + vibrato/30*math.Sin(2*math.Pi*5*s))
				for h, gain := 1, 1.0; h <= 6 && hz*float64(h) < 3700; h, gain = h+1, gain*bright {
					sum[at+i] += 2000 * gain * math.Exp(-decay*s) * math.Sin(float64(h)*p)
				}
			}
		}
		at += n
	}
	pcm := make([]int16, len(sum))
	for i, v := range sum {
		pcm[i] = int16(max(-32767, min(32767, v)))
	}
	return pcm
}

// noisy adds white noise that much weaker than the signal's level.
func noisy(pcm []int16, dBm0 float64, seed uint64) []int16 {
	random := rand.New(rand.NewPCG(seed, 79))
	sigma := Amplitude(dBm0) / math.Sqrt2
	out := make([]int16, len(pcm))
	for i, s := range pcm {
		out[i] = int16(max(-32768, min(32767, float64(s)+random.NormFloat64()*sigma)))
	}
	return out
}

// lossy silences packets of 20 ms, so many of a hundred.
func lossy(pcm []int16, percent int, seed uint64) []int16 {
	random := rand.New(rand.NewPCG(seed, 80))
	out := append([]int16(nil), pcm...)
	for at := 0; at+160 <= len(out); at += 160 {
		if random.IntN(100) < percent {
			clear(out[at : at+160])
		}
	}
	return out
}
