package jitter

import (
	"math"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/catalog"
)

// Every codec of this build at every rate: as loud as it was sent, with the delay of a clean network, and with loss
// without holes or clicks.
func TestEveryCodec(t *testing.T) {
	for _, spec := range catalog.All() {
		if spec.NewEncoder == nil {
			continue
		}
		for _, rate := range []int{8000, 16000, 48000} {
			for _, loss := range []float64{0, 0.03} {
				rng := seeded(t)
				from := nearest(spec.Rates, 8000)
				encoder, err := spec.NewEncoder(codec.Params{Rate: from})
				if err != nil {
					t.Fatal(err)
				}
				factor := from / 8000
				y := party{pcm: tone(8000), pt: 100, clock: spec.ClockRate / 8000, encode: func(pcm codec.Frame) []byte {
					wide := make(codec.Frame, factor*len(pcm))
					for i := range wide {
						wide[i] = int16(8000 * math.Sin(2*math.Pi*float64(i)/float64(20*factor)))
					}
					return encoder.Encode(nil, wide)
				}, delay: jittery(rng, time.Millisecond, loss)}
				r, err := New(Config{Rate: rate, Codec: func(uint8) (codec.Spec, codec.Params, bool) { return spec, codec.Params{}, true }})
				if err != nil {
					t.Fatal(err)
				}
				var heard codec.Frame
				list := y.send(20 * time.Second)
				play(r, list, 9*time.Millisecond, 0, func(frame codec.Frame, _ time.Duration) { heard = append(heard, frame...) })
				s := r.Stats()
				heard = heard[rate : len(heard)-rate/10]
				level := math.Sqrt(energy(heard))
				if math.Abs(level-8000/math.Sqrt2) > 600 || s.Late > 0 || s.Maximum > 29*time.Millisecond || s.Played != uint64(len(list)) ||
					loss == 0 && (s.Lost > 0 || s.Concealed > 0) {
					t.Errorf("%s to %d Hz, loss %v: level %.0f, %+v", spec.Name, rate, loss, level, s)
				}
				if step := steepest(heard); step > 2*toneStep {
					t.Errorf("%s to %d Hz, loss %v: a click of %d", spec.Name, rate, loss, step)
				}
			}
		}
	}
}
