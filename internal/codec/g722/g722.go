// Package g722 is ITU-T G.722 at 64 kbit/s: sound up to 7 kHz, sampled at 16 kHz, in half a byte a sample.
//
// A pair of quadrature mirror filters parts the sound into two bands of 8 kHz each; the lower is coded with six bits,
// the upper with two, by adaptive prediction (SB-ADPCM). The arithmetic is that of the recommendation, bit for bit: the
// names of its blocks stand beside the lines. Modes 2 and 3, which give bits of the lower band to data, are not used in
// RTP and not made here.
//
// RFC 3551 §4.5.2: the RTP clock of G722 runs at 8000 Hz, half the sampling rate. This package counts PCM samples; the
// clock belongs to the catalog.
//
// An Encoder or a Decoder belongs to one goroutine at a time. Nothing is allocated but the growth of dst.
package g722

import (
	"slices"

	"dialtone/internal/codec"
	"dialtone/internal/codec/plc"
)

// Rate is the sampling rate of the PCM in Hz.
const Rate = 16000

// taps is the length of the quadrature mirror filters, history what one output needs of former inputs.
const (
	taps    = 24
	history = taps - 2
)

// chunk is how many samples are worked off at once.
const chunk = 320

// Encoder makes the payloads of one stream. It is a codec.Encoder.
type Encoder struct {
	lower, upper band
	in           [history + chunk]int16 // the last samples of before, then those at hand
}

// NewEncoder makes an encoder in the state of reset.
func NewEncoder() *Encoder {
	e := &Encoder{}
	e.lower.reset(lowerScale)
	e.upper.reset(upperScale)
	return e
}

// Encode appends one byte for each two samples of pcm at 16 kHz. An odd last sample is left out.
func (e *Encoder) Encode(dst []byte, pcm codec.Frame) []byte {
	dst = slices.Grow(dst, len(pcm)/2)
	for len(pcm) > 1 {
		n := copy(e.in[history:], pcm[:len(pcm)&^1])
		for i := 0; i < n; i += 2 {
			low, high := analyse((*[taps]int16)(e.in[i:]))
			dst = append(dst, e.upper.encodeUpper(high)<<6|e.lower.encodeLower(low))
		}
		copy(e.in[:history], e.in[n:])
		pcm = pcm[n:]
	}
	return dst
}

// Decoder turns the payloads of one stream into PCM. It is a codec.Decoder.
type Decoder struct {
	lower, upper band
	sums         [history + chunk]int16 // sum and difference of the bands: the last of before, then those at hand
	heard        [history + chunk]int16 // the last samples that came out, then room for made-up ones
	loss         plc.Concealer
}

// NewDecoder makes a decoder in the state of reset.
func NewDecoder() *Decoder {
	d := &Decoder{loss: plc.New(Rate)}
	d.lower.reset(lowerScale)
	d.upper.reset(upperScale)
	return d
}

// Decode appends two samples at 16 kHz for each byte. The first milliseconds after a loss are blended with what
// concealed it.
func (d *Decoder) Decode(dst codec.Frame, payload []byte) codec.Frame {
	begin := len(dst)
	dst = slices.Grow(dst, 2*len(payload))
	for len(payload) > 0 {
		n := min(len(payload), chunk/2)
		for i, b := range payload[:n] {
			low, high := d.lower.decodeLower(b&0x3f), d.upper.decodeUpper(b>>6)
			window := (*[taps]int16)(d.sums[2*i:])
			// The sum of two limited values fits 16 bits.
			window[history], window[history+1] = int16(low+high), int16(low-high)
			even, odd := synthesise(window)
			dst = append(dst, even, odd)
		}
		copy(d.sums[:history], d.sums[2*n:])
		payload = payload[n:]
	}
	d.loss.Take(dst[begin:])
	d.note(dst[begin:])
	return dst
}

// Conceal appends n samples that go on with what was heard. The predictors follow them as if they had been received:
// they fit what comes next better than ones that stood still.
func (d *Decoder) Conceal(dst codec.Frame, n int) codec.Frame {
	begin := len(dst)
	dst = d.loss.Conceal(dst, n)
	for made := dst[begin:]; len(made) > 1; {
		n := copy(d.heard[history:], made[:len(made)&^1])
		for i := 0; i < n; i += 2 {
			low, high := analyse((*[taps]int16)(d.heard[i:]))
			d.lower.encodeLower(low)
			d.upper.encodeUpper(high)
		}
		copy(d.heard[:history], d.heard[n:])
		made = made[n:]
	}
	return dst
}

// note keeps the last samples for the analysis of made-up ones.
func (d *Decoder) note(pcm []int16) {
	kept := 0
	if len(pcm) < history {
		kept = copy(d.heard[:], d.heard[len(pcm):history])
	}
	copy(d.heard[kept:history], pcm[len(pcm)-(history-kept):])
}
