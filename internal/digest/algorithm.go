// Package digest is Digest access authentication as values: the challenge and the credentials as header field values,
// the hashes between them, the nonces that a server hands out without remembering them, and the window that sees a
// nonce count used twice. MD5, SHA-256 and SHA-512/256 (RFC 7616, RFC 8760), and the form without qop that
// RFC 2617 kept for RFC 2069 servers (client side only: as a server we insist on qop=auth).
//
// It does not know users, realms or domains (auth does), and it does not know SIP: a method is a string and a URI is
// what stands between the quotes.
//
// Everything is a pure value except Replay, which is a fixed-size table that any goroutine may use; nothing here starts
// a goroutine or reads the clock. Nonces draws one random number when it is made, Client one per request.
//
// RFCs: 7616, 8760, 2617, 3261 §22.4.
package digest

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
)

// Algorithm names the hash of a challenge. Of two, the greater one is preferred.
type Algorithm uint8

// The algorithms, least preferred first (SHA-512/256 is no weaker than SHA-256, but hardly anybody speaks it). Unknown stands for a name that we do not understand, among them the -sess variants.
const (
	Unknown Algorithm = iota
	MD5
	SHA512256
	SHA256
)

// hexMax is the length of the longest hash in hexadecimal.
const hexMax = 64

// String is the name as it stands in a header.
func (a Algorithm) String() string {
	switch a {
	case MD5:
		return "MD5"
	case SHA256:
		return "SHA-256"
	case SHA512256:
		return "SHA-512-256"
	default:
		return "unknown"
	}
}

// HexLen is the length of a hash in hexadecimal digits: 32 or 64; 0 for Unknown.
func (a Algorithm) HexLen() int {
	switch a {
	case MD5:
		return 32
	case SHA256, SHA512256:
		return 64
	default:
		return 0
	}
}

// ParseAlgorithm reads a name without regard to case. The -sess variants are Unknown.
func ParseAlgorithm[T ~string | ~[]byte](name T) Algorithm {
	switch {
	case equalFold(name, "MD5"):
		return MD5
	case equalFold(name, "SHA-256"):
		return SHA256
	case equalFold(name, "SHA-512-256"):
		return SHA512256
	default:
		return Unknown
	}
}

// sum writes the hash of data in lower-case hexadecimal to dst and returns its length. It allocates nothing.
func (a Algorithm) sum(dst *[hexMax]byte, data []byte) int {
	switch a {
	case MD5:
		h := md5.Sum(data)
		return hex.Encode(dst[:], h[:])
	case SHA256:
		h := sha256.Sum256(data)
		return hex.Encode(dst[:], h[:])
	case SHA512256:
		h := sha512.Sum512_256(data)
		return hex.Encode(dst[:], h[:])
	default:
		return 0
	}
}

// Size is the length of a hash in bytes: 16 or 32; 0 for Unknown.
func (a Algorithm) Size() int { return a.HexLen() / 2 }

// HA1 is the hash of username, realm and password, Size bytes: what a server stores instead of the password. It is
// worth as much as the password within the realm: never log it. nil for Unknown.
//
// RFC 7616 §3.4.2.
func HA1(a Algorithm, username, realm, password string) []byte {
	var stack [256]byte
	b := append(stack[:0], username...)
	b = append(b, ':')
	b = append(b, realm...)
	b = append(b, ':')
	b = append(b, password...)
	defer clear(b)
	switch a {
	case MD5:
		h := md5.Sum(b)
		return h[:]
	case SHA256:
		h := sha256.Sum256(b)
		return h[:]
	case SHA512256:
		h := sha512.Sum512_256(b)
		return h[:]
	default:
		return nil
	}
}

// Input is everything besides HA1 that goes into a response. A nil QOP means the form of RFC 2069, without
// NC and CNonce.
type Input struct {
	Method                      string
	URI, Nonce, NC, CNonce, QOP []byte
}

// response writes the request-digest in lower-case hexadecimal to dst and returns its length.
//
// RFC 7616 §3.4.1: KD(H(A1), nonce ":" nc ":" cnonce ":" qop ":" H(A2)).
func (a Algorithm) response(dst *[hexMax]byte, ha1 []byte, in *Input) int {
	var stack [512]byte
	// RFC 7616 §3.4.3: A2 = Method ":" request-uri for qop=auth.
	b := append(stack[:0], in.Method...)
	b = append(b, ':')
	b = append(b, in.URI...)
	var ha2 [hexMax]byte
	n := a.sum(&ha2, b)

	b = hex.AppendEncode(b[:0], ha1)
	b = append(b, ':')
	b = append(b, in.Nonce...)
	b = append(b, ':')
	if in.QOP != nil {
		b = append(b, in.NC...)
		b = append(b, ':')
		b = append(b, in.CNonce...)
		b = append(b, ':')
		b = append(b, in.QOP...)
		b = append(b, ':')
	}
	b = append(b, ha2[:n]...)
	return a.sum(dst, b)
}

// AppendResponse appends the response to in, in lower-case hexadecimal, to b.
func AppendResponse(b []byte, a Algorithm, ha1 []byte, in *Input) []byte {
	var out [hexMax]byte
	n := a.response(&out, ha1, in)
	return append(b, out[:n]...)
}

// Verify reports whether the credentials were made by someone who knows ha1, for a request with this method. The
// comparison takes the same time wherever the difference is. It allocates nothing as long as URI, nonce and cnonce
// together stay below some 350 bytes.
//
// It looks at the hash alone: that the nonce is ours (Nonces.Check), that its count is new (Replay.Use), that qop is
// auth (QOPIsAuth) and that the URI is the request's are questions of their own.
func (c *Credentials) Verify(method string, ha1 []byte) bool {
	n := c.Algorithm.HexLen()
	if n == 0 || len(ha1) != n/2 || len(c.Response) != n {
		return false
	}
	in := Input{Method: method, URI: c.URI, Nonce: c.Nonce, NC: c.NC, CNonce: c.CNonce, QOP: c.QOP}
	var want, got [hexMax]byte
	c.Algorithm.response(&want, ha1, &in)
	for i, ch := range c.Response {
		// Interop: RFC 7616 §3.4 says LHEX; upper case is harmless.
		got[i] = lower(ch)
	}
	return subtle.ConstantTimeCompare(want[:n], got[:n]) == 1
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold compares ASCII text without regard to case.
func equalFold[T ~string | ~[]byte](a T, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(b) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}
