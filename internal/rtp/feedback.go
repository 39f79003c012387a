package rtp

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The formats of feedback: RFC 4585 §6.2 and §6.3, RFC 5104 §4.2 and §4.3.
const (
	formatNACK        = 1 // transport
	formatTMMBR       = 3 // transport
	formatTMMBN       = 4 // transport
	formatPLI         = 1 // payload
	formatFIR         = 4 // payload
	formatApplication = 15
)

// FeedbackKind is what a feedback packet is about.
type FeedbackKind uint8

// The kinds that this package reads.
const (
	OtherFeedback       FeedbackKind = iota // of another format, or not as its format must be
	GenericNACK                             // Missing are the packets that did not come
	BitrateLimitRequest                     // TMMBR: BitrateLimits are asked for
	BitrateLimitNotice                      // TMMBN: BitrateLimits are in force
	PictureLoss                             // PLI: the picture of MediaSSRC is damaged
	IntraRequest                            // FIR: IntraRequests ask for whole pictures
	BitrateEstimate                         // REMB: Estimate is what the path bears
)

// Feedback is a transport or payload feedback packet, RFC 4585 §6.1; Kind says what it is about.
type Feedback struct {
	Type      uint8  // TypeTransportFeedback or TypePayloadFeedback
	Format    uint8  // its meaning depends on Type
	SSRC      uint32 // of who sends the feedback
	MediaSSRC uint32 // of the stream that it is about; 0 where Control names streams
	Control   []byte // FCI; points into the datagram
}

// ParseFeedback reads a feedback packet.
func ParseFeedback(p ControlPacket) (Feedback, error) {
	if p.Type != TypeTransportFeedback && p.Type != TypePayloadFeedback {
		return Feedback{}, ErrMalformed
	}
	if len(p.Body) < 8 {
		return Feedback{}, ErrShort
	}
	return Feedback{
		Type:      p.Type,
		Format:    p.Count,
		SSRC:      binary.BigEndian.Uint32(p.Body),
		MediaSSRC: binary.BigEndian.Uint32(p.Body[4:]),
		Control:   p.Body[8:],
	}, nil
}

// Append prints the packet to dst, the control information filled up to a multiple of four bytes.
func (f Feedback) Append(dst []byte) []byte {
	size := 8 + (len(f.Control)+3)&^3
	dst = appendControl(dst, f.Type, f.Format, size)
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, f.SSRC)
	dst = binary.BigEndian.AppendUint32(dst, f.MediaSSRC)
	dst = append(dst, f.Control...)
	for len(dst)-start < size {
		dst = append(dst, 0)
	}
	return dst
}

// Kind tells what the packet is about; anything else than OtherFeedback has well-formed control information.
func (f *Feedback) Kind() FeedbackKind {
	n := len(f.Control)
	switch {
	case f.Type == TypeTransportFeedback && f.Format == formatNACK && n > 0 && n%4 == 0:
		return GenericNACK
	case f.Type == TypeTransportFeedback && f.Format == formatTMMBR && n > 0 && n%8 == 0:
		return BitrateLimitRequest
	case f.Type == TypeTransportFeedback && f.Format == formatTMMBN && n%8 == 0:
		return BitrateLimitNotice // RFC 5104 §4.2.2.1: without entries when nobody limits anything
	case f.Type == TypePayloadFeedback && f.Format == formatPLI && n == 0:
		return PictureLoss
	case f.Type == TypePayloadFeedback && f.Format == formatFIR && n > 0 && n%8 == 0:
		return IntraRequest
	case f.Type == TypePayloadFeedback && f.Format == formatApplication && f.isEstimate():
		return BitrateEstimate
	}
	return OtherFeedback
}

// PictureLossIndication asks the sender of media for a new picture, RFC 4585 §6.3.1.
func PictureLossIndication(ssrc, media uint32) Feedback {
	return Feedback{Type: TypePayloadFeedback, Format: formatPLI, SSRC: ssrc, MediaSSRC: media}
}

// Missing goes through the sequence numbers of a generic NACK.
//
// RFC 4585 §6.2.1: entries of a packet ID and a bit mask of the 16 packets behind it.
//
//	|            PID                |             BLP               |
func (f *Feedback) Missing(yield func(sequence uint16) bool) {
	if f.Kind() != GenericNACK {
		return
	}
	for b := f.Control; len(b) > 0; b = b[4:] {
		first, mask := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		if !yield(first) {
			return
		}
		for ; mask != 0; mask &= mask - 1 {
			if !yield(first + 1 + uint16(bits.TrailingZeros16(mask))) {
				return
			}
		}
	}
}

// AppendNACK prints a generic NACK to dst. The missing sequence numbers should ascend, modulo 2^16, to take little space;
// without any nothing is printed, and of those that would make more than maxNACK entries, the last are left out.
func AppendNACK(dst []byte, ssrc, media uint32, missing []uint16) []byte {
	if len(missing) == 0 {
		return dst
	}
	start := len(dst)
	dst = appendFeedback(dst, TypeTransportFeedback, formatNACK, ssrc, media)
	first, mask := missing[0], uint16(0)
	for _, sequence := range missing[1:] {
		switch behind := sequence - first; {
		case behind == 0:
		case behind <= 16:
			mask |= 1 << (behind - 1)
		case len(dst)-start >= 12+4*(maxNACK-1):
			return finishFeedback(appendNACKEntry(dst, first, mask), start)
		default:
			dst = appendNACKEntry(dst, first, mask)
			first, mask = sequence, 0
		}
	}
	return finishFeedback(appendNACKEntry(dst, first, mask), start)
}

// maxNACK is how many entries a generic NACK of ours has at most, to fit a datagram.
const maxNACK = 256

func appendNACKEntry(dst []byte, first, mask uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(dst, first), mask)
}

// IntraEntry asks one sender for a whole picture, RFC 5104 §4.3.1.
type IntraEntry struct {
	SSRC   uint32
	Number uint8 // one more for each new request, the same for a repetition
}

// IntraRequests goes through the entries of a full intra request.
//
//	|                              SSRC                             |
//	| Seq nr.       |    Reserved                                   |
func (f *Feedback) IntraRequests(yield func(IntraEntry) bool) {
	if f.Kind() != IntraRequest {
		return
	}
	for b := f.Control; len(b) > 0; b = b[8:] {
		if !yield(IntraEntry{SSRC: binary.BigEndian.Uint32(b), Number: b[4]}) {
			return
		}
	}
}

// AppendIntraRequest prints a full intra request to dst.
func AppendIntraRequest(dst []byte, ssrc uint32, entries ...IntraEntry) []byte {
	start := len(dst)
	// RFC 5104 §4.3.1.2: the "SSRC of media source" "is not used and SHALL be set to 0".
	dst = appendFeedback(dst, TypePayloadFeedback, formatFIR, ssrc, 0)
	for _, e := range entries {
		dst = append(binary.BigEndian.AppendUint32(dst, e.SSRC), e.Number, 0, 0, 0)
	}
	return finishFeedback(dst, start)
}

// BitrateLimit is the most that one sender may send or its owner, RFC 5104 §4.2.1.
type BitrateLimit struct {
	SSRC     uint32
	Bitrate  uint64 // bit/s
	Overhead uint16 // bytes of headers of a packet, 511 at most
}

// BitrateLimits goes through the entries of a TMMBR or TMMBN. What exceeds 64 bits is as much as they hold.
//
//	|                              SSRC                             |
//	| MxTBR Exp |  MxTBR Mantissa                 |Measured Overhead|
func (f *Feedback) BitrateLimits(yield func(BitrateLimit) bool) {
	if kind := f.Kind(); kind != BitrateLimitRequest && kind != BitrateLimitNotice {
		return
	}
	for b := f.Control; len(b) > 0; b = b[8:] {
		word := binary.BigEndian.Uint32(b[4:])
		limit := BitrateLimit{
			SSRC:     binary.BigEndian.Uint32(b),
			Bitrate:  shifted(word>>9&(1<<17-1), word>>26),
			Overhead: uint16(word & (1<<9 - 1)),
		}
		if !yield(limit) {
			return
		}
	}
}

// AppendBitrateLimits prints a TMMBR (BitrateLimitRequest) or TMMBN (BitrateLimitNotice) to dst. Rates are rounded down to
// 17 significant bits.
func AppendBitrateLimits(dst []byte, kind FeedbackKind, ssrc uint32, limits ...BitrateLimit) []byte {
	format := uint8(formatTMMBR)
	if kind == BitrateLimitNotice {
		format = formatTMMBN
	}
	start := len(dst)
	// RFC 5104 §4.2.1.2: the "SSRC of media source" "is not used and SHALL be set to 0".
	dst = appendFeedback(dst, TypeTransportFeedback, format, ssrc, 0)
	for _, l := range limits {
		mantissa, exponent := significant(l.Bitrate, 17)
		dst = binary.BigEndian.AppendUint32(dst, l.SSRC)
		dst = binary.BigEndian.AppendUint32(dst, exponent<<26|mantissa<<9|uint32(min(l.Overhead, 1<<9-1)))
	}
	return finishFeedback(dst, start)
}

// isEstimate: draft-alvestrand-rmcat-remb-03 §2.2.
//
//	|  Unique identifier 'R' 'E' 'M' 'B'                            |
//	|  Num SSRC     | BR Exp    |  BR Mantissa                      |
//	|   SSRC feedback, for each of them                             |
func (f *Feedback) isEstimate() bool {
	b := f.Control
	return len(b) >= 8 && string(b[:4]) == "REMB" && len(b) == 8+4*int(b[4])
}

// Estimate is the content of a REMB: the bit rate that the path bears for all the streams together, in bit/s. The streams
// are appended to ssrcs.
func (f *Feedback) Estimate(ssrcs []uint32) (bitrate uint64, streams []uint32) {
	if f.Kind() != BitrateEstimate {
		return 0, ssrcs
	}
	word := binary.BigEndian.Uint32(f.Control[4:])
	for b := f.Control[8:]; len(b) > 0; b = b[4:] {
		ssrcs = append(ssrcs, binary.BigEndian.Uint32(b))
	}
	return shifted(word&(1<<18-1), word>>18&(1<<6-1)), ssrcs
}

// AppendEstimate prints a REMB to dst, the rate rounded down to 18 significant bits; streams beyond 255 are left out.
func AppendEstimate(dst []byte, ssrc uint32, bitrate uint64, streams ...uint32) []byte {
	streams = streams[:min(len(streams), math.MaxUint8)]
	start := len(dst)
	dst = append(appendFeedback(dst, TypePayloadFeedback, formatApplication, ssrc, 0), "REMB"...)
	mantissa, exponent := significant(bitrate, 18)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(streams))<<24|exponent<<18|mantissa)
	for _, s := range streams {
		dst = binary.BigEndian.AppendUint32(dst, s)
	}
	return finishFeedback(dst, start)
}

func appendFeedback(dst []byte, kind, format uint8, ssrc, media uint32) []byte {
	dst = appendControl(dst, kind, format, 0)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, ssrc), media)
}

// finishFeedback writes the length of the packet that begins at start.
func finishFeedback(dst []byte, start int) []byte {
	binary.BigEndian.PutUint16(dst[start+2:], uint16((len(dst)-start)/4-1))
	return dst
}

func shifted(mantissa, exponent uint32) uint64 {
	if bits.Len32(mantissa)+int(exponent) > 64 {
		return math.MaxUint64
	}
	return uint64(mantissa) << exponent
}

// significant takes x apart into as many significant bits as given and their exponent.
func significant(x uint64, width int) (mantissa, exponent uint32) {
	exponent = uint32(max(0, bits.Len64(x)-width))
	return uint32(x >> exponent), exponent
}
