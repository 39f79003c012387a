package rtp

import (
	"math"
	"time"
)

// Parameters of RFC 3550 Appendix A.1.
const (
	maxDropout    = 3000 // packets ahead that are still a gap
	maxMisorder   = 100  // packets behind that are still reordering
	minSequential = 2    // packets in sequence that make a source valid
)

// Verdict is what a Receiver makes of a packet.
type Verdict uint8

// The verdicts.
const (
	Probation Verdict = iota // source is not trusted yet: fewer than two packets in sequence
	Accepted                 // next in sequence, or after a gap
	Late                     // behind the newest, not seen before
	Duplicate                // seen before
	Jumped                   // far off: either garbage or the first packet of a restart
	Restarted                // second packet in sequence after a jump or from a new SSRC: counting starts anew
)

// Receiver keeps the reception statistics of one stream, RFC 3550 §6.4 and Appendix A. A source that changes its SSRC or
// jumps is followed after two packets in sequence; totals go on across such changes.
type Receiver struct {
	ClockRate uint32 // Hz of the timestamp; 0 counts no jitter
	SSRC      uint32 // of the source that is followed

	valid         bool
	max, base     uint16
	bad           uint32 // sequence number expected after a jump; over 16 bits when there is none
	candidate     uint32 // SSRC on probation
	candidateNext uint16
	probing       bool
	cycles        uint32 // wraps, shifted by 16 bits
	received      uint32 // since base
	duplicates    uint32 // since base
	expectedPrior uint32
	receivedPrior uint32
	seen          uint64 // bit i: packet max-i has come

	timed         bool
	lastTimestamp uint32
	transit       uint32
	jitter        uint32 // scaled by 16

	totals Totals // of the runs before base
}

// Totals are the counts of a stream over its whole life.
type Totals struct {
	Received   uint64 // packets, duplicates not counted
	Lost       uint64 // packets that never came
	Duplicates uint64
	Reordered  uint64 // packets that came late
	Restarts   uint64 // changes of SSRC and jumps that were followed
}

// Receive takes the header of a packet and its arrival, the time since any fixed moment.
func (r *Receiver) Receive(p *Packet, arrival time.Duration) Verdict {
	v := r.sequence(p.SSRC, p.Sequence)
	if v == Accepted || v == Late || v == Restarted {
		r.measure(p.Timestamp, arrival, v == Restarted)
	}
	return v
}

// sequence is update_seq of RFC 3550 A.1 with a memory of 64 packets for duplicates.
func (r *Receiver) sequence(ssrc uint32, seq uint16) Verdict {
	if !r.valid || ssrc != r.SSRC {
		return r.probe(ssrc, seq)
	}
	r.probing = false
	ahead := seq - r.max
	switch {
	case ahead == 0:
		r.duplicates++
		return Duplicate
	case ahead < maxDropout:
		if seq < r.max {
			r.cycles += 1 << 16
		}
		r.max = seq
		r.seen = r.seen<<min(ahead, 64) | 1
		r.received++
		return Accepted
	case ahead <= 1<<16-maxMisorder:
		if uint32(seq) == r.bad {
			r.begin(seq)
			r.totals.Restarts++
			return Restarted
		}
		r.bad = uint32(seq + 1)
		return Jumped
	}
	behind := -ahead
	// A packet from before the first one was never expected, so it must not make up for one that was lost.
	if behind > uint16(min(r.extended()-uint32(r.base), maxMisorder)) {
		return Late
	}
	if behind < 64 {
		if r.seen&(1<<behind) != 0 {
			r.duplicates++
			return Duplicate
		}
		r.seen |= 1 << behind
	}
	r.received++
	r.totals.Reordered++
	return Late
}

// probe waits for two packets in sequence from a source that is not followed yet. The stream that is followed stays
// undisturbed by stray packets of others.
func (r *Receiver) probe(ssrc uint32, seq uint16) Verdict {
	if !r.probing || ssrc != r.candidate || seq != r.candidateNext {
		r.probing, r.candidate, r.candidateNext = true, ssrc, seq+1
		return Probation
	}
	first := !r.valid
	r.SSRC = ssrc
	r.begin(seq)
	if first {
		return Accepted
	}
	r.totals.Restarts++
	return Restarted
}

// begin starts a run with the second of two packets in sequence.
//
// Deviation: RFC 3550 A.1 forgets the packets of the probation; here the run begins with the first of them, so that a
// stream without loss counts as many packets as were sent.
func (r *Receiver) begin(seq uint16) {
	r.totals = r.Totals()
	r.valid, r.probing, r.timed = true, false, false
	r.base, r.max = seq-(minSequential-1), seq
	r.bad = math.MaxUint32
	r.cycles = 0
	if r.max < r.base {
		r.cycles = 1 << 16
	}
	r.received, r.duplicates = minSequential, 0
	r.expectedPrior, r.receivedPrior = 0, 0
	r.seen = 1<<minSequential - 1
	r.jitter = 0
}

// measure is RFC 3550 A.8.
//
// Deviation: packets that repeat the timestamp of the one before (telephone events, slices of a video frame) are left
// out, though RFC 4733 §2.5.2.2 counts them: the formula takes the time between them for jitter, and every key press
// would look like a bad network. So is a leap of the timestamp by more than ten seconds.
func (r *Receiver) measure(timestamp uint32, arrival time.Duration, restarted bool) {
	if r.ClockRate == 0 || r.timed && timestamp == r.lastTimestamp {
		return
	}
	transit := units(arrival, r.ClockRate) - timestamp
	d := int64(int32(transit - r.transit))
	usable := r.timed && !restarted
	r.timed, r.transit, r.lastTimestamp = true, transit, timestamp
	if d < 0 {
		d = -d
	}
	if !usable || d > 10*int64(r.ClockRate) {
		return
	}
	r.jitter = uint32(int64(r.jitter) + d - int64(r.jitter+8)>>4)
}

// units is a duration in timestamp units, modulo 2^32.
func units(d time.Duration, clockRate uint32) uint32 {
	seconds, rest := d/time.Second, d%time.Second
	return uint32(int64(seconds)*int64(clockRate) + int64(rest)*int64(clockRate)/int64(time.Second))
}

// Valid tells whether a source is followed.
func (r *Receiver) Valid() bool { return r.valid }

// extended is the highest sequence number with the wraps since base.
func (r *Receiver) extended() uint32 { return r.cycles + uint32(r.max) }

func (r *Receiver) expected() uint32 {
	if !r.valid {
		return 0
	}
	return r.extended() - uint32(r.base) + 1
}

// Totals counts the stream from its first packet.
func (r *Receiver) Totals() Totals {
	t := r.totals
	t.Received += uint64(r.received)
	t.Duplicates += uint64(r.duplicates)
	if expected := r.expected(); expected > r.received {
		t.Lost += uint64(expected - r.received)
	}
	return t
}

// Jitter is the present interarrival jitter.
func (r *Receiver) Jitter() time.Duration {
	if r.ClockRate == 0 {
		return 0
	}
	return time.Duration(r.jitter) * time.Second / 16 / time.Duration(r.ClockRate)
}

// Report makes the reception report block of this stream and begins the next interval; ok is false when no source is
// followed. LSR and DLSR are left to whoever sees the sender reports.
//
// RFC 3550 A.3. Duplicates count as received there, so that the loss may be negative.
func (r *Receiver) Report() (b ReportBlock, ok bool) {
	if !r.valid {
		return ReportBlock{}, false
	}
	expected, received := r.expected(), r.received+r.duplicates
	interval := expected - r.expectedPrior
	lost := int64(interval) - int64(received-r.receivedPrior)
	r.expectedPrior, r.receivedPrior = expected, received
	b = ReportBlock{
		SSRC:            r.SSRC,
		CumulativeLost:  int32(max(min(int64(expected)-int64(received), 0x7fffff), -0x800000)),
		HighestSequence: r.extended(),
		Jitter:          r.jitter >> 4,
	}
	if interval > 0 && lost > 0 {
		b.FractionLost = uint8(min(lost<<8/int64(interval), 255))
	}
	return b, true
}
