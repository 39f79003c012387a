package mixer

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/media/period"
	"dialtone/internal/media/tone"
)

// speaker says a constant level of noise that the test changes.
type speaker struct {
	mu     sync.Mutex
	random *rand.Rand
	level  int
}

func (s *speaker) ReadFrame(f codec.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range f {
		f[i] = 0
		if s.level > 0 {
			f[i] = int16(s.random.IntN(2*s.level+1) - s.level)
		}
	}
	return nil
}

func hall(t testing.TB, c Config, levels ...int) (*Mixer, []*Member, []*speaker) {
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var members []*Member
	var speakers []*speaker
	for i, l := range levels {
		speakers = append(speakers, &speaker{random: rand.New(rand.NewPCG(1, uint64(i))), level: l})
		member, err := m.Join(speakers[i], 0)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, member)
	}
	return m, members, speakers
}

func loudest(pcm []int16) (most int16) {
	for _, x := range pcm {
		most = max(most, x, -x)
	}
	return most
}

func chosen(members []*Member) (list []int) {
	for i, m := range members {
		if m.voice.chosen {
			list = append(list, i)
		}
	}
	return list
}

func TestLoudestAreMixedAndStayForAWhile(t *testing.T) {
	m, members, speakers := hall(t, Config{Loudest: 2}, 1000, 4000, 3000, 0)
	listen(t, 5, members...)
	if got := chosen(members); !slices.Equal(got, []int{1, 2}) {
		t.Fatalf("mixed are %v", got)
	}
	// Somewhat louder is not enough to push one out; much louder is, in the same frame.
	speakers[0].level = 4500
	listen(t, 1, members...)
	if got := chosen(members); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("after a little more: %v", got)
	}
	speakers[3].level = 12000
	listen(t, 1, members...)
	if got := chosen(members); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("after a loud word: %v", got)
	}
	// Who had to make place fades out: the end of the frame is nothing.
	if tail := members[2].voice.frames[m.newest%period.History][150:]; !slices.ContainsFunc(tail, func(x int16) bool { return x != 0 }) || loudest(tail) > 3000/10 {
		t.Errorf("the last frame of the one who had to go ends with %v", tail)
	}
	// A pause in a sentence keeps the place.
	speakers[0].level, speakers[2].level, speakers[3].level = 0, 300, 100
	listen(t, 20, members...)
	if got := chosen(members); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("in the pause: %v", got)
	}
	listen(t, 100, members...)
	if got := chosen(members); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("after the pause: %v", got)
	}
	if got := m.Speakers(nil); len(got) != 2 || got[0] != members[1] || got[1] != members[2] {
		t.Errorf("%d speakers", len(got))
	}
	// Who is not mixed hears the same as any other who is not mixed, and so does the one who stops.
	heard := listen(t, 10, members...)
	if !slices.Equal(heard[0], heard[3]) {
		t.Error("two listeners hear different things")
	}
	for i := range members {
		speakers[i].level = 0
	}
	listen(t, 40, members...)
	if got := m.Speakers(nil); len(got) != 0 {
		t.Errorf("%d speakers in silence", len(got))
	}
}

// The limiter never wraps, keeps the order of samples, and does nothing below its knee.
func FuzzSoft(f *testing.F) {
	f.Add(int32(0), int32(1))
	f.Add(int32(knee), int32(knee+1))
	f.Add(int32(3276700), int32(-3276800))
	f.Fuzz(func(t *testing.T, a, b int32) {
		a, b = a%4_000_000, b%4_000_000
		if a > b {
			a, b = b, a
		}
		x, y := soft(a), soft(b)
		if x > y || a < 0 && x > 0 || b > 0 && y < 0 {
			t.Fatalf("%d, %d became %d, %d", a, b, x, y)
		}
		if -knee <= a && a <= knee && int32(x) != a {
			t.Fatalf("%d became %d", a, x)
		}
		if soft(-a) != -x {
			t.Fatalf("%d became %d, %d became %d", a, x, -a, soft(-a))
		}
	})
}

// Whatever is said at whatever gain, what is heard is the limited sum of what the others said.
func TestSumIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		n := 2 + random.IntN(12)
		m, err := New(Config{Loudest: n})
		if err != nil {
			t.Fatal(err)
		}
		said := make([]codec.Frame, n)
		members := make([]*Member, n)
		for i := range n {
			said[i] = make(codec.Frame, 160)
			members[i], err = m.Join(sourceFunc(func(f codec.Frame) error {
				for k := range f {
					said[i][k] = int16(random.IntN(65536) - 32768)
				}
				copy(f, said[i])
				return nil
			}), 0)
			if err != nil {
				t.Fatal(err)
			}
		}
		listen(t, 1, members...) // the first frame fades in
		for i, pcm := range listen(t, 1, members...) {
			for k := range pcm {
				var sum int32
				for j := range n {
					if j != i {
						sum += int32(said[j][k])
					}
				}
				if pcm[k] != soft(sum) {
					t.Fatalf("sample %d of member %d is %d, want %d", k, i, pcm[k], soft(sum))
				}
			}
		}
	}
}

func TestSlowInputIsLeftAloneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, members, _ := conference(t, Config{}, 2)
		reads := 0
		bad, err := m.Join(sourceFunc(func(f codec.Frame) error {
			reads++
			time.Sleep(2 * slowRead)
			clear(f)
			return nil
		}), 0)
		if err != nil {
			t.Fatal(err)
		}
		heard := listen(t, slowReads+rest, append(members, bad)...)
		expect(t, "beside a slow one", heard[0], hz[1])
		if reads != slowReads || bad.Skipped() != rest {
			t.Errorf("%d reads, %d skipped", reads, bad.Skipped())
		}
		listen(t, 1, append(members, bad)...)
		if reads != slowReads+1 {
			t.Error("it is not tried again")
		}
	})
}

func TestManyGoroutines(t *testing.T) {
	m, members, _ := hall(t, Config{Loudest: 3}, 3000, 2000, 1000, 500, 4000, 0)
	var all sync.WaitGroup
	for i, member := range members {
		all.Go(func() {
			frame := make(codec.Frame, 160)
			for n := range 300 {
				if err := member.ReadFrame(frame); err != nil {
					t.Errorf("member %d: %v", i, err)
					return
				}
				switch n % 7 {
				case 1:
					member.Mute(n%2 == 0)
				case 2:
					member.SetGain(float64(n%20 - 10))
				case 3:
					member.Whisper(members[(i+1)%len(members)])
				case 4:
					member.Whisper(nil)
				case 5:
					_, _ = member.Level(), m.Speakers(nil)
				}
			}
		})
	}
	all.Go(func() {
		for range 50 {
			guest, err := m.Join(&speaker{random: rand.New(rand.NewPCG(1, 9)), level: 100}, 16000)
			if err != nil {
				t.Error(err)
				return
			}
			a, err := m.Announce(&speaker{random: rand.New(rand.NewPCG(1, 8)), level: 100}, guest)
			if err != nil {
				t.Error(err)
				return
			}
			if err := guest.ReadFrame(make(codec.Frame, 320)); err != nil {
				t.Error(err)
			}
			a.Stop()
			guest.Leave()
		}
	})
	all.Wait()
	if got := len(*m.voices.Load()); got != len(members) {
		t.Errorf("%d voices are left", got)
	}
}

func TestFramesAllocateNothing(t *testing.T) {
	_, members, _ := hall(t, Config{Loudest: 3}, 3000, 2000, 1000, 500, 4000, 0)
	members[5].Whisper(members[0])
	guest, err := members[0].mixer.Join(rated{(&speaker{random: rand.New(rand.NewPCG(1, 9)), level: 100}).ReadFrame, 48000}, 16000)
	if err != nil {
		t.Fatal(err)
	}
	frame, wide := make(codec.Frame, 160), make(codec.Frame, 320)
	round := func() {
		for _, m := range members {
			if err := m.ReadFrame(frame); err != nil {
				t.Fatal(err)
			}
		}
		if err := guest.ReadFrame(wide); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("%v allocations a period", n)
	}
}

// loop gives frames from memory, as a decoder's cost is not the mixer's.
type loop struct {
	pcm []int16
	at  int
}

func (l *loop) ReadFrame(f codec.Frame) error {
	l.at = (l.at + copy(f, l.pcm[l.at:])) % len(l.pcm)
	return nil
}

func benchmark(b *testing.B, loudest int) {
	const n = 100
	m, err := New(Config{Loudest: loudest})
	if err != nil {
		b.Fatal(err)
	}
	var members [n]*Member
	for i := range members {
		pcm := make([]int16, 1600)
		tone.NewGenerator(tone.Sine(hz[i%len(hz)], -15)).Read(pcm)
		if members[i], err = m.Join(&loop{pcm: pcm, at: i % 10 * 160}, 0); err != nil {
			b.Fatal(err)
		}
	}
	frame := make(codec.Frame, 160)
	b.ReportAllocs()
	for b.Loop() {
		for _, member := range members {
			if err := member.ReadFrame(frame); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/member-frame")
}

func Benchmark100SpeakersSixMixed(b *testing.B) { benchmark(b, 6) }
func Benchmark100SpeakersAllMixed(b *testing.B) { benchmark(b, 100) }
