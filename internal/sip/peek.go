package sip

import "bytes"

// Glance is what Peek sees of a message.
type Glance struct {
	Method []byte // of the request, or of the CSeq of a response
	Status int    // 0 for a request
	CallID []byte // nil when it was not found
}

// Peek finds out about a message what a log or a counter wants to know, without parsing it: one that was just written,
// or one that nobody has judged yet. It checks nothing and allocates nothing; the slices point into b.
func Peek(b []byte) (g Glance) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return g
	}
	if end > 11 && string(b[:4]) == "SIP/" {
		if n, ok := number(b[8:11], 699); ok {
			g.Status = int(n)
		}
	} else if sp := bytes.IndexByte(b[:end], ' '); sp > 0 {
		g.Method = b[:sp]
	}
	for rest := b[end+1:]; len(rest) > 2 && rest[0] != '\r'; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			break
		}
		if c := rest[0] | 0x20; c == 'c' || c == 'i' {
			g.line(rest[:end])
			if g.Method != nil && g.CallID != nil {
				break
			}
		}
		rest = rest[end+1:]
	}
	return g
}

// PeekMethod is the method of a request; nil for a response, and for what is neither.
func PeekMethod(b []byte) []byte {
	if len(b) > 4 && string(b[:4]) == "SIP/" {
		return nil
	}
	if sp := bytes.IndexByte(b[:min(len(b), 32)], ' '); sp > 0 {
		return b[:sp]
	}
	return nil
}

// PeekToTag is the tag of To of a message that was just written; nil when it has none.
func PeekToTag(b []byte) []byte {
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 || end+1 == len(b) || b[end+1] == '\r' {
			return nil
		}
		if b = b[end+1:]; b[0]|0x20 != 't' {
			continue
		}
		end = bytes.IndexByte(b, '\n')
		if end < 0 {
			return nil
		}
		if colon := bytes.IndexByte(b[:end], ':'); colon > 0 && headerOf(trimSpace(b[:colon])) == HTo {
			return tagOf(trimSpace(b[colon+1 : end]))
		}
	}
}

func (g *Glance) line(b []byte) {
	colon := bytes.IndexByte(b, ':')
	if colon <= 0 {
		return
	}
	value := trimSpace(b[colon+1:])
	switch headerOf(trimSpace(b[:colon])) {
	case HCallID:
		g.CallID = value
	case HCSeq:
		if g.Method == nil {
			g.Method = value[cseqMethodStart(value):]
		}
	}
}
