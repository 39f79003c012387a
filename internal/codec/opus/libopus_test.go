//go:build opus && cgo

package opus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"dialtone/internal/codec"
	"dialtone/internal/codec/codectest"
)

var (
	_ codec.Encoder   = (*Encoder)(nil)
	_ codec.Tuner     = (*Encoder)(nil)
	_ codec.Recoverer = (*Decoder)(nil)
)

func encoder(tb testing.TB, rate int, fmtp string) *Encoder {
	tb.Helper()
	e, err := NewEncoder(codec.Params{Rate: rate, FMTP: fmtp})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// TestRecordPayloads writes the payloads that every build decodes, when they are missing; else they must make sense.
func TestRecordPayloads(t *testing.T) {
	if _, err := os.Stat(recorded); err == nil {
		if n := len(payloads(t)); n != 250 {
			t.Errorf("%d payloads", n)
		}
		return
	}
	e, pcm := encoder(t, 16000, "useinbandfec=1"), codectest.Speech(16000, 80000)
	var b bytes.Buffer
	for ; len(pcm) > 0; pcm = pcm[320:] {
		payload := e.Encode(nil, pcm[:320])
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(payload))))
		b.Write(payload)
	}
	if err := os.WriteFile(recorded, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// bytesOf encodes speech in packets of 20 ms and counts the bytes and the packets.
func bytesOf(e *Encoder, pcm codec.Frame, rate int) (size, packets int) {
	for n := rate / 50; len(pcm) >= n; pcm = pcm[n:] {
		if b := e.Encode(nil, pcm[:n]); len(b) > 0 {
			size, packets = size+len(b), packets+1
		}
	}
	return size, packets
}

func TestFormatParametersAreObeyed(t *testing.T) {
	const rate, seconds = 48000, 5
	pcm := codec.Frame(codectest.Speech(rate, seconds*rate))
	plain, _ := bytesOf(encoder(t, rate, ""), pcm, rate)
	if low, _ := bytesOf(encoder(t, rate, "maxaveragebitrate=12000"), pcm, rate); low*8/seconds > 14000 || low >= plain {
		t.Errorf("maxaveragebitrate=12000: %d bit/s, %d without", low*8/seconds, plain*8/seconds)
	}
	if e := encoder(t, rate, "maxplaybackrate=8000"); e.Encode(nil, pcm[:960])[0]>>3 > 3 {
		t.Error("maxplaybackrate=8000: not narrowband")
	}
	e := encoder(t, rate, "cbr=1")
	size := len(e.Encode(nil, pcm[:960]))
	for at := 960; at < len(pcm); at += 960 {
		if n := len(e.Encode(nil, pcm[at:at+960])); n != size {
			t.Fatalf("cbr=1: payloads of %d and %d bytes", size, n)
		}
	}
	silence := make(codec.Frame, 5*rate)
	if _, n := bytesOf(encoder(t, rate, "usedtx=1"), silence, rate); n == 0 || n > 50 {
		t.Errorf("usedtx=1: %d packets in 5 s of silence", n)
	}
	if _, n := bytesOf(encoder(t, rate, ""), silence, rate); n != 250 {
		t.Errorf("without usedtx: %d packets in 5 s of silence", n)
	}
}

func TestPacketLengths(t *testing.T) {
	e := encoder(t, 16000, "")
	for _, ms := range []int{10, 20, 40, 60} {
		if n := Samples(e.Encode(nil, make(codec.Frame, 16*ms)), 16000); n != 16*ms {
			t.Errorf("%d ms: %d samples", ms, n)
		}
	}
	for _, n := range []int{0, 1, 319, 480, 100000} {
		if b := e.Encode([]byte{1}, make(codec.Frame, n)); len(b) != 1 {
			t.Errorf("%d samples: %d bytes", n, len(b)-1)
		}
	}
	for _, p := range []codec.Params{{Rate: 16000, PTime: 30}, {Rate: 44100}} {
		if _, err := NewEncoder(p); err == nil {
			t.Errorf("encoder made for %+v", p)
		}
	}
}

// What is recovered of lost packets is nearer to the original than what is concealed.
func TestRecovery(t *testing.T) {
	const rate, size = 16000, 320
	pcm := codec.Frame(codectest.Speech(rate, 20*rate))
	for _, fec := range []bool{true, false} {
		fmtp := map[bool]string{true: "useinbandfec=1", false: ""}[fec]
		e, clean := encoder(t, rate, fmtp), decoderOf(t, rate)
		e.Tune(10, 28000)
		recovering, concealing := decoderOf(t, rate), decoderOf(t, rate)
		random := rand.New(rand.NewPCG(3, 3))
		var want, a, b codec.Frame
		lost := false
		for at := 0; at < len(pcm); at += size {
			payload := e.Encode(nil, pcm[at:at+size])
			want = clean.Decode(want, payload)
			if !lost && random.IntN(10) == 0 {
				lost = true
				continue
			}
			if lost {
				a, b = recovering.Recover(a, payload, size), concealing.Conceal(b, size)
				lost = false
			}
			a, b = recovering.Decode(a, payload), concealing.Decode(b, payload)
		}
		recovered, concealed := codectest.SegmentalSNR(want, a, rate), codectest.SegmentalSNR(want, b, rate)
		x, y := codectest.SpectralDistance(want, a, rate), codectest.SpectralDistance(want, b, rate)
		t.Logf("correction %v: recovered %.2f dB (distance %.2f), concealed %.2f dB (distance %.2f)", fec, recovered, x, concealed, y)
		if fec && (recovered < concealed+0.5 || x > 0.8*y) {
			t.Errorf("recovered %.2f dB (distance %.2f), concealed %.2f dB (distance %.2f)", recovered, x, concealed, y)
		}
	}
}

func TestRecoverGivesAnyLength(t *testing.T) {
	e, d := encoder(t, 16000, "useinbandfec=1"), decoderOf(t, 16000)
	payload := e.Encode(nil, codectest.Speech(16000, 320))
	for _, n := range []int{0, 1, 160, 320, 333, 640, 960, 4000} {
		if got := len(d.Recover(nil, payload, n)); got != n {
			t.Errorf("%d samples recovered as %d", n, got)
		}
	}
}

func TestTuneMovesTheBitrate(t *testing.T) {
	pcm := codec.Frame(codectest.Speech(16000, 80000))
	e := encoder(t, 16000, "useinbandfec=1;maxaveragebitrate=40000")
	last := 0
	for _, bitrate := range []int{10000, 20000, 32000} {
		e.Tune(0, bitrate)
		size, _ := bytesOf(e, pcm, 16000)
		if size <= last {
			t.Errorf("%d bit/s: %d bytes, %d at the rate below", bitrate, size, last)
		}
		last = size
	}
	for _, loss := range []float64{-1, 0, 33.3, 1e9} {
		e.Tune(loss, 1<<40)
	}
	if size, _ := bytesOf(e, pcm, 16000); size*8/5 > 45000 {
		t.Errorf("%d bit/s, the receiver takes 40000", size*8/5)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	e, d, in := encoder(t, 16000, "useinbandfec=1"), decoderOf(t, 16000), codectest.Speech(16000, 320)
	payload, pcm := make([]byte, 0, 200), make(codec.Frame, 0, 960)
	if n := testing.AllocsPerRun(100, func() {
		payload = e.Encode(payload[:0], in)
		pcm = d.Decode(pcm[:0], payload)
		pcm = d.Conceal(pcm, 320)
		pcm = d.Recover(pcm[:0], payload, 320)
		e.Tune(3, 20000)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// The states survive collections and go away by themselves.
func TestStatesAreMemoryOfGo(t *testing.T) {
	in := codectest.Speech(16000, 320)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 200 {
		e, d := encoder(t, 16000, ""), decoderOf(t, 16000)
		for range 3 {
			if n := len(d.Decode(nil, e.Encode(nil, in))); n != 320 {
				t.Fatalf("%d samples", n)
			}
		}
		runtime.KeepAlive(e)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d bytes stayed behind", grown)
	}
	t.Logf("state of an encoder %d bytes, of a decoder %d", len(encoder(t, 16000, "").memory), len(decoderOf(t, 16000).memory))
}

func BenchmarkEncode(b *testing.B) {
	for _, rate := range Rates() {
		b.Run(fmt.Sprint(rate), func(b *testing.B) { encodeSpeech(b, rate, Complexity) })
	}
}

func BenchmarkComplexity(b *testing.B) {
	for complexity := range 11 {
		b.Run(fmt.Sprint(complexity), func(b *testing.B) { encodeSpeech(b, 16000, complexity) })
	}
}

func encodeSpeech(b *testing.B, rate, complexity int) {
	e, pcm := encoder(b, rate, "useinbandfec=1"), codectest.Speech(rate, 5*rate)
	if err := e.set(4010, complexity); err != nil { // OPUS_SET_COMPLEXITY
		b.Fatal(err)
	}
	var payload []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i % 250 * rate / 50
		payload = e.Encode(payload[:0], pcm[at:at+rate/50])
	}
}
