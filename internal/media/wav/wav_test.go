package wav

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dialtone/internal/codec/g711"
)

// file builds a WAVE file; size overrides what the header says of the samples, -1 for the truth.
func file(tag, channels uint16, rate uint32, bits uint16, data []byte, size int64, before ...byte) []byte {
	b := []byte("RIFF\xff\xff\xff\xffWAVE")
	b = append(b, before...)
	b = append(b, "fmt \x10\x00\x00\x00"...)
	b = binary.LittleEndian.AppendUint16(b, tag)
	b = binary.LittleEndian.AppendUint16(b, channels)
	b = binary.LittleEndian.AppendUint32(b, rate)
	frame := channels * bits / 8
	b = binary.LittleEndian.AppendUint32(b, rate*uint32(frame))
	b = binary.LittleEndian.AppendUint16(b, frame)
	b = binary.LittleEndian.AppendUint16(b, bits)
	b = append(b, "data"...)
	if size < 0 {
		size = int64(len(data))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	return append(b, data...)
}

func pcm16(samples ...int16) []byte {
	var b []byte
	for _, s := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return b
}

func sine(rate int, hz, amplitude float64, n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		pcm[i] = int16(math.Round(amplitude * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return pcm
}

func TestLoad(t *testing.T) {
	samples := []int16{0, 1000, -1000, 32767, -32768, 5}
	laws := []byte{0xd5, 0xff, 0x2a, 0x80}
	tests := map[string]struct {
		in   []byte
		want []int16
	}{
		"PCM16":           {file(1, 1, 8000, 16, pcm16(samples...), -1), samples},
		"stereo":          {file(1, 2, 8000, 16, pcm16(100, 300, -32768, -32768, 32767, 32767), -1), []int16{200, -32768, 32767}},
		"A-law":           {file(6, 1, 8000, 8, laws, -1), g711.ALaw{}.Decode(nil, laws)},
		"mu-law":          {file(7, 1, 8000, 8, laws, -1), g711.MuLaw{}.Decode(nil, laws)},
		"streamed":        {file(1, 1, 8000, 16, pcm16(samples...), 0xffffffff), samples},
		"size 0":          {file(1, 1, 8000, 16, pcm16(samples...), 0), nil},
		"odd tail":        {file(1, 1, 8000, 16, append(pcm16(samples...), 7), -1), samples},
		"half a frame":    {file(1, 2, 8000, 16, pcm16(1, 1, 9), -1), []int16{1}},
		"chunk before":    {file(1, 1, 8000, 16, pcm16(samples...), -1, []byte("LIST\x03\x00\x00\x00abc\x00")...), samples},
		"trailing chunk":  {append(file(1, 1, 8000, 16, pcm16(samples...), -1), "LIST\x00\x00\x00\x00"...), samples},
		"less than it is": {file(1, 1, 8000, 16, pcm16(samples...), 4), samples[:2]},
	}
	for name, tt := range tests {
		got, err := Load(bytes.NewReader(tt.in), 0)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tt.want)
		}
	}
}

func TestExtensibleFormat(t *testing.T) {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x28\x00\x00\x00\xfe\xff\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00")
	b = append(b, "\x16\x00\x10\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"...)
	b = append(b, "data\x02\x00\x00\x00\x39\x30"...)
	got, err := Load(bytes.NewReader(b), 0)
	if err != nil || !slices.Equal(got, []int16{12345}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRefusedFiles(t *testing.T) {
	data := pcm16(1, 2, 3)
	tests := map[string][]byte{
		"empty":          nil,
		"text":           []byte("this is no sound file at all"),
		"AVI":            []byte("RIFF\x00\x00\x00\x00AVI fmt "),
		"no format":      []byte("RIFF\x00\x00\x00\x00WAVEdata\x02\x00\x00\x00\x00\x00"),
		"format cut":     []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00"),
		"format tiny":    []byte("RIFF\x00\x00\x00\x00WAVEfmt \x02\x00\x00\x00\x01\x00"),
		"format huge":    []byte("RIFF\x00\x00\x00\x00WAVEfmt \xff\xff\xff\x7f\x01\x00"),
		"chunk lies":     []byte("RIFF\x00\x00\x00\x00WAVELIST\xff\xff\xff\xff\x01\x00"),
		"chunk cut":      []byte("RIFF\x00\x00\x00\x00WAVELIST\xff\x00\x00\x00\x01\x00"),
		"24 bits":        file(1, 1, 8000, 24, data, -1),
		"float":          file(3, 1, 8000, 32, data, -1),
		"MP3":            file(0x55, 1, 8000, 0, data, -1),
		"no channel":     file(1, 0, 8000, 16, data, -1),
		"6 channels":     file(1, 6, 8000, 16, data, -1),
		"rate 0":         file(1, 1, 0, 16, data, -1),
		"rate 44101":     file(1, 1, 44101, 16, data, -1),
		"rate 2^32-1":    file(1, 1, 1<<32-1, 16, data, -1),
		"endless chunks": append([]byte("RIFF\x00\x00\x00\x00WAVE"), bytes.Repeat([]byte("LIST\x00\x00\x00\x00"), 5000)...),
		"too long":       file(1, 1, 8000, 16, make([]byte, 2*8001), -1),
	}
	for name, in := range tests {
		if _, err := Load(bytes.NewReader(in), 8000); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestReadErrorsArePassedOn(t *testing.T) {
	broken := errors.New("disk on fire")
	whole := file(1, 1, 8000, 16, pcm16(1, 2, 3, 4), -1)
	for _, n := range []int{0, 5, 14, 30, 46} {
		r := io.MultiReader(bytes.NewReader(whole[:n]), failing{broken})
		if _, err := Load(r, 0); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// level is the amplitude of one frequency, the rest the root mean square of everything else, in the middle of pcm.
func level(pcm []int16, rate int, hz float64) (amplitude, rest float64) {
	pcm = pcm[400 : len(pcm)-400]
	pcm = pcm[:len(pcm)/rate*rate]
	var re, im, total float64
	for i, s := range pcm {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		re += float64(s) * cos
		im += float64(s) * sin
		total += float64(s) * float64(s)
	}
	n := float64(len(pcm))
	amplitude = 2 * math.Hypot(re, im) / n
	return amplitude, math.Sqrt(max(0, total/n-amplitude*amplitude/2))
}

func TestOtherRatesKeepSpeech(t *testing.T) {
	for _, rate := range []int{11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000} {
		for _, hz := range []float64{100, 440, 1000, 2000, 3000, 3400} {
			data := pcm16(sine(rate, hz, 10000, 3*rate)...)
			pcm, err := Load(bytes.NewReader(file(1, 1, uint32(rate), 16, data, -1)), 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(pcm) != 24000 {
				t.Errorf("%d Hz: 3 s became %d samples", rate, len(pcm))
			}
			amplitude, rest := level(pcm, 8000, hz)
			if math.Abs(amplitude-10000) > 100 || rest > 10 {
				t.Errorf("%d Hz: a tone of %v Hz came out with %.0f of 10000, distortion %.1f", rate, hz, amplitude, rest)
			}
		}
	}
}

func TestWriterLeavesAWholeFileAfterEachFlush(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w, err := NewWriter(out, 8000)
	if err != nil {
		t.Fatal(err)
	}
	check := func(want []int16) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Load(bytes.NewReader(b), 0)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("file has %d samples (%v), want %d", len(got), err, len(want))
		}
	}
	check(nil)
	var all []int16
	for i := range 20 {
		pcm := sine(8000, 100*float64(i+1), 8000, 160*i*3)
		if err := w.Write(pcm); err != nil {
			t.Fatal(err)
		}
		check(all) // what was not flushed does not count
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		all = append(all, pcm...)
		check(all)
		b, _ := os.ReadFile(path)
		if riff := binary.LittleEndian.Uint32(b[4:]); int(riff) != len(b)-8 {
			t.Fatalf("RIFF size %d of a file of %d bytes", riff, len(b))
		}
	}
}

func TestWriterStopsAtFailureAndAtTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(out, 8000)
	if err != nil {
		t.Fatal(err)
	}
	w.written = math.MaxUint32 - headerSize - 10
	if err := w.Write(make([]int16, 6)); !errors.Is(err, ErrFull) {
		t.Errorf("beyond 4 GiB: %v", err)
	}
	if err := w.Write(make([]int16, 5)); err != nil {
		t.Errorf("up to 4 GiB: %v", err)
	}
	out.Close()
	if err := w.Flush(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Flush to a closed file: %v", err)
	}
	if err := w.Write(make([]int16, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after the failure: %v", err)
	}
	if _, err := NewWriter(out, 8000); !errors.Is(err, os.ErrClosed) {
		t.Errorf("header to a closed file: %v", err)
	}
}

// What can be loaded and is written again loads as the same samples; nothing makes more samples than the file has.
func FuzzLoad(f *testing.F) {
	f.Add(file(1, 1, 8000, 16, pcm16(1, 2, 3), -1))
	f.Add(file(1, 2, 44100, 16, pcm16(1, 2, 3, 4), 0xffffffff))
	f.Add(file(6, 1, 16000, 8, []byte{1, 2, 3}, 2))
	f.Add(file(7, 2, 11025, 8, []byte{1, 2, 3}, -1, []byte("LIST\x01\x00\x00\x00a\x00")...))
	f.Fuzz(func(t *testing.T, in []byte) {
		pcm, err := Load(bytes.NewReader(in), 1<<20)
		if err != nil {
			return
		}
		if len(pcm) > len(in) {
			t.Fatalf("%d bytes became %d samples", len(in), len(pcm))
		}
		path := filepath.Join(t.TempDir(), "a.wav")
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		w, err := NewWriter(out, 8000)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(pcm), w.Flush()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Load(bytes.NewReader(b), 0); err != nil || !slices.Equal(again, pcm) {
			t.Fatalf("written and read again: %d samples, %v, want %d", len(again), err, len(pcm))
		}
	})
}

func BenchmarkLoad44100(b *testing.B) {
	in := file(1, 1, 44100, 16, pcm16(sine(44100, 440, 10000, 44100)...), -1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(bytes.NewReader(in), 0); err != nil {
			b.Fatal(err)
		}
	}
}
