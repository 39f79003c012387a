package jitter

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"dialtone/internal/codec"
)

// jittery loses packets and delays the others evenly up to jitter.
func jittery(rng *rand.Rand, jitter time.Duration, loss float64) func(int) []time.Duration {
	return func(int) []time.Duration {
		if rng.Float64() < loss {
			return nil
		}
		return []time.Duration{time.Duration(rng.Int64N(int64(jitter)))}
	}
}

// since is what was counted between two moments, as far as these tests look.
func since(now, before Stats) Stats {
	now.Received -= before.Received
	now.Played -= before.Played
	now.Late -= before.Late
	now.Lost -= before.Lost
	now.Concealed -= before.Concealed
	now.Stretched -= before.Stretched
	now.Dropped -= before.Dropped
	return now
}

func TestJitterAndLoss(t *testing.T) {
	for name, tt := range map[string]struct {
		delay func(rng *rand.Rand) func(int) []time.Duration
		most  time.Duration // of the delay
		late  float64       // of the packets
		made  float64       // concealed, of the samples
	}{
		"even 30 ms": {func(rng *rand.Rand) func(int) []time.Duration {
			return jittery(rng, 30*time.Millisecond, 0.01)
		}, 75 * time.Millisecond, 0.01, 0.02},
		"normal 15 ms": {func(rng *rand.Rand) func(int) []time.Duration {
			return func(int) []time.Duration {
				if rng.Float64() < 0.01 {
					return nil
				}
				return []time.Duration{time.Duration(math.Abs(rng.NormFloat64()) * 15e6)}
			}
		}, 115 * time.Millisecond, 0.01, 0.03},
		"exponential 10 ms": {func(rng *rand.Rand) func(int) []time.Duration {
			return func(int) []time.Duration { return []time.Duration{time.Duration(min(rng.ExpFloat64(), 9) * 10e6)} }
		}, 130 * time.Millisecond, 0.01, 0.02},
		"bufferbloat": {func(rng *rand.Rand) func(int) []time.Duration {
			return func(i int) []time.Duration {
				return []time.Duration{time.Duration((1 - math.Cos(float64(i)/100)) * 60e6)}
			}
		}, 160 * time.Millisecond, 0.01, 0.02},
	} {
		t.Run(name, func(t *testing.T) {
			rng := seeded(t)
			r := newReceiver(t, 8000)
			list := party{pcm: voiced(rng, 8000*30), pt: 8, delay: tt.delay(rng)}.send(3 * time.Minute)
			var before Stats
			highest := time.Duration(0)
			play(r, list, 7*time.Millisecond, 0, func(_ codec.Frame, now time.Duration) {
				if now < 15*time.Second {
					before = r.Stats()
				} else {
					highest = max(highest, r.Stats().Maximum)
				}
			})
			s := since(r.Stats(), before)
			late := float64(s.Late) / float64(s.Received)
			made := float64(s.Concealed) / 160 / float64(s.Received)
			t.Logf("late %.3f %%, concealed %.2f %%, delay %v, at most %v, stretched %d, dropped %d",
				100*late, 100*made, s.Maximum, highest, s.Stretched, s.Dropped)
			if late > tt.late || made > tt.made || highest > tt.most || s.Played < s.Received*98/100 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// An hour of a clock that is faster or slower: the delay stays where it was, and what has to go or come goes and comes
// by the sample.
func TestDrift(t *testing.T) {
	for _, tt := range []struct {
		ppm    float64
		jitter time.Duration
		length time.Duration
	}{
		{-200, time.Microsecond, time.Hour}, {200, time.Microsecond, time.Hour},
		{-300, 5 * time.Millisecond, 20 * time.Minute}, {300, 5 * time.Millisecond, 20 * time.Minute},
	} {
		rng := seeded(t)
		r := newReceiver(t, 8000)
		list := party{pcm: voiced(rng, 8000*30), pt: 8, ppm: tt.ppm, delay: jittery(rng, tt.jitter, 0)}.send(tt.length)
		highest := time.Duration(0)
		play(r, list, 7*time.Millisecond, 0, func(_ codec.Frame, now time.Duration) {
			if now > 10*time.Second && now%(16*frameTime) < frameTime {
				highest = max(highest, r.Stats().Maximum)
			}
		})
		s := r.Stats()
		moved := float64(s.Stretched) - float64(s.Dropped) + float64(s.Concealed)
		want := -tt.ppm / 1e6 * tt.length.Seconds() * 8000
		t.Logf("%v ppm, jitter %v: delay at most %v, concealed %d, stretched %d, dropped %d",
			tt.ppm, tt.jitter, highest, s.Concealed, s.Stretched, s.Dropped)
		if highest > DefaultLeast+frameTime+tt.jitter+6*time.Millisecond || s.Late+s.Lost+s.Overruns > 0 || s.Concealed > 160*2 {
			t.Errorf("%v ppm, jitter %v: %+v", tt.ppm, tt.jitter, s)
		}
		if math.Abs(moved-want) > 400 {
			t.Errorf("%v ppm: %v samples more than sent, want %v", tt.ppm, moved, want)
		}
	}
}

func TestBurstLoss(t *testing.T) {
	rng := seeded(t)
	r := newReceiver(t, 8000)
	// From one second on, three packets of a hundred are lost together; once two seconds.
	list := party{pcm: voiced(rng, 8000*30), pt: 8, delay: func(i int) []time.Duration {
		if i > 50 && i%100 < 3 || i > 500 && i < 600 {
			return nil
		}
		return []time.Duration{0}
	}}.send(30 * time.Second)
	play(r, list, 7*time.Millisecond, 0, nil)
	s := r.Stats()
	reception := s.Reception()
	m := reception.Metrics()
	if s.Late > 0 || s.Played != s.Received || s.Maximum > 27*time.Millisecond || s.Lost != 139 {
		t.Errorf("%+v", s)
	}
	if m.BurstDensity != 255 || m.GapDensity != 0 || m.LossRate == 0 || m.DiscardRate != 0 || m.BufferLimit != 200 {
		t.Errorf("%+v", m)
	}
}

// Late packets are discards, not losses.
func TestLateIsDiscarded(t *testing.T) {
	rng := seeded(t)
	r := newReceiver(t, 8000)
	list := party{pcm: voiced(rng, 8000*30), pt: 8, delay: func(i int) []time.Duration {
		if i%50 == 49 {
			return []time.Duration{300 * time.Millisecond}
		}
		return []time.Duration{0}
	}}.send(60 * time.Second)
	play(r, list, 7*time.Millisecond, time.Second, nil)
	s := r.Stats()
	if s.Lost != 0 || s.Late != 60 || s.Maximum > 27*time.Millisecond || s.Played != s.Received-60 {
		t.Errorf("%+v", s)
	}
	reception := s.Reception()
	m := reception.Metrics()
	if m.LossRate != 0 || m.DiscardRate != 5 || m.GapDensity != 5 || m.BurstDensity != 0 {
		t.Errorf("%+v", m)
	}
}

// Concealment is nearer to what was sent than silence is.
func TestConcealmentBeatsSilence(t *testing.T) {
	rng := seeded(t)
	pcm := throughALaw(voiced(rng, 8000*30))
	lost := make(map[int]bool)
	for i := 1; i < 1400; i++ {
		lost[i] = rng.Float64() < 0.05
	}
	r := newReceiver(t, 8000)
	list := party{pcm: pcm, pt: 8, delay: func(i int) []time.Duration {
		if lost[i] {
			return nil
		}
		return []time.Duration{0}
	}}.send(29 * time.Second)
	var heard codec.Frame
	play(r, list, 7*time.Millisecond, 0, func(frame codec.Frame, _ time.Duration) { heard = append(heard, frame...) })
	silent := make(codec.Frame, len(heard))
	copy(silent, pcm)
	for i := range lost {
		if lost[i] {
			clear(silent[i*160 : i*160+160])
		}
	}
	var concealed, zeroed, spectral, spectralZero float64
	n := 0
	for i := range lost {
		if !lost[i] || energy(pcm[i*160:i*160+160]) < 200*200 {
			continue
		}
		n++
		part := func(f codec.Frame) codec.Frame { return f[i*160 : i*160+160] }
		concealed += snr(part(pcm), part(heard))
		zeroed += snr(part(pcm), part(silent))
		spectral += distance(part(pcm), part(heard))
		spectralZero += distance(part(pcm), part(silent))
	}
	k := 1 / float64(n)
	t.Logf("%d packets: SNR %.1f dB, with silence %.1f; log-spectral distance %.1f dB, with silence %.1f",
		n, concealed*k, zeroed*k, spectral*k, spectralZero*k)
	if concealed*k < zeroed*k+1 || spectral > spectralZero/2 {
		t.Error("no better than silence")
	}
}

func energy(pcm codec.Frame) float64 {
	sum := 0.0
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	return sum / float64(len(pcm))
}

// snr is of one segment, limited as is usual.
func snr(want, got codec.Frame) float64 {
	noise := 1.0
	for i := range want {
		d := float64(want[i]) - float64(got[i])
		noise += d * d / float64(len(want))
	}
	return max(-10, min(35, 10*math.Log10(energy(want)/noise)))
}

// distance is the RMS of the differences of the logarithmic spectra.
func distance(a, b codec.Frame) float64 {
	sum, n := 0.0, 0
	for k := 1; k < 80; k += 2 {
		d := 10 * math.Log10((power(a, k)+100)/(power(b, k)+100))
		sum += d * d
		n++
	}
	return math.Sqrt(sum / float64(n))
}

// power is one line of the spectrum.
func power(pcm codec.Frame, k int) float64 {
	var re, im float64
	for i, s := range pcm {
		x := 2 * math.Pi * float64(k*i) / float64(len(pcm))
		w := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(len(pcm)))
		re += w * float64(s) * math.Cos(x)
		im += w * float64(s) * math.Sin(x)
	}
	return (re*re + im*im) / float64(len(pcm))
}

// A network that gets worse and better again: the delay rises at once and falls after a while.
func TestDelayFollowsNetwork(t *testing.T) {
	rng := seeded(t)
	r := newReceiver(t, 8000)
	list := party{pcm: voiced(rng, 8000*30), pt: 8, delay: func(i int) []time.Duration {
		if i >= 500 && i < 1000 {
			return []time.Duration{time.Duration(rng.Int64N(int64(60 * time.Millisecond)))}
		}
		return []time.Duration{0}
	}}.send(60 * time.Second)
	play(r, list, 7*time.Millisecond, 0, func(_ codec.Frame, now time.Duration) {
		s := r.Stats()
		switch d := s.Maximum; {
		case now < 10*time.Second && now > time.Second && d > 27*time.Millisecond,
			now > 11*time.Second && now < 20*time.Second && d < 55*time.Millisecond,
			now > 34*time.Second && d > 30*time.Millisecond:
			t.Fatalf("at %v: delay %v, %+v", now, d, s)
		}
	})
}
