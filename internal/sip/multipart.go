package sip

import (
	"bytes"
	"iter"
)

// maxParts bounds the parts of a multipart body that are looked at; nesting is not followed beyond maxDepth.
const (
	maxParts = 32
	maxDepth = 4
)

// Part is one part of a body (RFC 2046 §5.1, RFC 5621).
type Part struct {
	ContentType []byte // with its parameters
	Disposition []byte // value of Content-Disposition; empty when absent
	ContentID   []byte
	Body        []byte
}

// Parts walks over the leaf parts of the body; a body that is not multipart is one part.
func (m *Message) Parts() iter.Seq[Part] {
	ct, _ := m.Header(HContentType)
	disposition, _ := m.Header(HContentDisposition)
	return func(yield func(Part) bool) {
		if m.body.empty() {
			return
		}
		left := maxParts
		walkParts(Part{ContentType: ct, Disposition: disposition, Body: m.Body()}, maxDepth, &left, yield)
	}
}

// SDP is the session description of the message: the whole body or the first part of that type; nil when there is none.
func (m *Message) SDP() []byte {
	if m.IsSDP() {
		return m.Body()
	}
	for p := range m.Parts() {
		if equalFold(mediaType(p.ContentType), "application/sdp") {
			return p.Body
		}
	}
	return nil
}

func mediaType(ct []byte) []byte {
	if i := bytes.IndexByte(ct, ';'); i >= 0 {
		ct = ct[:i]
	}
	return trimSpace(ct)
}

func walkParts(p Part, depth int, left *int, yield func(Part) bool) bool {
	mt := mediaType(p.ContentType)
	if len(mt) < 10 || !equalFold(mt[:10], "multipart/") || depth == 0 {
		if *left--; *left < 0 {
			return false
		}
		return yield(p)
	}
	var params Params
	if i := bytes.IndexByte(p.ContentType, ';'); i >= 0 {
		params = Params(p.ContentType[i:])
	}
	boundary, ok := params.Value("boundary")
	if !ok || len(boundary) == 0 || len(boundary) > 70 {
		return true
	}
	delimiter := append([]byte("--"), boundary...)
	body := p.Body
	i := bytes.Index(body, delimiter)
	for i >= 0 {
		body = body[i+len(delimiter):]
		if bytes.HasPrefix(body, []byte("--")) {
			return true
		}
		nl := bytes.IndexByte(body, '\n')
		if nl < 0 {
			return true
		}
		body = body[nl+1:]
		if i = bytes.Index(body, delimiter); i < 0 {
			return true // the closing delimiter is missing: the part may be cut
		}
		if !walkParts(readPart(bytes.TrimSuffix(body[:i], []byte("\r\n"))), depth-1, left, yield) {
			return false
		}
	}
	return true
}

func readPart(b []byte) Part {
	p := Part{ContentType: []byte("text/plain")} // RFC 2046 §5.1
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\r\n"))
		b = rest
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		value = trimSpace(value)
		switch name = trimSpace(name); {
		case equalFold(name, "Content-Type") || equalFold(name, "c"):
			p.ContentType = value
		case equalFold(name, "Content-Disposition"):
			p.Disposition = value
		case equalFold(name, "Content-ID"):
			p.ContentID = value
		}
	}
	p.Body = b
	return p
}
