package quality

import "time"

// Limits of the alarms, as scores of MOS. The one is apart from the other so that a call at the edge raises one alarm and
// not a hundred.
const (
	AlarmBelow  = 3.6 // raise
	AlarmClears = 3.8 // clear
)

// AlarmHold is how long a call must be bad to be reported, and good again to be done with.
const AlarmHold = 10 * time.Second

// Alarm watches the score of one direction of one call. The zero value is quiet.
type Alarm struct {
	raised bool
	timing bool      // the score is beyond the limit that would change the state
	since  time.Time // since then
}

// Sample takes a score as it is at now. It returns raised once when the score has been under AlarmBelow for AlarmHold, and
// cleared once when it then has been at AlarmClears or above for as long. A score of 0 is unknown and changes nothing but
// that the time begins anew. Time that goes backwards does so, too.
func (a *Alarm) Sample(mos float64, now time.Time) (raised, cleared bool) {
	beyond := mos < AlarmBelow
	if a.raised {
		beyond = mos >= AlarmClears
	}
	if !beyond || !(mos > 0) {
		a.timing = false
		return false, false
	}
	if !a.timing || now.Before(a.since) {
		a.timing, a.since = true, now
		return false, false
	}
	if now.Sub(a.since) < AlarmHold {
		return false, false
	}
	a.raised, a.timing = !a.raised, false
	return a.raised, !a.raised
}

// Raised tells whether the alarm stands.
func (a *Alarm) Raised() bool { return a.raised }

// Limits of the alarm of a trunk.
const (
	TrunkWindow = 5 * time.Minute
	TrunkShare  = 0.05 // of the calls in the window
	TrunkLeast  = 2    // bad calls before anybody is woken: one is no bad trunk, however few the others
)

// buckets is how many parts the window of a trunk has, which leave it one after the other.
const buckets = 30

// TrunkAlarm watches the calls of one trunk: it stands while more than TrunkShare of those that ended in the last
// TrunkWindow had a score under AlarmBelow. The zero value is quiet.
type TrunkAlarm struct {
	raised bool
	epoch  int64 // number of the newest bucket, counted from the year 1970
	counts [buckets]struct{ calls, bad uint32 }
}

// Call takes the score of a call that ended at now, the worse of its directions; 0 for a call whose score is unknown, which
// is not counted. It returns raised or cleared when the alarm has changed.
func (a *TrunkAlarm) Call(mos float64, now time.Time) (raised, cleared bool) {
	a.advance(now)
	if mos > 0 {
		c := &a.counts[a.slot(a.epoch)]
		c.calls++
		if mos < AlarmBelow {
			c.bad++
		}
	}
	return a.judge()
}

// Tick lets old calls leave the window when there are no new ones.
func (a *TrunkAlarm) Tick(now time.Time) (raised, cleared bool) {
	a.advance(now)
	return a.judge()
}

// Raised tells whether the alarm stands.
func (a *TrunkAlarm) Raised() bool { return a.raised }

// Counts are the calls in the window and how many of them were bad.
func (a *TrunkAlarm) Counts() (calls, bad int) {
	for _, c := range a.counts {
		calls += int(c.calls)
		bad += int(c.bad)
	}
	return calls, bad
}

func (a *TrunkAlarm) slot(epoch int64) int { return int((epoch%buckets + buckets) % buckets) }

// advance empties the buckets that were entered since. A clock that is set back a little goes on in the newest one.
func (a *TrunkAlarm) advance(now time.Time) {
	epoch := now.Unix() / int64(TrunkWindow/buckets/time.Second)
	if epoch-a.epoch >= buckets || a.epoch-epoch >= buckets {
		a.epoch = epoch - buckets
	}
	for a.epoch < epoch {
		a.epoch++
		a.counts[a.slot(a.epoch)] = struct{ calls, bad uint32 }{}
	}
}

func (a *TrunkAlarm) judge() (raised, cleared bool) {
	calls, bad := a.Counts()
	much := float64(bad) > TrunkShare*float64(calls)
	switch {
	case !a.raised && much && bad >= TrunkLeast:
		a.raised = true
		return true, false
	case a.raised && !much:
		a.raised = false
		return false, true
	}
	return false, false
}
