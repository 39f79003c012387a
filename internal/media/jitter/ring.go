package jitter

import (
	"time"

	"dialtone/internal/rtp"
)

const (
	ringSize    = 64   // packets that wait at most
	markSize    = 64   // packets behind whose fate is remembered
	maxPayload  = 4096 // bytes; more is no packet of a telephone
	seqBehind   = 1000 // packets behind that are late, not a restart
	seqAhead    = 3000 // packets ahead that are a gap, not a restart
	silentParty = 60 * time.Millisecond
	silentLong  = 5 * time.Second // after which the clocks have drifted apart too far to be compared
	forwardLeap = 250 * time.Millisecond
	backLeap    = 2 * time.Second
	lateRun     = 100 * time.Millisecond // of packets that no delay could save: the party's clock stood still
	// phaseTolerance keeps rounding from making a whole frame of nothing.
	phaseTolerance = 100 * time.Microsecond
)

// slot is a packet that waits.
type slot struct {
	present bool
	voice   *voice
	at      time.Duration // media time of its first sample
	arrival time.Duration
	payload []byte // from the pool; nil for what is not decoded
}

// mark is the fate of a packet.
type mark uint8

const (
	unseen mark = iota
	received
	missed
	discarded
)

// ring holds packets by their extended sequence number. Payloads are copied into buffers that are reused.
type ring struct {
	slots [ringSize]slot
	marks [markSize]mark
	next  int64 // sequence number that is played next
	top   int64 // behind the highest that has come
	pool  [][]byte
}

func (g *ring) slot(seq int64) *slot { return &g.slots[seq&(ringSize-1)] }

// first is the lowest sequence number that waits.
func (g *ring) first() (int64, *slot) {
	for seq := g.next; seq < g.top; seq++ {
		if s := g.slot(seq); s.present {
			return seq, s
		}
	}
	return 0, nil
}

// behind is the packet that directly follows seq, if it waits.
func (g *ring) behind(seq int64) *slot {
	if seq+1 >= g.top {
		return nil
	}
	if s := g.slot(seq + 1); s.present {
		return s
	}
	return nil
}

func (g *ring) keep(b []byte) []byte {
	var room []byte
	if n := len(g.pool); n > 0 {
		room, g.pool = g.pool[n-1], g.pool[:n-1]
	}
	return append(room[:0], b...)
}

func (g *ring) release(s *slot) {
	if s.payload != nil {
		g.pool = append(g.pool, s.payload)
	}
	*s = slot{}
}

// arrivals is how far the party's numbers and times are known.
type arrivals struct {
	begun    bool
	ssrc     uint32
	sequence uint16        // of the last packet
	number   int64         // that sequence, extended
	clock    int           // of timestamps, Hz; 0 when times begin anew
	stamp    uint32        // of the packet that times are counted from
	ticks    int64         // timestamp units since the origin at stamp
	origin   time.Duration // media time of the origin
	heard    time.Duration // arrival of the last packet
	hopeless time.Duration // arrival of the first of those later than any delay; 0 for none

	candidate     bool // another source or sequence showed up once
	candidateSSRC uint32
	candidateNext uint16
}

// put sorts a packet in.
func (r *Receiver) put(p *rtp.Packet, arrival time.Duration) {
	v := r.voices[p.PayloadType&127]
	if v == nil {
		v = r.ask(p.PayloadType & 127)
		r.voices[p.PayloadType&127] = v
	}
	a := &r.arrivals
	seq, ok := r.number(p, arrival)
	if !ok {
		return
	}
	r.stats.received++
	fate := r.ring.marks[seq&(markSize-1)]
	switch {
	case seq < r.ring.next-markSize, seq < r.ring.next && fate == unseen:
		r.stats.late++
		return
	case seq < r.ring.next && fate != missed, seq >= r.ring.next && seq < r.ring.top && r.ring.slot(seq).present:
		r.stats.received--
		r.stats.duplicates++
		return
	}
	at := r.mediaTime(p, v, arrival)
	a.heard = max(a.heard, arrival)
	if v.kind == speech {
		r.measure(at, arrival)
	}
	if seq < r.ring.next {
		r.ring.marks[seq&(markSize-1)] = discarded
		r.stats.lost--
		r.stats.late++
		r.stats.bursts.Late()
		return
	}
	for seq >= r.ring.next+ringSize {
		r.skip(true)
	}
	s := r.ring.slot(seq)
	*s = slot{present: true, voice: v, at: at, arrival: arrival}
	if v.kind != other && len(p.Payload) <= maxPayload {
		s.payload = r.ring.keep(p.Payload)
	}
	r.ring.top = max(r.ring.top, seq+1)
}

// number extends the sequence number; false: a stray packet, or the first of what may be another source.
func (r *Receiver) number(p *rtp.Packet, arrival time.Duration) (int64, bool) {
	a := &r.arrivals
	if !a.begun {
		a.begun, a.ssrc, a.sequence, a.number = true, p.SSRC, p.Sequence, markSize
		r.ring.next, r.ring.top = a.number, a.number
		return a.number, true
	}
	ahead := rtp.SequenceDiff(p.Sequence, a.sequence)
	if p.SSRC != a.ssrc || ahead > seqAhead || ahead < -seqBehind {
		return r.restart(p, arrival)
	}
	a.candidate = false
	seq := a.number + int64(ahead)
	if ahead > 0 {
		a.sequence, a.number = p.Sequence, seq
	}
	return seq, seq >= 0
}

// restart follows another source or sequence at once when the old one is silent, else after two packets in sequence.
func (r *Receiver) restart(p *rtp.Packet, arrival time.Duration) (int64, bool) {
	a := &r.arrivals
	proved := a.candidate && a.candidateSSRC == p.SSRC && a.candidateNext == p.Sequence
	if !proved && arrival-a.heard < silentParty {
		a.candidate, a.candidateSSRC, a.candidateNext = true, p.SSRC, p.Sequence+1
		return 0, false
	}
	// The numbers go on behind those of the old source, so that what is left of it is played.
	seq := r.ring.top
	a.candidate, a.ssrc, a.sequence, a.number = false, p.SSRC, p.Sequence, seq
	a.clock = 0
	r.stats.restarts++
	return seq, true
}

// mediaTime puts the timestamp on the one scale of all that this party sends. Where a clock begins anew its first
// packet counts as one that came the fastest way.
func (r *Receiver) mediaTime(p *rtp.Packet, v *voice, arrival time.Duration) time.Duration {
	a := &r.arrivals
	if v.kind == other {
		// RFC 4733 §2.5.1.2: "The update packets MUST have the same RTP timestamp value as the initial packet". It says
		// nothing about how late speech is.
		return 0
	}
	clock := v.spec.ClockRate
	if clock > 0 && clock == a.clock {
		ticks := a.ticks + int64(int32(p.Timestamp-a.stamp))
		at := a.origin + time.Duration(ticks/int64(clock))*time.Second +
			time.Duration(ticks%int64(clock))*time.Second/time.Duration(clock)
		if !r.leapt(p, at, arrival) {
			a.stamp, a.ticks = p.Timestamp, ticks
			return at
		}
		r.stats.restarts++
	}
	a.clock, a.stamp, a.ticks, a.hopeless = clock, p.Timestamp, 0, 0
	a.origin = arrival - r.delay.base
	return a.origin
}

// leapt tells whether a timestamp has nothing to do with those before it.
func (r *Receiver) leapt(p *rtp.Packet, at, arrival time.Duration) bool {
	a := &r.arrivals
	late := arrival - at - r.delay.base
	if late < -forwardLeap || late > backLeap || arrival-a.heard > silentLong {
		return true
	}
	if late <= r.cfg.Most {
		a.hopeless = 0
		return false
	}
	if a.hopeless == 0 {
		a.hopeless = arrival
	}
	// RFC 3551 §4.1: the marker stands on the first packet after silence, during which some clocks stand still.
	return p.Marker || arrival-a.hopeless >= lateRun
}

// measure tells the delay how late a packet came, and how long it could wait in its frame.
func (r *Receiver) measure(at, arrival time.Duration) {
	transit := arrival - at
	if r.delay.known && transit-r.delay.base > r.cfg.Most {
		return // no delay that is allowed would have saved it
	}
	var phase time.Duration
	if r.playing && r.debt.samples == 0 {
		if phase = (at - r.place() + phaseTolerance) % r.frame; phase < 0 {
			phase += r.frame
		}
		phase = max(phase-phaseTolerance, 0)
	}
	r.delay.arrived(transit, phase, arrival)
}

// skip leaves the next packet behind: played already, or missing, or (overrun) thrown away.
func (r *Receiver) skip(overrun bool) {
	g := &r.ring
	seq := g.next
	s := g.slot(seq)
	fate := missed
	if seq < g.top && s.present {
		fate = received
		if overrun {
			fate = discarded
			r.stats.overruns++
		}
		g.release(s)
	} else {
		r.stats.lost++
	}
	r.pass(fate)
}

// discard leaves the next packet behind as too late.
func (r *Receiver) discard() {
	r.ring.release(r.ring.slot(r.ring.next))
	r.stats.late++
	r.pass(discarded)
}

// pass notes the fate of the next packet.
func (r *Receiver) pass(fate mark) {
	g := &r.ring
	switch fate {
	case received:
		r.stats.bursts.Packet()
	case missed:
		r.stats.bursts.Lost()
	case discarded:
		r.stats.bursts.Discarded()
	case unseen:
	}
	g.marks[g.next&(markSize-1)] = fate
	g.next++
	g.top = max(g.top, g.next)
}
