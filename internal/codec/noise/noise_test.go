package noise

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"dialtone/internal/codec"
	"dialtone/internal/codec/codectest"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		payload []byte
		want    Description
	}{
		{[]byte{0}, Description{}},
		{[]byte{63}, Description{Level: -63}},
		{[]byte{0xff}, Description{Level: -127}},
		{[]byte{40, 127, 0, 254}, Description{Level: -40, Order: 3, Reflection: [MaxOrder]float64{0, -0.99993896484375, 0.99993896484375}}},
		{[]byte{40, 128, 255, 3}, Description{Level: -40, Order: 1, Reflection: [MaxOrder]float64{0.00787353515625}}},
		{append([]byte{40}, bytes.Repeat([]byte{127}, 2000)...), Description{Level: -40, Order: MaxOrder}},
	} {
		if got, err := Parse(tt.payload); err != nil || got != tt.want {
			t.Errorf("% x: %+v, %v", tt.payload[:min(len(tt.payload), 8)], got, err)
		}
	}
	if _, err := Parse(nil); !errors.Is(err, ErrPayload) {
		t.Errorf("nothing: %v", err)
	}
}

// What is printed is parsed to the same, and whatever comes makes noise of about the level it says.
func FuzzParse(f *testing.F) {
	f.Add([]byte{50, 100, 150, 254, 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		d, err := Parse(payload)
		if err != nil {
			return
		}
		again, err := Parse(d.Append(nil))
		if err != nil || again != d {
			t.Fatalf("%+v came back as %+v, %v", d, again, err)
		}
		g := NewGenerator(1)
		g.Set(d)
		if l := level(g.Append(nil, 4000)); l > d.Level+12 && l > -90 {
			t.Fatalf("noise of %.1f dBov, want %.0f", l, d.Level)
		}
	})
}

// coloured makes noise with a peak in its spectrum.
func coloured(amplitude float64, n int) codec.Frame {
	g := NewGenerator(99)
	pcm := make(codec.Frame, n)
	var a, b float64
	for i := range pcm {
		s := amplitude*g.white() + 1.2*a - 0.6*b
		pcm[i] = int16(min(max(s, -32768), 32767))
		a, b = s, a
	}
	return pcm
}

// Noise that is measured, described in a payload and made again has the level and the spectrum of the original.
func TestNoiseComesBack(t *testing.T) {
	for _, amplitude := range []float64{20, 200, 2000} {
		want := coloured(amplitude, 16000)
		var a Analyser
		for at := 0; at < len(want); at += 160 {
			a.Take(want[at : at+160])
		}
		described := a.Describe()
		d, err := Parse(described.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		g := NewGenerator(5)
		g.Set(d)
		got := g.Append(nil, len(want))
		if x, y := level(want), level(got); math.Abs(x-y) > 1.5 {
			t.Errorf("level %.1f dBov, came back as %.1f", x, y)
		}
		var b Analyser
		for at := 0; at < len(got); at += 160 {
			b.Take(got[at : at+160])
		}
		again := b.Describe()
		for i := range 3 {
			if math.Abs(again.Reflection[i]-described.Reflection[i]) > 0.12 {
				t.Errorf("reflection coefficient %d: %.2f, came back as %.2f", i+1, described.Reflection[i], again.Reflection[i])
			}
		}
		// A spectrum 1/(1 - 1.2z^-1 + 0.6z^-2) has the reflection coefficients -0.75 and 0.6.
		if math.Abs(described.Reflection[0]+0.75) > 0.1 || math.Abs(described.Reflection[1]-0.6) > 0.1 {
			t.Errorf("reflection coefficients %.2f, %.2f", described.Reflection[0], described.Reflection[1])
		}
	}
}

func TestLevelsAreKept(t *testing.T) {
	for _, want := range []float64{-20, -40, -60, -75} {
		g := NewGenerator(3)
		g.Set(Description{Level: want})
		if got := level(g.Append(nil, 8000)); math.Abs(got-want) > 0.5 {
			t.Errorf("%.1f dBov, want %.0f", got, want)
		}
	}
	g := NewGenerator(3)
	if l := codectest.Level(g.Append(nil, 800)); l != 0 {
		t.Errorf("level %f before anything was set", l)
	}
	g.Set(Description{Level: -40})
	g.Append(nil, 800)
	g.Set(Description{Level: -60})
	if first := level(g.Append(nil, 80)); first < -50 {
		t.Errorf("a step down to %.1f dBov at once", first)
	}
	g.Append(nil, 4000)
	if later := level(g.Append(nil, 4000)); math.Abs(later+60) > 0.5 {
		t.Errorf("%.1f dBov, want -60", later)
	}
}

func TestAnalyserOfSilence(t *testing.T) {
	var a Analyser
	if d := a.Describe(); d.Level != quietest {
		t.Errorf("level %.1f of nothing", d.Level)
	}
	a.Take(make(codec.Frame, 160))
	if d := a.Describe(); d.Level != quietest || d.Reflection != [MaxOrder]float64{} {
		t.Errorf("silence is %+v", d)
	}
}

// Speech in noise is found, its pauses are, and noise alone is none.
func TestDetector(t *testing.T) {
	for _, rate := range []int{8000, 16000} {
		for _, behind := range []float64{-70, -55, -45} {
			speech := codectest.Speech(rate, 20*rate)
			g := NewGenerator(8)
			g.Set(Description{Level: behind})
			background := g.Append(nil, len(speech))
			d, size := NewDetector(rate), rate/50
			missed, spoken, wrong, silent, since := 0, 0, 0, 0, 0
			frame := make(codec.Frame, size)
			for at := 0; at < len(speech); at += size {
				for i := range frame {
					frame[i] = int16(min(max(int(speech[at+i])+int(background[at+i]), -32768), 32767))
				}
				active := d.Active(frame)
				since++
				switch l := level(speech[at : at+size]); {
				case l > -35:
					if spoken++; !active {
						missed++
					}
					since = 0
				case l < -60 && since > 11:
					if silent++; active {
						wrong++
					}
				}
			}
			t.Logf("%d Hz, noise of %.0f dBov: %d of %d frames of speech missed, %d of %d pauses taken for speech", rate, behind, missed, spoken, wrong, silent)
			if missed > spoken/50 || wrong > silent/20 || spoken < 300 || silent < 20 {
				t.Errorf("%d Hz, noise of %.0f dBov: %d of %d frames of speech missed, %d of %d pauses taken for speech", rate, behind, missed, spoken, wrong, silent)
			}
		}
	}
}

func TestDetectorFollowsNoiseButNotSpeech(t *testing.T) {
	g, d := NewGenerator(8), NewDetector(8000)
	g.Set(Description{Level: -60})
	for range 100 {
		d.Active(g.Append(nil, 160))
	}
	g.Set(Description{Level: -46})
	for range 750 {
		d.Active(g.Append(nil, 160))
	}
	if d.Active(g.Append(nil, 160)) {
		t.Errorf("noise that grew by 14 dB is speech after 15 s; floor %.1f", d.Floor())
	}
	loud := coloured(3000, 160)
	for range 3000 {
		if !d.Active(loud) {
			t.Fatal("a loud and steady sound was taken for noise")
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	var a Analyser
	g, d, pcm := NewGenerator(1), NewDetector(8000), coloured(100, 160)
	out, payload := make(codec.Frame, 0, 160), make([]byte, 0, 16)
	if n := testing.AllocsPerRun(100, func() {
		a.Take(pcm)
		x := a.Describe()
		payload = x.Append(payload[:0])
		y, _ := Parse(payload)
		g.Set(y)
		out = g.Append(out[:0], 160)
		d.Active(out)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGenerate(b *testing.B) {
	g, out := NewGenerator(1), make(codec.Frame, 0, 160)
	var a Analyser
	a.Take(coloured(100, 160))
	g.Set(a.Describe())
	b.ReportAllocs()
	for b.Loop() {
		out = g.Append(out[:0], 160)
	}
}

func BenchmarkDetect(b *testing.B) {
	d, pcm := NewDetector(8000), coloured(100, 160)
	b.ReportAllocs()
	for b.Loop() {
		d.Active(pcm)
	}
}
