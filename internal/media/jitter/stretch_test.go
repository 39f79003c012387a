package jitter

import (
	"slices"
	"testing"
	"time"

	"dialtone/internal/codec"
)

// However much has to be put in or left out, a tone stays a tone without clicks, and of its own pitch.
func TestStretchedWithoutClicks(t *testing.T) {
	for _, ppm := range []float64{-3000, -1000, 1000, 3000} {
		r := newReceiver(t, 8000)
		var heard codec.Frame
		play(r, party{pcm: tone(8000), pt: 8, ppm: ppm}.send(time.Minute), 9*time.Millisecond, 0, func(frame codec.Frame, _ time.Duration) {
			heard = append(heard, frame...)
		})
		heard = heard[800 : len(heard)-400]
		s := r.Stats()
		if step := steepest(heard); step > toneStep || s.Stretched+s.Dropped == 0 || s.Concealed > 0 {
			t.Errorf("%v ppm: a click of %d; %+v", ppm, step, s)
		}
		crossings := 0
		for i := 1; i < len(heard); i++ {
			if heard[i-1] < 0 && heard[i] >= 0 {
				crossings++
			}
		}
		if pitch := float64(crossings) * 8000 / float64(len(heard)); pitch < 399 || pitch > 401 {
			t.Errorf("%v ppm: %v Hz", ppm, pitch)
		}
	}
}

func TestInsertAndRemove(t *testing.T) {
	for _, n := range []int{2, 3, 80, 160, 161, 480} {
		for lag := 1; lag <= n/2; lag++ {
			pcm := make(codec.Frame, n)
			for i := range pcm {
				pcm[i] = int16(i % lag) // of that period
			}
			long := append(slices.Clone(pcm), make(codec.Frame, lag)...)
			insert(long, lag)
			for i := range long {
				if long[i] != int16(i%lag) {
					t.Fatalf("%d of %d put in: sample %d is %d", lag, n, i, long[i])
				}
			}
			remove(pcm, lag)
			for i, s := range pcm[:n-lag] {
				if s != int16(i%lag) {
					t.Fatalf("%d of %d left out: sample %d is %d", lag, n, i, s)
				}
			}
		}
	}
}
