package sdp

import (
	"strconv"
	"strings"
)

// Codec is one RTP payload format of a stream.
type Codec struct {
	PayloadType uint8  // 0-127
	Name        string // encoding name as written: "PCMU", "opus", "telephone-event"; compare without case
	ClockRate   int    // of the RTP timestamp, in Hz
	Channels    int    // 1 unless the rtpmap says more
	FMTP        string // value of a=fmtp behind the payload type; "" when absent
}

// TelephoneEvent is the encoding name of RFC 4733 key presses.
const TelephoneEvent = "telephone-event"

// PCMU is G.711 mu-law.
func PCMU() Codec { return Codec{PayloadType: 0, Name: "PCMU", ClockRate: 8000, Channels: 1} }

// PCMA is G.711 A-law.
func PCMA() Codec { return Codec{PayloadType: 8, Name: "PCMA", ClockRate: 8000, Channels: 1} }

// Is tells whether the codec has that encoding name.
func (c Codec) Is(name string) bool { return strings.EqualFold(c.Name, name) }

// Same tells whether two formats are the same codec whatever their payload types: RFC 3264 §6.1 compares name, clock
// rate and channels. Parameters are not compared.
func (c Codec) Same(e Codec) bool {
	return c.ClockRate == e.ClockRate && max(c.Channels, 1) == max(e.Channels, 1) && c.Is(e.Name)
}

// RTPMap is the value of the codec's a=rtpmap: "8 PCMA/8000".
func (c Codec) RTPMap() string {
	s := strconv.Itoa(int(c.PayloadType)) + " " + c.Name + "/" + strconv.Itoa(c.ClockRate)
	if c.Channels > 1 {
		s += "/" + strconv.Itoa(c.Channels)
	}
	return s
}

// StaticCodec is the meaning that RFC 3551 §6 (Tables 4 and 5) and the registry that continues them give a payload type
// which no a=rtpmap explains.
func StaticCodec(payloadType uint8) (Codec, bool) {
	c := Codec{PayloadType: payloadType, ClockRate: 8000, Channels: 1}
	switch payloadType {
	case 0:
		c.Name = "PCMU"
	case 3:
		c.Name = "GSM"
	case 4:
		c.Name = "G723"
	case 5:
		c.Name = "DVI4"
	case 6:
		c.Name, c.ClockRate = "DVI4", 16000
	case 7:
		c.Name = "LPC"
	case 8:
		c.Name = "PCMA"
	case 9:
		// RFC 3551 §4.5.2: G722 samples at 16 kHz but its clock rate stays 8000 by an old mistake.
		c.Name = "G722"
	case 10:
		c.Name, c.ClockRate, c.Channels = "L16", 44100, 2
	case 11:
		c.Name, c.ClockRate = "L16", 44100
	case 12:
		c.Name = "QCELP"
	case 13:
		c.Name = "CN"
	case 14:
		c.Name, c.ClockRate = "MPA", 90000
	case 15:
		c.Name = "G728"
	case 16:
		c.Name, c.ClockRate = "DVI4", 11025
	case 17:
		c.Name, c.ClockRate = "DVI4", 22050
	case 18:
		c.Name = "G729"
	default:
		return staticVideo(payloadType)
	}
	return c, true
}

func staticVideo(payloadType uint8) (Codec, bool) {
	c := Codec{PayloadType: payloadType, ClockRate: 90000, Channels: 1}
	switch payloadType {
	case 25:
		c.Name = "CelB"
	case 26:
		c.Name = "JPEG"
	case 28:
		c.Name = "nv"
	case 31:
		c.Name = "H261"
	case 32:
		c.Name = "MPV"
	case 33:
		c.Name = "MP2T"
	case 34:
		c.Name = "H263"
	default:
		return Codec{}, false
	}
	return c, true
}

// Codecs lists the formats of an RTP stream in its order of preference: a=rtpmap, else the static meaning. Formats
// without either are left out, as is everything when the stream is no RTP.
func (m *Media) Codecs() []Codec {
	if !m.IsRTP() {
		return nil
	}
	var maps, params [128]int16 // 1 + index of the attribute for a payload type
	for i := range m.Attributes {
		index := &maps
		switch m.Attributes[i].Name {
		case "rtpmap":
		case "fmtp":
			index = &params
		default:
			continue
		}
		pt, _, ok := cutPayloadType(m.Attributes[i].Value)
		if ok && index[pt] == 0 {
			index[pt] = int16(i + 1)
		}
	}
	codecs := make([]Codec, 0, len(m.Formats))
	for _, format := range m.Formats {
		pt, rest, ok := cutPayloadType(format)
		if !ok || rest != "" {
			continue
		}
		c, ok := StaticCodec(pt)
		if i := maps[pt]; i > 0 {
			if mapped, valid := parseRTPMap(m.Attributes[i-1].Value); valid {
				c, ok = mapped, true
			}
		}
		if !ok {
			continue
		}
		if i := params[pt]; i > 0 {
			_, rest, _ := cutPayloadType(m.Attributes[i-1].Value)
			c.FMTP = strings.TrimLeft(rest, " \t")
		}
		codecs = append(codecs, c)
	}
	return codecs
}

// Codec is the format of one payload type; it must be in the formats of the stream.
func (m *Media) Codec(payloadType uint8) (Codec, bool) {
	for _, c := range m.Codecs() {
		if c.PayloadType == payloadType {
			return c, true
		}
	}
	return Codec{}, false
}

// TelephoneEvent is the payload type of RFC 4733 events with the given clock rate; ok is false when there is none.
//
// RFC 4733 §2.4.1 allows one per clock rate. Interop: many telephones offer telephone-event/8000 alone beside wideband
// codecs; it is used then.
func (m *Media) TelephoneEvent(clockRate int) (payloadType uint8, ok bool) {
	for _, c := range m.Codecs() {
		if !c.Is(TelephoneEvent) {
			continue
		}
		if c.ClockRate == clockRate {
			return c.PayloadType, true
		}
		if !ok {
			payloadType, ok = c.PayloadType, true
		}
	}
	return payloadType, ok
}

// AddCodec appends a format with its a=rtpmap and, where it has parameters, a=fmtp.
func (m *Media) AddCodec(c Codec) {
	m.Formats = append(m.Formats, strconv.Itoa(int(c.PayloadType)))
	m.Attributes = append(m.Attributes, Attribute{"rtpmap", c.RTPMap()})
	if c.FMTP != "" {
		m.Attributes = append(m.Attributes, Attribute{"fmtp", strconv.Itoa(int(c.PayloadType)) + " " + c.FMTP})
	}
}

// FormatParameter is the value of one parameter in a=fmtp ("packetization-mode=1;profile-level-id=42e01f"); "" when it is not
// there. Names are compared without case (RFC 6838 §4.3).
func FormatParameter(fmtp, name string) string {
	for fmtp != "" {
		var field string
		field, fmtp, _ = strings.Cut(fmtp, ";")
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// cutPayloadType reads "96 rest" or "96".
func cutPayloadType(value string) (payloadType uint8, rest string, ok bool) {
	field, rest := cutField(value)
	if len(field) == 0 || len(field) > 3 {
		return 0, "", false
	}
	n := 0
	for i := 0; i < len(field); i++ {
		if field[i] < '0' || field[i] > '9' {
			return 0, "", false
		}
		n = n*10 + int(field[i]-'0')
	}
	return uint8(n & 127), rest, n < 128
}

// parseRTPMap reads RFC 8866 §6.6: <payload type> <encoding name>/<clock rate>[/<channels>]
func parseRTPMap(value string) (Codec, bool) {
	pt, rest, ok := cutPayloadType(value)
	if !ok {
		return Codec{}, false
	}
	name, rest, _ := strings.Cut(strings.TrimSpace(rest), "/")
	clock, channels, _ := strings.Cut(rest, "/")
	rate, err := strconv.ParseUint(clock, 10, 31)
	if !isToken(name) || err != nil || rate == 0 {
		return Codec{}, false
	}
	c := Codec{PayloadType: pt, Name: name, ClockRate: int(rate), Channels: 1}
	if n, err := strconv.ParseUint(channels, 10, 8); err == nil && n > 0 {
		c.Channels = int(n)
	}
	return c, true
}

// isToken: RFC 8866 §9, token: what an encoding name is made of.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
