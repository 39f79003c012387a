package jitter

import (
	"time"

	"dialtone/internal/rtp"
)

// counters are what is counted under way.
type counters struct {
	received, played, late, lost, duplicates, overruns, recovered, restarts uint64

	concealed, stretched, dropped, frames uint64
	bursts                                rtp.BurstGap
}

// Stats is how a party was received so far. Packets are counted from the first, samples are those of the frames.
type Stats struct {
	Received   uint64 // packets that arrived, duplicates not counted
	Played     uint64 // packets that were decoded
	Late       uint64 // packets discarded because they came too late
	Lost       uint64 // packets that did not come, those still under way included
	Recovered  uint64 // packets lost and won back from the one behind
	Duplicates uint64
	Overruns   uint64 // packets discarded for want of room
	Restarts   uint64 // changes of source, of the sequence or of the timestamps' origin

	Frames    uint64 // frames pulled
	Concealed uint64 // samples that decoders made up
	Stretched uint64 // samples put in to let the delay grow
	Dropped   uint64 // samples left out to let it fall

	// The delay that is added, as RFC 3611 §4.7.7 has it: to a packet that comes in mean time, to the one that comes the
	// fastest way, and the most there may be (JB nominal, maximum, abs max).
	Nominal, Maximum, Limit time.Duration
	Highest                 time.Duration // highest Maximum so far
	Spread                  time.Duration // between the fastest and the slowest packet of the last seconds

	Frozen bool
	// Figures are bursts and gaps of loss and discard, for packets as long as the last one.
	Figures rtp.Figures
}

// Stats says how the party was received so far.
func (r *Receiver) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.stats
	s := Stats{
		Received: c.received, Played: c.played, Late: c.late, Lost: c.lost, Recovered: c.recovered,
		Duplicates: c.duplicates, Overruns: c.overruns, Restarts: c.restarts,
		Frames: c.frames, Concealed: c.concealed, Stretched: c.stretched, Dropped: c.dropped,
		Limit: r.cfg.Most, Highest: r.delay.highest, Spread: r.delay.spread, Frozen: r.frozen,
	}
	if r.delay.known {
		s.Maximum = max(r.delay.offset-r.delay.base, 0)
		s.Nominal = max(r.delay.offset-r.delay.mean, 0)
	}
	bursts := c.bursts
	if r.current != nil {
		bursts.PacketTime = r.current.length
	}
	s.Figures = bursts.Figures()
	return s
}

// Reception is what a report of RFC 3611 §4.7 can know from here.
func (s *Stats) Reception() rtp.Reception {
	r := rtp.Reception{
		Figures:     s.Figures,
		Concealment: rtp.ConcealmentStandard,
		Buffer: rtp.JitterBuffer{
			Known: true, Adaptive: !s.Frozen, Nominal: s.Nominal, Maximum: s.Maximum, Limit: s.Limit,
		},
	}
	if s.Frozen {
		r.Concealment = rtp.ConcealmentDisabled
	}
	return r
}
