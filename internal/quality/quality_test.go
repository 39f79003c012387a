package quality

import (
	"fmt"
	"math"
	"testing"
)

// The values come from the full algorithm of G.107: R/MOS for one-way delay (ms) and loss (%).
func TestVectors(t *testing.T) {
	conditions := []struct{ delay, loss float64 }{{0, 0}, {100, 0}, {150, 0}, {150, 1}, {150, 3}, {250, 1}, {400, 5}}
	tests := []struct {
		codec Codec
		want  []string
	}{
		{G711(), []string{"93.21/4.41", "90.66/4.35", "89.54/4.33", "71.61/3.67", "50.50/2.60", "61.25/3.16", "11.17/1.05"}},
		{G711PLC(), []string{"93.21/4.41", "90.66/4.35", "89.54/4.33", "85.90/4.23", "79.40/4.00", "75.54/3.84", "46.47/2.39"}},
		{G729A(), []string{"82.21/4.10", "79.66/4.01", "78.54/3.97", "74.34/3.79", "67.08/3.46", "63.98/3.30", "33.75/1.77"}},
	}
	for _, tt := range tests {
		for i, c := range conditions {
			r := R(tt.codec, c.loss, c.delay, 1)
			got := fmt.Sprintf("%.2f/%.2f", r, MOS(tt.codec, c.loss, c.delay, 1))
			if got != tt.want[i] {
				t.Errorf("%s T%v/P%v: %s, want %s", tt.codec.Name, c.delay, c.loss, got, tt.want[i])
			}
		}
	}
}

func TestMOSFallsWithLossAndDelayAndBursts(t *testing.T) {
	for _, name := range []string{"PCMU", "pcma", "G729", "G723", "GSM", "GSM-EFR", "iLBC", "G728", "G726-32", "opus", "G722", "L16", "AMR", "AMR-WB", ""} {
		c := CodecNamed(name)
		for loss := 0.0; loss < 100; loss++ {
			if a, b := R(c, loss, 50, 1), R(c, loss+1, 50, 1); b >= a {
				t.Fatalf("%s: R rises from %v to %v at %v%% loss", name, a, b, loss+1)
			}
		}
		for delay := 0.0; delay < 1000; delay += 10 {
			if a, b := R(c, 1, delay, 1), R(c, 1, delay+10, 1); b > a {
				t.Fatalf("%s: R rises from %v to %v at %v ms", name, a, b, delay+10)
			}
		}
		if R(c, 5, 50, 3) >= R(c, 5, 50, 1) {
			t.Errorf("%s: bursts do not hurt", name)
		}
	}
}

func TestScoreStaysOnTheScale(t *testing.T) {
	last := 0.0
	for r := -50.0; r <= 150; r += 0.25 {
		s := Score(r)
		if s < 1 || s > 4.5 || s < last {
			t.Fatalf("Score(%v) = %v after %v", r, s, last)
		}
		last = s
	}
	for _, m := range []float64{MOS(G711(), -1, -1, 0), MOS(G711(), 200, 1e6, 0)} {
		if m < 1 || m > 4.5 {
			t.Errorf("MOS %v off the scale", m)
		}
	}
}

func TestWideband(t *testing.T) {
	for _, tt := range []struct {
		codec       Codec
		loss, delay float64
		want        string // R, MOS on the narrow-band scale, MOS on that of G.107.1
	}{
		{Codec{Wideband: true, Bpl: 1}, 0, 0, "129.00/4.50/4.50"},
		{G722(), 0, 0, "116.00/4.50/4.34"},
		{Codec{Ie: 41, Bpl: 1, Wideband: true}, 0, 0, "88.00/4.29/3.51"}, // AMR-WB at 6.6 kbit/s
		{Codec{Ie: 1, Bpl: 1, Wideband: true}, 0, 0, "128.00/4.50/4.49"}, // AMR-WB at 23.05 kbit/s
		{Codec{Ie: 36, Bpl: 1, Wideband: true}, 0, 0, "93.00/4.41/3.69"}, // G.711 as wideband has it
		{G722(), 0, 150, "112.33/4.50/4.26"},
		{G722(), 5, 150, "85.00/4.20/3.40"},
		{Opus(), 3, 150, "108.59/4.50/4.17"},
		{Opus(), 10, 150, "90.33/4.35/3.60"},
	} {
		r := R(tt.codec, tt.loss, tt.delay, 1)
		got := fmt.Sprintf("%.2f/%.2f/%.2f", r, MOS(tt.codec, tt.loss, tt.delay, 1), WidebandScore(r))
		if got != tt.want {
			t.Errorf("%s T%v/P%v: %s, want %s", tt.codec.Name, tt.delay, tt.loss, got, tt.want)
		}
	}
}

func TestCodecNamed(t *testing.T) {
	for name, want := range map[string]Codec{
		"opus": Opus(), "G722": G722(), "g729": G729A(), "L16": L16(8000), "ILBC": {Name: "iLBC", Ie: 11, Bpl: 32},
		"AMR": {Name: "AMR", Ie: 5, Bpl: 10}, "pcmu": G711PLC(), "never-heard-of": G711PLC(),
	} {
		if got := CodecNamed(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if !CodecAt("l16", 44100).Wideband || CodecAt("L16", 8000).Wideband || !CodecAt("AMR-WB", 16000).Wideband || CodecAt("PCMA", 8000) != G711PLC() {
		t.Error("rates are mixed up")
	}
}

// What is no number must not become a score that is none.
func TestScoreOfNonsense(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []Codec{G711(), Opus()} {
		for _, x := range []float64{nan, inf, -inf} {
			for _, m := range []float64{MOS(c, x, 0, 1), MOS(c, 1, x, 1), MOS(c, 1, 0, x), Bursts{x, x, x, x}.Ratio()} {
				if !(m >= 1) || math.IsInf(m, 0) && !math.IsInf(x, 1) {
					t.Errorf("%s: %v of %v", c.Name, m, x)
				}
			}
		}
	}
}
