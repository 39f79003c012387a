package softphone

import (
	"fmt"
	"slices"
	"strings"

	"dialtone/internal/codec"
	"dialtone/internal/codec/catalog"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
)

// SRTP says how the media of a phone is encrypted. The zero value takes what is offered, and offers encryption where the
// signalling is encrypted.
type SRTP string

// The ways. The last two refuse plain RTP.
const (
	SRTPOff  SRTP = "off"
	SRTPSDES SRTP = "sdes"
	SRTPDTLS SRTP = "dtls"
)

// terms are those of the phone's legs.
func (s SRTP) terms() (*media.Terms, error) {
	switch s {
	case "":
		return new(media.Terms), nil
	case SRTPOff:
		return &media.Terms{Protection: media.Off}, nil
	case SRTPSDES:
		return &media.Terms{Protection: media.Required, Keying: media.InDescriptions}, nil
	case SRTPDTLS:
		return &media.Terms{Protection: media.Required, Keying: media.ByHandshake}, nil
	}
	return nil, fmt.Errorf("SRTP %q is not known here: off, sdes or dtls", s)
}

// codecsOf finds codecs by their names.
func codecsOf(names []string) ([]sdp.Codec, error) {
	if len(names) == 0 {
		return []sdp.Codec{sdp.PCMA(), sdp.PCMU()}, nil
	}
	var list []sdp.Codec
	for _, name := range names {
		spec, err := specOf(name)
		if err != nil {
			return nil, err
		}
		list = append(list, sdp.Codec{PayloadType: spec.PayloadType, Name: spec.Name, ClockRate: spec.ClockRate, Channels: spec.Channels, FMTP: spec.FMTP})
	}
	return list, nil
}

// specOf is the codec of a name as it is made here; of those that have several rates, the best.
func specOf(name string) (codec.Spec, error) {
	var made []string
	for _, spec := range catalog.All() {
		if spec.NewEncoder == nil || spec.NewDecoder == nil {
			continue
		}
		if strings.EqualFold(spec.Name, name) {
			return spec, nil
		}
		if lower := strings.ToLower(spec.Name); !slices.Contains(made, lower) {
			made = append(made, lower)
		}
	}
	return codec.Spec{}, fmt.Errorf("codec %q is not known here: %s", name, strings.Join(made, ", "))
}
