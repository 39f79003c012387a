// Package dtls agrees on keys for SRTP with the party at the other end of a stream by a DTLS handshake (RFC 5763, 5764).
//
// It owns our certificate, the handshake over datagrams that are handed in, the comparison of the peer's certificate
// with the fingerprints that signalling has brought, and the export of the keys. It does not own sockets, nor the
// question from where datagrams may come: only those of an address that ICE has verified, or that signalling has named,
// should be handed in, since whoever can hand in an unprotected alert ends a handshake. Where no address is proven, each
// address from which a ClientHello comes gets a Handshake of its own, a few at most: the fingerprint says which is the
// peer's, and nobody can disturb it from elsewhere. Which side begins is decided in the description (a=setup). The
// protocol itself is that of github.com/pion/dtls.
//
// A Handshake runs on goroutines of its own from Start until Close, or until the peer closes the association: one of
// ours, which Close waits for, and three of the library, which end with it. Send is called from them, never twice at
// once; Receive may be called from anywhere and never blocks. Datagrams are handled in the order of Receive.
//
// RFCs: 5763 and 5764 (DTLS-SRTP), 6347 (DTLS 1.2), 7983 (telling DTLS from STUN and SRTP), 8122 (fingerprints), 8827
// (cipher suites), 8842 (associations and descriptions).
package dtls

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"dialtone/internal/media/srtp"
	"dialtone/internal/sdp"
)

// Errors of a handshake.
var (
	ErrFingerprint = errors.New("dtls: the peer's certificate is not the one that was signalled")
	ErrBusy        = errors.New("dtls: too many handshakes at once")
	ErrTimeout     = errors.New("dtls: handshake took too long")
	ErrClosed      = errors.New("dtls: closed before the handshake was complete")
)

// Defaults of Config.
const (
	DefaultMTU     = 1200
	DefaultTimeout = 20 * time.Second
)

// Config says what a handshake needs.
type Config struct {
	Identity *Identity
	Client   bool // this side begins (a=setup:active)
	// Fingerprints are those of the peer's certificate, from its description. The strongest of sha-512, sha-384 and
	// sha-256 among them counts; without one of these the handshake is not begun.
	Fingerprints []sdp.Fingerprint
	// Suites are offered, or chosen from, in this order; nil is all that DTLS knows.
	Suites []*srtp.Suite
	// Send takes a datagram for the peer. It must not block, not keep the slice and not call Close; Close calls it.
	Send func(datagram []byte)
	// Proven says that the peer's address has proven to be its own (by ICE), so that a client need not show that it
	// receives there: a round trip less. Alerts of a handshake under way are believed only then.
	Proven  bool
	MTU     int           // of datagrams, in bytes; 0 is DefaultMTU
	Timeout time.Duration // of the handshake; 0 is DefaultTimeout
	Limiter *Limiter      // nil: no limit
	Source  netip.Addr    // the host that the Limiter counts the handshake for
}

// Keys are the outcome of a handshake. Printed and logged they are hidden.
type Keys struct {
	Suite  *srtp.Suite
	Local  []byte // master key and salt of what this side sends
	Remote []byte // and of what the peer sends
}

// Format implements fmt.Formatter: no verb shows a key.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// String names the suite.
func (k Keys) String() string {
	if k.Suite == nil {
		return "no keys"
	}
	return "keys for " + k.Suite.Name
}

// LogValue implements slog.LogValuer.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Limiter bounds the handshakes that run at once, in all and for each host of peers: each costs the better part of a
// millisecond of a processor and some ten kilobytes. A host that leaves its handshakes unfinished keeps no other out.
type Limiter struct {
	most, share int

	mu      sync.Mutex
	running int
	sources map[netip.Prefix]int // IPv4 addresses and IPv6 /64; only those with handshakes
}

// shares is into how many parts a Limiter is divided: one host has at most one of them.
const shares = 4

// NewLimiter makes a Limiter for n handshakes, a quarter of them with one host.
func NewLimiter(n int) *Limiter {
	return &Limiter{most: n, share: max(1, n/shares), sources: make(map[netip.Prefix]int)}
}

// Running is the number of handshakes that run.
func (l *Limiter) Running() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}

// enter takes a place; false when there is none.
func (l *Limiter) enter(source netip.Addr) bool {
	if l == nil {
		return true
	}
	key := network(source)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == l.most || l.sources[key] == l.share {
		return false
	}
	l.running++
	l.sources[key]++
	return true
}

func (l *Limiter) leave(source netip.Addr) {
	if l == nil {
		return
	}
	key := network(source)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if l.sources[key]--; l.sources[key] == 0 {
		delete(l.sources, key)
	}
}

// network is what counts as one host: an IPv6 one has all addresses of its /64.
func network(source netip.Addr) netip.Prefix {
	bits := 32
	if source = source.Unmap().WithZone(""); source.Is6() {
		bits = 64
	}
	p, _ := source.Prefix(bits) // the zero Addr is a host as well
	return p
}

// recordHeader is the length of a record's header.
const recordHeader = 13

// IsDTLS tells a DTLS datagram from STUN and SRTP on the same port.
//
// RFC 7983 §7: the first byte is 20 to 63.
func IsDTLS(b []byte) bool { return len(b) >= recordHeader && 20 <= b[0] && b[0] <= 63 }

// IsClientHello tells whether a datagram begins a handshake: type handshake, epoch 0, message client_hello.
func IsClientHello(b []byte) bool {
	return len(b) > recordHeader && b[0] == 22 && b[3] == 0 && b[4] == 0 && b[recordHeader] == 1
}

// isSound tells whether a datagram consists of whole records that can be. proven tells that its source is the peer's
// address: where that is not known, an alert that nothing protects may be anybody's, and would end the handshake; a peer that
// gives up is noticed by its silence then.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     type      |       version 254.253 or 254.255              |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|             epoch             |        sequence number        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                               |            length             |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// RFC 6347 §4.1.2.7: invalid records "SHOULD be silently discarded"; the library ends an unfinished handshake at some.
func isSound(b []byte, proven bool) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		if len(b) < recordHeader || b[1] != 254 || b[2] != 253 && b[2] != 255 {
			return false
		}
		size := int(binary.BigEndian.Uint16(b[11:]))
		if size == 0 || len(b) < recordHeader+size {
			return false
		}
		content := b[recordHeader : recordHeader+size]
		unprotected := b[3] == 0 && b[4] == 0
		switch b[0] {
		case 20: // change_cipher_spec
			// It belongs to the epoch that it ends, and here there is but one change. The library takes one of a later epoch
			// for what it says, although nothing protects it, and answers a faulty one with an alert that ends the peer.
			if !unprotected || size != 1 || content[0] != 1 {
				return false
			}
		case 21: // alert
			if unprotected && (!proven || size != 2 || content[0] != 1 && content[0] != 2) {
				return false
			}
		case 22: // handshake
			if unprotected && size < 12 {
				return false
			}
		case 23: // application_data
			if unprotected {
				return false
			}
		default:
			return false
		}
		b = b[recordHeader+size:]
	}
	return true
}
