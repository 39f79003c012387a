package g711

import (
	"dialtone/internal/codec"
	"dialtone/internal/codec/plc"
)

// Decoder is one direction of one stream with concealment of what is lost. It is a codec.Decoder.
type Decoder struct {
	table *[256]int16
	loss  plc.Concealer
}

// NewALawDecoder makes the decoder of a PCMA stream.
func NewALawDecoder() *Decoder { return &Decoder{table: &aLawTable, loss: plc.New(codec.Rate)} }

// NewMuLawDecoder makes the decoder of a PCMU stream.
func NewMuLawDecoder() *Decoder { return &Decoder{table: &muLawTable, loss: plc.New(codec.Rate)} }

// Decode appends one sample a byte. The first milliseconds after a loss are blended with what concealed it.
func (d *Decoder) Decode(dst codec.Frame, payload []byte) codec.Frame {
	n := len(dst)
	dst = decode(dst, payload, d.table)
	d.loss.Take(dst[n:])
	return dst
}

// Conceal appends n samples that go on with what was heard.
func (d *Decoder) Conceal(dst codec.Frame, n int) codec.Frame { return d.loss.Conceal(dst, n) }
