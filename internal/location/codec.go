package location

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// The body of a saved row is one byte of version, then: tenant (16), line (16), transport (1), q, reg-id, CSeq, created
// and updated in Unix milliseconds (uvarints), local and remote address, and the texts, each with its length before it.
// A refresh is updated in Unix milliseconds and CSeq.
const bodyVersion = 1

var errBody = errors.New("location: saved binding is damaged or of another version")

// clock turns times of the table into times of day, as they are at the moment at.
type clock struct {
	at   int64 // since the table's start
	unix int64 // nanoseconds
}

func (t *Table) clock(now time.Time) clock { return clock{t.since(now), now.UnixNano()} }

// ms is a time of the table in Unix milliseconds, rounded down, be it before or after the moment.
func (c clock) ms(t int64) int64 { return (c.unix + t - c.at) / int64(time.Millisecond) }

func (c clock) past(t int64) uint64 { return uint64(max(0, c.ms(t))) }

// longestMS bounds what is read: more milliseconds than that are no time that anything here has lasted.
const longestMS = 100 * 365 * 24 * int64(time.Hour/time.Millisecond)

// since is the time of the table that a time of day was.
func (c clock) since(ms int64) int64 {
	ms = max(c.ms(c.at)-longestMS, min(ms, c.ms(c.at)+longestMS))
	return c.at - (c.unix - ms*int64(time.Millisecond))
}

// before is the same for what cannot be yet to come; when the clock was set back, it is now.
func (c clock) before(ms int64) int64 { return min(c.at, c.since(ms)) }

// appendBody appends the body of a record.
func appendBody(b []byte, r *record, text string, c clock) []byte {
	b = append(b, bodyVersion)
	b = append(b, r.aor.Tenant[:]...)
	b = append(b, r.aor.Line[:]...)
	b = append(b, r.kind)
	b = binary.AppendUvarint(b, uint64(r.q))
	b = binary.AppendUvarint(b, uint64(r.regID))
	b = binary.AppendUvarint(b, uint64(r.cseq))
	b = binary.AppendUvarint(b, c.past(r.created))
	b = binary.AppendUvarint(b, c.past(r.updated))
	b = appendAddr(b, &r.local)
	b = appendAddr(b, &r.remote)
	for i := range textSaved {
		s := r.at(text, i)
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// appendAddr appends 0 for no address, or 4 or 16, the bytes of the address and the port. Zones are not kept: they do
// not outlive the machine's configuration.
func appendAddr(b []byte, a *addr) []byte {
	ip := a.addrPort("").Addr().Unmap()
	if !ip.IsValid() {
		return append(b, 0)
	}
	b = append(b, byte(ip.BitLen()/8))
	if ip.Is4() {
		v4 := ip.As4()
		b = append(b, v4[:]...)
	} else {
		b = append(b, a.ip[:]...)
	}
	return binary.BigEndian.AppendUint16(b, a.port)
}

// appendRefresh appends what a refresh changes.
func appendRefresh(b []byte, r *record, c clock) []byte {
	b = binary.AppendUvarint(b, c.past(r.updated))
	return binary.AppendUvarint(b, uint64(r.cseq))
}

// parseRefresh reads a refresh into the record.
func parseRefresh(row []byte, r *record, c clock) error {
	p := bodyReader{rest: row}
	updated, cseq := p.number(1<<53-1), p.number(1<<32-1)
	if p.failed || len(p.rest) > 0 {
		return errBody
	}
	r.updated, r.cseq = c.before(int64(updated)), uint32(cseq)
	return nil
}

// parseBody reads a body. The record's expires is left 0.
func parseBody(body []byte, c clock) (r record, text string, err error) {
	p := bodyReader{rest: body}
	if p.bytes(1)[0] != bodyVersion {
		return record{}, "", errBody
	}
	copy(r.aor.Tenant[:], p.bytes(16))
	copy(r.aor.Line[:], p.bytes(16))
	r.kind = p.bytes(1)[0]
	r.q = uint16(p.number(1000))
	r.regID = uint32(p.number(1<<32 - 1))
	r.cseq = uint32(p.number(1<<32 - 1))
	r.created, r.updated = c.before(int64(p.number(1<<53-1))), c.before(int64(p.number(1<<53-1)))
	r.local, r.remote = addrOf(p.addr()), addrOf(p.addr())
	var b strings.Builder
	b.Grow(max(0, len(p.rest)-textSaved))
	for i := range textCount {
		if i < textSaved {
			b.Write(p.bytes(int(p.number(1<<16 - 1))))
		}
		if b.Len() > 1<<16-1 {
			return record{}, "", errBody
		}
		r.ends[i] = uint16(b.Len())
	}
	if p.failed || len(p.rest) > 0 || int(r.kind) >= len(transports) {
		return record{}, "", errBody
	}
	return r, b.String(), nil
}

// bodyReader takes a body apart. After a failure it returns zeros.
type bodyReader struct {
	rest   []byte
	failed bool
}

func (p *bodyReader) bytes(n int) []byte {
	if p.failed || len(p.rest) < n {
		p.failed = true
		return make([]byte, max(1, min(n, 16)))
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
