package jitter

import (
	"strings"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/noise"
	"dialtone/internal/codec/resample"
)

// kind is what packets of a payload type are to be taken for.
type kind uint8

const (
	other        kind = iota // telephone-event, or what cannot be decoded: silence
	speech                   // decoded
	comfortNoise             // RFC 3389
)

// voice is what a payload type means, and the state of its decoder.
type voice struct {
	kind   kind
	spec   codec.Spec
	fmtp   string
	rate   int // of the decoder, Hz
	length time.Duration

	decoder   codec.Decoder // made when first needed
	resampler *resample.Resampler
}

// ask finds out what a payload type means.
func (r *Receiver) ask(pt uint8) *voice {
	spec, params, ok := r.cfg.Codec(pt)
	v := &voice{spec: spec, fmtp: params.FMTP}
	switch {
	case !ok:
	case strings.EqualFold(spec.Name, noise.Name):
		v.kind = comfortNoise
	case spec.NewDecoder != nil && len(spec.Rates) > 0 && spec.ClockRate > 0:
		v.kind, v.rate = speech, nearest(spec.Rates, r.cfg.Rate)
	}
	return v
}

func (v *voice) same(w *voice) bool {
	return v.kind == w.kind && strings.EqualFold(v.spec.Name, w.spec.Name) && v.spec.ClockRate == w.spec.ClockRate &&
		v.fmtp == w.fmtp
}

// nearest is the lowest rate from want upwards, else the highest.
func nearest(rates []int, want int) int {
	best := rates[0]
	for _, rate := range rates {
		if best < want && rate > best || rate >= want && rate < best {
			best = rate
		}
	}
	return best
}

// ready makes the decoder, and learns how long a packet is. A voice that cannot be made is silence.
func (v *voice) ready(rate int, payload []byte) bool {
	if v.kind != speech || v.decoder != nil {
		return v.kind == speech
	}
	build := func() codec.Decoder {
		d, err := v.spec.NewDecoder(codec.Params{Rate: v.rate, FMTP: v.fmtp})
		if err != nil {
			return nil
		}
		return d
	}
	v.decoder = build()
	trial := build() // what it learns must not stay in the state of the other
	if v.decoder == nil || trial == nil {
		v.kind, v.decoder = other, nil
		return false
	}
	v.length = timeOf(len(trial.Decode(nil, payload)), v.rate)
	if v.rate != rate {
		resampler, err := resample.NewStream(v.rate, rate)
		if err != nil {
			v.kind = other
			return false
		}
		v.resampler = resampler
	}
	return true
}
