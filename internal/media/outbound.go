package media

import (
	"encoding/binary"
	"sync"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// outbound is the one run of RTP numbers that a party sees of a stream, whoever is heard on it: the other party, after a
// transfer another one, music while it is held, keys that we press in between. The first source passes as it is, so that
// nothing changes in a call where nothing must; what follows another one goes on in its numbers (RFC 3550 §8.2 would have
// every receiver start anew, and many telephones do not).
type outbound struct {
	mu    sync.Mutex
	tally tally // what went to the party
	begun bool
	ssrc  uint32 // that the party sees

	// The other party's packets.
	relaying bool
	source   uint32 // their SSRC
	seq      uint16 // added to their sequence numbers
	stamp    uint32 // added to their timestamps
	relayed  int64  // when the last one came

	// Our own packets.
	own      bool // one was sent since the last of the other party
	ownBegun bool
	ownFirst uint32 // added to their timestamps
	ownStamp uint32 // timestamp of the last, before that

	lastSeq   uint16 // as the party saw it
	lastStamp uint32
	lastAt    int64
}

// resumes is how long the other party's packets must have been absent, while we spoke, for its next one to follow ours without
// a hole in the numbers.
const resumes = 200 * time.Millisecond

// relay brings packets of the other party into the run, in place. rate tells the clock rate of the stream; it is asked
// only where another source begins.
func (o *outbound) relay(ps []network.Packet, now int64, rate func() uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range ps {
		b := ps[i].Data
		o.tally.add(1, len(b))
		if len(b) >= rtp.HeaderSize {
			o.take(b, now, rate)
		}
	}
}

// pass counts packets that are no part of the run.
func (o *outbound) pass(ps []network.Packet) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range ps {
		o.tally.add(1, len(ps[i].Data))
	}
}

// refused takes packets back that did not go out.
func (o *outbound) refused(ps []network.Packet) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range ps {
		o.tally.packets--
		o.tally.bytes -= min(o.tally.bytes, uint64(len(ps[i].Data))) // it may be longer by now: encryption appends to it
	}
}

// departed counts what went to the party.
func (o *outbound) departed() tally {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tally
}

func (o *outbound) take(b []byte, now int64, rate func() uint32) {
	seq, stamp, ssrc := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	switch {
	case !o.begun:
		o.begun, o.ssrc, o.lastSeq, o.lastStamp, o.lastAt = true, ssrc, seq, stamp, now
		o.relaying, o.source = true, ssrc
	case !o.relaying, ssrc != o.source, o.own && now-o.relayed > int64(resumes):
		o.relaying, o.source = true, ssrc
		o.seq = o.lastSeq + 1 - seq
		o.stamp = o.present(now, rate()) - stamp
		b[1] |= 0x80 // RFC 3551 §4.1: the receiver may adapt its delay here
	}
	o.own, o.relayed = false, now
	if o.ssrc != ssrc || o.seq != 0 || o.stamp != 0 {
		seq, stamp = seq+o.seq, stamp+o.stamp
		o.write(b, seq, stamp)
	}
	o.sent(seq, stamp, now)
}

// originate brings one packet of our own into the run, in place: a voice that we make, or an event that is pressed while the other
// party is heard. rate is the clock rate of its payload.
func (o *outbound) originate(b []byte, now int64, rate uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tally.add(1, len(b))
	seq, stamp, ssrc := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if !o.begun {
		o.begun, o.ssrc, o.lastSeq, o.lastStamp, o.lastAt = true, ssrc, seq, stamp, now
		o.own, o.ownBegun, o.ownStamp = true, true, stamp
		return
	}
	if !o.ownBegun || !o.own && stamp != o.ownStamp {
		// RFC 4733 §2.5.1.2: all packets of an event have one timestamp, whoever is heard between them.
		o.ownFirst = o.present(now, rate) - stamp
	}
	o.own, o.ownBegun, o.ownStamp = true, true, stamp
	seq, stamp = o.lastSeq+1, stamp+o.ownFirst
	o.seq++
	o.write(b, seq, stamp)
	o.sent(seq, stamp, now)
}

// present is the timestamp of what follows the last packet now.
func (o *outbound) present(now int64, rate uint32) uint32 {
	elapsed := uint32(int64(rate) * ((now - o.lastAt) / int64(time.Microsecond)) / 1e6)
	return o.lastStamp + max(elapsed, rate/50)
}

func (o *outbound) write(b []byte, seq uint16, stamp uint32) {
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], stamp)
	binary.BigEndian.PutUint32(b[8:], o.ssrc)
}

func (o *outbound) sent(seq uint16, stamp uint32, now int64) {
	if rtp.SequenceDiff(seq, o.lastSeq) > 0 {
		o.lastSeq, o.lastAt = seq, now
	}
	if rtp.TimestampDiff(stamp, o.lastStamp) > 0 {
		o.lastStamp = stamp
	}
}

// relayedAs is how the party sees the other one: its SSRC, ours in its place, and what is added to its timestamps. same
// tells that nothing was changed.
func (o *outbound) relayedAs() (source, ssrc, stamp uint32, same bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.source, o.ssrc, o.stamp, !o.relaying || o.source == o.ssrc && o.stamp == 0
}

// ownAs is how the party sees what we say ourselves under an SSRC.
func (o *outbound) ownAs(ssrc uint32) (seen, stamp uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.begun {
		return ssrc, 0
	}
	return o.ssrc, o.ownFirst
}

// OutboundState is where the numbers that a party sees stand.
type OutboundState struct {
	Begun     bool      `json:"begun,omitempty"`
	SSRC      uint32    `json:"ssrc,omitempty"`
	Relaying  bool      `json:"relaying,omitempty"`
	Source    uint32    `json:"source,omitempty"`
	Seq       uint16    `json:"seq,omitempty"`
	Stamp     uint32    `json:"stamp,omitempty"`
	LastSeq   uint16    `json:"last_seq,omitempty"`
	LastStamp uint32    `json:"last_stamp,omitempty"`
	LastAt    time.Time `json:"last_at,omitzero"`
}

// state writes the numbers down.
func (o *outbound) state(wall func(int64) time.Time) OutboundState {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.begun {
		return OutboundState{}
	}
	return OutboundState{
		Begun: true, SSRC: o.ssrc, Relaying: o.relaying, Source: o.source, Seq: o.seq, Stamp: o.stamp,
		LastSeq: o.lastSeq, LastStamp: o.lastStamp, LastAt: wall(o.lastAt).Round(0),
	}
}

// restore goes on with them. The other party's packets keep their offsets: those that were sent after the state was written
// down have them, too.
func (o *outbound) restore(x OutboundState, now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun, o.ssrc, o.relaying, o.source, o.seq, o.stamp = x.Begun, x.SSRC, x.Relaying, x.Source, x.Seq, x.Stamp
	const ahead = 100 // what was sent after it was written down must not come twice
	o.lastSeq, o.lastStamp = x.LastSeq+ahead, x.LastStamp
	o.lastAt = now - max(0, int64(time.Since(x.LastAt)))
}

// says reports whether the party sees that SSRC on the stream.
func (o *outbound) says(ssrc uint32) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.begun && o.ssrc == ssrc
}

// outRate is the clock rate of what goes to the party.
func (st *Stream) outRate() uint32 {
	for _, list := range []*[]payload{st.wanted.Load(), st.received.Load()} {
		if list == nil {
			continue
		}
		for i := range *list {
			if p := &(*list)[i]; p.ClockRate > 0 && p.isSpeech() {
				return p.ClockRate
			}
		}
	}
	return 8000
}
