// Package g711 is ITU-T G.711: A-law and mu-law, 8000 samples a second, one byte a sample.
//
// Decoding is a table of 256 values; encoding finds the segment with one bit-scan. Both agree with the ITU's own
// software (G.191) for every input. Stateless, nothing allocates beyond the growth of dst; no goroutines.
package g711

import (
	"math/bits"
	"slices"

	"dialtone/internal/codec"
)

// ALaw is the codec PCMA.
type ALaw struct{}

// MuLaw is the codec PCMU.
type MuLaw struct{}

// Silence of each law: the byte of sample 0.
const (
	ALawSilence  = 0xd5
	MuLawSilence = 0xff
)

// Name is the RTP encoding name.
func (ALaw) Name() string { return "PCMA" }

// Name is the RTP encoding name.
func (MuLaw) Name() string { return "PCMU" }

// Encode appends one byte a sample.
func (ALaw) Encode(dst []byte, pcm codec.Frame) []byte {
	n := len(dst)
	dst = slices.Grow(dst, len(pcm))[:n+len(pcm)]
	for i, s := range pcm {
		dst[n+i] = EncodeALaw(s)
	}
	return dst
}

// Encode appends one byte a sample.
func (MuLaw) Encode(dst []byte, pcm codec.Frame) []byte {
	n := len(dst)
	dst = slices.Grow(dst, len(pcm))[:n+len(pcm)]
	for i, s := range pcm {
		dst[n+i] = EncodeMuLaw(s)
	}
	return dst
}

// Decode appends one sample a byte.
func (ALaw) Decode(dst codec.Frame, payload []byte) codec.Frame {
	return decode(dst, payload, &aLawTable)
}

// Decode appends one sample a byte.
func (MuLaw) Decode(dst codec.Frame, payload []byte) codec.Frame {
	return decode(dst, payload, &muLawTable)
}

func decode(dst codec.Frame, payload []byte, table *[256]int16) codec.Frame {
	n := len(dst)
	dst = slices.Grow(dst, len(payload))[:n+len(payload)]
	for i, b := range payload {
		dst[n+i] = table[b]
	}
	return dst
}

// EncodeALaw is the A-law byte of a sample: sign, three bits of segment, four bits of the place in it, every second
// bit inverted (G.711 Table 1).
func EncodeALaw(s int16) byte {
	// Twelve bits of magnitude, negative samples in ones' complement.
	sign, magnitude := byte(0x80), s>>4
	if s < 0 {
		sign, magnitude = 0, ^s>>4
	}
	segment := max(bits.Len16(uint16(magnitude)), 5) - 4
	code := byte(magnitude)
	if segment > 1 || magnitude > 15 {
		code = byte(segment<<4) | byte(magnitude>>(segment-1))&0x0f
	}
	return (sign | code) ^ 0x55
}

// EncodeMuLaw is the mu-law byte of a sample: sign, segment and place, all bits inverted (G.711 Table 2).
func EncodeMuLaw(s int16) byte {
	// Fourteen bits of which the magnitude gets the bias 33 that makes each segment begin at a power of two.
	sign, magnitude := byte(0x80), s>>2
	if s < 0 {
		sign, magnitude = 0, ^s>>2
	}
	magnitude = min(magnitude+33, 0x1fff)
	segment := bits.Len16(uint16(magnitude)) - 6
	code := byte(segment<<4) | byte(magnitude>>(segment+1))&0x0f
	return sign | ^code&0x7f
}

// DecodeALaw is the sample of an A-law byte.
func DecodeALaw(b byte) int16 { return aLawTable[b] }

// DecodeMuLaw is the sample of a mu-law byte.
func DecodeMuLaw(b byte) int16 { return muLawTable[b] }
