package location

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// The body of a saved row is one byte of version, then: tenant (16), line (16), transport (1), q, reg-id, CSeq, created
// and updated in Unix milliseconds (uvarints), local and remote address, and the texts, each with its length before it.
const bodyVersion = 1

var errBody = errors.New("location: saved binding is damaged or of another version")

// appendBody appends the body of a record. now is the time of day at the moment at since the table's start.
func appendBody(b []byte, r *record, now time.Time, at int64) []byte {
	if b == nil {
		b = make([]byte, 0, 128+len(r.text))
	}
	ms := func(t int64) uint64 { return uint64(max(0, now.UnixMilli()-(at-t)/int64(time.Millisecond))) }
	b = append(b, bodyVersion)
	b = append(b, r.aor.Tenant[:]...)
	b = append(b, r.aor.Line[:]...)
	b = append(b, r.kind)
	b = binary.AppendUvarint(b, uint64(r.q))
	b = binary.AppendUvarint(b, uint64(r.regID))
	b = binary.AppendUvarint(b, uint64(r.cseq))
	b = binary.AppendUvarint(b, ms(r.created))
	b = binary.AppendUvarint(b, ms(r.updated))
	b = appendAddr(b, r.local)
	b = appendAddr(b, r.remote)
	for i := range textCount {
		s := r.at(i)
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// appendAddr appends 0 for no address, or 4 or 16, the bytes of the address and the port. Zones are not kept: they do
// not outlive the machine's configuration.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().Unmap().WithZone("")
	if !ip.IsValid() {
		return append(b, 0)
	}
	b = append(b, byte(ip.BitLen()/8))
	b = append(b, ip.AsSlice()...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

// savedTimes are the times of a parsed body, in Unix milliseconds.
type savedTimes struct{ created, updated int64 }

// parseBody reads a body. The record's created, updated and expires are left 0.
func parseBody(body []byte) (*record, savedTimes, error) {
	p := bodyReader{rest: body}
	r := &record{}
	if p.bytes(1)[0] != bodyVersion {
		return nil, savedTimes{}, errBody
	}
	copy(r.aor.Tenant[:], p.bytes(16))
	copy(r.aor.Line[:], p.bytes(16))
	r.kind = p.bytes(1)[0]
	r.q = uint16(p.number(1000))
	r.regID = uint32(p.number(1<<32 - 1))
	r.cseq = uint32(p.number(1<<32 - 1))
	times := savedTimes{created: int64(p.number(1<<53 - 1)), updated: int64(p.number(1<<53 - 1))}
	r.local, r.remote = p.addr(), p.addr()
	text := make([]byte, 0, len(p.rest))
	for i := range textCount {
		text = append(text, p.bytes(int(p.number(1<<16-1)))...)
		if len(text) > 1<<16-1 {
			return nil, savedTimes{}, errBody
		}
		r.ends[i] = uint16(len(text))
	}
	r.text = string(text)
	if p.failed || len(p.rest) > 0 || int(r.kind) >= len(transports) {
		return nil, savedTimes{}, errBody
	}
	return r, times, nil
}

// bodyReader takes a body apart. After a failure it returns zeros.
type bodyReader struct {
	rest   []byte
	failed bool
}

func (p *bodyReader) bytes(n int) []byte {
	if p.failed || len(p.rest) < n {
		p.failed = true
		return make([]byte, min(n, 16))
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *bodyReader) number(limit uint64) uint64 {
	v, n := binary.Uvarint(p.rest)
	if p.failed || n <= 0 || v > limit {
		p.failed = true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *bodyReader) addr() netip.AddrPort {
	n := int(p.bytes(1)[0])
	if n == 0 {
		return netip.AddrPort{}
	}
	if n != 4 && n != 16 {
		p.failed = true
		return netip.AddrPort{}
	}
	ip, _ := netip.AddrFromSlice(p.bytes(n))
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(p.bytes(2)))
}
