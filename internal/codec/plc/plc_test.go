package plc

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"dialtone/internal/codec/codectest"
)

// lose passes speech in packets of 20 ms of which some are lost, and gives what the concealer and what silence makes of
// it; and the lost packets alone, with what stands in their place.
func lose(pcm []int16, rate int, percent int) (concealed, zeroed, lost, made []int16) {
	random := rand.New(rand.NewPCG(7, 7))
	c := New(rate)
	for size := rate / 50; len(pcm) >= size; pcm = pcm[size:] {
		if random.IntN(100) < percent {
			concealed = c.Conceal(concealed, size)
			zeroed = append(zeroed, make([]int16, size)...)
			lost, made = append(lost, pcm[:size]...), append(made, concealed[len(concealed)-size:]...)
			continue
		}
		packet := slices.Clone(pcm[:size])
		c.Take(packet)
		concealed, zeroed = append(concealed, packet...), append(zeroed, pcm[:size]...)
	}
	return concealed, zeroed, lost, made
}

// Silence in place of a packet has a signal-to-noise ratio of 0 dB.
func TestConcealedSpeechIsNearerThanSilence(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		for _, percent := range []int{5, 10} {
			pcm := codectest.Speech(rate, 10*rate)
			concealed, zeroed, lost, made := lose(pcm, rate, percent)
			snr := codectest.SegmentalSNR(lost, made, rate)
			c, d := codectest.SpectralDistance(pcm, concealed, rate), codectest.SpectralDistance(pcm, zeroed, rate)
			t.Logf("%5d Hz, %2d %% lost: spectral distance %.2f dB, with silence %.2f; lost packets: segmental SNR %.2f dB", rate, percent, c, d, snr)
			if c > 0.4*d || snr < 0.5 {
				t.Errorf("%d Hz, %d %% lost: spectral distance %.2f dB, with silence %.2f; segmental SNR of lost packets %.2f dB", rate, percent, c, d, snr)
			}
		}
	}
}

// Of a steady vowel hardly anything is missing in the first 20 ms.
func TestSteadyVowelGoesOn(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		for _, pitch := range []float64{70, 97, 150, 195} {
			pcm := make([]int16, rate/2)
			for i := range pcm {
				at := 2 * math.Pi * pitch * float64(i) / float64(rate)
				pcm[i] = int16(4000*math.Sin(at) + 3000*math.Sin(2*at+1) + 2000*math.Sin(5*at+2))
			}
			c := New(rate)
			c.Take(slices.Clone(pcm[:rate/4]))
			got := c.Conceal(nil, rate/100)
			if s := codectest.SNR(pcm[rate/4:rate/4+rate/100], got); s < 12 {
				t.Errorf("%d Hz, pitch %.0f: %.1f dB", rate, pitch, s)
			}
		}
	}
}

func TestFadesToSilenceAndComesBackSmoothly(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		c, ms := New(rate), rate/1000
		sine := func(n int) []int16 {
			pcm := make([]int16, n)
			for i := range pcm {
				pcm[i] = int16(10000 * math.Sin(2*math.Pi*200*float64(i)/float64(rate)))
			}
			return pcm
		}
		c.Take(sine(200 * ms))
		got := c.Conceal(nil, 100*ms)
		last := math.Inf(1)
		for i := 0; i < 60; i += 10 {
			level := codectest.Level(got[i*ms : (i+10)*ms])
			if level > last || i < 10 && level < 5000 {
				t.Errorf("%d Hz: level %.0f after %d ms, %.0f before", rate, level, i, last)
			}
			last = level
		}
		if level := codectest.Level(got[60*ms:]); level != 0 {
			t.Errorf("%d Hz: level %.0f after 60 ms", rate, level)
		}
		back := sine(40 * ms)
		c.Take(back)
		all := append(got, back...)
		most := 0
		for i := 1; i < len(all); i++ {
			most = max(most, int(all[i])-int(all[i-1]), int(all[i-1])-int(all[i]))
		}
		if limit := 2 * int(10000*2*math.Pi*200/float64(rate)); most > limit {
			t.Errorf("%d Hz: a step of %d, more than %d", rate, most, limit)
		}
		if level := codectest.Level(back[10*ms:]); level < 6900 {
			t.Errorf("%d Hz: level %.0f 10 ms after the return", rate, level)
		}
	}
}

// However the loss is cut into calls, the same comes out.
func TestPiecesDoNotMatter(t *testing.T) {
	pcm := codectest.Speech(8000, 8000)
	whole := New(8000)
	whole.Take(slices.Clone(pcm[:2000]))
	want := whole.Conceal(nil, 800)
	for _, piece := range []int{1, 40, 77, 160} {
		c := New(8000)
		c.Take(slices.Clone(pcm[:2000]))
		var got []int16
		for len(got) < 800 {
			got = c.Conceal(got, min(piece, 800-len(got)))
		}
		if piece >= 40 && !slices.Equal(got, want) {
			t.Errorf("pieces of %d samples differ", piece)
		}
		if len(got) != 800 || codectest.Level(got[480:]) != 0 {
			t.Errorf("pieces of %d samples: %d samples, level %.0f at the end", piece, len(got), codectest.Level(got[480:]))
		}
	}
}

// Any order of losses and arrivals of any length, from silence to full scale.
func FuzzAnyOrder(f *testing.F) {
	f.Add([]byte{1, 200, 0, 3, 5, 255, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		c := New(16000)
		var out []int16
		for i, b := range script {
			n := int(b) * 3
			if i%2 == 0 {
				if out = c.Conceal(out[:0], n); len(out) != n {
					t.Fatalf("%d samples, want %d", len(out), n)
				}
				continue
			}
			in := make([]int16, n)
			for j := range in {
				in[j] = int16(j*int(b)*911 - 32768)
			}
			c.Take(in)
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	c, pcm := New(8000), codectest.Speech(8000, 160)
	out := make([]int16, 0, 160)
	if n := testing.AllocsPerRun(100, func() {
		c.Take(pcm)
		out = c.Conceal(out[:0], 160)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	c, pcm := New(8000), codectest.Speech(8000, 160)
	b.ReportAllocs()
	for b.Loop() {
		c.Take(pcm)
	}
}

func BenchmarkConceal(b *testing.B) {
	c, pcm := New(8000), codectest.Speech(8000, 8000)
	var out []int16
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i % 50 * 160
		c.Take(pcm[at : at+160])
		out = c.Conceal(out[:0], 160)
	}
}
