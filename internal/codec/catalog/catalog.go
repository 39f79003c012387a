// Package catalog lists the voice codecs that this build makes, in the order in which they are preferred.
//
// It owns the list: names, rates, proposed payload types, constructors. What a call may use is the business of policy
// above. Codecs that are only passed through (G729, AMR, iLBC ...) are not in it. Pure values; no goroutines. The static
// payload types are those of RFC 3551 §6.
package catalog

import (
	"strings"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/codec/g722"
	"dialtone/internal/codec/l16"
	"dialtone/internal/codec/opus"
)

// Find returns the codec of an RTP encoding name. channels 0 means 1, as in a=rtpmap.
func Find(name string, clockRate, channels int) (codec.Spec, bool) {
	for _, s := range All() {
		if strings.EqualFold(s.Name, name) && s.ClockRate == clockRate && s.Channels == max(channels, 1) {
			return s, true
		}
	}
	return codec.Spec{}, false
}

// All returns the codecs, the best first. The list is the caller's own.
func All() []codec.Spec {
	return []codec.Spec{opus.Spec(), wideband(), pcma(), pcmu(), linear(16000, 119), linear(8000, 118)}
}

func wideband() codec.Spec {
	return codec.Spec{
		// RFC 3551 §4.5.2: G722 samples at 16000 Hz, and its RTP clock runs at 8000 for historical reasons.
		Name: "G722", ClockRate: 8000, Channels: 1, Rates: []int{16000}, PayloadType: 9,
		NewEncoder: func(p codec.Params) (codec.Encoder, error) {
			return fixed[codec.Encoder](p, g722.Rate, g722.NewEncoder())
		},
		NewDecoder: func(p codec.Params) (codec.Decoder, error) {
			return fixed[codec.Decoder](p, g722.Rate, g722.NewDecoder())
		},
	}
}

// linear is uncompressed sound. It comes last: it takes twice the bandwidth of G.711, or four times.
func linear(rate int, payloadType uint8) codec.Spec {
	return codec.Spec{
		Name: "L16", ClockRate: rate, Channels: 1, Rates: []int{rate}, PayloadType: payloadType,
		NewEncoder: func(p codec.Params) (codec.Encoder, error) { return fixed[codec.Encoder](p, rate, l16.Encoder{}) },
		NewDecoder: func(p codec.Params) (codec.Decoder, error) {
			return fixed[codec.Decoder](p, rate, l16.NewDecoder(rate))
		},
	}
}

func pcma() codec.Spec {
	return codec.Spec{
		Name: "PCMA", ClockRate: 8000, Channels: 1, Rates: []int{8000}, PayloadType: 8,
		NewEncoder: func(p codec.Params) (codec.Encoder, error) { return fixed[codec.Encoder](p, codec.Rate, g711.ALaw{}) },
		NewDecoder: func(p codec.Params) (codec.Decoder, error) {
			return fixed[codec.Decoder](p, codec.Rate, g711.NewALawDecoder())
		},
	}
}

func pcmu() codec.Spec {
	return codec.Spec{
		Name: "PCMU", ClockRate: 8000, Channels: 1, Rates: []int{8000}, PayloadType: 0,
		NewEncoder: func(p codec.Params) (codec.Encoder, error) { return fixed[codec.Encoder](p, codec.Rate, g711.MuLaw{}) },
		NewDecoder: func(p codec.Params) (codec.Decoder, error) {
			return fixed[codec.Decoder](p, codec.Rate, g711.NewMuLawDecoder())
		},
	}
}

// fixed gives what works at one rate only, when that is the rate wanted.
func fixed[T any](p codec.Params, rate int, made T) (none T, err error) {
	if _, err := p.Choose([]int{rate}); err != nil {
		return none, err
	}
	return made, nil
}
