package rtp

import "time"

// BurstGap divides what happened to the packets of one stream into bursts, where many are missing, and gaps, where few
// are, RFC 3611 §4.7.2. It is told of each packet that should have been played, in order of sequence numbers and never of
// duplicates. The zero value has a Gmin of 16 and no packet time.
type BurstGap struct {
	PacketTime time.Duration // of speech in a packet
	Gmin       uint8         // received packets in a row that end a burst; 0 stands for 16. Fixed for the life of a stream

	received  uint64
	lost      uint64
	discarded uint64

	run     uint64 // received since the last one missing
	open    uint64 // packets from the first missing one of what may become a burst to its last
	missing uint64 // of these
	gap     uint64 // packets of the gap before that

	bursts       uint64
	burstPackets uint64
	burstMissing uint64
	gaps         uint64
	gapPackets   uint64
	gapMissing   uint64
}

// Figures are what a BurstGap has found: the shares of RFC 3611 §4.7.1 and §4.7.2 as numbers between 0 and 1.
type Figures struct {
	LossRate      float64       // lost in the network, of all expected
	DiscardRate   float64       // came too late or too early, of all expected
	BurstDensity  float64       // lost or discarded, of those expected in bursts
	GapDensity    float64       // lost or discarded, of those expected in gaps
	BurstDuration time.Duration // mean; 0 when there was no burst
	GapDuration   time.Duration // mean; 0 when there was no gap
	Bursts        uint64
	Gaps          uint64
	Expected      uint64 // packets: received, lost or discarded
	Gmin          uint8
}

// Packet says that the next packet was received and played.
func (b *BurstGap) Packet() {
	b.received++
	b.run++
}

// Lost says that the next packet did not come.
func (b *BurstGap) Lost() {
	b.lost++
	b.miss()
}

// Discarded says that the next packet came, but not in time.
func (b *BurstGap) Discarded() {
	b.discarded++
	b.miss()
}

// Late says that one packet which Lost was called for came after all: it is a discarded one then.
func (b *BurstGap) Late() {
	if b.lost > 0 {
		b.lost--
		b.discarded++
	}
}

func (b *BurstGap) gmin() uint8 {
	if b.Gmin == 0 {
		return DefaultGmin
	}
	return b.Gmin
}

// miss takes one missing packet.
//
// RFC 3611 §4.7.2: a burst "starts with a lost or discarded packet", "does not contain any occurrences of Gmin or more
// consecutively received (and not discarded) packets" and "ends with a lost or discarded packet".
func (b *BurstGap) miss() {
	if b.missing > 0 && b.run < uint64(b.gmin()) {
		b.open += b.run + 1
		b.missing++
		b.run = 0
		return
	}
	b.settle()
	b.gap += b.run
	b.open, b.missing, b.run = 1, 1, 0
}

// settle decides what the last missing packets were, now that Gmin others have come.
//
// RFC 3611 §4.7.2: a missing packet that is "preceded and followed by at least Gmin packets that were received and not
// discarded" is part of a gap.
func (b *BurstGap) settle() {
	switch b.missing {
	case 0:
	case 1:
		b.gap++
		b.gapMissing++
	default:
		b.closeGap()
		b.bursts++
		b.burstPackets += b.open
		b.burstMissing += b.missing
	}
	b.open, b.missing = 0, 0
}

func (b *BurstGap) closeGap() {
	if b.gap > 0 {
		b.gaps++
		b.gapPackets += b.gap
	}
	b.gap = 0
}

// Figures are those at this moment; the stream goes on.
//
// RFC 3611 §4.7.2: "it is assumed that the RTP session is preceded and followed by at least Gmin received packets, and
// that the time of the report is followed by at least Gmin received packets".
//
// Deviation: the example there gives the sum of two gaps as the gap duration; the field is "the mean duration [...] of
// the gap periods", and that is what this is.
func (b *BurstGap) Figures() Figures {
	c := *b
	c.settle()
	c.gap += c.run
	c.closeGap()
	expected := c.received + c.lost + c.discarded
	return Figures{
		LossRate:      share(c.lost, expected),
		DiscardRate:   share(c.discarded, expected),
		BurstDensity:  share(c.burstMissing, c.burstPackets),
		GapDensity:    share(c.gapMissing, c.gapPackets),
		BurstDuration: mean(c.burstPackets, c.bursts, c.PacketTime),
		GapDuration:   mean(c.gapPackets, c.gaps, c.PacketTime),
		Bursts:        c.bursts,
		Gaps:          c.gaps,
		Expected:      expected,
		Gmin:          c.gmin(),
	}
}

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// mean is the mean duration of n periods that have so many packets together.
func mean(packets, n uint64, packet time.Duration) time.Duration {
	if n == 0 {
		return 0
	}
	return time.Duration(float64(packets) / float64(n) * float64(packet))
}
