package trace

import (
	"bytes"

	"dialtone/internal/sip"
)

// mask overwrites the secrets of a SIP message in place; its length stays, so that Content-Length and the capture stay
// true. What is overwritten:
//
//   - in Authorization and Proxy-Authorization: the response of Digest (with the nonces it is all that an attacker
//     needs to try passwords on), and the whole credentials of any other scheme;
//   - in Authentication-Info: rspauth, which is as good;
//   - in SDP: the keys of a=crypto (RFC 4568 §6.1) and k= (RFC 4566 §5.12).
//
// Lines are looked at alike in head and body, so that a request inside a body (message/sipfrag) is covered too.
func mask(m []byte) {
	folded := (func([]byte))(nil) // what to do with lines that go on with the header of the line before
	for len(m) > 0 {
		line := m
		if i := bytes.IndexByte(m, '\n'); i >= 0 {
			line, m = m[:i+1], m[i+1:]
		} else {
			m = nil
		}
		switch line[0] {
		case 'A', 'a', 'P', 'p':
			folded = maskHeader(line)
		case ' ', '\t': // RFC 3261 §7.3.1: a header goes on
			if folded != nil {
				folded(line)
			}
		case 'k':
			folded = nil
			if len(line) > 2 && line[1] == '=' {
				blank(bytes.TrimRight(line[2:], "\r\n"))
			}
		default:
			folded = nil
		}
	}
}

// maskHeader masks a line that may be a header with credentials or a crypto attribute; it returns how to mask lines that
// are folded onto it, nil when they need not be.
func maskHeader(line []byte) (folded func([]byte)) {
	if len(line) < 3 {
		return nil
	}
	switch lower(line[1]) { // au(th...), pr(oxy-...), a=: most lines end here
	case 'u', 'r':
	case '=':
		if !hasPrefixFold(line, "a=crypto:") {
			return nil
		}
		for rest := line; ; {
			i := indexFold(rest, "inline:")
			if i < 0 {
				return nil
			}
			rest = rest[i+len("inline:"):]
			end := bytes.IndexAny(rest, "|; \t\r\n")
			if end < 0 {
				end = len(rest)
			}
			blank(rest[:end])
			rest = rest[end:]
		}
	default:
		return nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return nil
	}
	value := line[colon+1:]
	switch name := bytes.TrimRight(line[:colon], " \t"); {
	case sip.EqualFold(name, "Authorization"), sip.EqualFold(name, "Proxy-Authorization"):
		scheme := bytes.TrimLeft(value, " \t")
		if hasPrefixFold(scheme, "Digest") {
			maskParameters(value)
			return maskParameters
		}
		// The scheme's name may be read: Basic, Bearer. It ends at the first space.
		if i := bytes.IndexAny(scheme, " \t"); i >= 0 {
			blank(bytes.Trim(scheme[i:], " \t\r\n"))
		}
		return blank
	case sip.EqualFold(name, "Authentication-Info"), sip.EqualFold(name, "Proxy-Authentication-Info"):
		maskParameters(value)
		return maskParameters
	}
	return nil
}

// maskParameters masks the values of response and rspauth, quoted or not.
func maskParameters(b []byte) {
	for _, name := range [...]string{"response", "rspauth"} {
		for rest := b; ; {
			i := indexFold(rest, name)
			if i < 0 {
				break
			}
			rest = bytes.TrimLeft(rest[i+len(name):], " \t")
			if len(rest) == 0 || rest[0] != '=' {
				continue
			}
			rest = bytes.TrimLeft(rest[1:], " \t")
			end := -1
			if len(rest) > 0 && rest[0] == '"' {
				rest = rest[1:]
				end = bytes.IndexByte(rest, '"')
			} else {
				end = bytes.IndexAny(rest, ", \t\r\n")
			}
			if end < 0 {
				end = len(bytes.TrimRight(rest, "\r\n"))
			}
			blank(rest[:end])
			rest = rest[end:]
		}
	}
}

func blank(b []byte) {
	for i := range b {
		if b[i] != '\r' && b[i] != '\n' {
			b[i] = '*'
		}
	}
}

// hasPrefixFold and indexFold compare ASCII without regard to case. word must not be empty.
func hasPrefixFold(b []byte, word string) bool {
	return len(b) >= len(word) && sip.EqualFold(b[:len(word)], word)
}

func indexFold(b []byte, word string) int {
	for i := 0; i+len(word) <= len(b); i++ {
		if lower(b[i]) == lower(word[0]) && sip.EqualFold(b[i:i+len(word)], word) {
			return i
		}
	}
	return -1
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
