package tone

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
)

func play(c Cadence, d time.Duration) []int16 {
	pcm := make([]int16, int(int64(d)*Rate/int64(time.Second)))
	g := NewGenerator(c)
	for rest := pcm; len(rest) > 0; {
		n := min(160, len(rest))
		g.Read(rest[:n])
		rest = rest[n:]
	}
	return pcm
}

func meanSquare(pcm []int16) float64 {
	var sum float64
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	return sum / float64(len(pcm))
}

func listen(pcm []int16) *Detector {
	d := new(Detector)
	for rest := pcm; len(rest) > 0; {
		n := min(160, len(rest))
		d.Write(rest[:n])
		rest = rest[n:]
	}
	return d
}

// The eight bytes of the digital milliwatt (G.711 Tables 5 and 6) are 1000 Hz at 0 dBm0.
func TestDigitalMilliwattIsZero(t *testing.T) {
	for name, pcm := range map[string]codec.Frame{
		"A-law":  g711.ALaw{}.Decode(nil, []byte{0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4}),
		"mu-law": g711.MuLaw{}.Decode(nil, []byte{0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e}),
	} {
		if l := Level(meanSquare(pcm)); math.Abs(l) > 0.1 {
			t.Errorf("%s: total level %.2f dBm0", name, l)
		}
		if l := Goertzel(pcm, 1000); math.Abs(l) > 0.1 {
			t.Errorf("%s: level at 1000 Hz %.2f dBm0", name, l)
		}
	}
}

func TestGeneratorKeepsLevelFrequencyAndPhase(t *testing.T) {
	pcm := play(Sine(440, -13), 30*time.Second)
	if l := Level(meanSquare(pcm)); math.Abs(l+13) > 0.02 {
		t.Errorf("level %.3f dBm0, want -13", l)
	}
	for _, at := range []int{0, 1, 159, 160, 161, 8000, 239999} {
		want := Amplitude(-13) * math.Sin(2*math.Pi*440*float64(at)/Rate)
		if math.Abs(float64(pcm[at])-want) > 1 {
			t.Errorf("sample %d is %d, want %.1f", at, pcm[at], want)
		}
	}
}

func TestGoertzelTellsFrequenciesApart(t *testing.T) {
	pcm := play(Sine(440, -13), 100*time.Millisecond)
	if l := Goertzel(pcm, 440); math.Abs(l+13) > 0.1 {
		t.Errorf("440 Hz at %.2f dBm0, want -13", l)
	}
	for _, hz := range []float64{300, 350, 480, 600, 1000, 3000} {
		if l := Goertzel(pcm, hz); l > -35 {
			t.Errorf("%v Hz at %.2f dBm0 where there is none", hz, l)
		}
	}
	if l := Goertzel(nil, 440); l != -100 {
		t.Errorf("nothing has %v dBm0", l)
	}
}

func TestDetectorHearsExactFrequenciesThroughG711(t *testing.T) {
	laws := []interface {
		Name() string
		Encode(dst []byte, pcm codec.Frame) []byte
		Decode(dst codec.Frame, payload []byte) codec.Frame
	}{g711.ALaw{}, g711.MuLaw{}}
	for hz := 100; hz <= 3800; hz += 37 {
		law := laws[hz%2]
		pcm := law.Decode(nil, law.Encode(nil, play(Sine(float64(hz), -15), time.Second)))
		d := listen(pcm)
		if got := d.Hz(); !slices.Equal(got, []int{hz}) {
			t.Errorf("%d Hz through %s: heard %v", hz, law.Name(), got)
			continue
		}
		if f := d.Tones()[0]; math.Abs(f.DBm0+15) > 0.5 || f.Duration < 800*time.Millisecond {
			t.Errorf("%d Hz: %+v", hz, f)
		}
	}
}

func TestDetectorHearsPairsAndRows(t *testing.T) {
	pcm := play(Country("US").Ringback, 6*time.Second)
	pcm = append(pcm, play(Sine(1000, -20), 4*time.Second)...)
	d := listen(pcm)
	for _, hz := range []float64{440, 480, 1000} {
		if !d.Heard(hz) {
			t.Errorf("%v Hz not heard in %v", hz, d.Tones())
		}
	}
	if d.Heard(600) || d.Heard(620) || len(d.Tones()) != 3 {
		t.Errorf("heard %v", d.Tones())
	}
	if got := d.Hz()[0]; got != 1000 {
		t.Errorf("the longest is %d Hz, want 1000", got)
	}
}

func TestDetectorHearsNothingInSilenceAndNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]int16, 10*Rate)
	for i := range noise {
		noise[i] = int16(random.NormFloat64() * 3000)
	}
	for name, pcm := range map[string][]int16{
		"noise":   noise,
		"silence": make([]int16, 10*Rate),
		"faint":   play(Sine(440, -60), 10*time.Second),
		"short":   play(Sine(440, -10), 100*time.Millisecond),
	} {
		if got := listen(pcm).Hz(); len(got) > 0 {
			t.Errorf("%s: heard %v", name, got)
		}
	}
}

func TestCadences(t *testing.T) {
	for _, code := range append(Countries(), "ca", "") {
		p := Country(code)
		for name, c := range map[string]Cadence{"dial": p.Dial, "ringback": p.Ringback, "busy": p.Busy, "congestion": p.Congestion, "information": p.Information} {
			pcm := play(c, 12*time.Second)
			// Every 10 ms in the middle of a burst must sound or be silent as the cadence says.
			at := 0
			for i := 0; at < len(pcm)-Rate; i++ {
				b := c[i%len(c)]
				if b.Duration == 0 {
					b.Duration = 12 * time.Second
				}
				n := int(b.Duration * Rate / time.Second)
				loud := Level(meanSquare(pcm[at+n/2:at+n/2+80])) > -40
				if loud != (b.Tone.Hz[0] > 0) {
					t.Errorf("%s %s: burst %d sounds: %v", code, name, i, loud)
				}
				at += n
			}
		}
	}
	silence := play(nil, time.Second)
	if meanSquare(silence) != 0 {
		t.Error("an empty cadence sounds")
	}
}

func TestGeneratorClips(t *testing.T) {
	pcm := play(Cadence{{Tone{Hz: [2]float64{500, 500}, DBm0: 3}, 0}}, time.Second)
	if slices.Max(pcm) != 32767 || slices.Min(pcm) != -32768 {
		t.Errorf("range %d to %d", slices.Min(pcm), slices.Max(pcm))
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	g := NewGenerator(Country("GB").Ringback)
	var pcm [160]int16
	if n := testing.AllocsPerRun(1000, func() { g.Read(pcm[:]) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkGenerate20ms(b *testing.B) {
	g := NewGenerator(Country("US").Dial)
	var pcm [160]int16
	b.ReportAllocs()
	for b.Loop() {
		g.Read(pcm[:])
	}
}

func BenchmarkDetect20ms(b *testing.B) {
	pcm := play(Sine(440, -13), 20*time.Millisecond)
	d := new(Detector)
	b.ReportAllocs()
	for b.Loop() {
		d.Write(pcm)
	}
}
