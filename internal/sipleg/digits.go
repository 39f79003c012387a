package sipleg

import (
	"bytes"
	"strconv"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/media"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
	"dialtone/internal/sip"
)

// The bodies in which telephones send keys by INFO. Neither was ever an RFC; RFC 6086 §1 calls it the legacy usage.
const (
	typeDTMFRelay = "application/dtmf-relay" // "Signal=5\r\nDuration=160"
	typeDTMF      = "application/dtmf"       // "5"
)

// A request for a whole picture by INFO (RFC 5168), for parties that take none by RTCP.
const (
	typeMediaControl = "application/media_control+xml"
	fastUpdate       = `<?xml version="1.0" encoding="utf-8"?><media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>`
)

// Bounds of a key that comes by INFO, in milliseconds.
const (
	usualPress = 100
	leastPress = 40
	mostPress  = 5000
)

// Press implements call.Leg.
func (l *Leg) Press(digit byte, ms int) {
	if l.phase != connected || l.media == nil {
		return
	}
	inform := l.terms.Digits == media.DigitInfo || l.terms.Digits == media.DigitsAuto && l.keysInfo && !l.media.TakesEvents()
	if !inform {
		if err := l.media.SendDigit(digit, time.Duration(ms)*time.Millisecond); err == nil {
			return
		}
	}
	body := append([]byte("Signal="), digit)
	body = append(body, "\r\nDuration="...)
	body = append(strconv.AppendInt(body, int64(max(ms, leastPress)), 10), "\r\n"...)
	l.Info(typeDTMFRelay, body)
}

// informed takes the body of an INFO.
func (l *Leg) informed(m *sip.Message) {
	if kind, _, _ := bytes.Cut(m.ContentType(), []byte(";")); sip.EqualFold(bytes.TrimSpace(kind), sdp.FragmentType) {
		return // RFC 8840: the party's candidates are between it and us, and it is the one that checks
	}
	digit, ms, ok := parseKey(m.ContentType(), m.Body())
	if !ok {
		l.tell(call.Informed{Leg: l, ContentType: string(m.ContentType()), Body: m.Body()})
		return
	}
	l.keysInfo = true
	l.tell(call.Pressed{Leg: l, Digit: digit, DurationMS: ms, Signalled: true})
}

// parseKey reads a key out of the body of an INFO.
func parseKey(contentType, body []byte) (digit byte, ms int, ok bool) {
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	kind = bytes.TrimSpace(kind)
	ms = usualPress
	switch {
	case sip.EqualFold(kind, typeDTMF):
		digit, ok = keyOf(bytes.TrimSpace(body))
	case sip.EqualFold(kind, typeDTMFRelay):
		for line := range bytes.Lines(body) {
			name, value, found := bytes.Cut(line, []byte("="))
			value = bytes.TrimSpace(value)
			switch name = bytes.TrimSpace(name); {
			case !found:
			case sip.EqualFold(name, "Signal"):
				digit, ok = keyOf(value)
			case sip.EqualFold(name, "Duration"):
				if n, err := strconv.Atoi(string(value)); err == nil {
					ms = min(max(n, leastPress), mostPress)
				}
			}
		}
	}
	return digit, ms, ok
}

// keyOf is a key by its sign, or by its RFC 4733 number: some telephones write 10 for the star and 11 for the hash.
func keyOf(text []byte) (byte, bool) {
	if len(text) == 1 {
		key := text[0]
		if 'a' <= key && key <= 'd' {
			key -= 'a' - 'A'
		}
		_, ok := rtp.KeyCode(key)
		return key, ok
	}
	if n, err := strconv.ParseUint(string(text), 10, 8); err == nil && len(text) == 2 && n < 16 {
		return rtp.Key(uint8(n)), true
	}
	return 0, false
}
