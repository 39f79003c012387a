package quality

import "math"

// Bursts are the figures of RFC 3611 §4.7.2 on how the losses of a stream were spread: rtp.Figures has them.
type Bursts struct {
	BurstDensity float64 // share of packets lost in bursts, 0 to 1
	GapDensity   float64 // share of packets lost in gaps, 0 to 1
	BurstPackets float64 // mean length of a burst, in packets; 0 for no burst
	GapPackets   float64 // mean length of a gap, in packets; 0 for no gap
}

// gmin is how many packets received in a row end a burst, RFC 3611 §4.7.2; 16 is in use everywhere.
const gmin = 16

// Ratio is the burst ratio of G.107 §7.2.1: the mean number of packets lost in a row, over what it would be if losses of the
// same rate were random. It is 1 for random loss and when nothing was lost, and never less.
//
// The figures tell how many packets a burst has and how many of these are lost, but not in how many rows. That follows
// from the gaps, if a packet is lost after a received one with the same probability in both: received packets in a row are
// at least Gmin in a gap and fewer in a burst. For a channel of two states and for random loss this is exact.
func (b Bursts) Ratio() float64 {
	const longest = 1 << 20
	burst, gap := within(b.BurstPackets, 0, longest), within(b.GapPackets, 0, longest)
	inBurst := burst * within(b.BurstDensity, 0, 1)
	inGap := gap * within(b.GapDensity, 0, 1)
	lost := inBurst + inGap
	if inBurst < 1 || lost >= burst+gap {
		return 1
	}
	// The losses of a gap stand alone, those of a burst in one row more than there are breaks in it.
	rows := inGap + 1 + min((burst-inBurst)/breakLength(gap-inGap, inGap+1), inBurst-1)
	random := 1 / (1 - lost/(burst+gap))
	return max(1, lost/rows/random)
}

// breakLength is the mean number of packets received in a row within bursts, given those in gaps and the rows they
// stand in.
func breakLength(received, rows float64) float64 {
	const most = gmin - 1
	loss := 1 / max(1, received/rows-most) // probability that a received packet is followed by a lost one
	none := math.Pow(1-loss, most)         // that of more than most in a row
	if none >= 1-1e-6 {
		return float64(gmin) / 2
	}
	return 1/loss - most*none/(1-none)
}
