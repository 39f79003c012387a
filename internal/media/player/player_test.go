package player

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/codec/opus"
	"dialtone/internal/codec/resample"
	"dialtone/internal/media/ogg"
	"dialtone/internal/media/tone"
	"dialtone/internal/media/wav"
)

func sine(rate int, hz, dBm0 float64, n int) codec.Frame {
	pcm := make(codec.Frame, n)
	for i := range pcm {
		pcm[i] = int16(math.Round(tone.Amplitude(dBm0) * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return pcm
}

// wave is a WAVE file of one channel.
func wave(encoding string, rate int, pcm []int16) []byte {
	is := wav.Format{Encoding: encoding, Rate: rate, Channels: 1}
	b := is.AppendHeader(nil, int64(len(pcm)*is.BlockSize()))
	for _, s := range pcm {
		switch encoding {
		case "PCM16":
			b = binary.LittleEndian.AppendUint16(b, uint16(s))
		case "PCMA":
			b = append(b, g711.EncodeALaw(s))
		case "PCMU":
			b = append(b, g711.EncodeMuLaw(s))
		}
	}
	return b
}

func put(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(t.TempDir(), name)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hears tells how loud 1000 Hz is in the middle of PCM of a rate.
func hears(t testing.TB, pcm codec.Frame, rate int) float64 {
	t.Helper()
	r, err := resample.New(rate, 8000)
	if err != nil {
		t.Fatal(err)
	}
	narrow := r.Flush(r.Write(nil, pcm))
	return tone.Goertzel(narrow[len(narrow)/4:len(narrow)/4*3], 1000)
}

func TestFilesOfAllKinds(t *testing.T) {
	laws := func(encode func(int16) byte) (b []byte) {
		for _, s := range sine(8000, 1000, -10, 8000) {
			b = append(b, encode(s))
		}
		return b
	}
	opusFile, err := os.ReadFile("../ogg/testdata/tone.opus")
	if err != nil {
		t.Fatal(err)
	}
	l := New(Config{})
	files := map[string][]byte{
		"a.wav": wave("PCM16", 44100, sine(44100, 1000, -10, 44100)), "b.WAV": wave("PCMA", 8000, sine(8000, 1000, -10, 8000)),
		"c.wav": wave("PCMU", 8000, sine(8000, 1000, -10, 8000)), "d.al": laws(g711.EncodeALaw), "e.ul": laws(g711.EncodeMuLaw),
		"f.opus": opusFile, "g": wave("PCM16", 16000, sine(16000, 1000, -10, 16000)),
	}
	for name, b := range files {
		path := put(t, name, b)
		for _, rate := range []int{8000, 16000, 48000} {
			s, err := l.Load(path, rate)
			if err != nil {
				t.Errorf("%s at %d: %v", name, rate, err)
				continue
			}
			if d := s.Duration(); d < 999*time.Millisecond || d > 1021*time.Millisecond || s.Rate != rate {
				t.Errorf("%s at %d lasts %v", name, rate, d)
			}
			if level := hears(t, s.PCM, rate); math.Abs(level+10) > 0.5 {
				t.Errorf("%s at %d: %.1f dBm0", name, rate, level)
			}
			again, err := l.Load(path, rate)
			if err != nil || again != s {
				t.Errorf("%s is decoded twice: %v", name, err)
			}
		}
	}
}

// constant is a decoder that says its number.
type constant struct {
	value int16
	rate  int
}

func (c constant) Decode(dst codec.Frame, payload []byte) codec.Frame {
	return append(dst, slices.Repeat(codec.Frame{c.value}, opus.Samples(payload, c.rate))...)
}

func TestStreamsOfAnOpusFile(t *testing.T) {
	packet := []byte{9 << 3, 1, 2} // 20 ms
	pair, err := ogg.AppendPair(nil, packet, packet)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		head   ogg.Head
		packet []byte
		want   int16
	}{
		{ogg.Head{Channels: 1, Streams: 1, PreSkip: 480}, packet, 1000},
		{ogg.Head{Channels: 2, Streams: 2, PreSkip: 480}, pair, 3000},
		{ogg.Head{Channels: 1, Streams: 1, PreSkip: 480, Gain: 6 * 256}, packet, 1995},
	} {
		w, b := ogg.NewWriter(nil, tt.head, "test")
		for range 3 {
			if b, err = w.Write(b, tt.packet, 960); err != nil {
				t.Fatal(err)
			}
		}
		l := New(Config{})
		value := int16(0)
		l.newOpus = func(rate int) (decoder, error) {
			value += 1000
			return constant{value, rate}, nil
		}
		s, err := l.Load(put(t, "a.opus", w.Close(b)), 8000)
		// RFC 7845 §4.2: 10 ms are thrown away.
		if err != nil || !slices.Equal(s.PCM, slices.Repeat(codec.Frame{tt.want}, 3*160-80)) {
			t.Errorf("%+v: %v, %v", tt.head, s, err)
		}
	}
}

func TestFilesThatAreNotPlayed(t *testing.T) {
	l := New(Config{Longest: time.Second})
	text := put(t, "a.txt", []byte("no sound"))
	long := put(t, "a.al", make([]byte, 8001))
	noOpus := put(t, "a.opus", []byte("OggS"))
	cut := put(t, "b.wav", []byte("RIFF"))
	for path, want := range map[string]error{
		text: ErrFormat, long: ErrLong, noOpus: ErrFormat, cut: ErrFormat, text + "x": os.ErrNotExist,
	} {
		if _, err := l.Load(path, 8000); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if _, err := l.Load(filepath.Dir(text), 8000); err == nil {
		t.Error("a folder was played")
	}
	if _, err := l.Load(text, 7999); !errors.Is(err, ErrRate) {
		t.Errorf("odd rate: %v", err)
	}
	if l.Kept() != 0 || len(l.sounds) != 0 {
		t.Errorf("%d bytes, %d entries kept of nothing", l.Kept(), len(l.sounds))
	}
}

func TestCacheIsBoundedAndNoticesNewFiles(t *testing.T) {
	l := New(Config{Bytes: 40000})
	a, b, c := put(t, "a.al", make([]byte, 8000)), put(t, "b.al", make([]byte, 8000)), put(t, "c.al", make([]byte, 8000))
	load := func(path string) *Sound {
		s, err := l.Load(path, 8000)
		if err != nil {
			t.Fatal(err)
		}
		if l.Kept() > 40000 {
			t.Fatalf("%d bytes are kept", l.Kept())
		}
		return s
	}
	first, second := load(a), load(b)
	load(a)
	load(c) // b was not used for longest
	if load(a) != first {
		t.Error("what was used is gone")
	}
	if load(b) == second {
		t.Error("what was not used is still there")
	}
	put(t, a, make([]byte, 4000))
	if got := load(a); len(got.PCM) != 4000 {
		t.Errorf("the new file is not heard: %d samples", len(got.PCM))
	}
	var all sync.WaitGroup
	got := make([]*Sound, 8)
	d := put(t, "d.al", make([]byte, 8000))
	for i := range got {
		all.Go(func() { got[i], _ = l.Load(d, 16000) })
	}
	all.Wait()
	for _, s := range got {
		if s == nil || s != got[0] {
			t.Error("one file was decoded twice at once")
		}
	}
}

func drain(t *testing.T, s Source, size, most int) (pcm codec.Frame, frames int) {
	t.Helper()
	frame := make(codec.Frame, size)
	for range most {
		err := s.ReadFrame(frame)
		if err == io.EOF {
			return pcm, frames
		}
		if err != nil {
			t.Fatal(err)
		}
		pcm = append(pcm, frame...)
		frames++
	}
	return pcm, frames
}

// count is PCM whose samples are their own number, from 1.
func count(n int) *Sound {
	s := &Sound{Rate: 8000}
	for i := range n {
		s.PCM = append(s.PCM, int16(i+1))
	}
	return s
}

func TestPlayback(t *testing.T) {
	short, long, none := count(100), count(400), &Sound{Rate: 8000}
	join := func(parts ...[]int16) codec.Frame {
		all := slices.Concat(parts...)
		for len(all)%160 != 0 {
			all = append(all, 0)
		}
		return all
	}
	gap := make([]int16, 80) // 10 ms
	tests := map[string]struct {
		o      Options
		sounds []*Sound
		want   codec.Frame
	}{
		"once":              {Options{}, []*Sound{long}, join(long.PCM)},
		"twice":             {Options{Times: 2}, []*Sound{long}, join(long.PCM, long.PCM)},
		"twice with a gap":  {Options{Times: 2, Gap: 10 * time.Millisecond}, []*Sound{short}, join(short.PCM, gap, short.PCM)},
		"two sounds":        {Options{}, []*Sound{short, long}, join(short.PCM, long.PCM)},
		"nothing between":   {Options{}, []*Sound{none, short, none, long, none}, join(short.PCM, long.PCM)},
		"nothing behind":    {Options{}, []*Sound{count(320), none}, count(320).PCM},
		"from the middle":   {Options{Start: 20 * time.Millisecond}, []*Sound{long}, join(long.PCM[160:])},
		"from the second":   {Options{Start: 20 * time.Millisecond, Times: 2}, []*Sound{short, long}, join(long.PCM[60:], short.PCM, long.PCM)},
		"from the end":      {Options{Start: time.Second}, []*Sound{long}, nil},
		"second time alone": {Options{Start: time.Second, Times: 2}, []*Sound{short}, join(short.PCM)},
		"nothing":           {Options{Times: -1}, nil, nil},
		"empty":             {Options{Times: -1, Gap: time.Second}, []*Sound{none}, nil},
	}
	for name, tt := range tests {
		p, err := Play(tt.o, tt.sounds...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, _ := drain(t, p, 160, 100); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %d samples, want %d", name, len(got), len(tt.want))
		}
	}
	p, err := Play(Options{Times: -1, FadeIn: 20 * time.Millisecond, Start: 2 * time.Hour}, long)
	if err != nil {
		t.Fatal(err)
	}
	got, frames := drain(t, p, 160, 1000)
	if frames != 1000 || got[0] != 0 || got[80] != long.PCM[80]/2 || got[4000] != long.PCM[0] {
		t.Errorf("without end: %d frames, begins %v", frames, got[:3])
	}
	if _, err := Play(Options{}, short, &Sound{Rate: 16000}); !errors.Is(err, ErrRate) {
		t.Errorf("two rates: %v", err)
	}
}

// forever is a Source of one value.
type forever struct{ value int16 }

func (f *forever) ReadFrame(frame codec.Frame) error {
	for i := range frame {
		frame[i] = f.value
	}
	return nil
}

func TestSwitchDoesNotClick(t *testing.T) {
	s := NewSwitch(8000, &forever{10000})
	frame := make(codec.Frame, 160)
	last := int16(10000)
	for i := range 10 {
		if i == 3 {
			s.To(&forever{-10000})
		}
		if i == 6 {
			p, err := Play(Options{}, count(320))
			if err != nil {
				t.Fatal(err)
			}
			s.To(p)
		}
		err := s.ReadFrame(frame)
		if want := error(nil); i >= 8 {
			if want = io.EOF; err != want {
				t.Errorf("frame %d: %v", i, err)
			}
			continue
		}
		for k, x := range frame {
			if step := int(x) - int(last); step > 200 || step < -200 {
				t.Fatalf("frame %d, sample %d: a step of %d", i, k, step)
			}
			last = x
		}
	}
	if last != 320 {
		t.Errorf("ends with %d", last)
	}
}

func TestMusicHasNoSeamAndIsNotLoud(t *testing.T) {
	l := New(Config{})
	for _, rate := range []int{8000, 16000} {
		m, err := l.Music(rate)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := l.Music(rate); again != m {
			t.Error("composed twice")
		}
		if m.Duration() != 20*time.Second {
			t.Errorf("lasts %v", m.Duration())
		}
		var sum float64
		steepest := 0
		for i, x := range m.PCM {
			sum += float64(x) * float64(x)
			if i > 0 {
				steepest = max(steepest, abs(int(x)-int(m.PCM[i-1])))
			}
		}
		if level := tone.Level(sum / float64(len(m.PCM))); level < -28 || level > -14 {
			t.Errorf("%.1f dBm0", level)
		}
		if seam := abs(int(m.PCM[0]) - int(m.PCM[len(m.PCM)-1])); seam > steepest/2 {
			t.Errorf("the seam is a step of %d, elsewhere at most %d", seam, steepest)
		}
	}
	if _, err := l.Music(11025); !errors.Is(err, ErrRate) {
		t.Errorf("odd rate: %v", err)
	}
}

func abs(x int) int { return max(x, -x) }

func TestStreamIsHeardAtOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		put(t, filepath.Join(folder, "a.al"), bytes.Repeat([]byte{g711.EncodeALaw(1000)}, 480)) // 3 frames
		put(t, filepath.Join(folder, "b.wav"), []byte("RIFF and no more"))
		put(t, filepath.Join(folder, "c.wav"), wave("PCM16", 8000, slices.Repeat([]int16{5000}, 320))) // 2 frames
		put(t, filepath.Join(folder, ".hidden.wav"), nil)
		l := New(Config{})
		s, err := NewStream(l, StreamConfig{Folder: folder, Gap: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()

		first, late := s.Listen(), s.Listen()
		first.fade, late.fade = 0, 0
		var got []int16
		frame, other := make(codec.Frame, 160), make(codec.Frame, 160)
		for i := range 14 {
			if err := first.ReadFrame(frame); err != nil {
				t.Fatal(err)
			}
			if i >= 4 {
				if err := late.ReadFrame(other); err != nil || !slices.Equal(frame, other) {
					t.Errorf("frame %d: the late one hears something else, %v", i, err)
				}
			}
			got = append(got, frame[80])
			synctest.Wait()
		}
		a := g711.DecodeALaw(g711.EncodeALaw(1000))
		if want := []int16{a, a, a, 0, 5000, 5000, 0, a, a, a, 0, 5000, 5000, 0}; !slices.Equal(got, want) {
			t.Errorf("heard %v, want %v", got, want)
		}
		if !errors.Is(s.Err(), wav.ErrFormat) {
			t.Errorf("the damaged file: %v", s.Err())
		}
		soft := s.Listen()
		if err := soft.ReadFrame(frame); err != nil || frame[0] != 0 {
			t.Errorf("begins with %d, %v", frame[0], err)
		}
		for range 10 {
			if err := soft.ReadFrame(frame); err != nil || soft.faded < soft.fade && frame[159] > 4500 {
				t.Errorf("after %d samples %d, %v", soft.faded, frame[159], err)
			}
			synctest.Wait()
		}
		if soft.faded != 1600 {
			t.Errorf("the music rises for %d samples", soft.faded)
		}
		if err := soft.ReadFrame(frame[:80]); err == nil {
			t.Error("half a frame was given")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := first.ReadFrame(frame); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestStreamOfNothingIsMusic(t *testing.T) {
	l := New(Config{})
	music, err := l.Music(8000)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"", t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		synctest.Test(t, func(t *testing.T) {
			s, err := NewStream(l, StreamConfig{Folder: folder, Shuffle: true})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- s.Run(ctx) }()
			synctest.Wait()
			in := s.Listen()
			in.fade = 0
			pcm, _ := drain(t, in, 160, 500)
			synctest.Wait() // the next is loaded
			rest, _ := drain(t, in, 160, 600)
			pcm = append(pcm, rest...)
			if !slices.Equal(pcm[:160000], music.PCM) || !slices.Equal(pcm[160000:176000], music.PCM[:16000]) {
				t.Errorf("%q: something else is heard", folder)
			}
			cancel()
			<-done
		})
	}
	if _, err := NewStream(l, StreamConfig{Rate: 11025}); err == nil {
		t.Error("odd rate was taken")
	}
}

func TestFramesAllocateNothing(t *testing.T) {
	l := New(Config{})
	p, err := Play(Options{Times: -1, Gap: 7 * time.Millisecond}, count(777))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewStream(l, StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	sw := NewSwitch(8000, p)
	a, b := s.Listen(), s.Listen()
	frame := make(codec.Frame, 160)
	n := testing.AllocsPerRun(500, func() {
		for _, source := range []Source{sw, a, b} {
			if err := source.ReadFrame(frame); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkListeners(b *testing.B) {
	s, err := NewStream(New(Config{}), StreamConfig{})
	if err != nil {
		b.Fatal(err)
	}
	in := s.Listen()
	frame := make(codec.Frame, 160)
	for b.Loop() {
		if err := in.ReadFrame(frame); err != nil {
			b.Fatal(err)
		}
	}
}
