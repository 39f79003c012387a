package jitter

import (
	"math"
	"slices"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/rtp"
)

// tone is 400 Hz, whose steepest step between two samples is known.
func tone(n int) codec.Frame {
	pcm := make(codec.Frame, n)
	for i := range pcm {
		pcm[i] = int16(8000 * math.Sin(2*math.Pi*float64(i)/20))
	}
	return pcm
}

// steepest is the greatest step between two samples.
func steepest(pcm codec.Frame) int {
	most := 0
	for i := 1; i < len(pcm); i++ {
		d := int(pcm[i]) - int(pcm[i-1])
		most = max(most, d, -d)
	}
	return most
}

// toneStep is what the tone has, with the steps of A-law on top.
const toneStep = 2900

// renumber gives packets another place in sequence, time and source.
func renumber(list []sent, later time.Duration, sequence uint16, timestamp, ssrc uint32) []sent {
	out := slices.Clone(list)
	for i := range out {
		out[i].arrival += later
		out[i].packet.Sequence += sequence
		out[i].packet.Timestamp += timestamp
		out[i].packet.SSRC += ssrc
	}
	return out
}

// However a party comes back, it is heard at once, without a click, and with no more delay than before.
func TestResynchronise(t *testing.T) {
	first := party{pcm: tone(8000), pt: 8, first: 100}.send(2 * time.Second)
	again := first // of the same length
	for name, second := range map[string][]sent{
		"pause, time goes on":              renumber(again, 12*time.Second, 100, 12*8000, 0),
		"pause, time stands still":         renumber(again, 12*time.Second, 100, 2*8000, 0),
		"short pause, time stands still":   renumber(again, 3*time.Second, 100, 2*8000, 0),
		"pause, time leaps":                renumber(again, 12*time.Second, 100, 1<<31+77, 0),
		"pause, sequence too":              renumber(again, 12*time.Second, 100+600, 12*8000, 0),
		"another source":                   renumber(again, 2*time.Second, 7777, 987654321, 5),
		"another source after a pause":     renumber(again, 3*time.Second, 7777, 987654321, 5),
		"sequence begins anew":             renumber(again, 2*time.Second, 40000, 2*8000, 0),
		"sequence and time begin anew":     renumber(again, 2*time.Second, 40000, 1<<30, 0),
		"timestamp leaps":                  renumber(again, 2*time.Second, 100, 2*8000+100000, 0),
		"timestamp leaps a little":         renumber(again, 2*time.Second, 100, 2*8000+4000, 0),
		"timestamp leaps back":             renumber(again, 2*time.Second, 100, 4294900000, 0),
		"timestamp leaps back a little":    renumber(again, 2*time.Second, 100, 2*8000-4000, 0),
		"timestamp leaps half a second on": renumber(again, 2500*time.Millisecond, 100, 2*8000, 0),
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, 8000)
			begin := second[0].arrival
			var heard codec.Frame
			var back time.Duration
			play(r, append(slices.Clone(first), second...), 9*time.Millisecond, 0, func(frame codec.Frame, now time.Duration) {
				heard = append(heard, frame...)
				if back == 0 && now >= begin && energy(frame) > 4000*4000 && now > 2300*time.Millisecond {
					back = now - begin
				}
			})
			s := r.Stats()
			if step := steepest(heard); step > toneStep {
				t.Errorf("a click of %d", step)
			}
			// Missed while a source has to prove itself, or a clock that stood still is found out: 120 ms at most.
			if s.Played < s.Received-7 || s.Maximum > 50*time.Millisecond || back > 330*time.Millisecond {
				t.Errorf("heard again after %v, delay %v; %+v", back, s.Maximum, s)
			}
		})
	}
}

func TestPauseThenSpeech(t *testing.T) {
	rng := seeded(t)
	r := newReceiver(t, 8000)
	pcm := throughALaw(voiced(rng, 8000*5))
	first := party{pcm: pcm, pt: 8}.send(5 * time.Second)
	list := append(first, renumber(first, 15*time.Second+3*time.Millisecond, 250, 15*8000, 0)...)
	list[250].packet.Marker = true
	var heard codec.Frame
	play(r, list, 9*time.Millisecond, 0, func(frame codec.Frame, _ time.Duration) { heard = append(heard, frame...) })
	if !slices.Equal(heard[15*8000+160:15*8000+8000*4], pcm[160:8000*4]) {
		t.Error("speech after the pause is not what was sent")
	}
	for at := 6 * 8000; at < 14*8000; at += 8000 {
		if e := math.Sqrt(energy(heard[at : at+8000])); e > 110 {
			t.Errorf("noise of %v in the pause", e)
		}
	}
	if s := r.Stats(); s.Lost+s.Late+s.Stretched+s.Dropped > 0 || s.Maximum > 27*time.Millisecond {
		t.Errorf("%+v", s)
	}
}

func TestComfortNoise(t *testing.T) {
	r := newReceiver(t, 8000)
	list := party{pcm: tone(8000), pt: 8}.send(time.Second)
	for i := range 3 {
		list = append(list, sent{
			rtp.Packet{PayloadType: 13, Sequence: uint16(50 + i), Timestamp: 12345 + uint32(8000+i*1600), SSRC: 99, Payload: []byte{40, 150, 100}},
			time.Second + time.Duration(i)*200*time.Millisecond,
		})
	}
	speech := renumber(party{pcm: tone(8000), pt: 8}.send(time.Second), 3*time.Second, 53, 3*8000, 0)
	var heard codec.Frame
	play(r, append(list, speech...), 5*time.Millisecond, 0, func(frame codec.Frame, _ time.Duration) { heard = append(heard, frame...) })
	level := 20 * math.Log10(math.Sqrt(energy(heard[9600:23000]))/32767)
	if math.Abs(level+40) > 1 {
		t.Errorf("noise of %.1f dBov, want -40", level)
	}
	if step := steepest(heard); step > toneStep {
		t.Errorf("a click of %d", step)
	}
	if s := r.Stats(); s.Lost+s.Late+s.Concealed > 0 || s.Played != 100 {
		t.Errorf("%+v", s)
	}
}

// While a key is pressed there is silence: nothing is lost and nothing concealed.
func TestTelephoneEvent(t *testing.T) {
	for _, length := range []int{3, 10, 17, 40, 150} {
		r := newReceiver(t, 8000)
		list := party{pcm: tone(8000), pt: 8}.send(5 * time.Second)
		for i := 50; i < 50+length; i++ {
			list[i].packet.PayloadType = 101
			list[i].packet.Timestamp = list[50].packet.Timestamp
			list[i].packet.Payload = []byte{5, 10, 0, byte(i)}
		}
		play(r, list, 9*time.Millisecond, 0, nil)
		s := r.Stats()
		if s.Lost+s.Late+s.Concealed+s.Restarts > 0 || s.Played != uint64(250-length) || s.Highest > 27*time.Millisecond || s.Spread > 0 {
			t.Errorf("%d packets: %+v", length, s)
		}
	}
}

func TestCodecChanges(t *testing.T) {
	r := newReceiver(t, 8000)
	list := party{pcm: tone(8000), pt: 8}.send(time.Second)
	list = append(list, renumber(party{pcm: tone(8000), pt: 0, encode: func(pcm codec.Frame) []byte {
		return g711.MuLaw{}.Encode(nil, pcm)
	}}.send(time.Second), time.Second, 50, 8000, 0)...)
	list = append(list, renumber(party{pcm: tone(8000), pt: 96, clock: 6, encode: func(pcm codec.Frame) []byte {
		double := make(codec.Frame, 2*len(pcm))
		for i := range double {
			double[i] = int16(8000 * math.Sin(2*math.Pi*float64(i)/40))
		}
		return printLinear(double)
	}}.send(time.Second), 2*time.Second, 100, 77, 0)...)
	var heard codec.Frame
	names := map[string]bool{}
	play(r, list, 9*time.Millisecond, 0, func(frame codec.Frame, _ time.Duration) {
		heard = append(heard, frame...)
		names[r.Codec()] = true
	})
	if step := steepest(heard); step > toneStep {
		t.Errorf("a click of %d", step)
	}
	s := r.Stats()
	if s.Lost+s.Late+s.Concealed > 0 || s.Played != 150 || s.Maximum > 27*time.Millisecond || !names["PCMA"] || !names["PCMU"] || !names["wide"] {
		t.Errorf("%v %+v", names, s)
	}
}

func TestWideband(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		r := newReceiver(t, rate)
		list := party{pcm: tone(8000), pt: 96, clock: 6, encode: func(pcm codec.Frame) []byte {
			double := make(codec.Frame, 2*len(pcm))
			for i := range double {
				double[i] = int16(8000 * math.Sin(2*math.Pi*float64(i)/40))
			}
			return printLinear(double)
		}}.send(2 * time.Second)
		var heard codec.Frame
		play(r, list, 9*time.Millisecond, 0, func(frame codec.Frame, _ time.Duration) { heard = append(heard, frame...) })
		period := rate / 400
		for i := rate / 10; i+period < len(heard)-rate/50; i++ {
			if d := int(heard[i]) - int(heard[i+period]); d > 40 || d < -40 {
				t.Fatalf("%d Hz: not a tone at sample %d: %d", rate, i, d)
			}
		}
		if e := math.Sqrt(energy(heard[rate : rate+rate/2])); math.Abs(e-8000/math.Sqrt2) > 60 {
			t.Errorf("%d Hz: level %v", rate, e)
		}
		if s := r.Stats(); s.Lost+s.Late+s.Concealed > 0 || s.Maximum > 27*time.Millisecond {
			t.Errorf("%d Hz: %+v", rate, s)
		}
	}
}

// A packet is won back from the one behind it when that is there in time, and only the one directly before.
func TestRecover(t *testing.T) {
	rng := seeded(t)
	r := newReceiver(t, 8000)
	list := party{pcm: tone(8000), pt: 97, encode: printLinear, delay: func(i int) []time.Duration {
		if i > 100 && i%20 == 0 || i%100 == 31 || i%100 == 32 {
			return nil
		}
		// So much jitter that the next packet usually waits.
		return []time.Duration{time.Duration(rng.Int64N(int64(50 * time.Millisecond)))}
	}}.send(60 * time.Second)
	found := 0
	play(r, list, 9*time.Millisecond, 0, func(frame codec.Frame, _ time.Duration) {
		if slices.Contains(frame, 7777) {
			found++
		}
	})
	if s := r.Stats(); s.Recovered < 100 || found < 100 || s.Recovered > s.Lost {
		t.Errorf("%d frames with what was won back, %+v", found, s)
	}
}

// Frozen: what arrives keeps its place to the sample, what does not is silence, whatever the network does.
func TestFrozenKeepsPlaces(t *testing.T) {
	rng := seeded(t)
	pcm := make(codec.Frame, 8000*20)
	for i := range pcm {
		pcm[i] = int16(1000 + rng.IntN(20000)) // never zero
	}
	want := throughALaw(pcm)
	r := newReceiver(t, 8000)
	list := party{pcm: pcm, pt: 8, delay: func(i int) []time.Duration {
		switch {
		case i > 10 && rng.IntN(50) == 0:
			return nil
		case i > 10 && rng.IntN(50) == 0:
			return []time.Duration{100 * time.Millisecond}
		}
		return []time.Duration{time.Duration(rng.Int64N(int64(10 * time.Millisecond)))}
	}}.send(19 * time.Second)
	var heard codec.Frame
	r.Freeze(true)
	play(r, list, 9*time.Millisecond, 0, func(frame codec.Frame, _ time.Duration) { heard = append(heard, frame...) })
	begin := slices.IndexFunc(heard, func(s int16) bool { return s != 0 })
	heard = heard[begin:]
	zeros := 0
	for i, s := range heard {
		if s == 0 {
			zeros++
		} else if s != want[i] {
			t.Fatalf("sample %d is at another place", i)
		}
	}
	s := r.Stats()
	if missing := int(s.Lost+s.Late) * 160; zeros < missing-160 || zeros > missing+800 {
		t.Errorf("%d samples of silence, want %d", zeros, missing)
	}
	if s.Late < 5 || s.Lost < 5 || s.Concealed+s.Stretched+s.Dropped > 0 || s.Maximum < frozenRoom-frameTime || s.Maximum > frozenRoom+frameTime {
		t.Errorf("%+v", s)
	}
}

// Freezing and thawing in the middle costs silence once.
func TestFreezeUnderWay(t *testing.T) {
	rng := seeded(t)
	r := newReceiver(t, 8000)
	list := party{pcm: voiced(rng, 8000*30), pt: 8, ppm: 200}.send(90 * time.Second)
	play(r, list, 9*time.Millisecond, 0, func(_ codec.Frame, now time.Duration) {
		r.Freeze(now > 20*time.Second && now < 60*time.Second)
		if d := r.Stats().Maximum; now > 22*time.Second && now < 60*time.Second && (d < 38*time.Millisecond || d > 62*time.Millisecond) ||
			now > 75*time.Second && d > 32*time.Millisecond {
			t.Fatalf("at %v: delay %v", now, d)
		}
	})
	if s := r.Stats(); s.Lost+s.Late+s.Concealed > 0 || s.Played != s.Received {
		t.Errorf("%+v", s)
	}
}
