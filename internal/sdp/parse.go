package sdp

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a description. Real ones are a tenth of this; a hostile one must not cost more than its own bytes.
const (
	MaxBytes      = 64 << 10 // whole description
	MaxMedia      = 64       // m= lines
	MaxAttributes = 1024     // a= lines, all sections together
	MaxFormats    = 128      // formats of one m= line
	maxLines      = 2048     // lines of any kind
)

// A SyntaxError says which line of a description is wrong and why.
type SyntaxError struct {
	Line   int    // from 1; 0 when no single line is to blame
	Reason string // lower-case words
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return "parse SDP: " + e.Reason
	}
	return fmt.Sprintf("parse SDP line %d: %s", e.Line, e.Reason)
}

// Parse reads a description. It copies b once and keeps no reference to it. The error is a *SyntaxError.
//
// It is liberal where telephones are: lines may end in LF alone, blank lines are skipped, s= and t= may be missing,
// lines of a section may stand in any order (they are printed in the order of RFC 8866 §5), trailing blanks go.
// Control characters other than NUL and CR go as well.
func Parse(b []byte) (*Description, error) {
	if len(b) > MaxBytes {
		return nil, &SyntaxError{0, "longer than 64 KiB"}
	}
	text := string(b)
	if hasControls(text) && strings.IndexByte(text, 0) < 0 {
		// We print none, so none must hide an attribute from those who look for it: cand<0x01>idate would arrive as candidate.
		text = string(withoutControls([]byte(text)))
	}
	p := parser{d: new(Description)}
	if err := p.size(text); err != nil {
		return nil, err
	}
	for len(text) > 0 {
		var line string
		line, text = cutLine(text)
		p.line++
		if line == "" {
			continue
		}
		if reason := p.read(line); reason != "" {
			return nil, &SyntaxError{p.line, reason}
		}
	}
	if !p.seen['v'] {
		return nil, &SyntaxError{0, "empty"}
	}
	if !p.seen['o'] {
		return nil, &SyntaxError{0, "no o= line"}
	}
	return p.d, nil
}

// cutLine splits off the first line and takes line end and trailing blanks away.
func cutLine(text string) (line, rest string) {
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		line, rest = text[:i], text[i+1:]
	} else {
		line = text
	}
	end := len(line)
	for end > 0 && (line[end-1] == '\r' || line[end-1] == ' ' || line[end-1] == '\t') {
		end--
	}
	return line[:end], rest
}

// parser fills one description. The slices of all sections are cut from arrays that were sized in advance, so that a
// description costs the same few allocations whatever its length.
type parser struct {
	d     *Description
	line  int       // number of the current line
	seen  [128]bool // types seen in the session part
	media *Media    // current section; nil in the session part

	attributes []Attribute
	formats    []string
	conns      []Connection
	lines      []Line
	attrStart  int // where the current section begins in attributes
	lineStart  int // and in lines
}

// size counts what is to come and allocates for it.
func (p *parser) size(text string) *SyntaxError {
	var lines, media, attributes, formats, conns, others int
	for start := 0; start < len(text); lines++ {
		end := strings.IndexByte(text[start:], '\n')
		if end < 0 {
			end = len(text)
		} else {
			end += start
		}
		switch text[start] {
		case 'm':
			media++
			formats += strings.Count(text[start:end], " ")
		case 'a':
			attributes++
		case 'c':
			conns++
			others++ // a second c= of a section becomes a Line
		case 'v', 'o', 's', '\r', '\n':
		default:
			others++
		}
		start = end + 1
	}
	switch {
	case lines > maxLines:
		return &SyntaxError{0, "too many lines"}
	case media > MaxMedia:
		return &SyntaxError{0, "more than 64 m= lines"}
	case attributes > MaxAttributes:
		return &SyntaxError{0, "more than 1024 a= lines"}
	case formats > media*(MaxFormats+3):
		return &SyntaxError{0, "too many formats"}
	}
	p.attributes = make([]Attribute, 0, attributes)
	p.formats = make([]string, 0, formats)
	p.conns = make([]Connection, 0, conns)
	if others > 0 {
		p.lines = make([]Line, 0, others)
	}
	if media > 0 {
		p.d.Media = make([]Media, 0, media)
	}
	return nil
}

// read takes one line; it returns the reason why the line is wrong, or "".
func (p *parser) read(line string) string {
	// RFC 8866 §5: a type is one character; what cannot be seen is none.
	if len(line) < 2 || line[1] != '=' || line[0] <= ' ' || line[0] > '~' {
		return "not of the form x=value"
	}
	if strings.IndexByte(line, '\r') >= 0 || strings.IndexByte(line, 0) >= 0 {
		// A CR inside a line would be a line end to another parser, which then reads something else than we did.
		return "control character inside the line"
	}
	kind, value := line[0], line[2:]
	if !p.seen['v'] && kind != 'v' {
		return "description does not begin with v="
	}
	switch {
	case kind == 'm':
		return p.readMedia(value)
	case kind == 'a':
		p.readAttribute(value)
		return ""
	case kind == 'c':
		return p.readConnection(value)
	case p.media == nil:
		return p.readSession(kind, value)
	case kind == 'v':
		return "second v= line"
	case kind == 'o' || kind == 's':
		// Interop: seen behind an m= line in descriptions glued together by gateways; meaningless there.
		return ""
	}
	p.keep(Line{kind, value})
	return ""
}

// readSession takes a line of the session part that is neither c= nor a=.
func (p *parser) readSession(kind byte, value string) string {
	first := kind < 128 && !p.seen[kind]
	if kind < 128 {
		p.seen[kind] = true
	}
	switch kind {
	case 'v':
		if !first {
			return "second v= line"
		}
		// RFC 8866 §5.1: "This memo defines version 0."
		if value != "0" {
			return "version is not 0"
		}
	case 'o':
		if !first {
			return "second o= line"
		}
		return p.readOrigin(value)
	case 's':
		if first && value != "-" {
			p.d.Name = value
		}
	case 't':
		if !first {
			p.keep(Line{kind, value})
		} else if value != "0 0" {
			p.d.Timing = value
		}
	default:
		p.keep(Line{kind, value})
	}
	return ""
}

// readOrigin takes RFC 8866 §5.2: o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>
func (p *parser) readOrigin(value string) string {
	var field [6]string
	if !cutFields(value, field[:]) {
		return "o= has not six fields"
	}
	o := &p.d.Origin
	if field[0] != "-" {
		o.Username = field[0]
	}
	o.SessID, o.SessVersion = number(field[1]), number(field[2])
	o.NetType, o.AddrType, o.Address = field[3], field[4], field[5]
	return ""
}

// number reads a decimal number of any length.
//
// Interop: telephones send numbers of more than 64 bits, negative ones and hexadecimal ones. Only their identity
// matters to us, so a number that is too long wraps and a text that is no number becomes a hash of itself (FNV-1a).
func number(s string) uint64 {
	var n uint64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			h := uint64(14695981039346656037)
			for j := 0; j < len(s); j++ {
				h = (h ^ uint64(s[j])) * 1099511628211
			}
			return h
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return n
}

// readConnection takes RFC 8866 §5.7: c=<nettype> <addrtype> <connection-address>
func (p *parser) readConnection(value string) string {
	conn := &p.d.Conn
	if p.media != nil {
		conn = &p.media.Conn
	}
	if *conn != nil {
		// RFC 8866 §5.7: several c= lines of one section are layers of a multicast stream; the first is the base layer.
		p.keep(Line{'c', value})
		return ""
	}
	var field [3]string
	if !cutFields(value, field[:]) {
		return "c= has not three fields"
	}
	p.conns = append(p.conns, Connection{NetType: field[0], AddrType: field[1], Address: field[2]})
	*conn = &p.conns[len(p.conns)-1]
	return ""
}

func (p *parser) readAttribute(value string) {
	name, value, _ := strings.Cut(value, ":")
	if value == "" { // printed without the colon, so that blanks before it would be the end of the line
		name = strings.TrimRight(name, " \t")
	}
	p.attributes = append(p.attributes, Attribute{name, value})
	attributes := &p.d.Attributes
	if p.media != nil {
		attributes = &p.media.Attributes
	}
	end := len(p.attributes)
	*attributes = p.attributes[p.attrStart:end:end]
}

// readMedia takes RFC 8866 §5.14: m=<media> <port>[/<number of ports>] <proto> <fmt> ...
func (p *parser) readMedia(value string) string {
	var m Media
	var port, count string
	m.Kind, value = cutField(value)
	port, value = cutField(value)
	m.Proto, value = cutField(value)
	if m.Proto == "" {
		return "m= has fewer than three fields"
	}
	port, count, counted := strings.Cut(port, "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "m= port is no number from 0 to 65535"
	}
	m.Port = int(n)
	if counted {
		n, err := strconv.ParseUint(count, 10, 16)
		if err != nil || n == 0 {
			return "m= number of ports is no number from 1 to 65535"
		}
		m.PortCount = int(n)
	}
	start := len(p.formats)
	for {
		var format string
		if format, value = cutField(value); format == "" {
			break
		}
		p.formats = append(p.formats, format)
	}
	end := len(p.formats)
	if end-start > MaxFormats {
		return "more than 128 formats"
	}
	if end > start { // Interop: a refused stream may come without any format
		m.Formats = p.formats[start:end:end]
	}
	p.d.Media = append(p.d.Media, m)
	p.media = &p.d.Media[len(p.d.Media)-1]
	p.attrStart, p.lineStart = len(p.attributes), len(p.lines)
	return ""
}

// keep stores a line that is not read, at its place in the order of RFC 8866 §5.
func (p *parser) keep(l Line) {
	p.lines = append(p.lines, l)
	section := p.lines[p.lineStart:]
	for i := len(section) - 1; i > 0 && rank(section[i].Type) < rank(section[i-1].Type); i-- {
		section[i], section[i-1] = section[i-1], section[i]
	}
	lines := &p.d.Lines
	if p.media != nil {
		lines = &p.media.Lines
	}
	*lines = section[:len(section):len(section)]
}

// The places at which kept lines are printed around the lines that have fields of their own.
const (
	rankConnection = 4
	rankTime       = 6
)

// rank is the place of a line within its section, RFC 8866 §5. Lines of one rank keep the order in which they came.
func rank(kind byte) int {
	switch kind {
	case 'i':
		return 0
	case 'u':
		return 1
	case 'e':
		return 2
	case 'p':
		return 3
	case 'c':
		return rankConnection
	case 'b':
		return 5
	case 't', 'r', 'z':
		return rankTime
	case 'k':
		return 7
	}
	return 8
}

// cutFields splits s at blanks into exactly the given number of fields.
func cutFields(s string, field []string) bool {
	for i := range field {
		if field[i], s = cutField(s); field[i] == "" {
			return false
		}
	}
	rest, _ := cutField(s)
	return rest == ""
}

// cutField splits off the first field; fields are separated by one or more blanks.
func cutField(s string) (field, rest string) {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
