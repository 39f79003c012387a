package sip

import (
	"bytes"
	"net/netip"
	"time"
)

// Message is one request or response: a view on its bytes. The zero value is ready for Parse; one Message can be
// parsed into again and again and then allocates nothing.
//
// Header values come back as slices of the message, folds included (the typed readers take a fold for a space).
type Message struct {
	// Received is where the message came from, set by the transport; the zero value means "made here". Responses take
	// received and rport from it (RFC 3261 §18.2.1, RFC 3581 §4).
	Received netip.AddrPort
	// Arrived is when it came, set by the transport: what is decided about a message is decided for that moment, so
	// that nobody on its way needs the clock.
	Arrived time.Time

	raw     []byte
	headers []header
	seen    [2]uint64 // a bit for each HeaderID that is present
	many    [2]uint64 // and for each that is there more than once
	method  Method
	status  uint16
	name    span // method, or reason phrase
	uri     span
	first   uint16 // where the header lines start
	body    span
	cseq    uint32
	via     Via // the topmost one, once known has read it
}

// header is one header line.
type header struct {
	id                  HeaderID
	start, nameEnd, end uint16 // end is after the CRLF
	value               span
}

// IsRequest tells requests from responses.
func (m *Message) IsRequest() bool { return m.status == 0 }

// Method is the request's method, or for a response the method of its CSeq.
func (m *Message) Method() Method { return m.method }

// MethodName is the method as written; for a response that of its CSeq.
func (m *Message) MethodName() []byte {
	if m.status == 0 {
		return m.name.of(m.raw)
	}
	v, _ := m.Header(HCSeq)
	return v[cseqMethodStart(v):]
}

// Status is the status code of a response, 0 for a request.
func (m *Message) Status() int { return int(m.status) }

// Reason is the reason phrase of a response.
func (m *Message) Reason() []byte {
	if m.status == 0 {
		return nil
	}
	return m.name.of(m.raw)
}

// RequestURI is the request's target as written; nil for a response.
func (m *Message) RequestURI() []byte {
	if m.status != 0 {
		return nil
	}
	return m.uri.of(m.raw)
}

// URI is the request's target, decoded.
func (m *Message) URI() (URI, error) { return ParseURI(m.RequestURI()) }

// Bytes is the whole message as it was parsed, without bytes that followed it.
func (m *Message) Bytes() []byte { return m.raw[:m.body.end:m.body.end] }

// Body is the body; empty when there is none.
func (m *Message) Body() []byte { return m.body.of(m.raw) }

// Len is the number of header lines.
func (m *Message) Len() int { return len(m.headers) }

// At is the i-th header line: its name as written, its value, and its number when known.
func (m *Message) At(i int) (name, value []byte, id HeaderID) {
	h := &m.headers[i]
	return m.raw[h.start:h.nameEnd], h.value.of(m.raw), h.id
}

// Has tells whether a known header is present.
func (m *Message) Has(id HeaderID) bool { return m.seen[id>>6]&(1<<(id&63)) != 0 }

// Header is the value of the first line of a known header.
func (m *Message) Header(id HeaderID) (value []byte, ok bool) {
	if i := m.index(id); i >= 0 {
		return m.headers[i].value.of(m.raw), true
	}
	return nil, false
}

// HeaderNamed is the value of the first line of any header, known or not, whatever the case of its name.
func (m *Message) HeaderNamed(name string) (value []byte, ok bool) {
	if id := HeaderByName(name); id != HUnknown {
		return m.Header(id)
	}
	for i := range m.headers {
		h := &m.headers[i]
		if h.id == HUnknown && equalFold(m.raw[h.start:h.nameEnd], name) {
			return h.value.of(m.raw), true
		}
	}
	return nil, false
}

func (m *Message) index(id HeaderID) int {
	if !m.Has(id) {
		return -1
	}
	for i := range m.headers {
		if m.headers[i].id == id {
			return i
		}
	}
	return -1
}

// Clone copies the message out of its worker's buffer; the copy may be kept as long as one likes.
func (m *Message) Clone() *Message {
	c := *m
	c.raw = bytes.Clone(m.Bytes())
	c.headers = append(make([]header, 0, len(m.headers)), m.headers...)
	c.via = Via{}
	if v, ok := c.Header(HVia); ok {
		_ = parseVia(v, &c.via) // it could be read before
	}
	return &c
}

// CallID is the Call-ID as written.
func (m *Message) CallID() []byte {
	v, _ := m.Header(HCallID)
	return v
}

// CSeq is the sequence number of CSeq; the method is in Method and MethodName.
func (m *Message) CSeq() uint32 { return m.cseq }

// From is the From header, decoded.
func (m *Message) From() (Address, error) { return m.address(HFrom) }

// To is the To header, decoded.
func (m *Message) To() (Address, error) { return m.address(HTo) }

func (m *Message) address(id HeaderID) (Address, error) {
	v, ok := m.Header(id)
	if !ok {
		return Address{}, errMissing
	}
	return ParseAddress(v)
}

// FromTag is the tag of From; nil when there is none. Cheaper than From.
func (m *Message) FromTag() []byte {
	v, _ := m.Header(HFrom)
	return tagOf(v)
}

// ToTag is the tag of To; nil when there is none. Cheaper than To.
func (m *Message) ToTag() []byte {
	v, _ := m.Header(HTo)
	return tagOf(v)
}

// Via is the topmost Via, decoded.
func (m *Message) Via() (Via, error) {
	if m.via.Transport != nil {
		return m.via, nil
	}
	v, ok := m.Header(HVia)
	if !ok {
		return Via{}, errMissing
	}
	return ParseVia(v)
}

// MaxForwards is the value of Max-Forwards; false when the header is absent.
func (m *Message) MaxForwards() (int, bool) {
	v, ok := m.Uint(HMaxForwards)
	return int(v), ok
}

// Uint is the value of a header that holds one number (Expires, Min-SE, RSeq ...); parameters after ";" are ignored.
// false when the header is absent or no number below 2^32.
func (m *Message) Uint(id HeaderID) (uint32, bool) {
	v, ok := m.Header(id)
	if !ok {
		return 0, false
	}
	if i := bytes.IndexByte(v, ';'); i >= 0 {
		v = v[:i]
	}
	n, ok := number(trimSpace(v), 1<<32-1)
	return uint32(n), ok
}

// HasOption tells whether a list header (Require, Supported, Allow ...) holds a token, whatever its case.
func (m *Message) HasOption(id HeaderID, token string) bool {
	for e := m.Elements(id); e.Next(); {
		if equalFold(e.Value(), token) {
			return true
		}
	}
	return false
}

// ContentType is the media type without its parameters, as written.
func (m *Message) ContentType() []byte {
	v, _ := m.Header(HContentType)
	if i := bytes.IndexByte(v, ';'); i >= 0 {
		v = v[:i]
	}
	return trimSpace(v)
}

// IsSDP tells whether the whole body is a session description. See Part for multipart bodies.
func (m *Message) IsSDP() bool {
	return !m.body.empty() && equalFold(m.ContentType(), "application/sdp")
}

// Elements walks over the elements of all lines of a header: "a, b" and two lines are the same (RFC 3261 §7.3.1).
func (m *Message) Elements(id HeaderID) Elements {
	e := Elements{m: m, id: id}
	if !m.Has(id) {
		e.line = len(m.headers)
	}
	return e
}

// Elements is a walk over a comma-separated header. It allocates nothing.
type Elements struct {
	m    *Message
	id   HeaderID
	line int    // next line to look at
	rest []byte // what is left of the current line
	cur  []byte
}

// Next moves to the next element; empty elements are passed over.
func (e *Elements) Next() bool {
	for {
		for len(e.rest) > 0 {
			end := elementEnd(e.rest, 0)
			if end < 0 {
				end = len(e.rest)
			}
			e.cur = trimSpace(e.rest[:end])
			e.rest = e.rest[min(end+1, len(e.rest)):]
			if len(e.cur) > 0 {
				return true
			}
		}
		if !e.nextLine() {
			return false
		}
	}
}

func (e *Elements) nextLine() bool {
	for ; e.line < len(e.m.headers); e.line++ {
		if h := &e.m.headers[e.line]; h.id == e.id {
			e.rest = h.value.of(e.m.raw)
			if e.line++; e.m.many[e.id>>6]&(1<<(e.id&63)) == 0 {
				e.line = len(e.m.headers)
			}
			return true
		}
	}
	return false
}

// Value is the element as written, without surrounding spaces.
func (e *Elements) Value() []byte { return e.cur }

// Address is the element as an address.
func (e *Elements) Address() (Address, error) { return ParseAddress(e.cur) }

// Via is the element as a via-parm.
func (e *Elements) Via() (Via, error) { return ParseVia(e.cur) }

// elementEnd is the index of the comma that ends the element starting at b[i], or len(b); -1 when a quoted string does
// not end before a comma. Commas in quotes and in angle brackets belong to the element.
func elementEnd(b []byte, i int) int {
	if bytes.IndexByte(b[i:], ',') < 0 {
		return len(b) // nearly always; a quoted string that does not end is found by whoever reads the element
	}
	for i < len(b) {
		switch b[i] {
		case ',':
			return i
		case '"':
			if i = skipQuoted(b, i); i < 0 {
				return -1
			}
			continue
		case '<':
			gt := bytes.IndexByte(b[i:], '>')
			if gt < 0 {
				return len(b)
			}
			i += gt
		}
		i++
	}
	return len(b)
}

// Summary names a message in a log line: method or status, CSeq and Call-ID. It holds no secrets.
func (m *Message) Summary() string {
	s := string(m.MethodName())
	if m.status != 0 {
		s = string('0'+byte(m.status/100)) + string('0'+byte(m.status/10%10)) + string('0'+byte(m.status%10)) + " to " + s
	}
	return s + " " + string(m.CallID())
}
