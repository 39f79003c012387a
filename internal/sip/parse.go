package sip

import "bytes"

// Parse reads one datagram, or one message of a stream that Frame has cut out. On an error the message keeps what was
// understood so far, so that a refusal can be sent where Answerable says so.
//
// Parse checks what every element needs to trust: start line, line ends, header names, one of each single header, the
// top Via, CSeq, Call-ID, Content-Length. Check looks at the rest.
func (m *Message) Parse(b []byte) error {
	*m = Message{raw: b, headers: m.headers[:0]}
	if len(b) > MaxMessage {
		m.raw = b[:MaxMessage]
		return errTooLarge
	}
	i := bytes.IndexByte(b, '\n')
	if i < 10 || b[i-1] != '\r' {
		return errStartLine
	}
	startErr := m.parseStart(b[:i-1])
	m.first = uint16(i + 1)
	end, lines, err := m.parseHeaders(b, i+1)
	if err == nil {
		err = startErr
	}
	if err != nil {
		m.body = span{uint16(end), uint16(end)}
		return err
	}
	m.body = span{uint16(end), uint16(len(b))}
	// A CR that is not part of a CRLF ends a line for some parsers and not for others: smuggling (RFC 3261 §7).
	if bytes.Count(b[:end], crByte) != lines+1 {
		return errLineEnd
	}
	return m.known()
}

var crByte = []byte{'\r'}

func (m *Message) parseStart(ln []byte) error {
	if len(ln) > 4 && equalFold(ln[:4], "SIP/") {
		return m.parseStatusLine(ln)
	}
	// RFC 3261 §7.1: single spaces, and no other whitespace in the line.
	sp := bytes.IndexByte(ln, ' ')
	last := bytes.LastIndexByte(ln, ' ')
	if sp <= 0 || last <= sp+1 || !isToken(ln[:sp]) {
		return errStartLine
	}
	m.name = span{0, uint16(sp)}
	m.method = methodOf(ln[:sp])
	m.uri = span{uint16(sp + 1), uint16(last)}
	if version := ln[last+1:]; !equalFold(version, "SIP/2.0") {
		if isVersion(version) {
			return errVersion
		}
		return errStartLine
	}
	for _, c := range ln[sp+1 : last] {
		if c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"' {
			return errStartLine
		}
	}
	return nil
}

// isVersion: SIP-Version = "SIP" "/" 1*DIGIT "." 1*DIGIT.
func isVersion(b []byte) bool {
	if len(b) < 7 || !equalFold(b[:4], "SIP/") {
		return false
	}
	major, minor, ok := bytes.Cut(b[4:], []byte{'.'})
	return ok && len(major) > 0 && len(minor) > 0 && all(major, classDigit) && all(minor, classDigit)
}

func (m *Message) parseStatusLine(ln []byte) error {
	m.status = 999 // whatever is wrong with it, it is no request
	sp := bytes.IndexByte(ln, ' ')
	if sp < 0 {
		return errStartLine
	}
	if !equalFold(ln[:sp], "SIP/2.0") {
		if isVersion(ln[:sp]) {
			return errVersion
		}
		return errStartLine
	}
	code := ln[sp+1:]
	if len(code) < 3 || !all(code[:3], classDigit) || code[0] < '1' || code[0] > '6' {
		return errStatus
	}
	// Interop: the space before an empty reason phrase is often left out.
	if len(code) > 3 && code[3] != ' ' {
		return errStatus
	}
	m.status = uint16(code[0]-'0')*100 + uint16(code[1]-'0')*10 + uint16(code[2]-'0')
	m.name = span{uint16(min(sp+5, len(ln))), uint16(len(ln))}
	return nil
}

// parseHeaders finds the header lines from b[p] to the empty line; it returns where the body starts and how many CRLF
// it has passed.
func (m *Message) parseHeaders(b []byte, p int) (end, crlfs int, err error) {
	for {
		if p+1 >= len(b) {
			return p, crlfs, errLineEnd
		}
		if b[p] == '\r' && b[p+1] == '\n' {
			return p + 2, crlfs + 1, nil
		}
		e := p
		for { // a line that starts with a space continues the one before (RFC 3261 §7.3.1)
			j := bytes.IndexByte(b[e:], '\n')
			if j < 1 || b[e+j-1] != '\r' {
				return p, crlfs, errLineEnd
			}
			e += j + 1
			crlfs++
			if e >= len(b) || b[e] != ' ' && b[e] != '\t' {
				break
			}
		}
		if err := m.addHeader(b, p, e); err != nil {
			return p, crlfs, err
		}
		p = e
	}
}

func (m *Message) addHeader(b []byte, start, end int) error {
	if len(m.headers) == MaxHeaders {
		return errHeaderCount
	}
	if end-start > MaxLine {
		return errHeaderLong
	}
	line := b[start : end-2]
	c := bytes.IndexByte(line, ':')
	if c <= 0 {
		return errHeader
	}
	ne := c
	for ne > 0 && isSpace(line[ne-1]) {
		ne--
	}
	if !isToken(line[:ne]) {
		return errHeader
	}
	vs, ve := skipSpace(line, c+1), len(line)
	for ve > vs && isSpace(line[ve-1]) {
		ve--
	}
	id := headerOf(line[:ne])
	m.headers = append(m.headers, header{id: id, start: uint16(start), nameEnd: uint16(start + ne), end: uint16(end),
		value: span{uint16(start + vs), uint16(start + ve)}})
	if id != HUnknown {
		if m.Has(id) {
			if isSingle(id) {
				return errDuplicate
			}
			m.many[id>>6] |= 1 << (id & 63)
		}
		m.seen[id>>6] |= 1 << (id & 63)
	}
	return nil
}

// isSingle: a second line of these would let two elements read two different messages.
func isSingle(id HeaderID) bool {
	switch id {
	case HFrom, HTo, HCallID, HCSeq, HMaxForwards, HContentLength, HContentType, HExpires, HReplaces, HReferTo, HSessionExpires, HMinSE, HRSeq, HRAck:
		return true
	}
	return false
}

// known reads the few headers that every element relies on.
func (m *Message) known() error {
	// RFC 3261 §8.1.1: a valid message has these; Max-Forwards is missed only by the proxy that adds it.
	for _, id := range [...]HeaderID{HVia, HFrom, HTo, HCallID, HCSeq} {
		if !m.Has(id) {
			return errMissing
		}
	}
	if err := m.parseCSeq(); err != nil {
		return err
	}
	if len(m.CallID()) == 0 {
		return errCallID
	}
	if m.Has(HMaxForwards) {
		v, _ := m.Header(HMaxForwards)
		if _, ok := number(v, 255); !ok {
			return errMaxForwards
		}
	}
	if v, ok := m.Header(HContentLength); ok {
		n, ok := number(v, MaxMessage)
		if !ok || int(m.body.off)+int(n) > len(m.raw) {
			return errContentLength
		}
		m.body.end = m.body.off + uint16(n) // RFC 3261 §18.3: what follows in a datagram is ignored
	}
	value, _ := m.Header(HVia)
	err := parseVia(value, &m.via)
	if err != nil {
		m.via = Via{}
	}
	return err
}

func cseqMethodStart(v []byte) int {
	i := 0
	for i < len(v) && v[i]-'0' <= 9 {
		i++
	}
	return skipSpace(v, i)
}

func (m *Message) parseCSeq() error {
	v, _ := m.Header(HCSeq)
	i := cseqMethodStart(v)
	// RFC 3261 §8.1.1.5: the number is below 2^31.
	n, ok := number(trimSpace(v[:i]), 1<<31-1)
	if !ok || i == 0 || i == len(v) || !isSpace(v[i-1]) || !isToken(v[i:]) {
		return errCSeq
	}
	m.cseq = uint32(n)
	if m.status != 0 {
		m.method = methodOf(v[i:])
		return nil
	}
	if !bytes.Equal(v[i:], m.name.of(m.raw)) {
		return errCSeqMethod
	}
	return nil
}

// Answerable tells, after Parse or Check has failed, whether the message is a request with enough in it to send a
// refusal: a Via to send it to, and what makes the refusal match.
func (m *Message) Answerable() bool {
	if m.status != 0 || m.method == ACK || m.name.empty() {
		return false
	}
	for _, id := range [...]HeaderID{HVia, HFrom, HTo, HCallID, HCSeq} {
		if !m.Has(id) {
			return false
		}
	}
	var v Via
	value, _ := m.Header(HVia)
	return parseVia(value, &v) == nil
}

// Frame finds the first message of a stream: the length of its head, and the length of the whole message. Both are 0
// while more bytes are needed. RFC 3261 §18.3: on a stream Content-Length is required; without it, or with one that is
// no number or beyond MaxMessage, the stream cannot be followed any more and an error is returned.
func Frame(b []byte) (head, total int, err error) {
	i := bytes.Index(b, []byte("\r\n\r\n"))
	if i < 0 {
		if len(b) > MaxMessage {
			return 0, 0, errTooLarge
		}
		return 0, 0, nil
	}
	head = i + 4
	n, err := frameLength(b[:i+2])
	if err != nil {
		return head, 0, err
	}
	if head+n > MaxMessage {
		return head, 0, errTooLarge
	}
	if len(b) < head+n {
		return head, 0, nil
	}
	return head, head + n, nil
}

// frameLength finds Content-Length among the header lines.
func frameLength(b []byte) (int, error) {
	found, length := false, 0
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 || i+1 >= len(b) {
			break
		}
		b = b[i+1:]
		if b[0]|0x20 != 'c' && b[0]|0x20 != 'l' {
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			end = len(b)
		}
		for end+1 < len(b) && (b[end+1] == ' ' || b[end+1] == '\t') { // folded
			next := bytes.IndexByte(b[end+1:], '\n')
			if next < 0 {
				end = len(b)
				break
			}
			end += 1 + next
		}
		name, value, ok := bytes.Cut(b[:end], []byte{':'})
		if !ok || headerOf(trimSpace(name)) != HContentLength {
			continue
		}
		n, ok := number(trimSpace(value), MaxMessage)
		if !ok || found {
			return 0, errContentLength
		}
		found, length = true, int(n)
	}
	if !found {
		return 0, errContentLength
	}
	return length, nil
}
