package opus

import (
	"encoding/binary"
	"os"
	"testing"

	"dialtone/internal/codec"
	"dialtone/internal/codec/codectest"
)

var _ codec.Decoder = (*Decoder)(nil)

// The payloads in testdata: codectest.Speech of five seconds, encoded by libopus in packets of 20 ms, each behind its
// length in two bytes. TestRecordPayloads writes them.
const recorded = "testdata/speech.bin"

func payloads(tb testing.TB) [][]byte {
	tb.Helper()
	b, err := os.ReadFile(recorded)
	if err != nil {
		tb.Fatal(err)
	}
	var list [][]byte
	for len(b) > 2 {
		n := int(binary.BigEndian.Uint16(b))
		list = append(list, b[2:2+n])
		b = b[2+n:]
	}
	return list
}

func decoderOf(tb testing.TB, rate int) *Decoder {
	tb.Helper()
	d, err := NewDecoder(codec.Params{Rate: rate})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// What an encoder of libopus made is speech again in every build.
func TestRecordedPayloads(t *testing.T) {
	t.Log(Implementation())
	for _, rate := range Rates() {
		d := decoderOf(t, rate)
		want := codec.Frame(codectest.Speech(rate, 5*rate))
		var out codec.Frame
		for i, payload := range payloads(t) {
			before := len(out)
			if out = d.Decode(out, payload); len(out)-before != rate/50 || Samples(payload, rate) != rate/50 {
				t.Fatalf("payload %d: %d samples, %d foretold", i, len(out)-before, Samples(payload, rate))
			}
		}
		if level := codectest.Level(out) / codectest.Level(want); level < 0.8 || level > 1.25 {
			t.Errorf("%d Hz: level %.2f of the original", rate, level)
		}
		if rate == 16000 {
			delay := codectest.Delay(want, out, rate/50)
			distance := codectest.SpectralDistance(want, out[delay:], rate)
			t.Logf("%d Hz: %d samples late, spectral distance %.1f dB", rate, delay, distance)
			if distance > 8 {
				t.Errorf("%d Hz: spectral distance %.1f dB", rate, distance)
			}
		}
	}
}

func TestConcealingFades(t *testing.T) {
	d := decoderOf(t, 16000)
	var out codec.Frame
	for _, payload := range payloads(t)[:20] {
		out = d.Decode(out, payload)
	}
	first := d.Conceal(nil, 320)
	for range 50 {
		out = d.Conceal(out, 320)
	}
	if last := out[len(out)-320:]; codectest.Level(first) < 100 || codectest.Level(last) > codectest.Level(first)/10 {
		t.Errorf("level %.0f at first, %.0f after a second", codectest.Level(first), codectest.Level(last))
	}
	for _, n := range []int{0, 1, 39, 41, 160, 333, 5000} {
		if got := len(d.Conceal(nil, n)); got != n {
			t.Errorf("%d samples concealed with %d", n, got)
		}
	}
}

func TestNonsenseIsNothing(t *testing.T) {
	d := decoderOf(t, 16000)
	for _, payload := range [][]byte{nil, {}, {3}, {0x0b, 0}, {0x0b, 0x3f}, {2, 200}, {1, 2}} {
		if out := d.Decode(codec.Frame{1}, payload); len(out) != 1 {
			t.Errorf("% x: %d samples", payload, len(out)-1)
		}
	}
}

// Hostile payloads: never more than was foretold, no crash, and the next good packet is decoded.
func FuzzDecode(f *testing.F) {
	list := payloads(f)
	for _, payload := range list[:8] {
		f.Add(payload)
	}
	f.Add([]byte{0xff, 0x41, 0, 0, 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		d := decoderOf(t, 48000)
		d.Decode(nil, list[5])
		if n := len(d.Decode(nil, payload)); n != 0 && n != Samples(payload, 48000) {
			t.Fatalf("%d samples, %d foretold", n, Samples(payload, 48000))
		}
		if r, can := any(d).(codec.Recoverer); can {
			if n := len(r.Recover(nil, payload, 960)); n != 960 {
				t.Fatalf("recovered %d samples", n)
			}
		}
		if n := len(d.Decode(nil, list[6])); n != 960 {
			t.Fatalf("%d samples of a good payload", n)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	d, list := decoderOf(b, 16000), payloads(b)
	var pcm codec.Frame
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		pcm = d.Decode(pcm[:0], list[i%len(list)])
	}
}
