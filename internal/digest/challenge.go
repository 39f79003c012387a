package digest

import "bytes"

// Challenge is the value of a WWW-Authenticate or Proxy-Authenticate header.
type Challenge struct {
	Realm, Nonce string
	// Opaque and Domain are left out when "".
	Opaque, Domain string
	// Algorithm is MD5 when the parameter is absent, Unknown for one that we cannot do.
	Algorithm Algorithm
	// Stale says that the response was right but the nonce too old: try again without asking anybody.
	Stale bool
	// Auth and AuthInt are the offered qualities of protection; neither means the form of RFC 2069.
	Auth, AuthInt bool
}

// ParseChallenge reads the value of a WWW-Authenticate or Proxy-Authenticate header. Strings are copies with their
// escapes resolved.
//
// Errors: ErrScheme, ErrSyntax, ErrDuplicate, ErrMissing (realm or nonce).
func ParseChallenge(value []byte) (Challenge, error) {
	var c Challenge
	rest, err := scheme(value)
	if err != nil {
		return c, err
	}
	const (
		realm = 1 << iota
		nonce
		opaque
		domain
		algorithm
		stale
		qop
	)
	p := parameters{rest: rest}
	seen := 0
	for {
		name, v, err := p.next()
		if err != nil {
			return Challenge{}, err
		}
		if name == nil {
			break
		}
		bit := 0
		switch {
		case equalFold(name, "realm"):
			bit, c.Realm = realm, unquote(v)
		case equalFold(name, "nonce"):
			bit, c.Nonce = nonce, unquote(v)
		case equalFold(name, "opaque"):
			bit, c.Opaque = opaque, unquote(v)
		case equalFold(name, "domain"):
			bit, c.Domain = domain, unquote(v)
		case equalFold(name, "algorithm"):
			bit, c.Algorithm = algorithm, ParseAlgorithm(v)
		case equalFold(name, "stale"):
			bit, c.Stale = stale, equalFold(v, "true")
		case equalFold(name, "qop"):
			bit = qop
			c.Auth, c.AuthInt = parseQOPOptions(v)
		}
		if seen&bit != 0 {
			return Challenge{}, ErrDuplicate
		}
		seen |= bit
	}
	if seen&realm == 0 || seen&nonce == 0 {
		return Challenge{}, ErrMissing
	}
	if seen&algorithm == 0 {
		c.Algorithm = MD5 // RFC 7616 §3.3: MD5 is assumed when the parameter is absent
	}
	if seen&qop != 0 && !c.Auth && !c.AuthInt {
		// RFC 7616 §3.3: unrecognized options MUST be ignored; nothing is left that we could answer.
		c.Algorithm = Unknown
	}
	return c, nil
}

// parseQOPOptions reads the list of qop options; those that we do not know are passed over.
func parseQOPOptions(v []byte) (auth, authInt bool) {
	for part := range bytes.SplitSeq(v, []byte{','}) {
		part = bytes.TrimSpace(part)
		auth = auth || equalFold(part, "auth")
		authInt = authInt || equalFold(part, "auth-int")
	}
	return auth, authInt
}

// Append appends the header value to b. It allocates nothing when b has the room.
func (c *Challenge) Append(b []byte) []byte {
	b = append(b, "Digest realm="...)
	b = appendQuoted(b, c.Realm)
	b = append(b, ", nonce="...)
	b = appendQuoted(b, c.Nonce)
	if c.Domain != "" {
		b = append(b, ", domain="...)
		b = appendQuoted(b, c.Domain)
	}
	if c.Opaque != "" {
		b = append(b, ", opaque="...)
		b = appendQuoted(b, c.Opaque)
	}
	if c.Stale {
		b = append(b, ", stale=true"...)
	}
	if c.Algorithm != Unknown {
		// RFC 7616 §3.3: algorithm and stale stand without quotes, qop with.
		b = append(b, ", algorithm="...)
		b = append(b, c.Algorithm.String()...)
	}
	switch {
	case c.Auth && c.AuthInt:
		b = append(b, `, qop="auth,auth-int"`...)
	case c.Auth:
		b = append(b, `, qop="auth"`...)
	case c.AuthInt:
		b = append(b, `, qop="auth-int"`...)
	}
	return b
}

// AppendChallenge appends the value of a challenge with qop=auth, as a server sends it: the same as Append, for a nonce
// that is in bytes. It allocates nothing when b has the room.
func AppendChallenge(b []byte, realm string, nonce []byte, a Algorithm, stale bool) []byte {
	b = append(b, "Digest realm="...)
	b = appendQuoted(b, realm)
	b = append(b, `, nonce="`...)
	b = append(b, nonce...)
	b = append(b, '"')
	if stale {
		b = append(b, ", stale=true"...)
	}
	b = append(b, ", algorithm="...)
	b = append(b, a.String()...)
	return append(b, `, qop="auth"`...)
}
