package listen

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"dialtone/internal/codec/g711"
)

const packet = 160 // samples of 20 ms

// throughG711 is the sound after mu-law, with that share of its packets lost: filled with zeros, or by repeating the one
// before, less loud each time. What is lost at a low share is lost at a higher one, too.
func throughG711(pcm []int16, loss float64, repeat bool, seed uint64) []int16 {
	random := rand.New(rand.NewPCG(seed, 99))
	out := make([]int16, 0, len(pcm))
	last := make([]int16, packet)
	for i := 0; i+packet <= len(pcm); i += packet {
		heard := make([]int16, packet)
		lost := random.Float64() < loss
		for k := range heard {
			switch {
			case !lost:
				heard[k] = g711.DecodeMuLaw(g711.EncodeMuLaw(pcm[i+k]))
			case repeat:
				heard[k] = int16(float64(last[k]) * 0.8)
			}
		}
		out = append(out, heard...)
		last = heard
	}
	return out
}

// The cases that PESQ was measured for, best first. Each speaker must have them in this order, and all together the scores
// of PESQ within half a point.
func TestLossesAreInTheOrderOfPESQ(t *testing.T) {
	cases := []struct {
		name   string
		loss   float64
		repeat bool
		pesq   float64
	}{
		{"no loss", 0, false, 3.99}, {"0.5 %", 0.005, false, 3.75}, {"1 %", 0.01, false, 3.69}, {"3 % repeated", 0.03, true, 3.11},
		{"3 % silent", 0.03, false, 3.05}, {"5 % repeated", 0.05, true, 2.73}, {"5 % silent", 0.05, false, 2.59},
		{"10 % repeated", 0.1, true, 2.18}, {"10 % silent", 0.1, false, 1.94},
	}
	const seeds = 4
	means := make([]float64, len(cases))
	for seed := range uint64(seeds) {
		ref := Speech(seed, 8000, 20*time.Second)
		last := 5.0
		for i, c := range cases {
			r := Compare(ref, throughG711(ref, c.loss, c.repeat, seed), 8000)
			if r.Score >= last {
				t.Errorf("seed %d: %s scores %.3f, the one before %.3f", seed, c.name, r.Score, last)
			}
			last = r.Score
			means[i] += r.Score / seeds
		}
	}
	for i, c := range cases {
		t.Logf("%-13s %.2f, PESQ %.2f", c.name, means[i], c.pesq)
		if math.Abs(means[i]-c.pesq) > 0.5 {
			t.Errorf("%s: %.2f on the mean, PESQ has %.2f", c.name, means[i], c.pesq)
		}
	}
}

func TestScoreFallsWithLossToTheEnd(t *testing.T) {
	ref := Speech(1, 8000, 10*time.Second)
	for _, repeat := range []bool{false, true} {
		last := 5.0
		for _, loss := range []float64{0, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1} {
			r := Compare(ref, throughG711(ref, loss, repeat, 1), 8000)
			// Where hardly anything is left, one thing is as bad as the other.
			if r.Score > last && last > 1.2 || r.Score > last+0.1 || r.Score < 1 || r.Score > 4.5 {
				t.Errorf("loss %v, repeated %v: %.3f after %.3f", loss, repeat, r.Score, last)
			}
			last = r.Score
		}
		if last > 1.05 {
			t.Errorf("everything lost scores %.2f", last)
		}
	}
}

// resampled is x at another sampling clock: ratio samples of it for each one, by a windowed sinc.
func resampled(x []int16, ratio float64) []int16 {
	y := make([]int16, int(float64(len(x))/ratio))
	for i := range y {
		p := float64(i) * ratio
		sum := 0.0
		for j := int(p) - 7; j <= int(p)+8; j++ {
			if d := p - float64(j); j >= 0 && j < len(x) && d != 0 {
				sum += float64(x[j]) * math.Sin(math.Pi*d) / (math.Pi * d) * (0.5 + 0.5*math.Cos(math.Pi*d/9))
			} else if j >= 0 && j < len(x) {
				sum += float64(x[j])
			}
		}
		y[i] = int16(math.Round(min(max(sum, -32768), 32767)))
	}
	return y
}

func quieter(x []int16, factor float64) []int16 {
	y := make([]int16, len(x))
	for i := range x {
		y[i] = int16(math.Round(float64(x[i]) * factor))
	}
	return y
}

func joined(parts ...[]int16) (all []int16) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// What a listener does not mind does not count, and is measured.
func TestDelayLevelAndDrift(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		ref := Speech(2, rate, 8*time.Second)
		ms := rate / 1000
		silent := func(n int) []int16 { return make([]int16, n*ms) }
		for name, tt := range map[string]struct {
			degraded                  []int16
			delay, level, drift, most float64 // most: of the drift from what it should be
			score                     float64
		}{
			"the same":         {ref, 0, 0, 0, 1, 4.49},
			"later":            {joined(silent(137), ref), 137, 0, 0, 1, 4.49},
			"much later":       {joined(silent(2100), ref), 2100, 0, 0, 1, 4.49},
			"longer":           {joined(ref, silent(3000)), 0, 0, 0, 1, 4.49},
			"12 dB less":       {quieter(ref, 0.25), 0, -12.04, 0, 1, 4.4},
			"6 dB more":        {quieter(ref, 2), 0, 6.02, 0, 1, 3.5}, // clips
			"slow clock":       {resampled(ref, 1-100e-6), 0.6, 0, 100, 15, 4.3},
			"fast clock":       {resampled(ref, 1+500e-6), -2, 0, -500, 30, 4.0},
			"40 ms put in":     {joined(ref[:4*rate], silent(40), ref[4*rate:]), 20, 0, 0, 1e6, 3.5},
			"40 ms taken out":  {joined(ref[:4*rate], ref[4*rate+40*ms:]), -20, 0, 0, 1e6, 3.5},
			"beginning is cut": {ref[300*ms:], -300, 0, 0, 1, 3},
		} {
			r := Compare(ref, tt.degraded, rate)
			near := 0.7
			if tt.most > 100 {
				near = 20.5 // the median is on one side of the jump
			}
			if math.Abs(r.DelayMS-tt.delay) > near || math.Abs(r.LevelDB-tt.level) > 0.3 || math.Abs(r.DriftPPM-tt.drift) > tt.most || r.Score < tt.score {
				t.Errorf("%d Hz, %s: %+v, want delay %v, level %v, drift %v, score %v", rate, name, r, tt.delay, tt.level, tt.drift, tt.score)
			}
		}
	}
}

func TestGaps(t *testing.T) {
	const rate = 8000
	ref := Speech(4, rate, 10*time.Second)
	// Find a vowel to cut: 100 ms in which every 5 ms are loud.
	from := 0
	for i := rate; i+800 < len(ref); i += 40 {
		loud := true
		for k := i; k < i+800; k += 40 {
			sum := 0.0
			for _, s := range ref[k : k+40] {
				sum += float64(s) * float64(s)
			}
			loud = loud && sum > 40*1000*1000
		}
		if loud {
			from = i
			break
		}
	}
	if from == 0 {
		t.Fatal("nobody speaks for 100 ms")
	}
	for _, ms := range []int{0, 20, 60, 100} {
		cut := joined(ref)
		clear(cut[from : from+8*ms])
		r := Compare(ref, joined(make([]int16, 333), cut), rate)
		want := 0
		if ms > 0 {
			want = 1
		}
		if r.Gaps != want || math.Abs(r.GapMS-float64(ms)) > 5 {
			t.Errorf("%d ms: %d gaps, %.0f ms", ms, r.Gaps, r.GapMS)
		}
	}
	r := Compare(ref, make([]int16, len(ref)), rate)
	if r.Heard != 0 || r.GapMS < 100 || r.Score > 1.01 {
		t.Errorf("silence: %+v", r)
	}
}

func TestNothingToCompare(t *testing.T) {
	speech := Speech(1, 8000, 2*time.Second)
	loudest := make([]int16, 16000)
	for i := range loudest {
		loudest[i] = math.MinInt16
	}
	for name, tt := range map[string]struct {
		ref, deg []int16
		rate     int
	}{
		"nothing":         {nil, nil, 8000},
		"nobody speaks":   {make([]int16, 16000), speech, 8000},
		"nothing came":    {speech, nil, 8000},
		"one sample came": {speech, speech[:1], 8000},
		"something else":  {speech, Speech(9, 8000, 2*time.Second), 8000},
		"rate of 0":       {speech, speech, 0},
		"full scale":      {speech, loudest, 8000},
	} {
		r := Compare(tt.ref, tt.deg, tt.rate)
		for _, x := range []float64{r.DelayMS, r.DriftPPM, r.LevelDB, r.SegSNR, r.LSD, r.GapMS, r.Speech, r.Heard, r.Bad, r.Score} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if r.Score < 1 || r.Score > 1.2 {
			t.Errorf("%s scores %.2f", name, r.Score)
		}
	}
}

// Noise on all of the sound costs, the more the louder it is.
func TestNoiseCosts(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		ref := Speech(5, rate, 10*time.Second)
		last := 4.6
		for _, snr := range []float64{50, 30, 20, 10, 0} {
			random := rand.New(rand.NewPCG(1, 2))
			deg := make([]int16, len(ref))
			for i := range ref {
				deg[i] = int16(min(max(float64(ref[i])+random.NormFloat64()*2600*math.Pow(10, -snr/20), -32768), 32767))
			}
			r := Compare(ref, deg, rate)
			if r.Score >= last {
				t.Errorf("%d Hz, %v dB: %.2f after %.2f", rate, snr, r.Score, last)
			}
			last = r.Score
		}
	}
}

func TestSpeech(t *testing.T) {
	for seed := range uint64(3) {
		for _, rate := range []int{8000, 16000, 48000} {
			pcm := Speech(seed, rate, 6*time.Second)
			r := Compare(pcm, pcm, rate)
			clipped := 0
			for _, s := range pcm {
				if s >= 32767 || s <= -32767 {
					clipped++
				}
			}
			if len(pcm) != 6*rate || r.Speech < 3 || r.Speech > 5.5 || clipped > len(pcm)/10000 {
				t.Errorf("seed %d, %d Hz: %d samples, %.1f s of speech, %d clipped", seed, rate, len(pcm), r.Speech, clipped)
			}
		}
	}
	// The same is said at each rate: what 48 kHz has up to 4 kHz correlates with what 8 kHz has.
	a, b := Speech(3, 8000, 5*time.Second), Speech(3, 16000, 5*time.Second)
	half := make([]int16, len(a))
	for i := range half {
		half[i] = int16((int(b[2*i]) + int(b[2*i+1])) / 2)
	}
	if r := Compare(a, half, 8000); math.Abs(r.DelayMS) > 2 || r.Heard < 0.95 || r.Bad > 0.6 {
		t.Errorf("8 and 16 kHz say different things: %+v", r)
	}
	if Speech(1, 0, time.Second) != nil || Speech(1, 8000, -1) != nil || len(Speech(1, 8000, time.Millisecond)) != 8 {
		t.Error("odd requests")
	}
}

func TestGates(t *testing.T) {
	ref := Speech(2, 8000, 20*time.Second)
	clean := Compare(ref, throughG711(ref, 0, false, 1), 8000)
	silent, repeated := Compare(ref, throughG711(ref, 0.05, false, 1), 8000), Compare(ref, throughG711(ref, 0.05, true, 1), 8000)
	pass := func(name, wrong string, want bool) {
		t.Helper()
		if (wrong == "") != want {
			t.Errorf("%s: %q", name, wrong)
		}
	}
	pass("clean", Through().Check(clean, Result{}), true)
	pass("holes", Through().Check(silent, Result{}), false)
	pass("clean is good enough", Transcoded().Check(clean, Result{}), true)
	pass("holes are not", Transcoded().Check(silent, Result{}), false)
	pass("repeating beats silence", Concealed().Check(repeated, silent), true)
	pass("silence does not beat repeating", Concealed().Check(silent, repeated), false)
	pass("small drop", Buffered().Check(Result{Score: 4.15}, Result{Score: 4.4}), true)
	pass("drop", Buffered().Check(Result{Score: 4}, Result{Score: 4.4}), false)
	pass("drift", Buffered().Check(Result{Score: 4.4, DriftPPM: -10}, Result{Score: 4.4}), false)
	pass("late", Transcoded().Check(Result{Score: 4, DelayMS: 300}, Result{}), false)
	pass("quiet", Transcoded().Check(Result{Score: 4, LevelDB: -6}, Result{}), false)
	if OneWay(ref, throughG711(ref, 0.5, false, 1), 8000) || !OneWay(ref, make([]int16, len(ref)), 8000) || !OneWay(ref, nil, 8000) {
		t.Error("one way is not told from both")
	}
	x, y := []byte{1, 2}, []byte{1, 3}
	for _, tt := range []struct {
		a, b [][]byte
		want int
	}{{nil, nil, -1}, {[][]byte{x, y}, [][]byte{x, y}, -1}, {[][]byte{x, y}, [][]byte{x, x}, 1}, {[][]byte{x, y}, [][]byte{x}, 1}, {nil, [][]byte{x}, 0}} {
		if got := Identical(tt.a, tt.b); got != tt.want {
			t.Errorf("%v, %v: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
