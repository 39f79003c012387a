package trace

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"time"
)

// A segment file is its magic and then frames, little-endian:
//
//	 0       4       8   9   10                  18                  26      44      62  63      65
//	+-------+-------+---+---+-------------------+-------------------+-------+-------+---+-------+----
//	| length| CRC   | t | d | sequence          | Unix nanoseconds  | local |remote | k | c     | ...
//	+-------+-------+---+---+-------------------+-------------------+-------+-------+---+-------+----
//
// length counts what follows the CRC, which is a CRC-32C over the same. t is the type (message or join), d the
// direction; local and remote are an IPv6 or IPv4-mapped address and a port; k and c are the lengths of kind and SIP
// Call-ID. Then stand the kind, the Call-ID, and the message to the end of the frame. In a join the message is our
// identifier of the call that the Call-ID belongs to.
const (
	magic       = "DTTRACE1"
	prefix      = 8                                    // length and CRC
	fixed       = 1 + 1 + 8 + 8 + 2*addrLength + 1 + 2 // after the prefix
	addrLength  = 18
	maxFrame    = 1 << 20
	typeMessage = 1
	typeJoin    = 2
)

var errTorn = errors.New("torn or damaged frame")

// frame is a decoded frame; its byte slices point into the segment.
type frame struct {
	kind, callID  []byte // kind of transport, SIP Call-ID
	message       []byte
	local, remote netip.AddrPort
	seq           uint64
	at            int64
	typ           byte
	direction     Direction
}

// frameLength is what a frame takes on disk.
func frameLength(kind, callID, message int) int { return prefix + fixed + kind + callID + message }

// appendHead begins a frame of n bytes in all, up to where the kind stands. The CRC is left out: seal puts it in, off the
// hot path.
func appendHead(b []byte, typ byte, d Direction, seq uint64, at int64, local, remote netip.AddrPort, kind, callID, n int) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(n-prefix))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, typ, byte(d))
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	b = appendAddr(b, local)
	b = appendAddr(b, remote)
	b = append(b, byte(kind))
	return binary.LittleEndian.AppendUint16(b, uint16(callID))
}

// seal computes the CRCs of the frames in b, which were made by appendFrame.
func seal(b []byte) {
	for len(b) >= prefix {
		n := prefix + int(binary.LittleEndian.Uint32(b))
		binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[prefix:n], castagnoli()))
		b = b[n:]
	}
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// readFrame decodes the frame at the start of b and returns what follows it.
func readFrame(b []byte) (f frame, rest []byte, err error) {
	if len(b) < prefix+fixed {
		return f, nil, errTorn
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n < fixed || n > maxFrame || n > len(b)-prefix {
		return f, nil, errTorn
	}
	body := b[prefix : prefix+n]
	if crc32.Checksum(body, castagnoli()) != binary.LittleEndian.Uint32(b[4:]) {
		return f, nil, errTorn
	}
	f.typ, f.direction = body[0], Direction(body[1])
	f.seq, f.at = binary.LittleEndian.Uint64(body[2:]), int64(binary.LittleEndian.Uint64(body[10:]))
	f.local, f.remote = readAddr(body[18:]), readAddr(body[18+addrLength:])
	kind, callID := int(body[fixed-3]), int(binary.LittleEndian.Uint16(body[fixed-2:]))
	text := body[fixed:]
	if kind+callID > len(text) || f.typ != typeMessage && f.typ != typeJoin || f.direction > Out {
		return f, nil, errTorn
	}
	f.kind, f.callID, f.message = text[:kind], text[kind:kind+callID], text[kind+callID:]
	return f, b[prefix+n:], nil
}

// frames calls add for each frame of a segment until the first that is torn or damaged. The frame is valid until add
// returns.
func frames(segment []byte, add func(*frame)) error {
	if len(segment) < len(magic) || string(segment[:len(magic)]) != magic {
		return errTorn
	}
	var f frame // one for all: a frame of its own for each would be a million allocations in a full ring
	for b := segment[len(magic):]; len(b) > 0; {
		var err error
		if f, b, err = readFrame(b); err != nil {
			return err
		}
		add(&f)
	}
	return nil
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().As16() // of the zero Addr: all zeros, like "::"
	b = append(b, ip[:]...)
	return binary.LittleEndian.AppendUint16(b, a.Port())
}

func readAddr(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), binary.LittleEndian.Uint16(b[16:]))
}

// entry copies the frame out of the segment.
func (f *frame) entry() Entry {
	return Entry{
		Seq: f.seq, At: time.Unix(0, f.at).UTC(), Direction: f.direction, Kind: string(f.kind),
		Local: f.local, Remote: f.remote, SIPCallID: string(f.callID), Message: append([]byte(nil), f.message...),
	}
}
