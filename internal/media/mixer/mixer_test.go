package mixer

import (
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"testing/synctest"

	"dialtone/internal/codec"
	"dialtone/internal/codec/resample"
	"dialtone/internal/media/tone"
)

// singer is a Source of one tone, counting its reads.
type singer struct {
	g     *tone.Generator
	reads int
}

func sing(hz float64) *singer { return &singer{g: tone.NewGenerator(tone.Sine(hz, -12))} }

func (s *singer) ReadFrame(f codec.Frame) error {
	s.reads++
	s.g.Read(f)
	return nil
}

// sourceFunc is a function that is a Source.
type sourceFunc func(codec.Frame) error

func (f sourceFunc) ReadFrame(frame codec.Frame) error { return f(frame) }

// rated is a Source at another rate.
type rated struct {
	sourceFunc
	rate int
}

func (r rated) Rate() int { return r.rate }

var hz = []float64{400, 700, 1000, 1300, 1600, 1900, 2200, 2500, 2800, 3100}

func conference(t testing.TB, c Config, n int) (*Mixer, []*Member, []*singer) {
	t.Helper()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var members []*Member
	var singers []*singer
	for i := range n {
		singers = append(singers, sing(hz[i%len(hz)]))
		member, err := m.Join(singers[i], 0)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, member)
	}
	return m, members, singers
}

// listen pulls all members n times and returns what each heard.
func listen(t testing.TB, n int, members ...*Member) [][]int16 {
	t.Helper()
	heard := make([][]int16, len(members))
	for range n {
		for i, m := range members {
			frame := make(codec.Frame, m.Rate()/50)
			if err := m.ReadFrame(frame); err != nil {
				t.Fatalf("member %d: %v", i, err)
			}
			heard[i] = append(heard[i], frame...)
		}
	}
	return heard
}

// expect says which of the tones are heard, with the level that they were made with.
func expect(t *testing.T, what string, pcm []int16, want ...float64) {
	t.Helper()
	pcm = pcm[len(pcm)/2:]
	for _, f := range hz {
		level := tone.Goertzel(pcm, f)
		if slices.Contains(want, f) {
			if math.Abs(level+12) > 1 {
				t.Errorf("%s: %v Hz is heard at %.1f dBm0, want -12", what, f, level)
			}
		} else if level > -40 {
			t.Errorf("%s: %v Hz is heard at %.1f dBm0, want nothing", what, f, level)
		}
	}
}

func without(i, n int) []float64 { return slices.Delete(slices.Clone(hz[:n]), i, i+1) }

func TestEachHearsTheOthers(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		m, members, singers := conference(t, Config{Rate: rate}, 5)
		for i, pcm := range listen(t, 100, members...) {
			if rate == 16000 {
				r, err := resample.New(16000, 8000)
				if err != nil {
					t.Fatal(err)
				}
				pcm = r.Write(nil, pcm)
			}
			expect(t, "member", pcm, without(i, 5)...)
		}
		for i, s := range singers {
			if s.reads != 100 {
				t.Errorf("input %d was read %d times in 100 periods", i, s.reads)
			}
		}
		if got := m.Speakers(nil); len(got) != 5 {
			t.Errorf("%d speakers", len(got))
		}
	}
}

func TestMuteDeafGainWhisper(t *testing.T) {
	_, members, _ := conference(t, Config{}, 4)
	agent, customer, coach, other := members[0], members[1], members[2], members[3]
	listen(t, 10, members...)

	customer.Mute(true)
	heard := listen(t, 60, members...)
	expect(t, "agent beside one who is muted", heard[0], hz[2], hz[3])
	if customer.Talking() || customer.Level() != -100 {
		t.Errorf("muted, talking %v at %v", customer.Talking(), customer.Level())
	}
	customer.Mute(false)

	coach.Whisper(agent)
	heard = listen(t, 60, members...)
	expect(t, "agent with a coach", heard[0], hz[1], hz[2], hz[3])
	expect(t, "customer of one with a coach", heard[1], hz[0], hz[3])
	expect(t, "coach", heard[2], hz[0], hz[1], hz[3])

	agent.Deafen(true)
	heard = listen(t, 60, members...)
	expect(t, "deaf", heard[0])
	expect(t, "beside one who is deaf", heard[3], hz[0], hz[1])
	agent.Deafen(false)

	agent.Leave()
	heard = listen(t, 60, customer, coach, other)
	expect(t, "customer after the one who was whispered to has left", heard[0], hz[3])

	coach.Whisper(nil)
	customer.SetGain(-6)
	heard = listen(t, 60, customer, coach, other)
	if level := tone.Goertzel(heard[2], hz[1]); math.Abs(level+18) > 0.2 {
		t.Errorf("6 dB quieter than -12 dBm0 is %.1f", level)
	}
	if l := customer.Level(); math.Abs(l+18) > 0.3 {
		t.Errorf("Level says %.1f", l)
	}
}

func TestWhisperDoesNotReachLateReadersOfOthers(t *testing.T) {
	m, members, _ := conference(t, Config{}, 3)
	a, b, coach := members[0], members[1], members[2]
	coach.Whisper(a)
	listen(t, 5, a, b, coach)
	listen(t, 3, a, coach) // b is late
	coach.Whisper(b)
	listen(t, 1, a, coach)
	var got []int16
	for range 3 {
		got = append(got, listen(t, 1, b)[0]...)
	}
	if level := tone.Goertzel(got, hz[2]); level > -40 {
		t.Errorf("what was whispered to another is heard at %.1f dBm0", level)
	}
	m.Close()
	if err := b.ReadFrame(make(codec.Frame, 160)); err != io.EOF {
		t.Errorf("after Close: %v", err)
	}
	if _, err := m.Join(nil, 0); err != ErrClosed {
		t.Errorf("joining after Close: %v", err)
	}
}

func TestLeaveAndJoinWhileRunning(t *testing.T) {
	m, members, singers := conference(t, Config{}, 3)
	listen(t, 20, members...)
	members[1].Leave()
	if err := members[1].ReadFrame(make(codec.Frame, 160)); err != io.EOF {
		t.Errorf("after Leave: %v", err)
	}
	before := singers[1].reads
	heard := listen(t, 60, members[0], members[2])
	expect(t, "after one has left", heard[0], hz[2])
	if singers[1].reads != before {
		t.Error("the input of one who left was read")
	}
	again, err := m.Join(sing(hz[5]), 0)
	if err != nil {
		t.Fatal(err)
	}
	heard = listen(t, 60, members[0], members[2], again)
	expect(t, "with a new one", heard[0], hz[2], hz[5])
	expect(t, "the new one", heard[2], hz[0], hz[2])
}

func TestAnnouncements(t *testing.T) {
	m, members, _ := conference(t, Config{Loudest: 3}, 3)
	listen(t, 5, members...)
	left := 70
	all, err := m.Announce(sourceFunc(func(f codec.Frame) error {
		if left--; left < 0 {
			return io.EOF
		}
		return sing(hz[7]).ReadFrame(f) // 2500 Hz has whole periods in a frame
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	one, err := m.Announce(sing(hz[6]), members[1])
	if err != nil {
		t.Fatal(err)
	}
	heard := listen(t, 60, members...)
	expect(t, "first", heard[0], hz[1], hz[2], hz[7])
	expect(t, "the one who is told more", heard[1], hz[0], hz[2], hz[6], hz[7])
	one.Stop()
	heard = listen(t, 60, members...)
	expect(t, "afterwards", heard[1], hz[0], hz[2])
	select {
	case <-all.Done():
		if all.Err() != nil {
			t.Error(all.Err())
		}
	default:
		t.Error("the announcement did not end")
	}
}

func TestOthersDoNotSufferFromAFailedInput(t *testing.T) {
	m, members, _ := conference(t, Config{}, 2)
	broken := errors.New("no more packets")
	n := 0
	bad, err := m.Join(sourceFunc(func(f codec.Frame) error {
		if n++; n > 5 {
			return broken
		}
		clear(f)
		return nil
	}), 0)
	if err != nil {
		t.Fatal(err)
	}
	heard := listen(t, 60, members[0], members[1], bad)
	expect(t, "beside a failed one", heard[0], hz[1])
	expect(t, "the failed one", heard[2], hz[0], hz[1])
	if !errors.Is(bad.Err(), broken) || n != 6 {
		t.Errorf("%v after %d reads", bad.Err(), n)
	}
}

// In virtual time: what the test itself takes to compute must not count as a slow input.
func TestRatesAreBroughtTogether(t *testing.T) { synctest.Test(t, ratesAreBroughtTogether) }

func ratesAreBroughtTogether(t *testing.T) {
	m, err := New(Config{Rate: 16000})
	if err != nil {
		t.Fatal(err)
	}
	narrow, err := m.Join(sing(hz[0]), 8000)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	wide, err := m.Join(rated{func(f codec.Frame) error {
		for i := range f {
			f[i] = int16(tone.Amplitude(-12) * math.Sin(2*math.Pi*hz[4]*float64(at)/48000))
			at++
		}
		return nil
	}, 48000}, 0)
	if err != nil {
		t.Fatal(err)
	}
	heard := listen(t, 100, narrow, wide)
	expect(t, "narrow", heard[0], hz[4])
	if wide.Rate() != 16000 || narrow.Rate() != 8000 {
		t.Errorf("rates %d, %d", wide.Rate(), narrow.Rate())
	}
	if err := wide.ReadFrame(make(codec.Frame, 160)); err != ErrFrame {
		t.Errorf("a frame of half the length: %v", err)
	}
	if _, err := m.Join(rated{rate: 7000}, 0); err == nil {
		t.Error("7000 samples a second were taken")
	}
	if _, err := m.Join(nil, 7000); err == nil {
		t.Error("7000 samples a second were promised")
	}
}

func TestMembersAtOtherPhasesAndLateOnesMissNothing(t *testing.T) {
	m, members, singers := conference(t, Config{}, 3)
	_ = m
	counter, err := m.Join(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	members[0].voice.in = sourceFunc(func(f codec.Frame) error { // says the number of the period
		at++
		for i := range f {
			f[i] = int16(at)
		}
		return nil
	})
	members[1].Mute(true)
	members[2].Mute(true)
	listen(t, 1, members[0], members[1], counter)
	listen(t, 3, members[0], members[1]) // 60 ms without the others
	for want := int16(2); want <= 4; want++ {
		if got := listen(t, 1, counter)[0][0]; got != want {
			t.Errorf("heard period %d, want %d", got, want)
		}
	}
	if singers[1].reads != 4 {
		t.Errorf("a burst made %d periods of 4", singers[1].reads)
	}
}
