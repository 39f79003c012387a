package guard

import (
	"math/bits"
	"time"
)

// limits are the rules, in nanoseconds.
type limits struct {
	interval  int64 // one request
	burst     int64 // how far requests may run ahead
	flood     int64 // how far refused requests may run ahead before they mean a ban
	failure   int64 // one wrong password
	tolerance int64 // how far wrong passwords may run ahead
	probes    int64 // how far challenges without an answer may run ahead
	firstBan  int64
	longest   int64
}

// newLimits takes a configuration with all its defaults.
func newLimits(c *Config) limits {
	interval := int64(time.Second) / int64(c.RequestsPerSecond)
	return limits{
		interval:  interval,
		burst:     int64(c.Burst-1) * interval,
		flood:     floodSeconds * int64(c.RequestsPerSecond) * interval,
		failure:   int64(time.Minute) / int64(c.FailuresPerMinute),
		tolerance: int64(time.Minute),
		probes:    int64(c.Probes-1) * probeInterval,
		firstBan:  int64(c.FirstBan),
		longest:   int64(max(c.FirstBan, c.LongestBan)),
	}
}

// floodSeconds: a source that is over its budget by this many seconds' worth of requests is banned.
const floodSeconds = 10

// A source may collect a challenge a second, and Config.Probes of them at once: more than all phones of a large office
// behind one address ask for before the first of them has answered.
const probeInterval = int64(time.Second)

// generation is how long an authenticated flow counts towards the share of its source: one to two of these.
const generation = int64(time.Hour)

// Behind an address with good phones there may be another, or one of them with a new port, while a neighbour's guesses
// have the address banned. What gets in then is enough for a phone to authenticate, and no more guesses than without a ban.
const (
	newcomerInterval = 5 * int64(time.Second)
	newcomerBurst    = 5 * newcomerInterval
)

// source is what is known of a source. All times are nanoseconds; budgets are kept as the moment at which they will be
// full again (the "theoretical arrival time" of the generic cell rate algorithm), so that a source that has been quiet
// looks like one that was never seen.
type source struct {
	requests   int64     // budget of requests
	refused    int64     // budget of requests that were refused
	failures   int64     // budget of wrong passwords
	challenges int64     // budget of challenges since the last success
	ban        int64     // end of the ban
	newcomers  int64     // budget of requests while the source is banned and has good flows
	good       [2]uint64 // authenticated flows of this and the last generation, one bit each by hash
	epoch      int32     // which generation good[0] is
	strikes    uint8     // bans of late
	why        Reason    // of the ban
}

// request decides about one message at the time now. began says that a ban for flooding has begun with it.
func (s *source) request(now int64, l *limits) (v Verdict, began bool) {
	if s.ban > now {
		return Banned, false
	}
	if spend(&s.requests, now, l.interval, l.burst) {
		return Admitted, false
	}
	// What is over the budget is dropped; a source with good flows (a NAT, a trunk) is never shut out for it.
	if s.shares(now) > 1 || spend(&s.refused, now, l.interval, l.flood) {
		return OverRate, false
	}
	s.refused = 0
	s.strike(now, ReasonFlood, l)
	return Banned, true
}

// newcomer decides about a message of a new flow of a source that is banned.
func (s *source) newcomer(now int64) bool {
	return s.why != ReasonOperator && s.shares(now) > 1 && spend(&s.newcomers, now, newcomerInterval, newcomerBurst)
}

// spend takes one interval off a budget that may run ahead of now by at most ahead, if there is that much left.
func spend(budget *int64, now, interval, ahead int64) bool {
	full := max(*budget, now)
	if full-now > ahead {
		return false
	}
	*budget = full + interval
	return true
}

// pass notes an authenticated flow, named by a hash.
func (s *source) pass(now int64, flow uint64) {
	s.turn(now)
	s.good[0] |= 1 << (flow >> 58)
	s.challenges = 0
}

// challenge notes a challenge and reports whether a ban begins with it.
func (s *source) challenge(now int64, l *limits) bool {
	if s.shares(now) > 1 || s.ban > now || spend(&s.challenges, now, probeInterval, l.probes) {
		return false
	}
	s.challenges = 0
	s.strike(now, ReasonProbe, l)
	return true
}

// fail notes a wrong password and reports whether a ban begins with it. Each flow of the source that has authenticated
// brings another share of failures that are allowed.
func (s *source) fail(now int64, why Reason, l *limits) bool {
	// The last failure that is allowed leaves the budget one interval ahead of what is tolerated.
	cost := l.failure / s.shares(now)
	if spend(&s.failures, now, cost, l.tolerance-cost) || s.ban > now {
		return false
	}
	s.failures = 0
	s.strike(now, why, l)
	return true
}

// strike begins a ban: each lasts twice as long as the one before, up to the longest. A source that has kept quiet for
// the length of the longest ban after its last one starts again.
func (s *source) strike(now int64, why Reason, l *limits) {
	if now > s.ban+l.longest {
		s.strikes = 0
	}
	d := l.longest
	if s.strikes < 32 && l.firstBan<<s.strikes > 0 && l.firstBan<<s.strikes < l.longest {
		d = l.firstBan << s.strikes
	}
	if s.strikes < 255 {
		s.strikes++
	}
	s.ban, s.why = now+d, why
}

// shares is one more than the number of flows that have authenticated within the last generations.
func (s *source) shares(now int64) int64 {
	if s.good[0]|s.good[1] == 0 {
		return 1
	}
	s.turn(now)
	return 1 + int64(bits.OnesCount64(s.good[0]|s.good[1]))
}

// turn moves to the generation that now belongs to.
func (s *source) turn(now int64) {
	epoch := int32(now / generation)
	switch {
	case epoch == s.epoch:
		return
	case epoch == s.epoch+1:
		s.good[0], s.good[1] = 0, s.good[0]
	default:
		s.good = [2]uint64{}
	}
	s.epoch = epoch
}

// worth orders entries by how much would be lost with them: banned ones above all others, then those whose budgets
// take longest to fill again. 0 is nothing.
func (s *source) worth(now int64) int64 {
	const banned, struck, good = 1 << 62, 1 << 60, 1 << 59
	switch {
	case s.ban > now:
		return banned + (s.ban - now)
	case s.strikes > 0 && now < s.ban+int64(time.Hour):
		return struck + (s.ban + int64(time.Hour) - now)
	}
	if s.shares(now) > 1 {
		return good
	}
	return max(0, s.requests-now, s.refused-now, s.failures-now, s.challenges-now)
}

// flowMemory is how long a success on a flow counts: longer than the longest registration.
const flowMemory = 2 * int64(time.Hour)

// flow is what is known of one address and port.
type flow struct {
	passed   int64 // when somebody last authenticated; negative: the end of the ban that it has brought about
	requests int64 // budget of requests, when the source has none left
}

// request decides about one message.
func (f *flow) request(now int64, l *limits) bool {
	return f.isGood(now) && spend(&f.requests, now, l.interval, l.burst)
}

// isGood reports whether somebody has authenticated of late.
func (f *flow) isGood(now int64) bool { return f.passed > 0 && f.passed+flowMemory > now }

// isBarred reports whether a ban that the flow has brought about is in force.
func (f *flow) isBarred(now int64) bool { return f.passed < 0 && -f.passed > now }

func (f *flow) worth(now int64) int64 {
	if f.passed < 0 {
		return max(0, -f.passed-now)
	}
	return max(0, f.passed+flowMemory-now)
}
