package g722

import (
	"math/rand/v2"
	"testing"

	"dialtone/internal/codec"
	"dialtone/internal/codec/codectest"
)

// Losses are concealed, and the predictors are back soon after.
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
		if a > 0.5*b || s < 8 {
			t.Errorf("%d %% lost: spectral distance %.2f dB, with silence %.2f; 10 ms after a loss: %.1f dB", percent, a, b, s)
		}
	}
}
