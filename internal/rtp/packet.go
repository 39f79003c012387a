// Package rtp reads and writes the packets of real-time media and does their arithmetic: RTP, RTCP with its extended
// reports, telephone events, sequence numbers, reception statistics, NTP time and report intervals.
//
// It owns values and pure functions only. Sockets, clocks, encryption, jitter buffers and who may send what to whom
// belong to the media packages above; time and chance come in as arguments.
//
// There are no goroutines. Parsed values point into the datagram they came from and are valid as long as it is; nothing
// on the path of a packet allocates. A Receiver, Sender or EventDecoder belongs to one goroutine at a time.
//
// RFCs: 3550 (RTP, RTCP), 3551 (profile), 3611 (XR), 4585 and 5104 (feedback), 4733 (telephone-event), 5761 and 7983 (telling
// protocols on one port apart).
package rtp

import (
	"encoding/binary"
	"errors"
)

// HeaderSize is the length of the fixed RTP header in bytes.
const HeaderSize = 12

// Errors of the parsers. They say what is wrong with a datagram and are counted, not shown.
var (
	ErrShort     = errors.New("rtp: packet is shorter than its header says")
	ErrVersion   = errors.New("rtp: version is not 2")
	ErrPadding   = errors.New("rtp: padding is longer than the payload")
	ErrMalformed = errors.New("rtp: field contradicts the length of the packet")
)

// Packet is one RTP packet, RFC 3550 §5.1. CSRC, Extension and Payload of a parsed packet point into the datagram.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|V=2|P|X|  CC   |M|     PT      |       sequence number         |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                           timestamp                           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|           synchronization source (SSRC) identifier            |
//	+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
//	|            contributing source (CSRC) identifiers, CC words   |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|      defined by profile       |           length              |  if X
//	|                        header extension, length words         |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|    payload ...                        | padding, its length last
type Packet struct {
	Marker           bool
	PayloadType      uint8 // 0-127
	Sequence         uint16
	Timestamp        uint32 // in units of the payload's clock rate
	SSRC             uint32
	CSRC             []byte // four bytes for each contributing source
	HasExtension     bool
	ExtensionProfile uint16
	Extension        []byte // a multiple of four bytes
	Payload          []byte // without padding
	Padding          uint8  // bytes of padding, its length byte included
}

// Parse reads a datagram into p. It overwrites all of p and copies nothing.
func (p *Packet) Parse(b []byte) error {
	if len(b) < HeaderSize {
		return ErrShort
	}
	if b[0]>>6 != 2 {
		return ErrVersion
	}
	*p = Packet{
		Marker:      b[1]&0x80 != 0,
		PayloadType: b[1] & 0x7f,
		Sequence:    binary.BigEndian.Uint16(b[2:]),
		Timestamp:   binary.BigEndian.Uint32(b[4:]),
		SSRC:        binary.BigEndian.Uint32(b[8:]),
	}
	rest := b[HeaderSize:]
	if n := 4 * int(b[0]&0x0f); n > 0 {
		if len(rest) < n {
			return ErrShort
		}
		p.CSRC, rest = rest[:n:n], rest[n:]
	}
	if b[0]&0x10 != 0 {
		if len(rest) < 4 {
			return ErrShort
		}
		n := 4 * int(binary.BigEndian.Uint16(rest[2:]))
		p.HasExtension, p.ExtensionProfile = true, binary.BigEndian.Uint16(rest)
		rest = rest[4:]
		if len(rest) < n {
			return ErrShort
		}
		p.Extension, rest = rest[:n:n], rest[n:]
	}
	if b[0]&0x20 != 0 {
		// RFC 3550 §5.1: "The last octet of the padding contains a count of how many padding octets should be ignored,
		// including itself."
		if len(rest) == 0 {
			return ErrPadding
		}
		p.Padding = rest[len(rest)-1]
		if p.Padding == 0 || int(p.Padding) > len(rest) {
			return ErrPadding
		}
		rest = rest[:len(rest)-int(p.Padding)]
	}
	p.Payload = rest
	return nil
}

// Append prints the packet to dst. CSRC and Extension must be multiples of four bytes, as a parsed packet has them.
func (p *Packet) Append(dst []byte) []byte {
	first := byte(2<<6 | len(p.CSRC)/4&0x0f)
	if p.HasExtension {
		first |= 0x10
	}
	if p.Padding > 0 {
		first |= 0x20
	}
	second := p.PayloadType & 0x7f
	if p.Marker {
		second |= 0x80
	}
	dst = append(dst, first, second)
	dst = binary.BigEndian.AppendUint16(dst, p.Sequence)
	dst = binary.BigEndian.AppendUint32(dst, p.Timestamp)
	dst = binary.BigEndian.AppendUint32(dst, p.SSRC)
	dst = append(dst, p.CSRC...)
	if p.HasExtension {
		dst = binary.BigEndian.AppendUint16(dst, p.ExtensionProfile)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Extension)/4))
		dst = append(dst, p.Extension...)
	}
	dst = append(dst, p.Payload...)
	if p.Padding > 0 {
		for range p.Padding - 1 {
			dst = append(dst, 0)
		}
		dst = append(dst, p.Padding)
	}
	return dst
}
