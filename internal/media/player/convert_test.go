package player

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dialtone/internal/media/wav"
)

// convert returns the PCM of the file that an upload became.
func convert(t testing.TB, l *Library, in io.Reader, name string) ([]int16, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out.wav"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := l.Convert(in, name, out); err != nil {
		return nil, err
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	f, err := wav.NewReader(out)
	if err != nil || f.Rate != 16000 || f.Encoding != "PCM16" || f.Channels != 1 {
		t.Fatalf("%+v, %v", f, err)
	}
	pcm := make([]int16, 10*16000)
	n, err := f.Read(pcm)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return pcm[:n], nil
}

func music(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/tone.mp3") // 1 s of 1000 Hz at -10 dBFS or so
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConvert(t *testing.T) {
	l := New(Config{})
	mp3 := music(t)
	tagged := append([]byte("ID3\x03\x00\x00\x00\x00\x01\x00"), make([]byte, 128)...)
	opusFile, err := os.ReadFile("../ogg/testdata/tone.opus")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"a.mp3": mp3, "without a name": mp3, "b.mp3": append(tagged, mp3...), "c.wav": wave("PCM16", 48000, sine(48000, 1000, -10, 48000)),
		"d.opus": opusFile, "misnamed.mp3": wave("PCM16", 8000, sine(8000, 1000, -10, 8000)), "cut.mp3": mp3[:len(mp3)-100],
	} {
		pcm, err := convert(t, l, bytes.NewReader(b), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := float64(len(pcm)) / 16000; math.Abs(d-1) > 0.1 {
			t.Errorf("%s: %v s", name, d)
		}
		if level := hears(t, pcm, 16000); level < -14 || level > -4 {
			t.Errorf("%s: %.1f dBm0", name, level)
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	mp3 := music(t)
	broken := errors.New("connection reset")
	endless := &forevermore{b: mp3}
	huge := slices.Concat([]byte("ID3\x03\x00\x00\x7f\x7f\x7f\x7f"), mp3)
	tests := map[string]struct {
		c    Config
		in   io.Reader
		name string
		want error
	}{
		"text":               {Config{}, bytes.NewReader([]byte("this is not music, is it")), "a.txt", ErrFormat},
		"text named MP3":     {Config{}, bytes.NewReader(bytes.Repeat([]byte("x"), 5000)), "a.mp3", ErrFormat},
		"nothing":            {Config{}, bytes.NewReader(nil), "a.mp3", ErrFormat},
		"tag without end":    {Config{}, bytes.NewReader(huge), "a.mp3", ErrFormat},
		"too big":            {Config{Upload: 4000}, bytes.NewReader(mp3), "a.mp3", ErrBig},
		"too long":           {Config{Longest: 500 * time.Millisecond}, bytes.NewReader(mp3), "a.mp3", ErrLong},
		"no end":             {Config{Longest: 5 * time.Second}, endless, "a.mp3", ErrLong},
		"reading fails":      {Config{}, io.MultiReader(bytes.NewReader(mp3[:3000]), failing{broken}), "a.mp3", broken},
		"reading fails soon": {Config{}, failing{broken}, "a.mp3", broken},
		"WAVE of 3 bytes":    {Config{}, bytes.NewReader([]byte("RIF")), "a.wav", ErrFormat},
		"damaged WAVE":       {Config{}, bytes.NewReader([]byte("RIFFxxxxWAVE")), "a.wav", ErrFormat},
		"damaged Ogg":        {Config{}, bytes.NewReader([]byte("OggSxxxxxxx")), "a.opus", ErrFormat},
	}
	for name, tt := range tests {
		if _, err := convert(t, New(tt.c), tt.in, tt.name); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// forevermore repeats its bytes without end.
type forevermore struct {
	b  []byte
	at int
}

func (f *forevermore) Read(p []byte) (int, error) {
	n := copy(p, f.b[f.at:])
	f.at = (f.at + n) % len(f.b)
	return n, nil
}

// Whatever is uploaded becomes a file that is read again, or an error; never more than is allowed.
func FuzzConvert(f *testing.F) {
	b := music(f)
	f.Add(b[:2000], "a.mp3")
	f.Add(wave("PCM16", 11025, sine(11025, 1000, -10, 100)), "a.wav")
	f.Add(wave("PCMA", 8000, sine(8000, 1000, -10, 100)), "a")
	f.Add([]byte("abc"), "x.ul")
	if o, err := os.ReadFile("../ogg/testdata/tone.opus"); err == nil {
		f.Add(o, "a.opus")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte, name string) {
		l := New(Config{Longest: 2 * time.Second, Upload: 1 << 20})
		out, err := os.CreateTemp(dir, "out")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = out.Close()
			_ = os.Remove(out.Name())
		}()
		if err := l.Convert(bytes.NewReader(in), name, out); err != nil {
			return
		}
		s, err := l.Load(out.Name(), 16000)
		if err != nil || len(s.PCM) > 2*16000 {
			t.Fatalf("%v, %d samples", err, len(s.PCM))
		}
	})
}
