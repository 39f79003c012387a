package media

import (
	"strings"

	"dialtone/internal/codec"
	"dialtone/internal/codec/catalog"
	"dialtone/internal/sdp"
)

// payload is one RTP payload type of a stream.
type payload struct {
	Type      uint8  `json:"type"`
	Name      string `json:"name"`
	ClockRate uint32 `json:"clock_rate"`
	Channels  int    `json:"channels,omitempty"`
	FMTP      string `json:"fmtp,omitempty"`
}

// same tells whether two payloads are one codec whatever their numbers. Of H.264 the packetization mode must agree, too:
// it cannot be converted (RFC 6184 §8.2.2).
func (p payload) same(o payload) bool {
	if p.ClockRate != o.ClockRate || max(p.Channels, 1) != max(o.Channels, 1) || !strings.EqualFold(p.Name, o.Name) {
		return false
	}
	return !strings.EqualFold(p.Name, "H264") || packetization(p.FMTP) == packetization(o.FMTP)
}

// packetization is the packetization-mode of H.264's format parameters (RFC 6184 §8.1).
func packetization(fmtp string) string {
	if mode := sdp.FormatParameter(fmtp, "packetization-mode"); mode != "" {
		return mode
	}
	return "0"
}

// spec is the codec as it is made here.
func (p payload) spec() (codec.Spec, bool) { return catalog.Find(p.Name, int(p.ClockRate), p.Channels) }

// isRepair reports whether the payload only repairs or wraps others; on the way from a browser to a telephone and back it
// is left out.
func (p payload) isRepair() bool {
	switch strings.ToLower(p.Name) {
	case "rtx", "red", "ulpfec", "flexfec-03", "flexfec":
		return true
	}
	return false
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
		list[i] = payload{c.PayloadType, strings.Clone(c.Name), uint32(c.ClockRate), max(c.Channels, 1), strings.Clone(c.FMTP)}
	}
	return list
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

// originText is the o= line as one string, to compare.
func originText(o sdp.Origin) string {
	d := sdp.Description{Origin: o}
	text, _, _ := strings.Cut(string(d.Bytes()[len("v=0\r\no="):]), "\r\n")
	return text
}
