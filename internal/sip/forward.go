package sip

import (
	"bytes"
	"strconv"
)

// Forward says what a proxy changes of a request that it sends on: RFC 3261 §16.6. The zero value only takes a hop off
// Max-Forwards.
type Forward struct {
	// Via is the new top Via without its branch ("SIP/2.0/UDP 192.0.2.1:5060") and Branch its branch; "" adds none.
	Via    string
	Branch []byte
	// ViaParams follow the branch: ";rport" or the like.
	ViaParams []byte
	// URI takes the place of the Request-URI; nil leaves it.
	URI []byte
	// Lines are whole header lines, each with its CRLF, put before all others: Record-Route, Path.
	Lines []byte
	// Pop is how many Route values are taken from the top, PopLast takes the last one as well (§16.4).
	Pop     int
	PopLast bool
	// Routes is put before the remaining Route values (RFC 3327: a Path), LastRoute behind them (§16.6 item 6). nil: nothing.
	Routes, LastRoute []byte
	// MaxBreadth is the new value of Max-Breadth (RFC 5393 §5.3.3); 0 leaves what is there.
	MaxBreadth int
	// Omit is the value of a header line, as Header gave it out, that is left out: credentials that were for us. nil: none.
	Omit []byte
}

// DefaultMaxForwards is what a proxy puts in where there is no Max-Forwards (RFC 3261 §16.6 item 3).
const DefaultMaxForwards = 70

// AppendForward appends the request m with the changes of e to dst. The previous Via gets received and rport of
// m.Received (RFC 3261 §18.2.1, RFC 3581 §4); every line that e does not name, known or not, and the body are copied
// byte for byte and in order. A Content-Length is added where a datagram had none, for the next hop may be a stream. It
// allocates only what dst lacks.
//
// A Max-Forwards of 0 stays 0: to refuse such a request is for the caller (§16.3 item 3).
func AppendForward(dst []byte, m *Message, e *Forward) []byte {
	dst = append(append(dst, m.name.of(m.raw)...), ' ')
	if e.URI != nil {
		dst = appendBytes(dst, e.URI)
	} else {
		dst = append(dst, m.uri.of(m.raw)...)
	}
	dst = append(dst, " SIP/2.0\r\n"...)
	if e.Via != "" {
		dst = append(append(append(dst, "Via: "...), e.Via...), ";branch="...)
		dst = append(append(append(dst, e.Branch...), e.ViaParams...), "\r\n"...)
	}
	dst = append(dst, e.Lines...)
	if e.Routes != nil {
		dst = append(appendBytes(append(dst, "Route: "...), e.Routes), "\r\n"...)
	}
	if !m.Has(HMaxForwards) {
		dst = appendLine(dst, HMaxForwards, DefaultMaxForwards)
	}
	if e.MaxBreadth > 0 && !m.Has(HMaxBreadth) {
		dst = appendLine(dst, HMaxBreadth, e.MaxBreadth)
	}
	dst = m.appendForwarded(dst, e)
	if e.LastRoute != nil {
		dst = append(appendBytes(append(dst, "Route: "...), e.LastRoute), "\r\n"...)
	}
	return m.appendEnd(dst)
}

// appendForwarded appends the header lines of m as e wants them.
func (m *Message) appendForwarded(dst []byte, e *Forward) []byte {
	edit := routeEdit{pop: e.Pop, last: -1}
	if e.PopLast {
		edit.last = m.count(HRoute) - 1
	}
	firstVia, firstBreadth := true, true
	for i := range m.headers {
		h := &m.headers[i]
		switch h.id {
		case HVia:
			if firstVia {
				firstVia = false
				dst = m.appendReceivedVia(dst, h)
				continue
			}
		case HMaxForwards:
			n, _ := number(h.value.of(m.raw), 255)
			dst = appendLine(dst, HMaxForwards, max(int(n)-1, 0))
			continue
		case HMaxBreadth:
			if e.MaxBreadth > 0 { // RFC 5393 §5.3.3: all proxied requests contain a single value
				if firstBreadth {
					dst = appendLine(dst, HMaxBreadth, e.MaxBreadth)
				}
				firstBreadth = false
				continue
			}
		case HRoute:
			if edit.pop > edit.seen || edit.last >= edit.seen {
				dst = edit.append(dst, m, h)
				continue
			}
		}
		if e.Omit != nil && h.value.end > h.value.off && &m.raw[h.value.off] == &e.Omit[0] {
			continue
		}
		dst = append(dst, m.raw[h.start:h.end]...)
	}
	return dst
}

// routeEdit takes Route values away.
type routeEdit struct {
	pop  int // so many from the top
	last int // and the one with this index; -1: none
	seen int // values passed
}

// append appends what is left of one Route line.
func (r *routeEdit) append(dst []byte, m *Message, h *header) []byte {
	line := len(dst)
	dst = append(append(dst, m.raw[h.start:h.nameEnd]...), ": "...)
	first := true
	for rest := h.value.of(m.raw); len(rest) > 0; {
		end := elementEnd(rest, 0)
		if end < 0 {
			end = len(rest)
		}
		value := trimSpace(rest[:end])
		rest = rest[min(end+1, len(rest)):]
		if len(value) == 0 {
			continue
		}
		at := r.seen
		r.seen++
		if at < r.pop || at == r.last {
			continue
		}
		if !first {
			dst = append(dst, ", "...)
		}
		first = false
		dst = append(dst, value...)
	}
	if first {
		return dst[:line]
	}
	return append(dst, "\r\n"...)
}

// count is the number of elements of a list header.
func (m *Message) count(id HeaderID) int {
	n := 0
	for e := m.Elements(id); e.Next(); {
		n++
	}
	return n
}

func appendLine(dst []byte, id HeaderID, n int) []byte {
	dst = append(append(dst, headerNames[id]...), ": "...)
	return append(strconv.AppendInt(dst, int64(n), 10), "\r\n"...)
}

// appendEnd appends a Content-Length where m has none, the empty line and the body.
func (m *Message) appendEnd(dst []byte) []byte {
	if !m.Has(HContentLength) {
		dst = appendLine(dst, HContentLength, int(m.body.end-m.body.off))
	}
	return append(append(dst, "\r\n"...), m.body.of(m.raw)...)
}

// AppendUpstream appends the response m without its top via-parm (RFC 3261 §16.7 item 3), and with lines, whole header
// lines each with its CRLF, behind the others: collected challenges (item 7). Everything else is copied byte for byte.
// A response that has no second via-parm is for us alone; then dst comes back as it was. It allocates only what dst
// lacks.
func AppendUpstream(dst []byte, m *Message, lines []byte) []byte {
	if !m.HasSecondVia() {
		return dst
	}
	dst = append(dst, m.raw[:m.first]...)
	firstVia := true
	for i := range m.headers {
		h := &m.headers[i]
		if h.id == HVia && firstVia {
			firstVia = false
			if rest := afterFirst(h.value.of(m.raw)); len(rest) > 0 {
				dst = append(append(append(dst, "Via: "...), rest...), "\r\n"...)
			}
			continue
		}
		dst = append(dst, m.raw[h.start:h.end]...)
	}
	return m.appendEnd(append(dst, lines...))
}

// afterFirst is what follows the first element of a list.
func afterFirst(v []byte) []byte {
	end := elementEnd(v, 0)
	if end < 0 || end >= len(v) {
		return nil
	}
	return trimSpace(bytes.TrimLeft(v[end:], ", \t\r\n"))
}

// HasSecondVia tells whether there is a via-parm below the top one: a response that we forward goes to it.
func (m *Message) HasSecondVia() bool {
	_, err := m.SecondVia()
	return err == nil
}

// SecondVia is the via-parm below the top one, decoded: where a response that is forwarded goes (RFC 3261 §16.7 item 3).
func (m *Message) SecondVia() (Via, error) {
	e := m.Elements(HVia)
	if !e.Next() || !e.Next() {
		return Via{}, errMissing
	}
	return e.Via()
}

// AppendLines appends the header lines with a known name as they stand, CRLF included.
func (m *Message) AppendLines(dst []byte, id HeaderID) []byte {
	if !m.Has(id) {
		return dst
	}
	for i := range m.headers {
		if h := &m.headers[i]; h.id == id {
			dst = append(dst, m.raw[h.start:h.end]...)
		}
	}
	return dst
}
