package digest

// Credentials are the value of an Authorization or Proxy-Authorization header. The slices point into the value that was
// parsed and hold the text as it stands between the quotes, escapes included: that is what the hash is made of
// (RFC 7616 §3.3: unq(X) is the quoted-string without its quotes).
type Credentials struct {
	Username, Realm, Nonce, URI, Response []byte
	// Algorithm is MD5 when the parameter is absent.
	Algorithm Algorithm
	// QOP, NC and CNonce are nil when absent.
	QOP, NC, CNonce []byte
	Opaque          []byte
	// Count is NC as a number; 0 when absent.
	Count uint32
}

// ParseCredentials reads the value of an Authorization or Proxy-Authorization header. The result points into value.
// Parameters that we do not know are passed over (RFC 7616 §3.4: "MUST be ignored"). It allocates nothing.
//
// Errors: ErrScheme, ErrSyntax, ErrDuplicate, ErrMissing.
func ParseCredentials(value []byte) (Credentials, error) {
	var c Credentials
	rest, err := scheme(value)
	if err != nil {
		return c, err
	}
	p := parameters{rest: rest}
	sawAlgorithm := false
	for {
		name, v, err := p.next()
		if err != nil {
			return Credentials{}, err
		}
		if name == nil {
			break
		}
		var field *[]byte
		switch {
		case equalFold(name, "username"):
			field = &c.Username
		case equalFold(name, "realm"):
			field = &c.Realm
		case equalFold(name, "nonce"):
			field = &c.Nonce
		case equalFold(name, "uri"):
			field = &c.URI
		case equalFold(name, "response"):
			field = &c.Response
		case equalFold(name, "qop"):
			field = &c.QOP
		case equalFold(name, "nc"):
			field = &c.NC
			if c.Count, err = parseCount(v); err != nil {
				return Credentials{}, err
			}
		case equalFold(name, "cnonce"):
			field = &c.CNonce
		case equalFold(name, "opaque"):
			field = &c.Opaque
		case equalFold(name, "algorithm"):
			if sawAlgorithm {
				return Credentials{}, ErrDuplicate
			}
			sawAlgorithm = true
			c.Algorithm = ParseAlgorithm(v)
			continue
		default:
			continue
		}
		if *field != nil {
			return Credentials{}, ErrDuplicate
		}
		*field = v
	}
	if !sawAlgorithm {
		c.Algorithm = MD5 // RFC 7616 §3.4: MD5 is assumed when the parameter is absent
	}
	if c.Username == nil || c.Realm == nil || c.Nonce == nil || c.URI == nil || c.Response == nil {
		return Credentials{}, ErrMissing
	}
	// RFC 7616 §3.4: nc and cnonce MUST be there when qop is, and MUST NOT when it is not.
	if c.QOP != nil && (c.NC == nil || c.CNonce == nil) {
		return Credentials{}, ErrMissing
	}
	return c, nil
}

// QOPIsAuth reports whether the credentials carry qop=auth.
func (c *Credentials) QOPIsAuth() bool { return equalFold(c.QOP, "auth") }

// User is the username with its escapes resolved.
func (c *Credentials) User() string { return unquote(c.Username) }

// Append appends the header value to b, with the parameters in the order in which RFC 7616 §3.9 shows them.
// An Unknown algorithm is left out: nobody makes credentials with it.
func (c *Credentials) Append(b []byte) []byte {
	b = append(b, `Digest username="`...)
	b = append(b, c.Username...)
	b = append(b, `", realm="`...)
	b = append(b, c.Realm...)
	b = append(b, `", nonce="`...)
	b = append(b, c.Nonce...)
	b = append(b, `", uri="`...)
	b = append(b, c.URI...)
	b = append(b, `", response="`...)
	b = append(b, c.Response...)
	b = append(b, '"')
	if c.Algorithm != Unknown {
		b = append(b, ", algorithm="...)
		b = append(b, c.Algorithm.String()...)
	}
	// RFC 7616 §3.4: algorithm, qop and nc stand without quotes, everything else with.
	if c.QOP != nil {
		b = append(b, ", qop="...)
		b = appendBare(b, c.QOP)
	}
	if c.NC != nil {
		b = append(b, ", nc="...)
		b = append(b, c.NC...)
	}
	if c.CNonce != nil {
		b = append(b, `, cnonce="`...)
		b = append(b, c.CNonce...)
		b = append(b, '"')
	}
	if c.Opaque != nil {
		b = append(b, `, opaque="`...)
		b = append(b, c.Opaque...)
		b = append(b, '"')
	}
	return b
}

// appendBare appends value without quotes when it is a token, with them otherwise.
func appendBare(b, value []byte) []byte {
	if len(value) > 0 && tokenLen(value) == len(value) {
		return append(b, value...)
	}
	b = append(b, '"')
	b = append(b, value...)
	return append(b, '"')
}

// parseCount reads a nonce count.
//
// RFC 7616 §3.4: nc-value = 8LHEX. Interop: fewer digits and upper case are accepted.
func parseCount(v []byte) (uint32, error) {
	if len(v) == 0 || len(v) > 8 {
		return 0, ErrSyntax
	}
	var n uint32
	for _, ch := range v {
		switch ch = lower(ch); {
		case '0' <= ch && ch <= '9':
			n = n<<4 | uint32(ch-'0')
		case 'a' <= ch && ch <= 'f':
			n = n<<4 | uint32(ch-'a'+10)
		default:
			return 0, ErrSyntax
		}
	}
	return n, nil
}
