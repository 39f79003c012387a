//go:build !opus || !cgo

package opus

import (
	"fmt"
	"slices"

	pion "github.com/pion/opus"

	"dialtone/internal/codec"
	"dialtone/internal/codec/plc"
)

// Implementation names what decodes.
func Implementation() string { return "Pion, decoding only" }

// offered says nothing: the correction in payloads is not made use of here.
const offered = ""

// encoderOf says that there is no encoder in this build.
func encoderOf() func(codec.Params) (codec.Encoder, error) { return nil }

// Decoder turns the payloads of one stream into PCM. It is a codec.Decoder.
type Decoder struct {
	decoder pion.Decoder
	rate    int
	room    []int16
	loss    plc.Concealer
}

func newDecoder(p codec.Params) (codec.Decoder, error) { return NewDecoder(p) }

// NewDecoder makes a decoder to p.Rate. What the sender may do is in the payloads; format parameters do not matter.
func NewDecoder(p codec.Params) (*Decoder, error) {
	rate, err := p.Choose(Rates())
	if err != nil {
		return nil, fmt.Errorf("decode Opus: %w", err)
	}
	d := &Decoder{rate: rate, room: make([]int16, longest*rate/1000), loss: plc.New(rate)}
	if d.decoder, err = pion.NewDecoderWithOutput(rate, 1); err != nil {
		return nil, fmt.Errorf("decode Opus: %w", err)
	}
	return d, nil
}

// Decode appends the samples of a payload; stereo is mixed to mono.
func (d *Decoder) Decode(dst codec.Frame, payload []byte) codec.Frame {
	n := Samples(payload, d.rate)
	if n == 0 {
		return dst
	}
	made := d.decode(payload)
	if made == 0 {
		return dst
	}
	begin := len(dst)
	dst = append(slices.Grow(dst, n), d.room[:min(made, n)]...)
	d.loss.Take(dst[begin:])
	return dst
}

// decode fills d.room and tells how many samples. The decoder is not ours and the payload may be anything: a fault in
// it costs the packet, and the decoder begins anew.
func (d *Decoder) decode(payload []byte) (n int) {
	defer func() {
		if recover() != nil {
			n = 0
			d.decoder, _ = pion.NewDecoderWithOutput(d.rate, 1) // the rate was good once
		}
	}()
	n, err := d.decoder.DecodeToInt16(payload, d.room)
	if err != nil {
		return 0
	}
	return n
}

// Conceal appends n samples that go on with what was heard.
func (d *Decoder) Conceal(dst codec.Frame, n int) codec.Frame { return d.loss.Conceal(dst, n) }
