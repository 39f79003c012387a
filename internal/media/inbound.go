package media

import (
	"net/netip"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/quality"
	"dialtone/internal/rtp"
)

// class is what is done with a packet, by what it is.
type class uint8

const (
	classNone  class = iota // nothing that may come here
	classRTP                // looked into
	classRTCP               // looked into
	classSTUN               // a connectivity check
	classDTLS               // of a handshake
	classOther              // carried as bytes
)

// classify tells what arrived. raw is set for streams that are no RTP.
func (p *port) classify(b []byte, raw bool) class {
	if raw {
		if p.control || len(b) == 0 {
			return classNone
		}
		return classOther
	}
	switch rtp.Classify(b) {
	case rtp.RTP:
		if !p.control {
			return classRTP
		}
	case rtp.RTCP:
		return classRTCP
	case rtp.STUN:
		return classSTUN
	case rtp.DTLS:
		return classDTLS
	}
	return classNone
}

// inbound is what is kept of the RTP that a party sends on a stream. The lock of the port that carries the stream guards it.
type inbound struct {
	tally    tally
	newest   uint16 // sequence number that burst was told of
	stamp    uint32 // timestamp of the packet with that number
	step     uint32 // between the timestamps of packets in sequence; what burst takes for a packet's length
	counting bool   // newest is set
	speech   uint8  // payload type that the receiver's clock rate is that of
	known    bool   // speech is set
	receiver rtp.Receiver
	burst    rtp.BurstGap
	decoder  rtp.EventDecoder
	prior    rtp.Totals // of a process before this one

	reported     bool // the party has sent a sender report
	lastReport   uint32
	lastReportAt int64

	reference *rtp.Reference // the party's last reference time (RFC 3611 §4.4); nil when it has told none
}

// tally counts what passes. Who changes it has a lock anyway, so it needs none of its own and no atomics.
type tally struct{ packets, bytes uint64 }

func (t *tally) add(packets, bytes int) {
	t.packets += uint64(packets)
	t.bytes += uint64(bytes)
}

// arrived counts what the party has sent.
func (st *Stream) arrived() tally {
	p := st.carrier().rtp
	p.mu.Lock()
	defer p.mu.Unlock()
	return st.in.tally
}

// admitted is an RTP packet whose source and authenticity are checked; without a stream it is refused.
type admitted struct {
	packet rtp.Packet
	stream *Stream
}

// admit judges one RTP packet and decrypts it in place. The caller holds p.mu.
//
// What is not authentic teaches the latch nothing: a stranger that knows the address but not the key moves no stream.
func (p *port) admit(packet *network.Packet, now int64) (x admitted) {
	c := p.cipher.Load()
	switch {
	case c == nil && p.encrypted.Load():
		p.unauthentic.Add(1)
		return x
	case c != nil && !p.mayBe(packet.Addr, now):
		p.foreign.Add(1)
		return x
	case c != nil && c.open(packet, false) != nil:
		p.unauthentic.Add(1)
		return x
	}
	if x.packet.Parse(packet.Data) != nil {
		p.malformed.Add(1)
		return x
	}
	if p.judge(sighting{from: packet.Addr, at: now, ssrc: x.packet.SSRC, seq: x.packet.Sequence, rtp: true, verified: c.proves(false)}) {
		x.stream = p.stream.carried(x.packet.PayloadType)
	}
	return x
}

// mayBe reports whether it is worth while to decrypt what comes from an address. The caller holds p.mu.
func (p *port) mayBe(from netip.AddrPort, now int64) bool {
	if p.checks != nil {
		return p.checks.Verified(from)
	}
	return p.latch.mayBe(from, now)
}

// receive counts an RTP packet of the party and collects presses that it ends. The caller holds the lock of the port that
// it came in on.
func (st *Stream) receive(packet *rtp.Packet, now int64, digits *presses) {
	in := &st.in
	arrival := time.Duration(now)
	event := false
	if pt := packet.PayloadType; pt != in.speech || !in.known {
		event = st.recognize(in, pt)
	}
	in.count(in.receiver.Receive(packet, arrival), packet)
	if event {
		in.decoder.Decode(packet, arrival, digits.add)
	} else if in.decoder.Active() {
		in.decoder.Expire(arrival, digits.add)
	}
}

// count tells bursts of loss from gaps (RFC 3611 §4.7.2).
func (in *inbound) count(v rtp.Verdict, p *rtp.Packet) {
	switch v {
	case rtp.Accepted:
		missing := int(p.Sequence - in.newest)
		if missing == 1 && p.Timestamp-in.stamp != in.step {
			in.pace(p)
		}
		for ; in.counting && missing > 1 && missing < maxDropout; missing-- {
			in.burst.Lost()
		}
		in.burst.Packet()
	case rtp.Restarted:
		in.burst.Packet()
	case rtp.Late:
		in.burst.Late()
		return
	default:
		return
	}
	in.newest, in.stamp, in.counting = p.Sequence, p.Timestamp, true
}

// pace learns how much speech a packet of the party holds.
func (in *inbound) pace(p *rtp.Packet) {
	rate := time.Duration(in.receiver.ClockRate)
	if !in.known || p.PayloadType != in.speech || rate == 0 {
		return
	}
	step := p.Timestamp - in.stamp
	if length := time.Duration(step) * time.Second / rate; length >= leastPacket && length <= mostPacket {
		in.step, in.burst.PacketTime = step, length
	}
}

// What a packet of speech may hold. More is a pause between two, less is no packet of speech.
const (
	leastPacket = 2500 * time.Microsecond
	mostPacket  = 120 * time.Millisecond
)

// lossFigures are the figures of bursts and gaps with a packet time that is known, or usual.
func lossFigures(b rtp.BurstGap) (rtp.Figures, time.Duration) {
	if b.PacketTime == 0 {
		b.PacketTime = frameTime
	}
	return b.Figures(), b.PacketTime
}

// burstRatio is how much more the losses of a stream stand together than random ones do.
func burstRatio(f rtp.Figures, packet time.Duration) float64 {
	return quality.Bursts{
		BurstDensity: f.BurstDensity, GapDensity: f.GapDensity,
		BurstPackets: float64(f.BurstDuration) / float64(packet), GapPackets: float64(f.GapDuration) / float64(packet),
	}.Ratio()
}

// totals counts the party's packets over the life of the session.
func (in *inbound) totals() rtp.Totals {
	t := in.receiver.Totals()
	t.Received += in.prior.Received
	t.Lost += in.prior.Lost
	t.Duplicates += in.prior.Duplicates
	t.Reordered += in.prior.Reordered
	t.Restarts += in.prior.Restarts
	return t
}

// recognize notes the clock rate of a payload type that differs from that of the packets before, and reports whether it
// is that of telephone-events.
func (st *Stream) recognize(in *inbound, pt uint8) (event bool) {
	codec, ok := st.codec(pt)
	switch {
	case !ok:
	case codec.isEvent():
		in.decoder.ClockRate = codec.ClockRate
		return true
	case codec.isSpeech():
		in.speech, in.known = pt, true
		in.receiver.ClockRate = codec.ClockRate
	}
	return false
}

// codec is what a payload type from the party means. It should speak by the description that it was given; some use
// the numbers of their own.
func (st *Stream) codec(pt uint8) (payload, bool) {
	for _, list := range []*[]payload{st.received.Load(), st.wanted.Load()} {
		if list == nil {
			continue
		}
		if c, ok := find(*list, pt); ok {
			return c, true
		}
	}
	return payload{}, false
}

// presses are the keys whose end one run of packets has told.
type presses struct {
	list [8]rtp.Press
	n    int
}

// add takes a press. A run of packets that ends more of them than fit is nobody's finger.
func (ps *presses) add(p rtp.Press) {
	if p.Key != 0 && ps.n < len(ps.list) {
		ps.list[ps.n] = p
		ps.n++
	}
}

// pressed tells the leg.
func (s *Session) pressed(p rtp.Press) {
	if f := s.onDigit.Load(); f != nil {
		(*f)(p.Key, int(p.Duration.Milliseconds()))
	}
}
