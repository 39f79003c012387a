package media

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/media/ice"
	"dialtone/internal/network"
)

// port is one socket of a stream: where a party's packets come in, and where packets for it go out. Streams of a bundle
// (RFC 9143) share the port of the first of them.
//
// What comes in is handled on the worker that owns the socket; what goes out is written by whoever has it, mostly the
// worker of the other party's socket. The two share nothing but atomics: the lock guards what only the socket's own
// worker changes often, and is held neither while packets are passed on nor while they are sent.
//
// What a packet touches stands first here, as in Stream and latch: of a thousand ports none is in the processor's cache
// when its packet comes.
type port struct {
	stream    *Stream
	writer    network.PacketWriter
	target    atomic.Pointer[netip.AddrPort] // where packets for the party go; nil while nowhere
	cipher    atomic.Pointer[cipher]
	allowance atomic.Pointer[allowance] // of target; nil: it may get all
	encrypted atomic.Bool               // agreed: without a cipher nothing passes
	control   bool                      // the RTCP port of the pair
	last      atomic.Int64              // engine time of the last accepted packet
	mu        sync.Mutex

	foreign     atomic.Uint64 // dropped: not from the party
	latch       latch
	checks      *ice.Agent      // nil: the party does not speak ICE
	checked     string          // its user fragment
	association *association    // nil: none is agreed
	early       *network.Packet // how the party has begun a handshake that is offered; nil when none is
	unproven    int64           // engine time at which packets began to go to a host that had not been heard; 0 never

	shared  *sharedPort      // nil: it has a socket of its own
	claim   *claim           // on the roll of shared; nil when it is not on it
	proven  []netip.AddrPort // where checks came from, while it is shared; the latest last
	earlier string           // our user fragment before the last restart of ICE

	malformed   atomic.Uint64 // dropped: no packet of what was agreed
	consented   atomic.Bool   // the party has proved where it is, and does so again and again
	abandoned   atomic.Uint32 // times that the party's consent to be sent packets has run out
	unauthentic atomic.Uint64 // dropped: encrypted with another key, altered, or replayed
}

// Touch implements network.Toucher: it follows the way of a packet to the far port. One word of a line is enough, and one that
// may be read without the lock.
func (p *port) Touch() uint64 {
	if p.control {
		return 0
	}
	st := p.stream
	n := uint64(p.last.Load()) + p.foreign.Load() + st.unsent.Load()
	c := st.chain.Load()
	if c == nil {
		return n
	}
	b, ok := c.out.(*bridge)
	if !ok {
		return n
	}
	if b.talks.Load() {
		n++
	}
	far := b.to
	n += far.unsent.Load()
	if base := far.base.Load(); base != nil {
		far = base
	}
	if far.rtp.target.Load() != nil {
		n++
	}
	if t, ok := far.rtp.writer.(network.Toucher); ok {
		n += t.Touch()
	}
	return n
}

// HandlePackets implements network.PacketHandler.
func (p *port) HandlePackets(_ network.PacketWriter, ps []network.Packet) {
	p.handle(ps, p.stream.engine.now())
}

// handle takes what came in at engine time now.
func (p *port) handle(ps []network.Packet, now int64) {
	raw := !p.stream.isRTP.Load()
	// A batch is nearly always of one kind; it is cut into runs so that the order stays as it was.
	for len(ps) > 0 {
		kind := p.classify(ps[0].Data, raw)
		n := 1
		for n < len(ps) && p.classify(ps[n].Data, raw) == kind {
			n++
		}
		run := ps[:n]
		ps = ps[n:]
		switch kind {
		case classRTP:
			p.media(run, now)
		case classRTCP:
			p.reports(run, now)
		case classSTUN:
			p.check(run, now)
		case classDTLS:
			p.shake(run, now)
		case classOther:
			p.bytes(run, now)
		default:
			p.malformed.Add(uint64(n))
		}
	}
}

// media takes a run of RTP packets, and cuts it where packets of another stream of the bundle begin.
func (p *port) media(run []network.Packet, now int64) {
	var next admitted // of the stream whose turn comes
	for i := 0; i < len(run); {
		var digits presses
		var st *Stream
		first, kept, bytes := i, i, 0
		p.mu.Lock()
		for ; i < len(run); i++ {
			x := next
			if next = (admitted{}); x.stream == nil {
				if x = p.admit(&run[i], now); x.stream == nil {
					continue
				}
			}
			if st != nil && x.stream != st {
				next = x
				break
			}
			st = x.stream
			st.receive(&x.packet, now, &digits)
			bytes += len(run[i].Data)
			// Swapped, not overwritten: the slices are the poller's.
			run[kept], run[i] = run[i], run[kept]
			kept++
		}
		if st != nil {
			st.in.tally.add(kept-first, bytes)
		}
		p.mu.Unlock()
		for _, d := range digits.list[:digits.n] {
			p.stream.session.pressed(d)
		}
		p.forward(st, run[first:kept], now)
	}
}

// bytes takes a run of packets that are not looked into: T.38, and whatever else a stream carries.
func (p *port) bytes(run []network.Packet, now int64) {
	p.mu.Lock()
	kept, bytes := 0, 0
	for i := range run {
		if !p.judge(sighting{from: run[i].Addr, at: now}) {
			continue
		}
		bytes += len(run[i].Data)
		run[kept], run[i] = run[i], run[kept]
		kept++
	}
	p.stream.in.tally.add(kept, bytes)
	p.mu.Unlock()
	p.forward(p.stream, run[:kept], now)
}

// forward lets what was accepted go down the chain.
func (p *port) forward(st *Stream, kept []network.Packet, now int64) {
	if len(kept) == 0 {
		return
	}
	p.last.Store(now)
	if ear := st.ears.Load(); ear != nil {
		ear.hear(kept)
	}
	if c := st.chain.Load(); c != nil {
		c.pass(kept)
	}
}

// judge asks the latch about a source and lets what it learns take effect. The caller holds p.mu.
func (p *port) judge(s sighting) bool {
	if p.checks != nil {
		// RFC 8445 §12.2, RFC 5763 §6.7.1: what comes from an address that no check has proved is not the party's.
		if !p.checks.Verified(s.from) {
			p.foreign.Add(1)
			return false
		}
		return true
	}
	fresh := p.latch.fresh
	switch p.latch.admit(s) {
	case foreign:
		p.foreign.Add(1)
		return false
	case learnt:
		p.learnt(s.from)
	default:
		if c := p.claim; c != nil && (fresh || s.rtp && (!c.voiced || s.ssrc != c.ssrc && s.at-c.at > int64(time.Second))) {
			p.enroll()
		}
	}
	return true
}

// learnt lets a new source of the party take effect. The caller holds p.mu.
func (p *port) learnt(from netip.AddrPort) {
	host := from.Addr()
	p.stream.heard.Store(&host)
	p.retarget()
}

// retarget publishes where packets for the party go. The caller holds p.mu.
func (p *port) retarget() {
	p.enroll()
	to := p.latch.target()
	if p.checks != nil {
		to, _ = p.checks.Selected()
		if !p.latch.open() {
			to = netip.AddrPort{}
		}
	}
	if !to.IsValid() {
		p.target.Store(nil)
		return
	}
	p.allowance.Store(p.allow(to))
	if old := p.target.Load(); old == nil || *old != to {
		p.target.Store(&to)
	}
}

// direct takes the address that the party's description names for this port, and whether the party takes packets at all.
func (p *port) direct(named netip.AddrPort, open bool, signalled netip.Addr, changed bool) {
	p.mu.Lock()
	p.latch.describe(named, open, signalled, changed)
	p.retarget()
	moves := p.latch.fresh
	p.mu.Unlock()
	if moves && !p.control {
		p.stream.loosen()
	}
}

// write sends packets to the party and returns how many were taken. Encryption changes them in place.
func (p *port) write(ps []network.Packet, control bool) int {
	to := p.target.Load()
	if to == nil {
		return 0
	}
	if a := p.allowance.Load(); a != nil {
		ps = a.cut(ps, p.stream.heard.Load(), to.Addr(), p.stream.session.engine.now())
	}
	if c := p.cipher.Load(); c != nil {
		ps = ps[:c.seal(ps, control)]
	} else if p.encrypted.Load() {
		return 0 // there are no keys yet
	}
	switch len(ps) {
	case 0:
		return 0
	case 1:
		if ps[0].Outbox.Serves(p.writer) {
			ps[0].Outbox.Add(ps[0].Data, *to)
			return 1
		}
		if p.writer.WriteTo(ps[0].Data, *to) != nil {
			return 0
		}
		return 1
	}
	if o := ps[0].Outbox; o.Serves(p.writer) {
		for i := range ps {
			o.Add(ps[i].Data, *to)
		}
		return len(ps)
	}
	for i := range ps {
		ps[i].Addr = *to
	}
	n, err := p.writer.WriteBatch(ps)
	if err != nil && n < 0 {
		return 0
	}
	return n
}

// offerICE is our end of ICE on this port, made when there is none, as the description shows it. theirs are the party's
// credentials, empty while they are unknown; other ones than before restart ICE (RFC 8445 §9).
func (p *port) offerICE(theirs credentials) (ours credentials, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.checks == nil {
		if p.checks, err = ice.New(rand.Reader); err != nil {
			return credentials{}, err
		}
		p.retarget()
	}
	if theirs.Ufrag != "" && theirs.Ufrag != p.checked {
		if p.checked != "" {
			before, _ := p.checks.Credentials()
			if err := p.checks.Restart(rand.Reader); err != nil {
				return credentials{}, err
			}
			p.earlier = before
		}
		p.checked = theirs.Ufrag
		p.checks.Remote(theirs.Ufrag, theirs.Pwd)
		p.retarget()
	}
	ours.Ufrag, ours.Pwd = p.checks.Credentials()
	return ours, nil
}

// answeredICE takes the party's credentials; one that answers without any does without ICE (RFC 8839 §4.2.5).
func (p *port) answeredICE(theirs credentials) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if theirs.Ufrag == "" {
		if p.checks != nil {
			p.checks, p.checked = nil, ""
			p.retarget()
		}
		return
	}
	if p.checks != nil && theirs.Ufrag != p.checked {
		p.checked = theirs.Ufrag
		p.checks.Remote(theirs.Ufrag, theirs.Pwd)
		p.retarget()
	}
}

// check answers connectivity checks (RFC 8445, ICE-lite).
func (p *port) check(run []network.Packet, now int64) {
	for i := range run {
		var space [256]byte
		p.mu.Lock()
		if p.checks == nil {
			p.mu.Unlock()
			p.malformed.Add(1)
			continue
		}
		reply, verdict := p.checks.Handle(space[:0], run[i].Data, run[i].Addr, time.Duration(now))
		if verdict == ice.Moved || verdict == ice.Accepted && p.target.Load() == nil {
			p.retarget()
		}
		alive := verdict >= ice.Accepted && p.checks.Verified(run[i].Addr)
		if alive {
			p.prove(run[i].Addr)
		}
		p.mu.Unlock()
		if alive {
			// RFC 7675 §5.1: a party that checks is there, although it says nothing.
			p.last.Store(now)
			p.consented.Store(true)
		}
		if len(reply) > 0 {
			_ = p.writer.WriteTo(reply, run[i].Addr) // it will be asked again
		}
		switch verdict {
		case ice.Dropped, ice.Refused:
			p.foreign.Add(1)
		default:
			p.begin()
		}
	}
}

// maxProven bounds the addresses of one party that are on a roll.
const maxProven = 8

// prove enters an address that a check came from in the roll. The caller holds p.mu.
func (p *port) prove(at netip.AddrPort) {
	if p.claim == nil || slices.Contains(p.proven, at) {
		return
	}
	if len(p.proven) >= maxProven {
		p.proven = p.proven[1:]
	}
	p.proven = append(slices.Clip(p.proven), at)
	p.enroll()
}

// consents takes back the permission to send when the party has stopped checking (RFC 7675 §5.1).
func (p *port) consents(now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.checks == nil || p.target.Load() == nil || p.checks.Fresh(time.Duration(now)) {
		return
	}
	p.target.Store(nil)
	p.abandoned.Add(1)
}
