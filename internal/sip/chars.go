package sip

import "unicode/utf8"

// Character classes of RFC 3261 §25.1, one bit each.
const (
	classToken  uint8 = 1 << iota // token
	classHost                     // letters, digits, "-", ".", "_" (Interop: host names with underscores are common)
	classUser                     // unreserved, user-unreserved, "%" and ":" (password)
	classParam                    // paramchar and "%" , "=": what may stand in URI parameters
	classHeader                   // hname, hvalue, "=", "&"
	classWord                     // word: Call-ID
	classDigit
	classPlain // letters, digits, "-", ".", "_": what means the same everywhere in a URI
)

var classes = makeClasses()

func makeClasses() (t [256]uint8) {
	set := func(class uint8, chars string) {
		for i := 0; i < len(chars); i++ {
			t[chars[i]] |= class
		}
	}
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	const mark = "-_.!~*'()"
	set(classToken, alnum+"-.!%*_+`'~")
	set(classHost, alnum+"-._")
	set(classUser, alnum+mark+"&=+$,;?/"+"%:"+"#") // Interop: "#" unescaped in dialled strings
	set(classParam, alnum+mark+"[]/:&+$"+"%=")
	set(classHeader, alnum+mark+"[]/?:+$"+"%=&"+"@;,<>\"") // Interop: unescaped header values in Refer-To
	set(classWord, alnum+"-.!%*_+`'~()<>:\\\"/[]?{}"+"@")
	set(classDigit, "0123456789")
	set(classPlain, alnum+"-._")
	return t
}

func all(b []byte, class uint8) bool {
	for _, c := range b {
		if classes[c]&class == 0 {
			return false
		}
	}
	return true
}

func isToken(b []byte) bool { return len(b) > 0 && all(b, classToken) }

// isSpace includes CR and LF: inside a header value they can only be part of a fold.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold compares without regard to ASCII case.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if b[i] != s[i] && lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

// EqualFold compares two names or hosts without regard to ASCII case.
func EqualFold(a []byte, b string) bool { return equalFold(a, b) }

// number reads an unsigned decimal; leading zeros are fine (RFC 4475 §3.1.1.1 has "0009").
func number(b []byte, limit uint64) (uint64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
		if n > limit {
			return 0, false
		}
	}
	return n, true
}

// skipQuoted returns the index after the closing quote of the quoted string that starts at b[i], or -1.
func skipQuoted(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// Unquote removes the quotes and escapes of a quoted-string; a value that is not quoted comes back as it is.
func Unquote(b []byte) string {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return string(b)
	}
	b = b[1 : len(b)-1]
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	return string(out)
}

// AppendQuoted appends s as a quoted-string (RFC 3261 §25.1), less what AppendVisible leaves out: nothing a person or a
// party has chosen ends a line, or commands the display of the next one.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		n := visible(s[i:])
		if n == 1 && (s[i] == '"' || s[i] == '\\') {
			dst = append(dst, '\\')
		}
		if n < 0 {
			i -= n
			continue
		}
		dst = append(dst, s[i:i+n]...)
		i += n
	}
	return append(dst, '"')
}

// AppendVisible appends s without what a display or a terminal would obey instead of showing it: control characters
// (C0, DEL, C1), line separators, overrides and isolates of the direction of text, and bytes that are no UTF-8. Joiners and
// direction marks stay: Persian and Hebrew are written with them.
func AppendVisible(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		n := visible(s[i:])
		if n < 0 {
			i -= n
			continue
		}
		dst = append(dst, s[i:i+n]...)
		i += n
	}
	return dst
}

// visible is the length of the first character of s, which is not empty; negative when it is to be left out.
func visible(s string) int {
	if c := s[0]; c < utf8.RuneSelf {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return 1
	}
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && n == 1, r < 0xa0,
		r >= 0x2028 && r <= 0x202e, // line and paragraph separator, embeddings and overrides
		r >= 0x2066 && r <= 0x2069, // isolates
		r == 0xfeff:
		return -n
	}
	return n
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// AppendUnescaped appends b with its %HH escapes decoded (RFC 3261 §19.1.2); a malformed escape stays as it is.
func AppendUnescaped(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] == '%' && i+2 < len(b) {
			h, ok1 := hexDigit(b[i+1])
			l, ok2 := hexDigit(b[i+2])
			if ok1 && ok2 {
				dst = append(dst, h<<4|l)
				i += 2
				continue
			}
		}
		dst = append(dst, b[i])
	}
	return dst
}

// AppendEscapedUser appends s as the user part of a URI, escaping what may not stand there.
func AppendEscapedUser(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if classes[c]&classUser != 0 && c != '%' && c != ':' && c != '#' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
