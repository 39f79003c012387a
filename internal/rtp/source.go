package rtp

import "encoding/binary"

// The items of a source description, RFC 3550 §6.5.
const (
	ItemCNAME = 1
	ItemName  = 2
	ItemTool  = 6
)

// Chunk describes one source in a source description packet, RFC 3550 §6.5.
type Chunk struct {
	SSRC  uint32
	Items []Item
}

// Item is one text about a source. Text points into the datagram.
type Item struct {
	Type uint8
	Text []byte // UTF-8, 255 bytes at most
}

// ParseSourceDescription reads a source description packet.
func ParseSourceDescription(p ControlPacket) ([]Chunk, error) {
	if p.Type != TypeSourceDescription {
		return nil, ErrMalformed
	}
	var chunks []Chunk
	b := p.Body
	for range p.Count {
		if len(b) < 4 {
			return nil, ErrShort
		}
		c := Chunk{SSRC: binary.BigEndian.Uint32(b)}
		at := 4
		for {
			if at >= len(b) {
				return nil, ErrShort
			}
			kind := b[at]
			if kind == 0 {
				break
			}
			if at+2 > len(b) || at+2+int(b[at+1]) > len(b) {
				return nil, ErrShort
			}
			end := at + 2 + int(b[at+1])
			c.Items = append(c.Items, Item{Type: kind, Text: b[at+2 : end : end]})
			at = end
		}
		// RFC 3550 §6.5: the list "is terminated by one or more null octets" up to the next 32-bit boundary.
		at = at/4*4 + 4
		if at > len(b) {
			return nil, ErrShort
		}
		b = b[at:]
		chunks = append(chunks, c)
	}
	return chunks, nil
}

// AppendSourceDescription prints a source description packet to dst; chunks beyond 31, items of type 0 and text beyond
// 255 bytes are left out.
func AppendSourceDescription(dst []byte, chunks ...Chunk) []byte {
	chunks = chunks[:min(len(chunks), maxCount)]
	start := len(dst)
	dst = appendControl(dst, TypeSourceDescription, uint8(len(chunks)), 0)
	for _, c := range chunks {
		dst = binary.BigEndian.AppendUint32(dst, c.SSRC)
		for _, item := range c.Items {
			if item.Type == 0 {
				continue
			}
			text := item.Text[:min(len(item.Text), 255)]
			dst = append(dst, item.Type, uint8(len(text)))
			dst = append(dst, text...)
		}
		dst = append(dst, 0)
		for (len(dst)-start)%4 != 0 {
			dst = append(dst, 0)
		}
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16((len(dst)-start)/4-1))
	return dst
}

// AppendCNAME prints a source description packet with nothing but the canonical name, which every compound carries
// (RFC 3550 §6.1).
func AppendCNAME(dst []byte, ssrc uint32, cname string) []byte {
	cname = cname[:min(len(cname), 255)]
	size := (4 + 2 + len(cname) + 1 + 3) &^ 3
	dst = appendControl(dst, TypeSourceDescription, 1, size)
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = append(dst, ItemCNAME, uint8(len(cname)))
	dst = append(dst, cname...)
	for len(dst)-start < size {
		dst = append(dst, 0)
	}
	return dst
}

// Bye says that sources leave, RFC 3550 §6.6.
type Bye struct {
	SSRCs  []uint32
	Reason []byte // 255 bytes at most; points into the datagram
}

// ParseBye reads a BYE packet.
func ParseBye(p ControlPacket) (Bye, error) {
	if p.Type != TypeBye {
		return Bye{}, ErrMalformed
	}
	b := p.Body
	if len(b) < 4*int(p.Count) {
		return Bye{}, ErrShort
	}
	var bye Bye
	for range p.Count {
		bye.SSRCs = append(bye.SSRCs, binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) > 0 {
		n := int(b[0])
		if len(b) < 1+n {
			return Bye{}, ErrShort
		}
		bye.Reason = b[1 : 1+n : 1+n]
	}
	return bye, nil
}

// Append prints the packet to dst; sources beyond 31 and reason beyond 255 bytes are left out.
func (y Bye) Append(dst []byte) []byte {
	ssrcs, reason := y.SSRCs[:min(len(y.SSRCs), maxCount)], y.Reason[:min(len(y.Reason), 255)]
	size := 4 * len(ssrcs)
	if len(reason) > 0 {
		size += (1 + len(reason) + 3) &^ 3
	}
	dst = appendControl(dst, TypeBye, uint8(len(ssrcs)), size)
	start := len(dst)
	for _, ssrc := range ssrcs {
		dst = binary.BigEndian.AppendUint32(dst, ssrc)
	}
	if len(reason) > 0 {
		dst = append(dst, uint8(len(reason)))
		dst = append(dst, reason...)
	}
	for len(dst)-start < size {
		dst = append(dst, 0)
	}
	return dst
}
