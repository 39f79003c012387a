package g711

import (
	"math/rand/v2"
	"testing"

	"dialtone/internal/codec"
	"dialtone/internal/codec/codectest"
)

var (
	_ codec.Encoder = ALaw{}
	_ codec.Encoder = MuLaw{}
	_ codec.Decoder = (*Decoder)(nil)
)

func TestLossesAreConcealed(t *testing.T) {
	for _, tt := range []struct {
		encoder codec.Encoder
		decoder codec.Decoder
	}{{ALaw{}, NewALawDecoder()}, {MuLaw{}, NewMuLawDecoder()}} {
		random := rand.New(rand.NewPCG(5, 5))
		pcm := codec.Frame(codectest.Speech(8000, 80000))
		var clean, concealed, zeroed codec.Frame
		stateless := tt.encoder.(law)
		for at := 0; at < len(pcm); at += 160 {
			clean = stateless.Decode(clean, stateless.Encode(nil, pcm[at:at+160]))
			if random.IntN(100) < 5 {
				concealed = tt.decoder.Conceal(concealed, 160)
				zeroed = append(zeroed, make(codec.Frame, 160)...)
				continue
			}
			concealed = tt.decoder.Decode(concealed, tt.encoder.Encode(nil, pcm[at:at+160]))
			zeroed = append(zeroed, concealed[at:]...)
		}
		a, b := codectest.SpectralDistance(clean, concealed, 8000), codectest.SpectralDistance(clean, zeroed, 8000)
		t.Logf("%T: spectral distance %.2f dB, with silence %.2f", tt.encoder, a, b)
		if a > 0.5*b {
			t.Errorf("%T: spectral distance %.2f dB, with silence %.2f", tt.encoder, a, b)
		}
	}
}

func TestStreamsAllocateNothing(t *testing.T) {
	d, payload, pcm := NewMuLawDecoder(), make([]byte, 160), make(codec.Frame, 0, 160)
	if n := testing.AllocsPerRun(100, func() {
		pcm = d.Decode(pcm[:0], payload)
		pcm = d.Conceal(pcm[:0], 160)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	d, payload, pcm := NewALawDecoder(), ALaw{}.Encode(nil, codectest.Speech(8000, 160)), make(codec.Frame, 0, 160)
	b.ReportAllocs()
	for b.Loop() {
		pcm = d.Decode(pcm[:0], payload)
	}
}
