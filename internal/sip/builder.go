package sip

import (
	"bytes"
	"net/netip"
	"strconv"
)

// Builder writes a message. It can be reset and used again; then it allocates nothing. Header lines appear in the
// order in which they were added; Via comes first in a request and Content-Length last, by itself.
//
// What is added goes out as it is: text that a person or another party has chosen belongs in AppendQuoted, a URI
// escape, or a value that this package has parsed. A CR or LF in a value is replaced by a space all the same, so that
// nothing can add lines to a message.
type Builder struct {
	start  []byte // start line
	head   []byte // header lines
	body   []byte
	via    []byte // value of the top Via of a request
	method Method
}

// NewRequest starts a request. uri is printed as it is.
func NewRequest(method Method, uri string) *Builder {
	b := &Builder{}
	b.Request(method.String(), uri)
	return b
}

// Request resets the builder to an empty request.
func (b *Builder) Request(method, uri string) *Builder {
	b.reset()
	b.method = methodOf([]byte(method))
	b.start = append(append(b.start, method...), ' ')
	b.start = append(appendValue(b.start, uri), " SIP/2.0\r\n"...)
	return b
}

// NewResponse starts a response to a request. See Response.
func NewResponse(req *Message, status int, reason, toTag string) *Builder {
	b := &Builder{}
	return b.Response(req, status, reason, toTag)
}

// Response resets the builder to a response to req: Via with received and rport, From, To with toTag when it has no
// tag yet (RFC 3261 §8.2.6.2), Call-ID, CSeq. An empty reason becomes the usual phrase. Record-Route, which a response
// that makes a dialog repeats (§12.1.1), is added with Copy.
func (b *Builder) Response(req *Message, status int, reason, toTag string) *Builder {
	b.reset()
	b.method = req.method
	if reason == "" {
		reason = StatusText(status)
	}
	b.start = strconv.AppendInt(append(b.start, "SIP/2.0 "...), int64(status), 10)
	b.start = append(appendValue(append(b.start, ' '), reason), "\r\n"...)
	firstVia := true
	for i := range req.headers {
		h := &req.headers[i]
		switch h.id {
		case HVia:
			if firstVia {
				b.head = req.appendReceivedVia(b.head, h)
				firstVia = false
				continue
			}
			b.head = append(b.head, req.raw[h.start:h.end]...)
		case HFrom, HCallID, HCSeq:
			b.head = append(b.head, req.raw[h.start:h.end]...)
		case HTimestamp:
			if status == 100 { // RFC 3261 §8.2.6.1
				b.head = append(b.head, req.raw[h.start:h.end]...)
			}
		case HTo:
			value := h.value.of(req.raw)
			b.head = append(append(b.head, "To: "...), value...)
			if toTag != "" && tagOf(value) == nil {
				b.head = appendValue(append(b.head, ";tag="...), toTag)
			}
			b.head = append(b.head, "\r\n"...)
		}
	}
	return b
}

// appendReceivedVia prints the Via line h with received and rport of the address that the request came from.
//
// RFC 3261 §18.2.1: received is added when the sent-by host is not that address. RFC 3581 §4: with rport, both are.
func (m *Message) appendReceivedVia(dst []byte, h *header) []byte {
	value := h.value.of(m.raw)
	v, err := m.Via()
	if !m.Received.IsValid() || err != nil {
		return append(dst, m.raw[h.start:h.end]...)
	}
	host, isIP := v.HostAddr()
	src := m.Received.Addr().Unmap()
	dst = append(dst, "Via: SIP/2.0/"...)
	dst = append(append(append(dst, v.Transport...), ' '), v.Host...)
	if v.Port != 0 {
		dst = strconv.AppendUint(append(dst, ':'), uint64(v.Port), 10)
	}
	for it := v.Params.Iter(); it.Next(); {
		if equalFold(it.name, "rport") || equalFold(it.name, "received") {
			continue
		}
		dst = append(append(dst, ';'), it.name...)
		if it.has {
			dst = append(append(dst, '='), it.value...)
		}
	}
	if v.HasRPort || !isIP || host != src {
		dst = appendIP(append(dst, ";received="...), src)
	}
	if v.HasRPort {
		dst = strconv.AppendUint(append(dst, ";rport="...), uint64(m.Received.Port()), 10)
	}
	dst = append(dst, value[v.end:]...) // the other via-parms of the line
	return append(dst, "\r\n"...)
}

func appendIP(dst []byte, a netip.Addr) []byte { return a.AppendTo(dst) }

func (b *Builder) reset() {
	b.start, b.head, b.body, b.via, b.method = b.start[:0], b.head[:0], nil, b.via[:0], Other
}

// Method is the method of the request, or of the request that is answered.
func (b *Builder) Method() Method { return b.method }

// Add appends a header line whose value is the parts, joined.
func (b *Builder) Add(id HeaderID, parts ...string) *Builder {
	return b.AddNamed(headerNames[id], parts...)
}

// AddNamed appends a header line of any name.
func (b *Builder) AddNamed(name string, parts ...string) *Builder {
	b.head = append(append(b.head, name...), ": "...)
	for _, p := range parts {
		b.head = appendValue(b.head, p)
	}
	b.head = append(b.head, "\r\n"...)
	return b
}

// AddBytes appends a header line.
func (b *Builder) AddBytes(id HeaderID, value []byte) *Builder {
	b.head = append(append(b.head, headerNames[id]...), ": "...)
	b.head = append(appendBytes(b.head, value), "\r\n"...)
	return b
}

// AddLines appends header lines that are printed already, CRLF included.
func (b *Builder) AddLines(lines string) *Builder {
	b.head = append(b.head, lines...)
	return b
}

// AddUint appends a header line whose value is a number.
func (b *Builder) AddUint(id HeaderID, n uint64) *Builder {
	b.head = append(append(b.head, headerNames[id]...), ": "...)
	b.head = append(strconv.AppendUint(b.head, n, 10), "\r\n"...)
	return b
}

// CSeq appends the CSeq line of a request.
func (b *Builder) CSeq(seq uint32) *Builder {
	b.head = strconv.AppendUint(append(b.head, "CSeq: "...), uint64(seq), 10)
	b.head = append(append(append(b.head, ' '), b.methodName()...), "\r\n"...)
	return b
}

func (b *Builder) methodName() []byte {
	for i, c := range b.start {
		if c == ' ' {
			return b.start[:i]
		}
	}
	return nil
}

// Copy appends all lines of the given headers of m, in m's order, byte for byte.
func (b *Builder) Copy(m *Message, ids ...HeaderID) *Builder {
	for i := range m.headers {
		h := &m.headers[i]
		for _, id := range ids {
			if h.id == id {
				b.head = append(b.head, m.raw[h.start:h.end]...)
				break
			}
		}
	}
	return b
}

// CopyUnknown appends all lines of headers that have no number here, byte for byte, but for those whose name drop
// reports.
func (b *Builder) CopyUnknown(m *Message, drop func(name []byte) bool) *Builder {
	for i := range m.headers {
		h := &m.headers[i]
		if h.id == HUnknown && (drop == nil || !drop(m.raw[h.start:h.nameEnd])) {
			b.head = append(b.head, m.raw[h.start:h.end]...)
		}
	}
	return b
}

// Body sets the body and its Content-Type. The builder keeps the slice until the message is finished.
func (b *Builder) Body(contentType string, body []byte) *Builder {
	if len(body) > 0 {
		b.Add(HContentType, contentType)
	}
	b.body = body
	return b
}

// Via sets the value of the top Via of a request; the transaction does it.
func (b *Builder) Via(value string) *Builder {
	b.via = appendValue(b.via[:0], value)
	return b
}

// Append appends the finished message to dst.
func (b *Builder) Append(dst []byte) []byte {
	dst = append(dst, b.start...)
	if len(b.via) > 0 {
		dst = append(append(append(dst, "Via: "...), b.via...), "\r\n"...)
	}
	dst = append(dst, b.head...)
	// RFC 3261 §20.14: on streams the header must be there, even for an empty body.
	dst = strconv.AppendInt(append(dst, "Content-Length: "...), int64(len(b.body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, b.body...)
}

// Message is the finished message, parsed; it owns its bytes.
func (b *Builder) Message() (*Message, error) {
	m := &Message{headers: make([]header, 0, 16)}
	if err := m.Parse(b.Append(make([]byte, 0, len(b.start)+len(b.via)+len(b.head)+len(b.body)+40))); err != nil {
		return nil, err
	}
	return m, nil
}

// NewACK starts the ACK for a final response other than 2xx: same Request-URI, top Via, From, Call-ID, Route and CSeq
// number as the INVITE, To of the response (RFC 3261 §17.1.1.3).
func NewACK(invite, response *Message) *Builder {
	b := &Builder{}
	b.Request("ACK", string(invite.RequestURI()))
	b.copyTopVia(invite)
	b.Copy(invite, HRoute, HFrom).Copy(response, HTo).Copy(invite, HCallID).CSeq(invite.cseq)
	return b.Copy(invite, HMaxForwards)
}

// NewCANCEL starts the CANCEL of a request: RFC 3261 §9.1.
func NewCANCEL(req *Message) *Builder {
	b := &Builder{}
	b.Request("CANCEL", string(req.RequestURI()))
	b.copyTopVia(req)
	b.Copy(req, HRoute, HFrom, HTo, HCallID).CSeq(req.cseq)
	return b.Copy(req, HMaxForwards)
}

func (b *Builder) copyTopVia(m *Message) {
	v, _ := m.Header(HVia)
	if end := elementEnd(v, 0); end >= 0 {
		v = v[:end]
	}
	b.via = append(b.via[:0], trimSpace(v)...)
}

// appendValue appends s with CR and LF turned into spaces.
func appendValue(dst []byte, s string) []byte {
	start := len(dst)
	dst = append(dst, s...)
	return flattenLines(dst, start)
}

func appendBytes(dst, v []byte) []byte {
	start := len(dst)
	dst = append(dst, v...)
	return flattenLines(dst, start)
}

func flattenLines(dst []byte, from int) []byte {
	if added := dst[from:]; bytes.IndexByte(added, '\r') < 0 && bytes.IndexByte(added, '\n') < 0 {
		return dst
	}
	for i := from; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return dst
}
