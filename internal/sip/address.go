package sip

import (
	"bytes"
	"unicode/utf8"
)

// Address is a name-addr or addr-spec with its header parameters, as in From, To, Contact and Route:
//
//	"Display Name" <sip:user@host;uri-param>;header-param
//
// Its slices point into the text that was parsed.
type Address struct {
	Display []byte // as written, a quoted name without its quotes, escapes kept
	URI     URI
	Params  Params // header parameters, with the leading ";"
	Star    bool   // "Contact: *": nothing else is set but Params
}

// ParseAddress reads one address; the whole of b must be it.
func ParseAddress(b []byte) (Address, error) {
	var a Address
	err := parseAddress(b, &a)
	return a, err
}

func parseAddress(b []byte, a *Address) error {
	*a = Address{}
	b = trimSpace(b)
	if len(b) == 0 {
		return errAddress
	}
	i := 0
	if b[0] == '"' {
		if i = skipQuoted(b, 0); i < 0 {
			return errAddress
		}
		a.Display = b[1 : i-1]
		if i = skipSpace(b, i); i >= len(b) || b[i] != '<' {
			return errAddress
		}
	} else if lt := bytes.IndexByte(b, '<'); lt >= 0 {
		// display-name = *(token LWS): Interop: other characters than tokens are common in names of people, but a
		// comma or a semicolon there would split the value elsewhere.
		name := trimSpace(b[:lt])
		for _, c := range name {
			if c == ',' || c == ';' || c == '"' || c == '>' || c == ':' || c == '@' {
				return errAddress
			}
		}
		a.Display, i = name, lt
	} else {
		return a.parseBare(b)
	}
	gt := bytes.IndexByte(b[i:], '>')
	if gt < 0 {
		return errAddress
	}
	if err := parseURI(b[i+1:i+gt], &a.URI); err != nil {
		return err
	}
	rest := trimSpace(b[i+gt+1:])
	if len(rest) > 0 && rest[0] != ';' {
		return errAddress
	}
	a.Params = Params(rest)
	return nil
}

// parseBare reads an addr-spec without brackets. RFC 3261 §20.10: its parameters are header parameters, and a URI with
// a comma, question mark or semicolon must be in brackets.
func (a *Address) parseBare(b []byte) error {
	end := bytes.IndexByte(b, ';')
	if at := bytes.IndexByte(b, '@'); at > end && end >= 0 {
		if semi := bytes.IndexByte(b[at:], ';'); semi >= 0 { // a ";" in the user part belongs to the URI
			end = at + semi
		} else {
			end = -1
		}
	}
	if end < 0 {
		end = len(b)
	}
	uri := trimSpace(b[:end])
	a.Params = Params(b[end:])
	if len(uri) == 1 && uri[0] == '*' {
		a.Star = true
		return nil
	}
	if err := parseURI(uri, &a.URI); err != nil {
		return err
	}
	if a.URI.Headers != nil {
		return errAddress
	}
	return nil
}

// Tag is the tag parameter of From and To; nil when there is none.
func (a *Address) Tag() []byte {
	t, _ := a.Params.Value("tag")
	return t
}

// maxDisplayName bounds the display name of an address, in bytes: more is no name, and does not fit a datagram.
const maxDisplayName = 256

// DisplayName is the display name without quotes and escapes, as far as it is visible (AppendVisible).
func (a *Address) DisplayName() string {
	raw := a.Display
	if bytes.IndexByte(raw, '\\') >= 0 {
		raw = make([]byte, 0, len(a.Display))
		for i := 0; i < len(a.Display); i++ {
			if a.Display[i] == '\\' && i+1 < len(a.Display) {
				i++
			}
			raw = append(raw, a.Display[i])
		}
	}
	name := AppendVisible(nil, string(raw))
	if len(name) > maxDisplayName {
		name = name[:maxDisplayName]
		for !utf8.Valid(name) {
			name = name[:len(name)-1]
		}
	}
	return string(name)
}

// Append prints the address with brackets, and the display name quoted.
func (a *Address) Append(dst []byte) []byte {
	if a.Star {
		return append(append(dst, '*'), a.Params...)
	}
	if len(a.Display) > 0 {
		dst = append(AppendQuoted(dst, a.DisplayName()), ' ')
	}
	dst = a.URI.Append(append(dst, '<'))
	return append(append(dst, '>'), a.Params...)
}

// tagOf finds the tag of a From or To value without decoding the address.
func tagOf(v []byte) []byte {
	i := 0
	if len(v) > 0 && v[0] == '"' {
		if i = skipQuoted(v, 0); i < 0 {
			return nil
		}
	}
	if gt := bytes.IndexByte(v[i:], '>'); gt >= 0 {
		i += gt + 1
	} else if semi := bytes.IndexByte(v[i:], ';'); semi >= 0 {
		i += semi
	} else {
		return nil
	}
	tag, _ := Params(v[i:]).Value("tag")
	return tag
}
