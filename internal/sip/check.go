package sip

import (
	"bytes"
	"time"
)

// Check looks at every known header of the message with the eyes of an element that will act on it, and returns the
// first fault. A message that is only forwarded is not checked: what it does not look at may be anything
// (RFC 3261 §16.3 item 1).
func (m *Message) Check() error {
	if m.status == 0 {
		if err := m.checkTarget(); err != nil {
			return err
		}
	}
	for i := range m.headers {
		h := &m.headers[i]
		v := h.value.of(m.raw)
		if h.id == HVia && len(v) == m.via.end { // the only one of its line, and read already
			if err := m.via.Params.checkVia(); err != nil {
				return err
			}
			continue
		}
		if err := checkHeader(h.id, v); err != nil {
			return err
		}
	}
	return nil
}

// checkTarget: RFC 3261 §8.2.2.1: a scheme that is not understood is 416. §19.1.5: a Request-URI holds no headers.
func (m *Message) checkTarget() error {
	u, err := m.URI()
	if err != nil {
		return err
	}
	if u.Scheme == SchemeOther {
		return errScheme
	}
	if u.Headers != nil {
		return errURI
	}
	return nil
}

func checkHeader(id HeaderID, v []byte) error {
	switch id {
	case HFrom, HTo, HReferTo, HReferredBy:
		return checkAddress(v)
	case HContact, HRoute, HRecordRoute, HPath, HServiceRoute, HPAssertedIdentity, HPPreferredIdentity, HDiversion:
		return checkList(v, checkAddress)
	case HVia:
		return checkList(v, func(e []byte) error {
			p, err := ParseVia(e)
			if err == nil {
				err = p.Params.checkVia()
			}
			return err
		})
	case HExpires, HMinExpires, HMinSE, HRSeq, HSessionExpires, HMaxBreadth:
		if i := bytes.IndexByte(v, ';'); i >= 0 {
			v = trimSpace(v[:i])
		}
		if _, ok := number(v, 1<<32-1); !ok {
			return errNumber
		}
	case HRequire, HProxyRequire, HSupported, HUnsupported, HAllow:
		return checkList(v, func(e []byte) error {
			if !isToken(e) {
				return errHeader
			}
			return nil
		})
	case HContentType:
		return checkMediaType(v)
	case HDate:
		return checkDate(v)
	}
	return nil
}

// isPlainAddress recognises the form that nearly all addresses have and that nothing is wrong with:
//
//	<sip:user@host:port>;tag=token
func isPlainAddress(v []byte) bool {
	if len(v) < 7 || string(v[:5]) != "<sip:" {
		return false
	}
	i := plainEnd(v, 5)
	if i == 5 {
		return false
	}
	if i < len(v) && v[i] == '@' {
		host := i + 1
		if i = plainEnd(v, host); i == host {
			return false
		}
	}
	if i < len(v) && v[i] == ':' {
		port := i + 1
		for i = port; i < len(v) && classes[v[i]]&classDigit != 0; i++ {
		}
		if _, ok := number(v[port:i], 65535); !ok {
			return false
		}
	}
	if i == len(v) || v[i] != '>' {
		return false
	}
	rest := v[i+1:]
	return len(rest) == 0 || len(rest) > 5 && string(rest[:5]) == ";tag=" && all(rest[5:], classToken)
}

func plainEnd(v []byte, i int) int {
	for i < len(v) && classes[v[i]]&classPlain != 0 {
		i++
	}
	return i
}

func checkAddress(v []byte) error {
	if isPlainAddress(v) {
		return nil
	}
	a, err := ParseAddress(v)
	if err != nil {
		return err
	}
	if it, ok := a.Params.Value("expires"); ok {
		// RFC 3261 §10.3: a malformed expires is taken for 3600 by the registrar; one beyond 32 bits is refused.
		if all(it, classDigit) {
			if _, ok := number(it, 1<<32-1); !ok {
				return errNumber
			}
		}
	}
	return a.Params.check()
}

func checkList(v []byte, check func([]byte) error) error {
	for len(v) > 0 {
		end := elementEnd(v, 0)
		if end < 0 {
			return errParams
		}
		e := trimSpace(v[:end])
		if len(e) == 0 && end < len(v) {
			return errHeader
		}
		if len(e) > 0 {
			if err := check(e); err != nil {
				return err
			}
		}
		v = v[min(end+1, len(v)):]
	}
	return nil
}

// checkVia: parameters of Via may hold an IPv6 address without quotes (RFC 5118 §4.5).
func (p Params) checkVia() error {
	it := p.Iter()
	for it.Next() {
		if !isToken(it.name) {
			return errVia
		}
	}
	return it.err
}

func checkMediaType(v []byte) error {
	kind, rest, ok := bytes.Cut(v, []byte{'/'})
	if !ok || !isToken(trimSpace(kind)) {
		return errHeader
	}
	sub, params := rest, []byte(nil)
	if i := bytes.IndexByte(rest, ';'); i >= 0 {
		sub, params = rest[:i], rest[i:]
	}
	if !isToken(trimSpace(sub)) {
		return errHeader
	}
	it := Params(params).Iter()
	for it.Next() {
	}
	return it.Err()
}

// checkDate: RFC 3261 §20.17: only GMT, in the form of RFC 1123.
func checkDate(v []byte) error {
	if _, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", string(v)); err != nil {
		return errDate
	}
	return nil
}
