package g711

import (
	"testing"

	"dialtone/internal/codec"
)

var (
	_ law = ALaw{}
	_ law = MuLaw{}
)

// The formulas as the ITU's software has them, step by step.
func referenceALaw(s int) byte {
	x := s >> 4
	if s < 0 {
		x = ^s >> 4
	}
	if x > 15 {
		exponent := 1
		for x > 16+15 {
			x >>= 1
			exponent++
		}
		x = x - 16 + exponent<<4
	}
	if s >= 0 {
		x |= 0x80
	}
	return byte(x) ^ 0x55
}

func referenceMuLaw(s int) byte {
	x := s>>2 + 33
	if s < 0 {
		x = ^s>>2 + 33
	}
	x = min(x, 0x1fff)
	segment := 1
	for i := x >> 6; i != 0; i >>= 1 {
		segment++
	}
	b := byte(8-segment)<<4 | byte(0x0f-x>>segment&0x0f)
	if s >= 0 {
		b |= 0x80
	}
	return b
}

func referenceDecodeALaw(b byte) int {
	x := int(b^0x55) & 0x7f
	exponent, mantissa := x>>4, x&15
	if exponent > 0 {
		mantissa += 16
	}
	value := mantissa<<4 + 8
	if exponent > 1 {
		value <<= exponent - 1
	}
	if b < 0x80 {
		return -value
	}
	return value
}

func referenceDecodeMuLaw(b byte) int {
	x := int(^b)
	exponent, mantissa := x>>4&7, x&15
	step := 4 << (exponent + 1)
	value := 0x80<<exponent + step*mantissa + step/2 - 4*33
	if b < 0x80 {
		return -value
	}
	return value
}

func TestEveryInputAgreesWithTheFormula(t *testing.T) {
	for s := -32768; s <= 32767; s++ {
		if got, want := EncodeALaw(int16(s)), referenceALaw(s); got != want {
			t.Fatalf("A-law of %d: %#x, want %#x", s, got, want)
		}
		if got, want := EncodeMuLaw(int16(s)), referenceMuLaw(s); got != want {
			t.Fatalf("mu-law of %d: %#x, want %#x", s, got, want)
		}
	}
	for i := range 256 {
		b := byte(i)
		if got, want := int(DecodeALaw(b)), referenceDecodeALaw(b); got != want {
			t.Errorf("A-law %#x: %d, want %d", b, got, want)
		}
		if got, want := int(DecodeMuLaw(b)), referenceDecodeMuLaw(b); got != want {
			t.Errorf("mu-law %#x: %d, want %d", b, got, want)
		}
	}
}

func TestRoundTripKeepsEveryCode(t *testing.T) {
	for i := range 256 {
		b := byte(i)
		if got := EncodeALaw(DecodeALaw(b)); got != b {
			t.Errorf("A-law %#x came back as %#x", b, got)
		}
		want := b
		if b == 0x7f { // negative zero
			want = 0xff
		}
		if got := EncodeMuLaw(DecodeMuLaw(b)); got != want {
			t.Errorf("mu-law %#x came back as %#x, want %#x", b, got, want)
		}
	}
}

// Known values of G.711: the ends of the scale and silence.
func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		sample  int16
		a, mu   byte
		aL, muL int16
	}{
		{0, 0xd5, 0xff, 8, 0},
		{32767, 0xaa, 0x80, 32256, 32124},
		{-32768, 0x2a, 0x00, -32256, -32124},
	} {
		a, mu := EncodeALaw(tt.sample), EncodeMuLaw(tt.sample)
		if a != tt.a || mu != tt.mu || DecodeALaw(a) != tt.aL || DecodeMuLaw(mu) != tt.muL {
			t.Errorf("%d: %#x %#x %d %d, want %+v", tt.sample, a, mu, DecodeALaw(a), DecodeMuLaw(mu), tt)
		}
	}
	if EncodeALaw(0) != ALawSilence || EncodeMuLaw(0) != MuLawSilence {
		t.Error("silence is not the byte of 0")
	}
}

func TestFramesAppendWithoutAllocating(t *testing.T) {
	pcm := make(codec.Frame, codec.FrameSamples)
	for i := range pcm {
		pcm[i] = int16(i*401 - 32000)
	}
	for _, c := range []law{ALaw{}, MuLaw{}} {
		payload := c.Encode([]byte{1, 2}, pcm)
		if len(payload) != 2+len(pcm) || payload[0] != 1 {
			t.Fatalf("%s: payload of %d bytes", c.Name(), len(payload))
		}
		back := c.Decode(codec.Frame{7}, payload[2:])
		if len(back) != 1+len(pcm) || back[0] != 7 {
			t.Fatalf("%s: %d samples", c.Name(), len(back))
		}
		for i, s := range pcm {
			if d := int(s) - int(back[i+1]); d > 1024 || d < -1024 {
				t.Fatalf("%s: sample %d came back as %d", c.Name(), s, back[i+1])
			}
		}
		allocs := testing.AllocsPerRun(100, func() {
			payload = c.Encode(payload[:0], pcm)
			back = c.Decode(back[:0], payload)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations a frame", c.Name(), allocs)
		}
	}
}

func BenchmarkEncodeALaw(b *testing.B) {
	pcm := make(codec.Frame, codec.FrameSamples)
	for i := range pcm {
		pcm[i] = int16(i*401 - 32000)
	}
	payload := make([]byte, 0, len(pcm))
	b.ReportAllocs()
	for b.Loop() {
		payload = ALaw{}.Encode(payload[:0], pcm)
	}
}

// law is what both have: no state, so one value goes both ways.
type law interface {
	codec.Encoder
	Name() string
	Decode(dst codec.Frame, payload []byte) codec.Frame
}
