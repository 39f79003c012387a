package media

import (
	"time"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// class is what is done with a packet, by what it is.
type class uint8

const (
	classNone  class = iota // nothing that may come here
	classRTP                // looked into
	classRTCP               // looked into where it is not encrypted
	classOther              // carried as bytes
)

// classify tells what arrived. raw is set for streams that are no RTP.
//
// STUN is not answered and not passed on: our descriptions offer no ICE.
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
	case rtp.DTLS:
		// The two parties agree on their keys themselves; what they say is not for us.
		if !p.control {
			return classOther
		}
	}
	return classNone
}

// inbound is what is kept of the RTP that a party sends. Its port's lock guards it.
type inbound struct {
	receiver rtp.Receiver
	prior    rtp.Totals // of a process before this one
	speech   uint8      // payload type that the receiver's clock rate is that of
	known    bool       // speech is set
	decoder  rtp.EventDecoder

	reported     bool // the party has sent a sender report
	lastReport   uint32
	lastReportAt int64
}

// accept judges one RTP packet, counts it, and collects presses that it ends. The caller holds p.mu.
func (p *port) accept(packet *network.Packet, now int64, digits *presses) bool {
	var parsed rtp.Packet
	if parsed.Parse(packet.Data) != nil {
		p.malformed.Add(1)
		return false
	}
	if !p.judge(sighting{from: packet.Addr, at: now, ssrc: parsed.SSRC, seq: parsed.Sequence, rtp: true}) {
		return false
	}
	in := &p.in
	arrival := time.Duration(now)
	event := false
	if pt := parsed.PayloadType; pt != in.speech || !in.known {
		event = p.stream.recognize(in, pt) && !p.stream.secure.Load()
	}
	in.receiver.Receive(&parsed, arrival)
	if event {
		in.decoder.Decode(&parsed, arrival, digits.add)
	} else if in.decoder.Active() {
		in.decoder.Expire(arrival, digits.add)
	}
	return true
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
