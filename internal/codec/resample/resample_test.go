package resample

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

func sine(rate int, hz, amplitude float64, n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		pcm[i] = int16(math.Round(amplitude * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return pcm
}

func convert(t testing.TB, from, to int, pcm []int16) []int16 {
	t.Helper()
	r, err := New(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return r.Flush(r.Write(nil, pcm))
}

// level is the amplitude of one frequency, the rest the root mean square of everything else, in the middle of pcm.
func level(pcm []int16, rate int, hz float64) (amplitude, rest float64) {
	pcm = pcm[600 : len(pcm)-600]
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

func rates() []int { return []int{8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000} }

func TestSpeechStaysAsItIs(t *testing.T) {
	for _, from := range rates() {
		for _, to := range []int{8000, 16000, 48000} {
			for _, hz := range []float64{100, 1000, 3000, 3400} {
				in := sine(from, hz, 10000, 3*from/2)
				pcm := convert(t, from, to, in)
				if want := (len(in)*to + from - 1) / from; len(pcm) != want {
					t.Errorf("%d to %d Hz: %d samples became %d, want %d", from, to, len(in), len(pcm), want)
				}
				if amplitude, rest := level(pcm, to, hz); math.Abs(amplitude-10000) > 100 || rest > 10 {
					t.Errorf("%d to %d Hz: a tone of %v Hz came out with %.0f of 10000, distortion %.1f", from, to, hz, amplitude, rest)
				}
			}
		}
	}
}

// What would fold into speech is gone: 4600, 5000 and 5500 Hz would be heard at 3400, 3000 and 2500 Hz.
func TestAliasesAreGone(t *testing.T) {
	for _, from := range rates()[1:] {
		for _, hz := range []float64{4600, 5000, 5500} {
			pcm := convert(t, from, 8000, sine(from, hz, 10000, 3*from/2))
			if amplitude, rest := level(pcm, 8000, 8000-hz); amplitude > 10 || rest > 10 {
				t.Errorf("%d Hz: %v Hz folds back with %.1f, %.1f of 10000", from, hz, amplitude, rest)
			}
		}
	}
}

func TestItIsTheSameInAnyPieces(t *testing.T) {
	for _, rates := range [][2]int{{44100, 8000}, {16000, 8000}, {8000, 16000}, {8000, 48000}, {8000, 8000}, {8000, 11025}, {96000, 8000}, {48000, 8000}} {
		in := sine(rates[0], 700, 12000, 10007)
		want := convert(t, rates[0], rates[1], in)
		if n := (len(in)*rates[1] + rates[0] - 1) / rates[0]; len(want) != n {
			t.Errorf("%v: %d samples, want %d", rates, len(want), n)
		}
		for _, piece := range []int{1, 7, 160, 4096} {
			r, err := New(rates[0], rates[1])
			if err != nil {
				t.Fatal(err)
			}
			var got []int16
			for rest := in; len(rest) > 0; {
				n := min(piece, len(rest))
				got = r.Write(got, rest[:n])
				rest = rest[n:]
			}
			if got = r.Flush(got); !slices.Equal(got, want) {
				t.Errorf("%v in pieces of %d differs", rates, piece)
			}
		}
	}
	if _, err := New(8000, 7999); !errors.Is(err, ErrRate) {
		t.Errorf("odd rate: %v", err)
	}
}

// A stream gives 10 ms for 10 ms from the first call on, and is late by what Delay says.
func TestStreamsKeepTime(t *testing.T) {
	for _, from := range rates() {
		for _, to := range rates() {
			if from%100 != 0 || to%100 != 0 {
				continue // 11025 Hz has no whole 10 ms
			}
			r, err := NewStream(from, to)
			if err != nil {
				t.Fatal(err)
			}
			in := sine(from, 300, 10000, from/2)
			var out []int16
			for at := 0; at < len(in); at += from / 100 {
				before := len(out)
				if out = r.Write(out, in[at:at+from/100]); len(out)-before != to/100 {
					t.Fatalf("%d to %d Hz: 10 ms became %d samples", from, to, len(out)-before)
				}
			}
			late := float64(r.Delay()) / float64(from)
			if late > 0.0035 {
				t.Errorf("%d to %d Hz: %.2f ms late", from, to, 1000*late)
			}
			for i := to / 10; i < len(out); i++ {
				want := 10000 * math.Sin(2*math.Pi*300*(float64(i)/float64(to)-late))
				if math.Abs(want-float64(out[i])) > 60 {
					t.Fatalf("%d to %d Hz: sample %d is %d, want %.0f", from, to, i, out[i], want)
				}
			}
		}
	}
}

func TestFullScaleDoesNotWrap(t *testing.T) {
	in := make([]int16, 8000)
	for i := range in {
		in[i] = math.MaxInt16
		if i/100%2 == 1 {
			in[i] = math.MinInt16
		}
	}
	for i, s := range convert(t, 8000, 16000, in) {
		if at := i % 200; at > 20 && at < 180 && (s > 0) != (in[i/2] > 0) {
			t.Fatalf("sample %d: %d", i, s)
		}
	}
}

func TestMultiplesKeepWhatWasThere(t *testing.T) {
	in := sine(8000, 1234, 20000, 4000)
	for _, times := range []int{2, 3, 6} {
		out := convert(t, 8000, 8000*times, in)
		for i, s := range in {
			if out[i*times] != s {
				t.Fatalf("times %d: sample %d changed from %d to %d", times, i, s, out[i*times])
			}
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	for _, rates := range [][2]int{{8000, 16000}, {16000, 8000}, {48000, 8000}, {44100, 8000}, {8000, 48000}} {
		r, err := NewStream(rates[0], rates[1])
		if err != nil {
			t.Fatal(err)
		}
		in, out := make([]int16, rates[0]/50), make([]int16, 0, rates[1]/50+2)
		if n := testing.AllocsPerRun(100, func() { out = r.Write(out[:0], in) }); n != 0 {
			t.Errorf("%v: %v allocations a call", rates, n)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, rates := range [][2]int{{8000, 16000}, {16000, 8000}, {16000, 48000}, {48000, 16000}, {8000, 48000}, {48000, 8000}, {44100, 8000}} {
		b.Run(fmt.Sprintf("%dto%d", rates[0], rates[1]), func(b *testing.B) {
			r, err := NewStream(rates[0], rates[1])
			if err != nil {
				b.Fatal(err)
			}
			in, out := sine(rates[0], 440, 10000, rates[0]/50), make([]int16, 0, rates[1]/50+2)
			b.ReportAllocs()
			for b.Loop() {
				out = r.Write(out[:0], in)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := NewStream(8000, 16000); err != nil {
			b.Fatal(err)
		}
	}
}

// The filter without its zeros is the filter.
func TestHalvingIsTheWholeFilter(t *testing.T) {
	f := design(1, 2, zeroCrossings)
	h := halve(f.phases[0])
	window := make([]float32, f.width)
	for i := range window {
		window[i] = float32(i * i % 997)
	}
	got, want := h.at((*[2*farthest + 1]float32)(window)), dot(f.phases[0], window)
	if math.Abs(float64(got-want)) > 0.01 {
		t.Errorf("%f, want %f", got, want)
	}
}
