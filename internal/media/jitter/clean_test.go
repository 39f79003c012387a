package jitter

import (
	"slices"
	"testing"
	"time"

	"dialtone/internal/codec"
)

// trim takes silence away at both ends.
func trim(pcm codec.Frame) codec.Frame {
	for len(pcm) > 0 && pcm[0] == 0 {
		pcm = pcm[1:]
	}
	return pcm
}

// A clean network gives what was sent, sample for sample, after the phase between arrival and pull.
func TestCleanIsExact(t *testing.T) {
	rng := seeded(t)
	pcm := make(codec.Frame, 8000*4)
	for i := range pcm {
		pcm[i] = int16(rng.IntN(20000) - 10000)
	}
	pcm[0] = 9000 // so that the beginning is seen
	want := throughALaw(pcm)
	for _, length := range []int{80, 160, 240, 320, 400, 480, 800} {
		for phase := time.Millisecond; phase <= frameTime; phase += 1500 * time.Microsecond {
			r := newReceiver(t, 8000)
			list := party{pcm: pcm, length: length, pt: 8, first: 65500}.send(3 * time.Second)
			var heard codec.Frame
			begun := time.Duration(-1)
			play(r, list, phase, 0, func(frame codec.Frame, now time.Duration) {
				if begun < 0 && !slices.Equal(frame, make(codec.Frame, len(frame))) {
					begun = now
				}
				heard = append(heard, frame...)
			})
			heard = trim(heard)
			if n := 8000 * 5 / 2; len(heard) < n || !slices.Equal(heard[:n], want[:n]) {
				t.Fatalf("packets of %d, phase %v: heard something else; %+v", length, phase, r.Stats())
			}
			// Where packets do not fit into frames, one may begin 19 ms or less within its frame.
			most := DefaultLeast + frameTime + roundUp(timeOf(length, 8000), frameTime)
			if begun > most {
				t.Errorf("packets of %d, phase %v: begins after %v, want %v at most", length, phase, begun, most)
			}
			if s := r.Stats(); s.Late+s.Lost+s.Concealed+s.Stretched+s.Dropped+s.Overruns > 0 || s.Maximum != begun {
				t.Errorf("packets of %d, phase %v: began after %v, %+v", length, phase, begun, s)
			}
		}
	}
}

// A little jitter, less than Least, changes nothing.
func TestSmallJitterIsExact(t *testing.T) {
	rng := seeded(t)
	want := throughALaw(voiced(rng, 8000*20))
	r := newReceiver(t, 8000)
	list := party{pcm: voiced(rng, 8000*20), pt: 8, delay: func(i int) []time.Duration {
		return []time.Duration{time.Duration(rng.Int64N(int64(2 * time.Millisecond)))}
	}}
	list.pcm = want
	play(r, list.send(19*time.Second), 8*time.Millisecond, 0, nil)
	if s := r.Stats(); s.Late+s.Lost+s.Concealed+s.Stretched+s.Dropped > 0 || s.Maximum > 25*time.Millisecond {
		t.Errorf("%+v", s)
	}
}
