// Package ice is an ICE agent for a server with a public address: the lite side of RFC 8445, which answers connectivity
// checks and sends none. It is a state machine without sockets and clocks: a datagram and the time go in, a reply and a
// verdict come out.
//
// It owns our credentials of one stream, the addresses from which the peer has proven to speak, which of them the peer
// has nominated, and whether it still wants to be sent to (RFC 7675). It does not own sockets, timers, signalling or
// relays, nor the choice of an address without ICE: against a peer that is lite as well nothing is ever selected here,
// and the addresses of the description hold (RFC 8445 §8.2). Answer is a public STUN server in one function.
//
// There are no goroutines. An Agent is for one goroutine at a time, the worker of the stream; packets are judged in the
// order in which they are handed in. Everything is bounded: 32 addresses, each proven by a check that knew our password; 1,024
// checks, so that one that somebody has seen on its way and sends again proves nothing.
//
// RFCs: 8445 (ICE), 8489 (STUN), 8839 (ICE in SDP), 7675 (consent), 7983 (telling STUN from DTLS and SRTP).
package ice

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"dialtone/internal/sdp"
)

const (
	maxPairs = 32
	// consentLife is how long a peer may be sent to after it was last heard.
	//
	// RFC 7675 §5.1: "Consent expires after 30 seconds."
	consentLife = 30 * time.Second
	// silentLife is how long a nominated pair may be silent before the nomination of a worse one replaces it.
	silentLife = 5 * time.Second
	// maxChecks is how many accepted checks are remembered. A peer with consent checks every five seconds (RFC 7675 §5.1).
	maxChecks = 1024
)

// Verdict says what a datagram meant.
type Verdict uint8

// The verdicts.
const (
	Dropped  Verdict = iota // no check for this agent: nothing is to be sent
	Refused                 // a check for this agent that it did not accept; the reply says why
	Accepted                // a check was accepted: the address is Verified as soon as the peer's answer is here
	Moved                   // accepted, and Selected is another address than before
	Repeated                // a check that was accepted before, from a proven address: the reply goes there, nothing is learnt
)

// credentials are a user fragment and a password.
type credentials struct {
	ufrag string
	pwd   []byte
}

// Agent is our side of ICE for one component of a stream.
type Agent struct {
	ours     credentials
	theirs   credentials // empty until Remote
	older    credentials // ours before Restart, until the peer has nominated with those after it; empty otherwise
	formerly string      // the peer's user fragment that goes with older
	olderAt  int         // the generation of older
	restarts int
	pairs    []pair // proven addresses, all generations
	chosen   netip.AddrPort

	checks    []uint64 // transactions of accepted checks; from maxChecks on a ring
	nextCheck int      // its oldest

	request stun.Message // room for parsing
	reply   stun.Message // and for answering
}

// pair is an address of the peer from which a check was accepted.
type pair struct {
	remote      netip.AddrPort
	generation  int    // number of restarts before the check
	ufrag       string // the peer's, as the check had it
	priority    uint32 // RFC 8445 §7.1.1, of the latest check
	heard       time.Duration
	nominated   bool
	nominations int // since another pair was nominated
}

// New makes an agent with credentials from a source of randomness, which is crypto/rand.Reader outside of tests.
func New(random io.Reader) (*Agent, error) {
	a := new(Agent)
	var err error
	if a.ours, err = newCredentials(random); err != nil {
		return nil, err
	}
	return a, nil
}

// newCredentials makes a user fragment of 48 bits and a password of 144.
//
// RFC 8445 §5.3: at least 24 and 128 bits of randomness. A fragment also finds its stream among many on one port, and
// who does not know it gets no answer at all; hence more.
func newCredentials(random io.Reader) (credentials, error) {
	var bits [6 + 18]byte
	if _, err := io.ReadFull(random, bits[:]); err != nil {
		return credentials{}, fmt.Errorf("make ICE credentials: %w", err)
	}
	// The alphabet of base64 is that of ice-char (RFC 8839 §5.1).
	text := base64.StdEncoding.EncodeToString(bits[:])
	return credentials{text[:8], []byte(text[8:])}, nil
}

// Credentials are ours, for the description.
func (a *Agent) Credentials() (ufrag, pwd string) { return a.ours.ufrag, string(a.ours.pwd) }

// Remote takes the peer's credentials from its description. Checks that came before it count from now on if they named
// this user fragment. The password is only kept: a lite agent sends no checks that would need it.
func (a *Agent) Remote(ufrag, pwd string) {
	a.theirs = credentials{ufrag, []byte(pwd)}
	a.choose()
}

// Restart makes new credentials, for a description that restarts ICE (RFC 8445 §9). The selected address stays and old
// checks are answered until the peer has nominated an address with the new ones; Remote must be told the peer's new
// credentials when they come.
func (a *Agent) Restart(random io.Reader) error {
	fresh, err := newCredentials(random)
	if err != nil {
		return err
	}
	if a.older.ufrag == "" || a.theirs.ufrag != "" {
		a.older, a.formerly, a.olderAt = a.ours, a.theirs.ufrag, a.restarts
	}
	a.keep(a.olderAt)
	a.ours, a.theirs = fresh, credentials{}
	a.restarts++
	return nil
}

// counts tells whether a pair was proven with the credentials of both sides that are in use.
func (a *Agent) counts(p *pair) bool {
	if p.generation == a.restarts {
		return a.theirs.ufrag != "" && p.ufrag == a.theirs.ufrag
	}
	return a.older.ufrag != "" && p.generation == a.olderAt && a.formerly != "" && p.ufrag == a.formerly
}

// find is the pair of an address; nil when there is none.
func (a *Agent) find(remote netip.AddrPort) *pair {
	for i := range a.pairs {
		if a.pairs[i].remote == remote {
			return &a.pairs[i]
		}
	}
	return nil
}

// Selected is the address to send to: the one that the peer has nominated.
func (a *Agent) Selected() (netip.AddrPort, bool) { return a.chosen, a.chosen.IsValid() }

// Verified tells whether media and DTLS may come from an address: a check did, with the right credentials.
func (a *Agent) Verified(from netip.AddrPort) bool {
	p := a.find(plain(from))
	return p != nil && a.counts(p)
}

// Fresh tells whether the peer consents to being sent to: a check was accepted within the last 30 seconds from the
// selected address, or from any verified one while none is selected.
//
// RFC 7675 §5.1: an agent that sends no checks of its own learns of consent by those of the peer.
func (a *Agent) Fresh(now time.Duration) bool {
	for i := range a.pairs {
		p := &a.pairs[i]
		if a.counts(p) && now-p.heard < consentLife && (!a.chosen.IsValid() || p.remote == a.chosen) {
			return true
		}
	}
	return false
}

// plain is an address as it is compared: IPv4 as such.
func plain(from netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// Candidates are the a=candidate lines for addresses at which a component (1 RTP, 2 RTCP) can be reached, the best first.
// Both components must be given their addresses in the same order.
//
// RFC 8445 §5.1.2.1: priority = 2^24 * type preference + 2^8 * local preference + 256 - component; a host has 126, and
// local preferences differ between the addresses of one machine. §5.1.1.3: a foundation for each address.
func Candidates(addrs []netip.AddrPort, component int) []sdp.Candidate {
	lines := make([]sdp.Candidate, 0, len(addrs))
	foundations := make(map[netip.Addr]int, len(addrs))
	for i, addr := range addrs {
		addr = plain(addr)
		foundation, known := foundations[addr.Addr()]
		if !known {
			foundation = len(foundations) + 1
			foundations[addr.Addr()] = foundation
		}
		lines = append(lines, sdp.Candidate{
			Foundation: fmt.Sprint(foundation), Component: component, Transport: "UDP",
			Priority: 126<<24 | uint32(max(65535-i, 0))<<8 | uint32(256-component), Address: addr, Type: "host",
		})
	}
	return lines
}
