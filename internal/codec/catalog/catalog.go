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
	return []codec.Spec{pcma(), pcmu()}
}

func pcma() codec.Spec {
	return codec.Spec{
		Name: "PCMA", ClockRate: 8000, Channels: 1, Rates: []int{8000}, PayloadType: 8,
		NewEncoder: func(p codec.Params) (codec.Encoder, error) { return fixed(p, 8000, g711.ALaw{}) },
		NewDecoder: func(p codec.Params) (codec.Decoder, error) { return fixed(p, 8000, g711.NewALawDecoder()) },
	}
}

func pcmu() codec.Spec {
	return codec.Spec{
		Name: "PCMU", ClockRate: 8000, Channels: 1, Rates: []int{8000}, PayloadType: 0,
		NewEncoder: func(p codec.Params) (codec.Encoder, error) { return fixed(p, 8000, g711.MuLaw{}) },
		NewDecoder: func(p codec.Params) (codec.Decoder, error) { return fixed(p, 8000, g711.NewMuLawDecoder()) },
	}
}

// fixed gives what works at one rate only, when that is the rate wanted.
func fixed[T any](p codec.Params, rate int, made T) (none T, err error) {
	if _, err := p.Choose([]int{rate}); err != nil {
		return none, err
	}
	return made, nil
}
