package codectest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// More noise must measure as worse, and nothing but noise as bad.
func TestMeasuresOrderByDamage(t *testing.T) {
	want := Speech(8000, 16000)
	random := rand.New(rand.NewPCG(1, 1))
	lastSNR, lastDistance := math.Inf(1), -1.0
	for _, level := range []float64{0, 10, 100, 1000, 5000} {
		got := slices.Clone(want)
		for i := range got {
			got[i] += int16(level * random.NormFloat64())
		}
		s, d := SegmentalSNR(want, got, 8000), SpectralDistance(want, got, 8000)
		if s >= lastSNR || d <= lastDistance {
			t.Errorf("noise of %.0f: %.1f dB after %.1f, distance %.1f after %.1f", level, s, lastSNR, d, lastDistance)
		}
		lastSNR, lastDistance = s, d
	}
}

func TestDelayIsFound(t *testing.T) {
	want := Speech(8000, 8000)
	if d := Delay(want, append(make([]int16, 137), want...), 300); d != 137 {
		t.Errorf("delay %d, want 137", d)
	}
}

func TestSpeechHasPausesAndFitsTheScale(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		pcm := Speech(rate, 3*rate)
		loud, quiet := 0, 0
		for i := 0; i+rate/50 <= len(pcm); i += rate / 50 {
			switch level := Level(pcm[i : i+rate/50]); {
			case level > active:
				loud++
			case level < 20:
				quiet++
			}
		}
		if loud < 60 || quiet < 10 {
			t.Errorf("%d Hz: %d frames of speech, %d of silence", rate, loud, quiet)
		}
		if slices.Max(pcm) > 28000 || slices.Max(pcm) < 4000 {
			t.Errorf("%d Hz: peak %d", rate, slices.Max(pcm))
		}
	}
}

// A tone is where it belongs, and nowhere else.
func TestSpectrumOfATone(t *testing.T) {
	pcm := make([]int16, 256)
	for i := range pcm {
		pcm[i] = int16(10000 * math.Sin(2*math.Pi*32*float64(i)/256))
	}
	power := newFourier(256).spectrum(pcm)
	for i, p := range power {
		if near := i >= 31 && i <= 33; near != (p > 80) {
			t.Errorf("%.1f dB at line %d", p, i)
		}
	}
}
