package digest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"
)

// A nonce is 28 bytes, in base64url 38 characters:
//
//	 0        4                 12                                28
//	+--------+-----------------+--------------------------------+
//	| issued | serial          | HMAC-SHA-256, first 16 bytes   |
//	+--------+-----------------+--------------------------------+
//
// issued is in seconds since 1970, serial never repeats within one server, and the code covers both of them and the IP
// address that was challenged. So the server keeps nothing for a challenge, however many it sends.
const (
	nonceBody = 12
	nonceMAC  = 16
	nonceSize = nonceBody + nonceMAC
)

// NonceLen is the length of a nonce in characters.
const NonceLen = (nonceSize*8 + 5) / 6

// Key is the secret that nonces are made with. Servers that answer for each other share it.
type Key [32]byte

// Nonces makes and recognises nonces. Any goroutine may use it.
type Nonces struct {
	inner, outer [64]byte // the key, padded for HMAC (RFC 2104)
	first        uint64   // serials after this one are ours
	serial       atomic.Uint64
	lifetime     uint32 // seconds
}

// NewNonces returns a maker of nonces that are fresh for the given lifetime (whole seconds, at least one). Serials
// start at a random number, so that a restart with the same key does not repeat them.
func NewNonces(key Key, lifetime time.Duration) *Nonces {
	n := &Nonces{lifetime: uint32(max(1, min(lifetime/time.Second, 1<<30)))}
	for i := range n.inner {
		var k byte
		if i < len(key) {
			k = key[i]
		}
		n.inner[i], n.outer[i] = k^0x36, k^0x5c
	}
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand)
	n.first = binary.BigEndian.Uint64(seed[:])
	n.serial.Store(n.first)
	return n
}

// Nonce is what a nonce says about itself.
type Nonce struct {
	Serial uint64
	Issued uint32 // seconds since 1970
}

// Freshness is the outcome of Nonces.Check.
type Freshness uint8

// The outcomes.
const (
	Foreign Freshness = iota // not ours, or given to another address
	Expired                  // ours, but too old
	Fresh
)

// Append appends a new nonce for the party at addr to b.
func (n *Nonces) Append(b []byte, addr netip.Addr, now time.Time) []byte {
	var raw [nonceSize]byte
	binary.BigEndian.PutUint32(raw[0:], uint32(now.Unix()))
	binary.BigEndian.PutUint64(raw[4:], n.serial.Add(1))
	mac := n.mac(raw[:nonceBody], addr)
	copy(raw[nonceBody:], mac[:nonceMAC])
	return base64.RawURLEncoding.AppendEncode(b, raw[:])
}

// Check reads a nonce that came from addr. The Nonce is only set for Expired and Fresh.
//
// RFC 7616 §5.4 and §3.3: the nonce holds its time and is bound to the client's address, so that one taken from the
// wire is worth nothing elsewhere or later.
func (n *Nonces) Check(nonce []byte, addr netip.Addr, now time.Time) (Nonce, Freshness) {
	if len(nonce) != NonceLen {
		return Nonce{}, Foreign
	}
	var raw [nonceSize + 2]byte
	if k, err := base64.RawURLEncoding.Strict().Decode(raw[:], nonce); err != nil || k != nonceSize {
		return Nonce{}, Foreign
	}
	mac := n.mac(raw[:nonceBody], addr)
	if subtle.ConstantTimeCompare(mac[:nonceMAC], raw[nonceBody:nonceSize]) != 1 {
		return Nonce{}, Foreign
	}
	v := Nonce{Issued: binary.BigEndian.Uint32(raw[0:]), Serial: binary.BigEndian.Uint64(raw[4:])}
	// A clock that was set back makes the age negative; such a nonce is replaced, not trusted.
	if age := int64(uint32(now.Unix())) - int64(v.Issued); age < 0 || age >= int64(n.lifetime) {
		return v, Expired
	}
	return v, Fresh
}

// Made reports whether a nonce that Check has found good was made by this very value, and not by another one with the
// same key, such as that of the process before a restart. Only of its own can a server know which counts were used.
func (n *Nonces) Made(v Nonce) bool { return v.Serial-n.first-1 < n.serial.Load()-n.first }

// mac is HMAC-SHA-256 over the body of a nonce and an address, on the stack.
func (n *Nonces) mac(body []byte, addr netip.Addr) [32]byte {
	var b [64 + nonceBody + 16]byte
	copy(b[:], n.inner[:])
	copy(b[64:], body)
	ip := addr.As16() // an IPv4 address and its IPv6-mapped form are one party
	copy(b[64+nonceBody:], ip[:])
	sum := sha256.Sum256(b[:])
	var o [64 + 32]byte
	copy(o[:], n.outer[:])
	copy(o[64:], sum[:])
	return sha256.Sum256(o[:])
}
