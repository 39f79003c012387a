package rtp

import "encoding/binary"

// The RTCP packet types (RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §2).
const (
	TypeSenderReport      = 200
	TypeReceiverReport    = 201
	TypeSourceDescription = 202
	TypeBye               = 203
	TypeApplication       = 204
	TypeTransportFeedback = 205 // generic NACK ...
	TypePayloadFeedback   = 206 // PLI, FIR ...
	TypeExtendedReport    = 207
)

// ControlPacket is one packet of an RTCP compound. Body points into the datagram.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|V=2|P|  count  |      type     |   length in words, minus one  |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                            body ...                           |
type ControlPacket struct {
	Type  uint8
	Count uint8  // 0-31: report blocks, chunks, sources, or the format of feedback
	Body  []byte // behind the first word, without padding; a multiple of four bytes unless padding was odd
}

// NextControl cuts the first packet off a compound. Packets of types that nobody reads are walked over in this way.
func NextControl(compound []byte) (p ControlPacket, rest []byte, err error) {
	if len(compound) < 4 {
		return p, nil, ErrShort
	}
	if compound[0]>>6 != 2 {
		return p, nil, ErrVersion
	}
	size := 4 + 4*int(binary.BigEndian.Uint16(compound[2:]))
	if len(compound) < size {
		return p, nil, ErrShort
	}
	p = ControlPacket{Type: compound[1], Count: compound[0] & 0x1f, Body: compound[4:size:size]}
	rest = compound[size:]
	if compound[0]&0x20 != 0 {
		// RFC 3550 §6.4.1: "padding is only required on one individual packet", the last of a compound.
		if len(rest) > 0 || len(p.Body) == 0 {
			return p, nil, ErrPadding
		}
		padding := int(p.Body[len(p.Body)-1])
		if padding == 0 || padding > len(p.Body) {
			return p, nil, ErrPadding
		}
		p.Body = p.Body[: len(p.Body)-padding : len(p.Body)-padding]
	}
	return p, rest, nil
}

// CheckControl tells whether a datagram is a well-formed RTCP compound whose packets fill it exactly, RFC 3550 A.2. The
// first packet need not be a report, since reduced-size RTCP is in use (RFC 5506).
func CheckControl(compound []byte) error {
	for first := true; first || len(compound) > 0; first = false {
		p, rest, err := NextControl(compound)
		if err != nil {
			return err
		}
		if p.Type < 192 || p.Type > 223 {
			return ErrMalformed
		}
		compound = rest
	}
	return nil
}

// appendControl appends the first word of a packet with the given length of the body in bytes, a multiple of four.
func appendControl(dst []byte, kind, count uint8, size int) []byte {
	dst = append(dst, 2<<6|count&0x1f, kind)
	return binary.BigEndian.AppendUint16(dst, uint16(size/4))
}

// Append prints the packet to dst, its body filled up with zeros to a multiple of four bytes.
func (p ControlPacket) Append(dst []byte) []byte {
	size := (len(p.Body) + 3) &^ 3
	dst = appendControl(dst, p.Type, p.Count, size)
	dst = append(dst, p.Body...)
	for range size - len(p.Body) {
		dst = append(dst, 0)
	}
	return dst
}

// Sender is the SSRC of who says it; 0 where the packet names nobody.
func (p ControlPacket) Sender() uint32 {
	if len(p.Body) < 4 || p.Type == TypeBye && p.Count == 0 {
		return 0
	}
	return binary.BigEndian.Uint32(p.Body)
}

// About is the SSRC of the media that the packet is about: that of a feedback, or of the first block of a report; 0 where it is
// about none.
func (p ControlPacket) About() uint32 {
	at := 0
	switch {
	case p.Type == TypeTransportFeedback || p.Type == TypePayloadFeedback:
		at = 4
	case p.Type == TypeSenderReport && p.Count > 0:
		at = 24
	case p.Type == TypeReceiverReport && p.Count > 0:
		at = 4
	}
	if at == 0 || len(p.Body) < at+4 {
		return 0
	}
	return binary.BigEndian.Uint32(p.Body[at:])
}
