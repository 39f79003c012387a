package cause

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The protocols of a Reason header value (RFC 3326 §2).
const (
	ProtocolSIP  = "SIP"
	ProtocolQ850 = "Q.850"
)

// Reason is one value of a Reason header.
type Reason struct {
	Protocol string // a token: "SIP", "Q.850" or another
	Cause    int    // 0 when the value had none
	Text     string // without quotes and escapes
}

// maxReasons bounds what is read from one header value; RFC 3326 §2 allows one value per protocol.
const maxReasons = 8

var errReason = errors.New("malformed Reason")

// ParseReasons reads the value of a Reason header, which may hold several reasons separated by commas. Parameters
// other than cause and text are passed over. Errors name the place.
//
// RFC 3326 §2: reason-value = protocol *(SEMI reason-params).
func ParseReasons(value string) ([]Reason, error) {
	var rs []Reason
	s := scanner{s: value}
	for {
		r, err := s.reason()
		if err != nil {
			return nil, fmt.Errorf("%w at byte %d: %s", errReason, s.i, err.Error())
		}
		rs = append(rs, r)
		s.space()
		switch {
		case s.done():
			return rs, nil
		case !s.take(','):
			return nil, fmt.Errorf("%w at byte %d: comma expected", errReason, s.i)
		case len(rs) == maxReasons:
			return nil, fmt.Errorf("%w: more than %d values", errReason, maxReasons)
		}
	}
}

// scanner walks over a header value.
type scanner struct {
	s string
	i int
}

func (s *scanner) done() bool { return s.i >= len(s.s) }

func (s *scanner) space() {
	for !s.done() && strings.IndexByte(" \t\r\n", s.s[s.i]) >= 0 {
		s.i++
	}
}

func (s *scanner) take(b byte) bool {
	s.space()
	if s.done() || s.s[s.i] != b {
		return false
	}
	s.i++
	return true
}

// token reads a token of RFC 3261 §25.1; "" when there is none.
func (s *scanner) token() string {
	s.space()
	from := s.i
	for !s.done() && isToken(s.s[s.i]) {
		s.i++
	}
	return s.s[from:s.i]
}

func isToken(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || strings.IndexByte("-.!%*_+`'~", b) >= 0
}

// quoted reads a quoted-string, whose opening quote has been taken.
func (s *scanner) quoted() (string, error) {
	var out strings.Builder
	for !s.done() {
		b := s.s[s.i]
		s.i++
		switch b {
		case '"':
			return out.String(), nil
		case '\\':
			if s.done() {
				return "", errors.New("string ends in an escape")
			}
			b = s.s[s.i]
			s.i++
		}
		if b == '\r' || b == '\n' {
			b = ' ' // a folded line
		}
		out.WriteByte(b)
	}
	return "", errors.New("string is not closed")
}

func (s *scanner) reason() (Reason, error) {
	r := Reason{Protocol: s.token()}
	if r.Protocol == "" {
		return r, errors.New("protocol expected")
	}
	for s.take(';') {
		name := s.token()
		if name == "" {
			return r, errors.New("parameter expected")
		}
		if !s.take('=') {
			continue
		}
		var v string
		if s.take('"') {
			var err error
			if v, err = s.quoted(); err != nil {
				return r, err
			}
		} else {
			v = s.token()
		}
		switch {
		case strings.EqualFold(name, "cause"):
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 || n > 999 {
				return r, errors.New("cause out of range")
			}
			r.Cause = n
		case strings.EqualFold(name, "text"):
			r.Text = v
		}
	}
	return r, nil
}

// Append appends the value as it stands in a header: `Q.850;cause=16;text="normal"`.
func (r Reason) Append(dst []byte) []byte {
	dst = append(dst, r.Protocol...)
	if r.Cause > 0 {
		dst = append(dst, ";cause="...)
		dst = strconv.AppendInt(dst, int64(r.Cause), 10)
	}
	if r.Text == "" {
		return dst
	}
	dst = append(dst, `;text="`...)
	for i := range len(r.Text) {
		switch b := r.Text[i]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\r' || b == '\n':
			dst = append(dst, ' ') // nobody breaks a header open with a text
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}

// String returns the value as it stands in a header.
func (r Reason) String() string { return string(r.Append(nil)) }

// RequestReason is the Reason header value of a BYE or CANCEL that ends a leg for this cause; "" for the zero Cause.
// A refusal that came from another leg travels on with both its SIP status and its Q.850 cause (RFC 3326 §3.3).
func (c Cause) RequestReason() string {
	switch {
	case c.IsZero():
		return ""
	case c.Words == WordsAnsweredElsewhere:
		return `SIP;cause=200;text="Call completed elsewhere"` // RFC 3326 §3.1, word for word: phones look for it
	}
	var b []byte
	if c.IsRefusal() && c.SIP != 487 { // 487 answers our own CANCEL; it is no reason for one
		b = Reason{Protocol: ProtocolSIP, Cause: c.SIP, Text: c.Words}.Append(b)
	}
	if q := c.Q(); q > 0 {
		if len(b) > 0 {
			b = append(b, ',', ' ') // RFC 3326 §2: several values, each of another protocol
		}
		b = Reason{Protocol: ProtocolQ850, Cause: q, Text: c.Words}.Append(b)
	}
	return string(b)
}

// ResponseReason is the Reason header value of a final response; "" when there is none to give.
func (c Cause) ResponseReason() string {
	// RFC 6432 §3: only Q.850 in responses. 491 and the like are about a request, not about a call.
	q := c.Q()
	if !c.IsRefusal() || q == 0 || c.SIP == 491 {
		return ""
	}
	return Reason{Protocol: ProtocolQ850, Cause: q, Text: c.Words}.String()
}

// WithReason refines c by the value of a Reason header that came along: the party's own Q.850 cause replaces ours,
// and "call completed elsewhere" is recognised. A malformed value changes nothing (RFC 3326 §1: it may be ignored).
func (c Cause) WithReason(value string) Cause {
	rs, err := ParseReasons(value)
	if err != nil {
		return c
	}
	for _, r := range rs {
		switch {
		case strings.EqualFold(r.Protocol, ProtocolQ850) && r.Cause > 0 && r.Cause < 128:
			c.Q850 = r.Cause
			if r.Cause == 16 || r.Cause == 31 {
				continue // as unspecific as no reason at all: the words of c say more
			}
			c.Words = q850Words(r.Cause)
		case strings.EqualFold(r.Protocol, ProtocolSIP) && r.Cause == 200 && c.SIP == 487:
			c.Q850, c.Words = 26, WordsAnsweredElsewhere
			return c
		}
	}
	return c
}
