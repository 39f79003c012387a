package quality

import "time"

// The rates that Adapt chooses from, in bit/s: Opus at 32 kbit/s is wideband with room for forward error correction, at 18
// still has it: libopus gives it up for good below some 17 kbit/s where it was not on before.
const (
	BitrateFull    = 32_000
	BitrateReduced = 24_000
	BitrateLow     = 18_000
)

// Limits of Adapt, in percent of packets lost.
const (
	lossFEC      = 1.0  // above: forward error correction
	lossReduced  = 5.0  // above: BitrateReduced
	lossLow      = 10.0 // above: BitrateLow
	lossRecovers = 0.6  // of a limit: losses must stay under that share of it before the step is taken back
)

// Adapt waits that long with little loss before it takes one step back towards the full rate, and again before the next.
const (
	recoveryHold = 20 * time.Second
	mostHold     = 5 * time.Minute
)

// queueing is a round trip this much above the shortest one that was seen, or this much jitter: packets wait in a queue
// that our own ones help to fill.
const (
	queueing = 300 * time.Millisecond
	jittery  = 80 * time.Millisecond
)

// Adapt follows the network with the settings of an encoder: each report of the other side on how it hears us goes in, bit
// rate, loss to be ready for and forward error correction come out. Loss is answered at once; the way back is slow, step by
// step, and slower each time a step turns out to have been too early. The zero value has the full rate.
type Adapt struct {
	step    int     // 0 full, 1 reduced, 2 low
	fec     bool    // forward error correction is on
	hint    float64 // percent of loss that the encoder is told of
	smooth  float64 // percent of loss, the mean of the last few reports
	known   bool    // there was a report
	calm    bool    // loss allows a step back
	since   time.Time
	hold    time.Duration
	stepped time.Time // when the last step back was taken
	base    time.Duration
}

// Report takes one report: percent of packets lost since the last one, round trip time (0 unknown), interarrival jitter. It
// returns what the encoder is to do: its bit rate in bit/s, the loss in percent to be ready for, forward error correction
// on or off; changed is false when all is as the last report left it, and true for the first one.
func (a *Adapt) Report(lossPct float64, rtt, jitter time.Duration, now time.Time) (bitrate int, lossHint float64, fec, changed bool) {
	before := *a
	loss := within(lossPct, 0, 100)
	if !a.known {
		a.smooth = loss
	}
	a.smooth += (loss - a.smooth) / 4
	a.adjustStep(max(loss, a.smooth), a.congested(rtt, jitter), now)
	a.adjustFEC(loss)
	a.known = true
	changed = !before.known || a.step != before.step || a.fec != before.fec || a.hint != before.hint
	return a.bitrate(), a.hint, a.fec, changed
}

func (a *Adapt) bitrate() int {
	return [...]int{BitrateFull, BitrateReduced, BitrateLow}[a.step]
}

// congested tells whether packets wait in queues.
func (a *Adapt) congested(rtt, jitter time.Duration) bool {
	if rtt > 0 && (a.base == 0 || rtt < a.base) {
		a.base = rtt
	}
	return rtt > a.base+queueing || jitter > jittery
}

// adjustStep goes down at once and up slowly.
func (a *Adapt) adjustStep(loss float64, congested bool, now time.Time) {
	wanted := 0
	switch {
	case loss > lossLow:
		wanted = 2
	case loss > lossReduced || congested:
		wanted = 1
	}
	if wanted > a.step {
		a.stepDown(wanted, now)
		return
	}
	limit := lossReduced
	if a.step == 2 {
		limit = lossLow
	}
	if a.step == 0 || congested || loss >= lossRecovers*limit {
		a.calm = false
		return
	}
	if !a.calm || now.Before(a.since) {
		a.calm, a.since = true, now
		return
	}
	if now.Sub(a.since) >= max(a.hold, recoveryHold) {
		a.step--
		a.calm, a.stepped = false, now
	}
}

// stepDown lowers the rate. Had it just been raised, the next try waits twice as long; after a long good time, as long as
// the first one did.
func (a *Adapt) stepDown(wanted int, now time.Time) {
	a.step, a.calm = wanted, false
	if tried := now.Sub(a.stepped); !a.stepped.IsZero() && tried < mostHold {
		a.hold = min(2*max(a.hold, recoveryHold), mostHold)
		return
	}
	a.hold = recoveryHold
}

// adjustFEC turns forward error correction on above one percent, and off only when losses have gone for good. The hint is in
// steps, so that the encoder is not told of each wobble.
func (a *Adapt) adjustFEC(loss float64) {
	worst := max(loss, a.smooth)
	switch {
	case worst > lossFEC:
		a.fec = true
	case a.smooth < lossFEC*lossRecovers/2:
		a.fec = false
	}
	if !a.fec {
		a.hint = 0
		return
	}
	hint, below, last := 0.0, 0.0, 0.0
	for _, level := range [...]float64{2, 5, 10, 15, 20, 30} {
		if worst > last {
			hint = level
		}
		if level == a.hint {
			below = last
		}
		last = level
	}
	// A hint goes down only when the loss is well under the next lower one.
	if hint > a.hint || worst < lossRecovers*below {
		a.hint = max(hint, 2)
	}
}
