package g722

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"dialtone/internal/codec"
)

var (
	_ codec.Encoder = (*Encoder)(nil)
	_ codec.Decoder = (*Decoder)(nil)
)

// delay is what both filters together hold a sample back.
const delay = taps - 2

// chirp sweeps from 100 to 6800 Hz in n samples, with a tone of 400 Hz below it.
func chirp(n int) codec.Frame {
	pcm := make(codec.Frame, n)
	phase := 0.0
	for i := range pcm {
		phase += 2 * math.Pi * (100 + 6700*float64(i)/float64(n)) / Rate
		pcm[i] = int16(6000*math.Sin(phase) + 6000*math.Sin(2*math.Pi*400*float64(i)/Rate))
	}
	return pcm
}

func sine(n int, frequency, amplitude float64) codec.Frame {
	pcm := make(codec.Frame, n)
	for i := range pcm {
		pcm[i] = int16(math.Round(amplitude * math.Sin(2*math.Pi*frequency*float64(i)/Rate)))
	}
	return pcm
}

// roundTrip encodes and decodes in packets of 20 ms.
func roundTrip(pcm codec.Frame) codec.Frame {
	e, d := NewEncoder(), NewDecoder()
	var out codec.Frame
	for len(pcm) > 0 {
		n := min(len(pcm), 320)
		out = d.Decode(out, e.Encode(nil, pcm[:n]))
		pcm = pcm[n:]
	}
	return out
}

// snr compares in decibels, past the first 50 ms, in which the coder adapts.
func snr(want, got codec.Frame, delay int) float64 {
	var signal, noise float64
	for i := 800; i+delay < len(got) && i < len(want); i++ {
		signal += float64(want[i]) * float64(want[i])
		d := float64(want[i]) - float64(got[i+delay])
		noise += d * d
	}
	return 10 * math.Log10(signal/max(noise, 1))
}

// gain is the level of one frequency in got, relative to want, in decibels: what a filter would measure, without noise.
func gain(want, got codec.Frame, frequency float64) float64 {
	level := func(pcm codec.Frame) float64 {
		var re, im float64
		for i, s := range pcm[1600:14400] { // whole periods of any multiple of 10 Hz
			angle := 2 * math.Pi * frequency * float64(i) / Rate
			re += float64(s) * math.Cos(angle)
			im += float64(s) * math.Sin(angle)
		}
		return math.Hypot(re, im)
	}
	return 20 * math.Log10(level(got)/level(want))
}

// The gains of both bands, and how far the noise stays below: six bits in the lower band, two in the upper.
func TestBands(t *testing.T) {
	for _, tt := range []struct {
		frequency, deviation, snr float64
	}{
		{50, 0.1, 50}, {300, 0.1, 50}, {1000, 0.1, 40}, {2000, 0.1, 40}, {3000, 0.1, 35}, {3400, 0.1, 30},
		{3900, 0.2, 30}, {4100, 0.2, 30}, {4600, 0.2, 20}, {5000, 0.2, 18}, {6000, 0.2, 20}, {7000, 0.2, 18},
	} {
		in := sine(Rate, tt.frequency, 8000)
		out := roundTrip(in)
		g, s := gain(in, out, tt.frequency), snr(in, out, delay)
		t.Logf("%4.0f Hz: gain %+.2f dB, signal to noise %.1f dB", tt.frequency, g, s)
		if math.Abs(g) > tt.deviation || s < tt.snr {
			t.Errorf("%4.0f Hz: gain %+.2f dB, signal to noise %.1f dB; want within %.1f, above %.0f", tt.frequency, g, s, tt.deviation, tt.snr)
		}
	}
}

func TestLevels(t *testing.T) {
	for _, amplitude := range []float64{100, 1000, 8000, 16000, 32000} {
		in := sine(Rate, 1000, amplitude)
		if s := snr(in, roundTrip(in), delay); s < 20 {
			t.Errorf("amplitude %.0f: signal to noise %.1f dB", amplitude, s)
		}
	}
}

func TestSilenceStaysSilent(t *testing.T) {
	for _, s := range roundTrip(make(codec.Frame, Rate))[800:] {
		if s > 4 || s < -4 {
			t.Fatalf("silence came back as %d", s)
		}
	}
}

// A square of full scale is the worst there is: it must come back without wrapping round.
func TestFullScaleDoesNotWrap(t *testing.T) {
	in := make(codec.Frame, Rate)
	for i := range in {
		in[i] = math.MaxInt16
		if i/80%2 == 1 {
			in[i] = math.MinInt16
		}
	}
	out := roundTrip(in)
	for i := 800; i+delay < len(out); i++ {
		if at := i % 80; at > 20 && at < 60 && (in[i] > 0) != (out[i+delay] > 0) {
			t.Fatalf("sample %d: %d came back as %d", i, in[i], out[i+delay])
		}
	}
}

// After any payload at all the decoder finds back to the encoder within a quarter of a second.
func TestRandomPayloadsDoNotUpsetForLong(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	in := sine(Rate, 700, 8000)
	for range 50 {
		noise := make([]byte, random.IntN(2000))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		e, d := NewEncoder(), NewDecoder()
		d.Decode(nil, noise)
		out := d.Decode(nil, e.Encode(nil, in))
		if s := snr(in[4000:], out[4000:], delay); s < 25 {
			t.Fatalf("signal to noise %.1f dB after %d random bytes", s, len(noise))
		}
	}
}

func TestPacketsOfAnyLengthAreOneStream(t *testing.T) {
	pcm := chirp(3000)
	whole := NewEncoder().Encode(nil, pcm)
	e, d := NewEncoder(), NewDecoder()
	var parts []byte
	var out codec.Frame
	for i, n := 0, 2; i < len(pcm); i, n = i+n, n+34 {
		part := e.Encode(nil, pcm[i:min(i+n, len(pcm))])
		parts = append(parts, part...)
		out = d.Decode(out, part)
	}
	if string(parts) != string(whole) {
		t.Error("the payloads depend on how the samples are cut")
	}
	for i, s := range NewDecoder().Decode(nil, whole) {
		if out[i] != s {
			t.Fatalf("sample %d depends on how the payloads are cut", i)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	e, d, in := NewEncoder(), NewDecoder(), chirp(320)
	payload, pcm := make([]byte, 0, 160), make(codec.Frame, 0, 960)
	if n := testing.AllocsPerRun(100, func() {
		payload = e.Encode(payload[:0], in)
		pcm = d.Decode(pcm[:0], payload)
		pcm = d.Conceal(pcm, 320)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// quantiseByTheBook is QUANTL as the recommendation has it: level by level.
func quantiseByTheBook(e, scale int32) byte {
	w := e
	if e < 0 {
		w = -(e + 1)
	}
	i := 1
	for ; i < 30; i++ {
		if w < int32(decision[i])*scale>>12 {
			break
		}
	}
	if e < 0 {
		return codes[1][i-1]
	}
	return codes[0][i-1]
}

func TestQuantiserFindsTheInterval(t *testing.T) {
	for log := int32(0); log <= 18432; log += 128 {
		scale := exponential(log, 8)
		for e := int32(-32768); e <= 32767; e += 13 {
			if got, want := quantise(e, scale), quantiseByTheBook(e, scale); got != want {
				t.Fatalf("difference %d at scale %d: code %d, want %d", e, scale, got, want)
			}
		}
	}
}

// ffmpeg is another implementation of the recommendation.
func TestAgainstFFmpeg(t *testing.T) {
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Log("ffmpeg is not installed: nothing was compared")
		return
	}
	dir := t.TempDir()
	run := func(from, fromFormat, to, toFormat string) []byte {
		t.Helper()
		name := filepath.Join(dir, to)
		args := []string{"-v", "error", "-y", "-f", fromFormat}
		if fromFormat == "s16le" {
			args = append(args, "-ar", "16000", "-ac", "1")
		}
		args = append(args, "-i", filepath.Join(dir, from), "-f", toFormat, name)
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Fatalf("ffmpeg: %v: %s", err, out)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	in := append(chirp(3*Rate), sine(Rate, 440, 30000)...)
	random := rand.New(rand.NewPCG(3, 4))
	for range Rate {
		in = append(in, int16(random.NormFloat64()*3000))
	}
	raw := make([]byte, 0, 2*len(in))
	for _, s := range in {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(s))
	}
	ours := NewEncoder().Encode(nil, in)
	for name, b := range map[string][]byte{"in.pcm": raw, "ours.g722": ours} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	theirs := run("in.pcm", "s16le", "theirs.g722", "g722")
	compare(t, "what both decode of our payload", samples(run("ours.g722", "g722", "ours.pcm", "s16le")), NewDecoder().Decode(nil, ours))
	compare(t, "what both decode of theirs", samples(run("theirs.g722", "g722", "theirs.pcm", "s16le")), NewDecoder().Decode(nil, theirs))
	same := 0
	for i := range min(len(ours), len(theirs)) {
		if ours[i] == theirs[i] {
			same++
		}
	}
	t.Logf("payloads: %d of %d bytes are the same", same, len(ours))
	if same < len(ours)*99/100 {
		t.Errorf("payloads: %d of %d bytes are the same", same, len(ours))
	}
}

func samples(b []byte) codec.Frame {
	pcm := make(codec.Frame, len(b)/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return pcm
}

func compare(t *testing.T, what string, want, got codec.Frame) {
	t.Helper()
	equal, n := 0, min(len(want), len(got))
	for i := range n {
		if want[i] == got[i] {
			equal++
		}
	}
	s := snr(want[:n], got[:n], 0)
	t.Logf("%s: %d of %d samples are equal, signal to difference %.1f dB", what, equal, n, s)
	if n < len(got)-320 || s < 50 {
		t.Errorf("%s: %d samples, signal to difference %.1f dB", what, n, s)
	}
}
