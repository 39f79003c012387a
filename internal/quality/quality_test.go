package quality

import (
	"fmt"
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
	for _, name := range []string{"PCMU", "pcma", "G729", "G723", "GSM", "GSM-EFR", "iLBC", "G728", "G726-32", "opus", ""} {
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
		if MOS(c, 5, 50, 3) >= MOS(c, 5, 50, 1) {
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
