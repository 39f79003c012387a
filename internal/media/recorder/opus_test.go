//go:build opus && cgo

package recorder

import (
	"bytes"
	"io"
	"math"
	"path/filepath"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/catalog"
	"dialtone/internal/media/ogg"
)

// What two parties say is heard in the two streams of the file, sealed or not.
func TestOpusIsHeard(t *testing.T) {
	for _, seal := range []*Seal{nil, {Keys: vault{}, Chunk: leastChunk}} {
		running(t, New(), func(t *testing.T, e *Engine) {
			path := filepath.Join(t.TempDir(), "call.opus")
			r := start(t, e, Options{Path: path, Encoding: "opus", Seal: seal})
			speak(3*time.Second, says(r, 0, 500), says(r, 1, 1500))
			r.Stop()
			<-r.Done()
			file, err := Open(path, seal)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			b, err := io.ReadAll(file)
			if err != nil || file.ContentType() != "audio/ogg" || !file.Complete {
				t.Fatalf("%d bytes, %v, complete %v", len(b), err, file.Complete)
			}
			for channel, pcm := range decoded(t, b) {
				if d := float64(len(pcm)) / 8000; math.Abs(d-3) > 0.05 {
					t.Errorf("channel %d: %v s", channel, d)
				}
				for i, hz := range []float64{500, 1500} {
					l := level(pcm, 0.5, 2.5, hz)
					if i == channel && math.Abs(l+10) > 1.5 || i != channel && l > -40 {
						t.Errorf("channel %d: %v Hz at %.1f dBm0", channel, hz, l)
					}
				}
			}
		})
	}
}

// decoded is what the two streams say.
func decoded(t *testing.T, b []byte) (pcm [2]codec.Frame) {
	t.Helper()
	in, err := ogg.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	spec, _ := catalog.Find("opus", 48000, 2)
	var decoders [2]codec.Decoder
	for i := range decoders {
		if decoders[i], err = spec.NewDecoder(codec.Params{Rate: 8000}); err != nil {
			t.Fatal(err)
		}
	}
	for {
		p, err := in.Next()
		if err == io.EOF {
			return pcm
		}
		if err != nil {
			t.Fatal(err)
		}
		first, second, err := ogg.SplitPair(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		pcm[0] = decoders[0].Decode(pcm[0], first)
		pcm[1] = decoders[1].Decode(pcm[1], second)
	}
}

// What recording a call in Opus costs: two encoders.
func BenchmarkOpus(b *testing.B) {
	e := New()
	r, err := e.Start(Options{File: &memory{}, Encoding: "opus"})
	if err != nil {
		b.Fatal(err)
	}
	g := [2]party{says(r, 0, 500), says(r, 1, 1500)}
	frame := make(codec.Frame, 160)
	for b.Loop() { // one second
		for range 2 {
			r.began = r.began.Add(-500 * time.Millisecond)
			for _, p := range g {
				for range 25 {
					p.g.Read(frame)
					p.channel.WriteFrame(frame)
				}
			}
			e.pass()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e7, "%core/recording")
}
