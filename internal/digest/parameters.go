package digest

import (
	"bytes"
	"errors"
)

// Errors of the parsers.
var (
	// ErrScheme means that the value is of another scheme than Digest.
	ErrScheme = errors.New("digest: scheme is not Digest")
	// ErrSyntax means that the value does not follow the grammar of RFC 7235 §2.1.
	ErrSyntax = errors.New("digest: malformed parameters")
	// ErrDuplicate means that a parameter stands twice.
	ErrDuplicate = errors.New("digest: parameter stands twice")
	// ErrMissing means that a parameter is absent which RFC 7616 demands.
	ErrMissing = errors.New("digest: required parameter is missing")
)

// maxParameters bounds the work that one header value can ask for.
const maxParameters = 32

// scheme cuts "Digest" and the white space after it off value.
func scheme(value []byte) ([]byte, error) {
	value = bytes.TrimLeft(value, " \t\r\n")
	const name = "Digest"
	if len(value) <= len(name) || !equalFold(value[:len(name)], name) || !isSpace(value[len(name)]) {
		return nil, ErrScheme
	}
	return value[len(name):], nil
}

// parameters is a walk over auth-param *( "," auth-param ).
type parameters struct {
	rest  []byte
	count int
}

// next returns the following parameter: its name, and its value as it stands between the quotes, if it has quotes.
// A nil name is the end.
//
// Interop: empty list elements (", ,") and a trailing comma are passed over, as RFC 9110 §5.6.1 asks of recipients.
func (p *parameters) next() (name, value []byte, err error) {
	b := p.rest
	for len(b) > 0 && (isSpace(b[0]) || b[0] == ',') {
		b = b[1:]
	}
	if len(b) == 0 {
		p.rest = nil
		return nil, nil, nil
	}
	if p.count++; p.count > maxParameters {
		return nil, nil, ErrSyntax
	}
	n := tokenLen(b)
	if n == 0 {
		return nil, nil, ErrSyntax
	}
	name, b = b[:n], skipSpace(b[n:])
	if len(b) == 0 || b[0] != '=' {
		return nil, nil, ErrSyntax
	}
	b = skipSpace(b[1:])
	if len(b) > 0 && b[0] == '"' {
		n = quotedLen(b)
		if n == 0 {
			return nil, nil, ErrSyntax
		}
		value = b[1 : n-1]
	} else {
		// Interop: unquoted values with characters outside of token ("uri=sip:a@b") are seen; they end at comma or space.
		n = bareLen(b)
		if n == 0 {
			return nil, nil, ErrSyntax
		}
		value = b[:n]
	}
	b = skipSpace(b[n:])
	if len(b) > 0 && b[0] != ',' {
		return nil, nil, ErrSyntax
	}
	p.rest = b
	return name, value, nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func skipSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return b
}

// isToken reports whether c may stand in a token (RFC 3261 §25.1).
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '.', '!', '%', '*', '_', '+', '`', '\'', '~':
		return true
	}
	return false
}

func tokenLen(b []byte) int {
	n := 0
	for n < len(b) && isToken(b[n]) {
		n++
	}
	return n
}

// bareLen is the length of a value without quotes.
func bareLen(b []byte) int {
	n := 0
	for n < len(b) && b[n] > ' ' && b[n] != 0x7f && b[n] != ',' && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

// quotedLen is the length of the quoted-string at the start of b, quotes included; 0 if it does not end or holds a
// control character.
func quotedLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
			if i == len(b) || b[i] < ' ' || b[i] >= 0x7f {
				return 0
			}
		case c < ' ' && c != '\t', c == 0x7f:
			return 0
		}
	}
	return 0
}

// unquote resolves the escapes of text that stood between quotes.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) {
			i++
		}
		out = append(out, raw[i])
	}
	return string(out)
}

// appendQuoted appends text as a quoted-string.
func appendQuoted(b []byte, text string) []byte {
	b = append(b, '"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, text[i])
	}
	return append(b, '"')
}
