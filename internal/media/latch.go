package media

import (
	"net/netip"
	"time"
)

// Latching says what may be learnt from the packets of a party.
type Latching uint8

const (
	// Latch follows the party: it is sent to wherever its packets come from, provided that they come from the
	// address in its description or from the one that it signals from (RFC 7362 §4, RFC 4961). Right for phones,
	// which may sit behind a NAT.
	Latch Latching = iota
	// Pin sends to the address in the description and nowhere else; packets are taken from that host only. Right for
	// trunks.
	Pin
)

// relatchAfter is how long the latched source must have been silent before another port of the party that goes on
// with the same SSRC and sequence may take its place: a NAT that forgot its mapping.
const relatchAfter = 5 * time.Second

// movesAfter is how long the latched source must have been silent for a changed description to let another one take over:
// a party that moves stops where it was, and one that talks on cannot be outrun by somebody behind the same NAT.
const movesAfter = 200 * time.Millisecond

// maxDropout is how far a sequence number may lie ahead of the last and still belong to the same run
// (RFC 3550 appendix A.1, MAX_DROPOUT).
const maxDropout = 3000

// verdict is what the latch says about the source of a packet.
type verdict uint8

const (
	foreign verdict = iota // not the party's: drop
	known                  // the latched source
	learnt                 // the party's, and from now on the latched source
)

// sighting is what is known of a packet when its source is judged.
type sighting struct {
	from netip.AddrPort
	at   int64 // nanoseconds on the engine's clock
	ssrc uint32
	seq  uint16
	rtp  bool // ssrc and seq are those of an RTP packet

	verified bool // it was authenticated with the party's key
}

// latch decides which source is the party's. It is a pure state machine; its owner guards it with a lock.
//
// The first packet from an allowed host wins, and every other source is dropped from then on. Four things move a latch:
// a description that names another address, the first packet after a changed description when the old source is silent, the
// party's own RTP going on from another port after the old one fell silent, and then, too, RTP that was encrypted with the party's key,
// wherever it comes from. Else, what arrives from a host that no description or signalling has named never moves it, however
// early it began.
type latch struct {
	source netip.AddrPort // latched; not valid before the first packet
	lastAt int64
	ssrc   uint32
	seq    uint16
	rtp    bool // ssrc and seq are set
	fresh  bool // a changed description allows the next allowed source to take over
	mute   bool // the description lets nothing be sent to the party

	policy    Latching
	named     netip.AddrPort // where the party's description says it receives
	signalled netip.Addr     // where its signalling comes from
}

// describe applies a description. named is not valid when it says nothing that can be used, open is false while the party
// takes nothing (port 0, c=0.0.0.0). changed tells that it is a new version of the description, not a repetition.
func (l *latch) describe(named netip.AddrPort, open bool, signalled netip.Addr, changed bool) {
	l.mute = !open
	moved := (named.IsValid() || open) && named != l.named
	if named.IsValid() || open {
		l.named = named
	}
	if signalled.IsValid() {
		l.signalled = signalled
	}
	if moved {
		l.source, l.rtp = netip.AddrPort{}, false
	}
	// RFC 7362 §4 item 6: no re-latching until a new offer and answer have been exchanged.
	if moved || changed {
		l.fresh = true
	}
}

// allows reports whether a packet from this host may be the party's.
func (l *latch) allows(from netip.Addr) bool {
	from = from.WithZone("") // descriptions have none
	if from == l.named.Addr() {
		return true
	}
	if l.policy == Pin && l.named.IsValid() {
		return false
	}
	return from == l.signalled
}

// mayBe reports whether a packet from there could be the party's: from an allowed host, or, when the party has fallen
// silent, from anywhere for those who have its key (a telephone that changes from one network to another).
func (l *latch) mayBe(from netip.AddrPort, now int64) bool {
	return from == l.source || l.allows(from.Addr()) || l.silent(now)
}

func (l *latch) silent(now int64) bool {
	return !l.source.IsValid() || now-l.lastAt > int64(relatchAfter)
}

// open reports whether the party's description lets packets be sent to it.
func (l *latch) open() bool { return !l.mute }

// admit judges the source of a packet and learns from it.
func (l *latch) admit(s sighting) verdict {
	v := known
	if s.from != l.source {
		if !(l.allows(s.from.Addr()) && l.yields(s) || s.verified && l.policy == Latch && l.silent(s.at)) {
			return foreign
		}
		l.source = s.from
		v = learnt
	}
	l.fresh = false
	l.lastAt = s.at
	if s.rtp {
		l.ssrc, l.seq, l.rtp = s.ssrc, s.seq, true
	}
	return v
}

// prove makes the source that a handshake with the party's certificate came from the latched one.
func (l *latch) prove(from netip.AddrPort, now int64) {
	l.source, l.fresh, l.lastAt, l.rtp = from, false, now, false
}

// yields reports whether the latched source gives way to an allowed one.
func (l *latch) yields(s sighting) bool {
	switch {
	case !l.source.IsValid(), l.fresh && s.at-l.lastAt >= int64(movesAfter):
		return true
	case s.from == l.named:
		// The address that the party itself has named outranks a guess.
		return true
	default:
		return l.continues(s)
	}
}

// continues reports whether a packet goes on where a source that fell silent has stopped.
func (l *latch) continues(s sighting) bool {
	ahead := s.seq - l.seq
	return s.rtp && l.rtp && l.silent(s.at) &&
		s.ssrc == l.ssrc && ahead != 0 && ahead < maxDropout
}

// target is where packets for the party go; not valid when nowhere is known.
func (l *latch) target() netip.AddrPort {
	switch {
	case l.mute:
		return netip.AddrPort{}
	case l.policy == Latch && l.source.IsValid():
		return l.source
	default:
		return l.named
	}
}
