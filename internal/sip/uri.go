package sip

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"unsafe"
)

// Scheme is the kind of a URI.
type Scheme uint8

// The schemes of RFC 3261 §19.1 and RFC 3966. Any other keeps its text in URI.Raw.
const (
	SchemeOther Scheme = iota
	SchemeSIP
	SchemeSIPS
	SchemeTel
)

var schemeNames = [...]string{SchemeSIP: "sip", SchemeSIPS: "sips", SchemeTel: "tel"}

// String is the scheme as it is printed; empty for SchemeOther.
func (s Scheme) String() string {
	if int(s) < len(schemeNames) {
		return schemeNames[s]
	}
	return ""
}

// URI is a view on a sip, sips or tel URI:
//
//	sip:user:password@host:port;params?headers
//	tel:number;params
//
// Its slices point into the text that was parsed.
type URI struct {
	Scheme   Scheme
	Port     uint16 // 0 when there is none
	Raw      []byte // the whole URI
	User     []byte // still escaped; the number of a tel URI
	Password []byte
	Host     []byte // an IPv6 address keeps its brackets
	Params   Params // with the leading ";"
	Headers  []byte // without the leading "?"
}

// ParseURI reads a URI. A scheme that is not sip, sips or tel is no error: Scheme is SchemeOther and only Raw is set.
func ParseURI(b []byte) (URI, error) {
	var u URI
	err := parseURI(b, &u)
	return u, err
}

func parseURI(b []byte, u *URI) error {
	*u = URI{Raw: b}
	// RFC 3261 §25.1: scheme = ALPHA *(ALPHA / DIGIT / "+" / "-" / "."), whatever its case.
	c := bytes.IndexByte(b, ':')
	if c <= 0 || !isLetter(b[0]) {
		return errURI
	}
	switch {
	case c == 3 && b[0]|0x20 == 's' && b[1]|0x20 == 'i' && b[2]|0x20 == 'p':
		u.Scheme = SchemeSIP
	case c == 4 && equalFold(b[:4], "sips"):
		u.Scheme = SchemeSIPS
	case c == 3 && equalFold(b[:3], "tel"):
		u.Scheme = SchemeTel
		return u.parseTel(b[4:])
	default:
		return checkOtherURI(b, c)
	}
	return u.parseSIP(b[c+1:])
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func checkOtherURI(b []byte, colon int) error {
	for _, c := range b[:colon] {
		if !isLetter(c) && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return errURI
		}
	}
	for _, c := range b[colon:] {
		if c <= ' ' || c == '<' || c == '>' || c == '"' || c == 0x7f {
			return errURI
		}
	}
	return nil
}

func (u *URI) parseSIP(b []byte) error {
	if at := bytes.IndexByte(b, '@'); at >= 0 {
		info := b[:at]
		// "%" is checked to start an escape only where the escape is decoded; here every class member passes.
		if at == 0 || !all(info, classUser) {
			return errURI
		}
		u.User = info
		if c := bytes.IndexByte(info, ':'); c >= 0 {
			if c == 0 {
				return errURI
			}
			u.User, u.Password = info[:c], info[c+1:]
		}
		b = b[at+1:]
	}
	i, ok := hostEnd(b)
	if !ok {
		return errURI
	}
	u.Host = b[:i]
	if i < len(b) && b[i] == ':' {
		j := i + 1
		for j < len(b) && b[j]-'0' <= 9 {
			j++
		}
		n, ok := number(b[i+1:j], 65535)
		if !ok {
			return errURI
		}
		u.Port, i = uint16(n), j
	}
	return u.parseTail(b[i:])
}

// hostEnd finds where the host at the start of b ends: a name, an IPv4 address or an IPv6 reference in brackets.
func hostEnd(b []byte) (int, bool) {
	if len(b) > 0 && b[0] == '[' {
		j := bytes.IndexByte(b, ']')
		if j < 3 {
			return 0, false
		}
		for _, c := range b[1:j] {
			if _, hex := hexDigit(c); !hex && c != ':' && c != '.' {
				return 0, false
			}
		}
		// RFC 5118 §4.10: an extra colon before an embedded IPv4 address is tolerated here; it is no address later.
		return j + 1, true
	}
	i := 0
	for i < len(b) && classes[b[i]]&classHost != 0 {
		i++
	}
	return i, i > 0
}

func (u *URI) parseTail(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if b[0] == ';' {
		end := bytes.IndexByte(b, '?')
		if end < 0 {
			end = len(b)
		}
		u.Params = Params(b[:end])
		if end < 2 || !uriParamsOK(b[:end]) {
			return errURI
		}
		b = b[end:]
	}
	if len(b) == 0 {
		return nil
	}
	if b[0] != '?' || !all(b[1:], classHeader) {
		return errURI
	}
	u.Headers = b[1:]
	return nil
}

func uriParamsOK(b []byte) bool {
	for _, c := range b {
		if c != ';' && classes[c]&(classParam|classToken) == 0 {
			return false
		}
	}
	return true
}

// parseTel reads what follows "tel:": RFC 3966 §3.
func (u *URI) parseTel(b []byte) error {
	i := bytes.IndexByte(b, ';')
	if i < 0 {
		i = len(b)
	}
	u.User = b[:i]
	if i == 0 {
		return errURI
	}
	for k, c := range u.User {
		_, hex := hexDigit(c)
		if !hex && c != '*' && c != '#' && !isTelSeparator(c) && (c != '+' || k > 0) {
			return errURI
		}
	}
	if i < len(b) {
		u.Params = Params(b[i:])
		if len(u.Params) < 2 || !uriParamsOK(u.Params) {
			return errURI
		}
	}
	return nil
}

func isTelSeparator(c byte) bool { return c == '-' || c == '.' || c == '(' || c == ')' }

// IsSIP tells whether the URI is a sip or sips URI.
func (u *URI) IsSIP() bool { return u.Scheme == SchemeSIP || u.Scheme == SchemeSIPS }

// Param finds a URI parameter by name.
func (u *URI) Param(name string) ([]byte, bool) { return u.Params.Value(name) }

// UserUnescaped is the user part with its escapes decoded.
func (u *URI) UserUnescaped() string { return string(AppendUnescaped(nil, u.User)) }

// HostAddr is the host as an IP address, if it is one; an IPv4-mapped IPv6 address comes back as IPv4.
func (u *URI) HostAddr() (netip.Addr, bool) { return hostAddr(u.Host) }

func hostAddr(h []byte) (netip.Addr, bool) {
	if len(h) > 1 && h[0] == '[' {
		h = h[1 : len(h)-1]
	}
	if len(h) == 0 || len(h) > 45 || !(h[0]-'0' <= 9 || bytes.IndexByte(h, ':') >= 0) {
		return netip.Addr{}, false
	}
	// The string is a view that lives for this call only: ParseAddr keeps it in the error alone, which is dropped.
	a, err := netip.ParseAddr(unsafe.String(&h[0], len(h)))
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// String is the URI as it was parsed.
func (u URI) String() string { return string(u.Raw) }

// Append prints the URI from its parts.
func (u *URI) Append(dst []byte) []byte {
	switch u.Scheme {
	case SchemeOther:
		return append(dst, u.Raw...)
	case SchemeTel:
		dst = append(append(dst, "tel:"...), u.User...)
		return append(dst, u.Params...)
	}
	dst = append(append(dst, u.Scheme.String()...), ':')
	if len(u.User) > 0 {
		dst = append(dst, u.User...)
		if u.Password != nil {
			dst = append(append(dst, ':'), u.Password...)
		}
		dst = append(dst, '@')
	}
	dst = append(dst, u.Host...)
	if u.Port != 0 {
		dst = strconv.AppendUint(append(dst, ':'), uint64(u.Port), 10)
	}
	dst = append(dst, u.Params...)
	if len(u.Headers) > 0 {
		dst = append(append(dst, '?'), u.Headers...)
	}
	return dst
}

// Equal compares two URIs by RFC 3261 §19.1.4 (sip, sips), RFC 3966 §4 (tel), or byte for byte (others).
func (u *URI) Equal(v *URI) bool {
	if u.Scheme != v.Scheme {
		return false
	}
	switch u.Scheme {
	case SchemeOther:
		return bytes.Equal(u.Raw, v.Raw)
	case SchemeTel:
		return equalTel(u, v)
	}
	return equalUser(u.User, v.User) && equalUser(u.Password, v.Password) &&
		equalHost(u.Host, v.Host) &&
		// A URI without a port does not match one with the default port.
		u.Port == v.Port && equalParams(u.Params, v.Params) && equalHeaders(u.Headers, v.Headers)
}

func equalHost(a, b []byte) bool {
	if bytes.EqualFold(a, b) {
		return true
	}
	x, ok1 := hostAddr(a)
	y, ok2 := hostAddr(b)
	return ok1 && ok2 && x == y // RFC 5954 §4.2: IPv6 addresses are compared in value
}

// equalUser compares escaped text: case-sensitive, "%61" equals "a" (reserved characters stay distinct from their
// escapes by RFC, but no phone makes that difference; they compare equal here).
func equalUser(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if bytes.IndexByte(a, '%') < 0 && bytes.IndexByte(b, '%') < 0 {
		return false
	}
	return bytes.Equal(AppendUnescaped(nil, a), AppendUnescaped(nil, b))
}

// equalParams: RFC 3261 §19.1.4: user, ttl, method, maddr and transport never match when only one side has them; any
// other parameter counts only when both have it.
func equalParams(a, b Params) bool {
	return paramsMatch(a, b) && paramsMatch(b, a)
}

func paramsMatch(a, b Params) bool {
	for it := a.Iter(); it.Next(); {
		name := unsafeString(it.name)
		other, ok := b.Value(name)
		if !ok {
			if isStrictParam(it.name) {
				return false
			}
			continue
		}
		mine, _ := a.Value(name) // §19.1.1: a name appears once; of a repeated one the first counts
		if !bytes.EqualFold(AppendUnescaped(nil, mine), AppendUnescaped(nil, other)) {
			return false
		}
	}
	return true
}

func isStrictParam(name []byte) bool {
	return equalFold(name, "user") || equalFold(name, "ttl") || equalFold(name, "method") ||
		equalFold(name, "maddr") || equalFold(name, "transport")
}

// equalHeaders: every header of the URI counts, in any order.
func equalHeaders(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	split := func(h []byte) map[string]int {
		m := map[string]int{}
		for _, f := range bytes.Split(h, []byte("&")) {
			name, value, _ := bytes.Cut(f, []byte("="))
			m[strings.ToLower(string(name))+"="+string(AppendUnescaped(nil, value))]++
		}
		return m
	}
	x, y := split(a), split(b)
	if len(x) != len(y) {
		return false
	}
	for k, n := range x {
		if y[k] != n {
			return false
		}
	}
	return true
}

// equalTel: RFC 3966 §4: visual separators do not count, letters of hex digits in any case; parameters must all match.
func equalTel(u, v *URI) bool {
	strip := func(b []byte) string {
		var s strings.Builder
		for _, c := range b {
			if !isTelSeparator(c) {
				s.WriteByte(lower(c))
			}
		}
		return s.String()
	}
	if strip(u.User) != strip(v.User) {
		return false
	}
	params := func(p Params) map[string]string {
		m := map[string]string{}
		for it := p.Iter(); it.Next(); {
			m[strings.ToLower(string(it.name))] = strip(it.value)
		}
		return m
	}
	x, y := params(u.Params), params(v.Params)
	if len(x) != len(y) {
		return false
	}
	for k, s := range x {
		if t, ok := y[k]; !ok || s != t {
			return false
		}
	}
	return true
}

// unsafeString is a view on b for the length of a call; nothing that is handed it keeps it.
func unsafeString(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
