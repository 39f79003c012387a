// Package l16 is uncompressed sound in RTP: 16-bit linear samples in network byte order.
//
// It owns the byte order and, as a Decoder, the concealment of losses. No goroutines; nothing is allocated but the
// growth of dst. RFC 3551 §4.5.11.
package l16

import (
	"encoding/binary"
	"slices"

	"dialtone/internal/codec"
	"dialtone/internal/codec/plc"
)

// Encoder has no state. It is a codec.Encoder.
type Encoder struct{}

// Encode appends two bytes a sample.
func (Encoder) Encode(dst []byte, pcm codec.Frame) []byte {
	n := len(dst)
	dst = slices.Grow(dst, 2*len(pcm))[:n+2*len(pcm)]
	out := dst[n:]
	for i, s := range pcm {
		// RFC 3551 §4.5.11: two's complement, most significant byte first.
		binary.BigEndian.PutUint16(out[2*i:], uint16(s))
	}
	return dst
}

// Decoder is one direction of one stream. It is a codec.Decoder.
type Decoder struct{ loss plc.Concealer }

// NewDecoder makes the decoder of a stream of rate Hz, a multiple of 8000.
func NewDecoder(rate int) *Decoder { return &Decoder{loss: plc.New(rate)} }

// Decode appends one sample for each two bytes; an odd last byte is left out.
func (d *Decoder) Decode(dst codec.Frame, payload []byte) codec.Frame {
	n, count := len(dst), len(payload)/2
	dst = slices.Grow(dst, count)[:n+count]
	for i := range count {
		dst[n+i] = int16(binary.BigEndian.Uint16(payload[2*i:]))
	}
	d.loss.Take(dst[n:])
	return dst
}

// Conceal appends n samples that go on with what was heard.
func (d *Decoder) Conceal(dst codec.Frame, n int) codec.Frame { return d.loss.Conceal(dst, n) }
