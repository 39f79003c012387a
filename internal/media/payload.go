package media

import (
	"strings"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/sdp"
)

// payload is one RTP payload type of a stream.
type payload struct {
	Type      uint8  `json:"type"`
	Name      string `json:"name"`
	ClockRate uint32 `json:"clock_rate"`
	FMTP      string `json:"fmtp,omitempty"`
}

// isEvent reports whether the payload carries RFC 4733 key presses.
func (p payload) isEvent() bool { return strings.EqualFold(p.Name, sdp.TelephoneEvent) }

// isSpeech reports whether the payload is a voice or video codec, not something that rides beside one.
func (p payload) isSpeech() bool {
	return !p.isEvent() && !strings.EqualFold(p.Name, "CN") && !strings.EqualFold(p.Name, "red")
}

func payloadsOf(m *sdp.Media) []payload {
	codecs := m.Codecs()
	if len(codecs) == 0 {
		return nil
	}
	list := make([]payload, len(codecs))
	for i, c := range codecs {
		// Cloned: a name would otherwise keep the whole text of the description in memory.
		list[i] = payload{c.PayloadType, strings.Clone(c.Name), uint32(c.ClockRate), strings.Clone(c.FMTP)}
	}
	return list
}

// voice is a codec that is made here, under the payload type of a party.
type voice struct {
	codec   codec.Codec
	payload payload
}

// codecOf is the codec of a payload type; nil when it is not made here.
func codecOf(p payload) codec.Codec {
	switch {
	case p.ClockRate != codec.Rate:
		return nil
	case strings.EqualFold(p.Name, g711.ALaw{}.Name()):
		return g711.ALaw{}
	case strings.EqualFold(p.Name, g711.MuLaw{}.Name()):
		return g711.MuLaw{}
	}
	return nil
}

// find returns the payload of a type.
func find(list []payload, pt uint8) (payload, bool) {
	for _, p := range list {
		if p.Type == pt {
			return p, true
		}
	}
	return payload{}, false
}

// cryptoOf names how a stream is protected, in the words of the call record.
func cryptoOf(d *sdp.Description, m *sdp.Media) string {
	_, sdes := m.Attribute("crypto")
	_, dtls := m.Attribute("fingerprint")
	if !dtls {
		_, dtls = d.Attribute("fingerprint")
	}
	switch {
	case dtls && (strings.Contains(m.Proto, "TLS") || strings.Contains(m.Proto, "SAVP")):
		return "dtls-srtp"
	case sdes:
		return "sdes"
	case strings.Contains(m.Proto, "SAVP"):
		return "srtp"
	}
	return ""
}

// originText is the o= line as one string, to compare.
func originText(o sdp.Origin) string {
	d := sdp.Description{Origin: o}
	text, _, _ := strings.Cut(string(d.Bytes()[len("v=0\r\no="):]), "\r\n")
	return text
}
