package g722

import (
	"math/rand/v2"
	"testing"

	"dialtone/internal/codec"
	"dialtone/internal/codec/codectest"
)

// Losses are concealed, and the predictors are back soon after, having followed what was made up.
func TestLosses(t *testing.T) {
	for _, percent := range []int{5, 10} {
		random := rand.New(rand.NewPCG(9, 9))
		pcm := codec.Frame(codectest.Speech(Rate, 20*Rate))
		e, d, whole := NewEncoder(), NewDecoder(), NewDecoder()
		var clean, concealed, zeroed, after, afterLoss codec.Frame
		lost := false
		for at := 0; at < len(pcm); at += 320 {
			payload := e.Encode(nil, pcm[at:at+320])
			clean = whole.Decode(clean, payload)
			wasLost := lost
			if lost = random.IntN(100) < percent; lost {
				concealed = d.Conceal(concealed, 320)
				zeroed = append(zeroed, make(codec.Frame, 320)...)
				continue
			}
			concealed = d.Decode(concealed, payload)
			zeroed = append(zeroed, concealed[at:]...)
			if wasLost {
				after, afterLoss = append(after, clean[at+160:]...), append(afterLoss, concealed[at+160:]...)
			}
		}
		a, b := codectest.SpectralDistance(clean, concealed, Rate), codectest.SpectralDistance(clean, zeroed, Rate)
		s := codectest.SNR(after, afterLoss)
		t.Logf("%d %% lost: spectral distance %.2f dB, with silence %.2f; 10 ms after a loss: %.1f dB", percent, a, b, s)
		if a > 0.5*b || s < 7 {
			t.Errorf("%d %% lost: spectral distance %.2f dB, with silence %.2f; 10 ms after a loss: %.1f dB", percent, a, b, s)
		}
	}
}

// Whatever comes in whatever order: as many samples as wanted.
func FuzzAnyOrder(f *testing.F) {
	f.Add([]byte{1, 200, 0, 3, 5, 255, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		d := NewDecoder()
		var out codec.Frame
		for i, b := range script {
			n := int(b) * 3
			if i%2 == 0 {
				out = d.Conceal(out[:0], n)
			} else {
				out = d.Decode(out[:0], script[:min(n/2, len(script))])
				n = 2 * min(n/2, len(script))
			}
			if len(out) != n {
				t.Fatalf("%d samples, want %d", len(out), n)
			}
		}
	})
}
