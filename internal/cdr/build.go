package cdr

import (
	"math"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
)

// Facts are what a call knows about itself at some moment of its life. Empty strings and zero times are unknown or have
// not happened. Times from one process should keep Go's monotonic reading: durations then survive a step of the clock.
type Facts struct {
	CallID         string
	TenantID       directory.ID
	Tenant         string // name; "" = the identifier is shown
	Direction      string // in, out, internal
	From, FromE164 string
	FromName       string
	To, ToE164     string
	Number         string
	TrunkIn        string
	TrunkOut       string

	Start, Ring, Answer, End time.Time

	Hold       time.Duration // all holds together
	Cause      cause.Cause   // zero while the call runs
	Legs       []Leg
	Path       []StepFact
	Queue      *Queue
	Tags       []string
	Notes      []Note
	Recordings []string
	Cost       *Cost

	Bypassed  bool
	Emergency bool

	RecordingFailed bool
}

// StepFact is a Step as the call notes it.
type StepFact struct {
	At                   time.Time
	Kind, Detail, Reason string
}

// Build makes the record of a call. It is pure. No duration is negative and no time stands before Start, whatever the
// clock did: later times are Start plus the time that has passed since.
func Build(f Facts) Record {
	at := timeline(f.Start)
	r := Record{
		CallID: f.CallID, Tenant: f.Tenant, TenantID: f.TenantID,
		Direction: known(f.Direction),
		From:      known(f.From), FromE164: known(f.FromE164), FromName: known(f.FromName),
		To: known(f.To), ToE164: known(f.ToE164),
		Number: known(f.Number), TrunkIn: known(f.TrunkIn), TrunkOut: known(f.TrunkOut),
		Start: at(f.Start), Ring: at(f.Ring), Answer: at(f.Answer), End: at(f.End),
		Legs: make([]Leg, 0, len(f.Legs)), Path: make([]Step, 0, len(f.Path)),
		Queue: f.Queue, Cost: f.Cost,
		Tags:       append([]string{}, f.Tags...),
		Notes:      append([]Note{}, f.Notes...),
		Recordings: append([]string{}, f.Recordings...),
	}
	if r.Tenant == "" {
		r.Tenant = f.TenantID.String()
	}
	if !f.Cause.IsZero() {
		c := f.Cause
		c.Q850 = c.Q()
		r.Cause = &c
	}
	for _, leg := range f.Legs {
		r.Legs = append(r.Legs, finite(leg))
	}
	for _, s := range f.Path {
		r.Path = append(r.Path, Step{At: at(s.At), Kind: s.Kind, Detail: s.Detail, Reason: s.Reason})
	}
	r.measure(f.Hold)
	r.Flags = Flags{
		OnNet:     new(f.TrunkIn == "" && f.TrunkOut == ""),
		Encrypted: encrypted(f.Legs),
		Bypassed:  new(f.Bypassed),
		Emergency: new(f.Emergency),

		RecordingFailed: new(f.RecordingFailed),
	}
	return r
}

// measure fills in the durations from the times.
func (r *Record) measure(hold time.Duration) {
	between := func(from, to *Time) *int64 {
		if from == nil || to == nil {
			return nil
		}
		return new(max(0, to.UnixMilli()-from.UnixMilli()))
	}
	first := func(a, b *Time) *Time {
		if a != nil {
			return a
		}
		return b
	}
	r.PostDialMS = between(r.Start, first(r.Ring, r.Answer))
	r.RingMS = between(r.Ring, first(r.Answer, r.End))
	r.TalkMS = between(r.Answer, r.End)
	switch {
	case r.TalkMS != nil:
		r.HoldMS = new(min(max(0, hold.Milliseconds()), *r.TalkMS))
	case r.End != nil: // ended without an answer: known to be nothing
		r.TalkMS, r.HoldMS = new(int64(0)), new(int64(0))
	}
}

// timeline returns how a moment is told relative to start: by the monotonic clock where both have one.
func timeline(start time.Time) func(time.Time) *Time {
	return func(t time.Time) *Time {
		switch {
		case t.IsZero():
			return nil
		case start.IsZero():
			return &Time{t.Round(0).UTC()}
		}
		return &Time{start.Add(max(0, t.Sub(start))).Round(0).UTC()}
	}
}

// encrypted is nil when no leg had media.
func encrypted(legs []Leg) *bool {
	var result *bool
	for _, leg := range legs {
		if leg.Crypto == nil {
			continue
		}
		if *leg.Crypto == "none" || leg.Plain {
			return new(false)
		}
		result = new(true)
	}
	return result
}

// finite makes figures that are no numbers unknown: JSON has no word for them.
func finite(l Leg) Leg {
	for _, p := range []**float64{&l.MOSIn, &l.MOSOut, &l.Loss, &l.JitterMS, &l.RTTMS} {
		if *p != nil && (math.IsNaN(**p) || math.IsInf(**p, 0)) {
			*p = nil
		}
	}
	return l
}

// known turns an empty string into an unknown value.
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
