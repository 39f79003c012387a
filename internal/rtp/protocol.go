package rtp

// Protocol is what a datagram on a media port is.
type Protocol uint8

// The protocols that share media ports.
const (
	Unknown Protocol = iota
	STUN
	DTLS
	TURN // channel data
	RTP
	RTCP
)

// Classify tells the protocols of one port apart by their first bytes. It looks at two bytes only: an RTP datagram may
// still be malformed.
//
// RFC 7983 §7: 0-3 STUN, 20-63 DTLS, 64-79 TURN channel, 128-191 RTP or RTCP.
// RFC 5761 §4: of the last, a second byte of 192-223 (payload types 64-95 with the marker) is RTCP.
func Classify(b []byte) Protocol {
	if len(b) < 2 {
		return Unknown
	}
	switch first := b[0]; {
	case first <= 3:
		return STUN
	case 20 <= first && first <= 63:
		return DTLS
	case 64 <= first && first <= 79:
		return TURN
	case 128 <= first && first <= 191:
		if 192 <= b[1] && b[1] <= 223 {
			return RTCP
		}
		return RTP
	}
	return Unknown
}
