package call

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
)

// maxLegs is how many legs a call may have had in its life. One that wants more goes round in circles.
const maxLegs = 64

// Service is what a call does: a blocking function that reads top to bottom and returns why it is over. It runs on the
// call's goroutine. ctx ends with the call; its cause (context.Cause) is ErrOver.
type Service func(ctx context.Context, c *Call) cause.Cause

// The errors of Call.Next.
var (
	ErrTimeout = errors.New("nothing happened in time")
	ErrOver    = errors.New("the call is over")
)

// Setup is what a call starts from.
type Setup struct {
	Caller      Leg              // the inbound leg, "a"
	Mailbox     *Mailbox         // into which Caller posts
	Offer       *sdp.Description // the caller's; nil when it made none (delayed offer)
	Tenant      directory.ID
	Direction   Direction // Internal when empty
	From        Side
	Dialled     string
	DialledE164 string // "" unknown
	Number      string // the directory's number that was dialled; "" none
	Emergency   bool
	MaxForwards int // of the inbound request
}

// Call is one call: its legs, its facts, and the goroutine that runs its service. Except for ID, Post, Record and
// Hangup, its methods belong to that goroutine: they are for services.
type Call struct {
	registry  *Registry
	mailbox   *Mailbox
	parties   []*party // every leg that ever was; the first is the caller
	peer      *party   // whom the caller is connected with; nil before the answer
	owed      *party   // its offer has gone to the caller, whose answer it waits for
	change    *change  // of the media, under way
	bridged   *media.Session
	confirmed bool // the caller has confirmed our answer
	delayed   bool // our answer to the caller was an offer, not answered yet
	offer     *sdp.Description
	words     *sdp.Description // the caller's last, while the media is direct
	forwards  int
	cancel    context.CancelCauseFunc
	timer     *time.Timer
	facts     Record // without legs
	heldFrom  time.Time
	watched   time.Time // silence before this does not count: answer, end of a hold, restart
	silent    time.Time // last media when supervision ended the call: the end for the record
	over      cause.Cause
	snapshot  atomic.Pointer[Record]
	sessions  atomic.Pointer[[]LegMedia]
	unsaved   bool          // a leg could not be written down yet
	gone      chan struct{} // closed when the goroutine ends
	restored  bool
}

// party is one leg and what is known of it.
type party struct {
	leg    Leg
	gone   bool // ended, by either side
	record LegRecord
	music  *media.Playing // while the other party holds this one; nil otherwise
}

// newCall makes the call and its first facts; nothing runs yet.
func newCall(r *Registry, s Setup, now time.Time) *Call {
	c := &Call{
		registry: r,
		mailbox:  s.Mailbox,
		offer:    s.Offer,
		forwards: s.MaxForwards,
		gone:     make(chan struct{}),
		facts: Record{
			ID: directory.NewID().String(), Tenant: s.Tenant, Direction: s.Direction,
			From: s.From, Dialled: s.Dialled, DialledE164: s.DialledE164, Number: s.Number, Emergency: s.Emergency, Start: now,
		},
	}
	if c.facts.Direction == "" {
		c.facts.Direction = Internal
	}
	c.join(s.Caller, s.From.Line, now)
	return c
}

// ID is the call's UUIDv7.
func (c *Call) ID() string { return c.facts.ID }

// Post sends the call an event from any goroutine; false when the call is over or drowning.
func (c *Call) Post(e Event) bool { return c.mailbox.Post(e) }

// Record is the newest published facts. It may be called from any goroutine.
func (c *Call) Record() *Record { return c.snapshot.Load() }

// Hangup ends the call from outside, from any goroutine. It returns before the call is over.
func (c *Call) Hangup(why cause.Cause) {
	c.mailbox.Post(Do{func() { c.stop(why) }})
}

// Caller is the inbound leg.
func (c *Call) Caller() Leg { return c.parties[0].leg }

// Peer is the leg that the caller is connected with; nil when there is none.
func (c *Call) Peer() Leg {
	if c.peer == nil {
		return nil
	}
	return c.peer.leg
}

// Offer is the caller's first description; nil when it made none, and once the call is answered.
func (c *Call) Offer() *sdp.Description { return c.offer }

// Cause is why the call is over; zero while it lasts.
func (c *Call) Cause() cause.Cause { return c.over }

// Step notes a step on the call's way through the exchange and why it was taken.
func (c *Call) Step(step, reason string) {
	c.facts.Path = append(c.facts.Path, PathStep{At: time.Now(), Step: step, Reason: reason})
}

// AddRecording notes that the call is being recorded.
func (c *Call) AddRecording(id string) {
	if slices.Contains(c.facts.Recordings, id) {
		return
	}
	c.facts.Recordings = append(c.facts.Recordings, id)
	if c.facts.IsAnswered() && !c.delayed {
		c.negotiated() // what is kept of the call has it, too
		return
	}
	c.publish()
}

// FailRecording notes that a recording of the call is missing or cut short.
func (c *Call) FailRecording() {
	c.facts.RecordingFailed = true
	c.publish()
}

// SetTo notes whom the dial plan has found.
func (c *Call) SetTo(to Side) {
	c.facts.To = to
	c.publish()
}

// Answer connects the caller to the service itself (an echo, an announcement): description answers the caller's offer,
// or is an offer when the caller made none; its answer then comes with an Acked event.
func (c *Call) Answer(description *sdp.Description) {
	c.answer(description, time.Now())
	if !c.IsDelayed() {
		c.negotiated()
	}
}

// IsDelayed reports whether the caller made no offer and has not yet answered ours.
func (c *Call) IsDelayed() bool { return c.delayed }

// Negotiated notes that the service itself has settled media with the caller: offer is what the caller asked for, or
// nil when the offer was ours.
func (c *Call) Negotiated(offer *sdp.Description) {
	c.delayed = false
	if offer != nil {
		c.parties[0].record.OnHold = offer.OnHold()
		c.updateHold()
	}
	c.negotiated()
}

// answer answers the caller and notes it.
func (c *Call) answer(description *sdp.Description, now time.Time) {
	c.facts.Answer, c.parties[0].record.Answer, c.watched = now, now, now
	if c.facts.Ring.IsZero() {
		c.facts.Ring = now
	}
	c.delayed = c.offer == nil
	c.Caller().Answer(description)
	c.offer = nil // nobody needs it any more
	c.publish()
	c.tell(CallAnswered{c.Record()})
}

// Next returns the next event that concerns the service. It looks after everything else itself: functions that run on
// the call's goroutine, the caller's end, the supervision of the media, the longest duration. With until not zero it
// returns ErrTimeout at that time; once the call is over it returns ErrOver, every time.
func (c *Call) Next(until time.Time) (Event, error) {
	for c.over.IsZero() {
		e, ok, overflow := c.mailbox.take()
		switch {
		case overflow:
			c.registry.overflows.Add(1)
			c.stop(cause.Overloaded())
		case ok:
			if c.concerns(e) {
				return e, nil
			}
		case c.wait(until):
			return nil, ErrTimeout
		}
	}
	return nil, ErrOver
}

// concerns does the call's own part of an event and reports whether the service should see it.
func (c *Call) concerns(e Event) bool {
	switch e := e.(type) {
	case Do:
		e.F()
		return false
	case Ended:
		p := c.find(e.Leg)
		if p == nil {
			return false
		}
		why := c.blame(p, e.Cause)
		c.retire(p, why, time.Now())
		if p == c.parties[0] {
			c.stop(why)
			return false
		}
		c.publish()
		return true
	case Acked:
		c.confirmed = c.confirmed || e.Leg == c.Caller()
		return c.find(e.Leg) != nil
	case Pressed:
		if p := c.find(e.Leg); p != nil {
			c.tell(DigitPressed{Record: c.Record(), Leg: p.record.ID, Digit: e.Digit, DurationMS: e.DurationMS})
			return true
		}
		return false
	case Sounded:
		if p := c.find(e.Leg); p != nil {
			c.tell(CallSounded{Record: c.Record(), Leg: p.record.ID, QualityNotice: e.Notice})
		}
		return false
	}
	// What a leg said before it learnt that we had ended it is not news any more.
	leg := legOf(e)
	return leg == nil || c.find(leg) != nil
}

// blame completes the cause with which a party went: whose doing it was, and what an end before the answer means.
func (c *Call) blame(p *party, why cause.Cause) cause.Cause {
	caller := p == c.parties[0]
	if why.IsZero() {
		why = cause.Normal("")
	}
	if caller && !c.confirmed && why.IsRefusal() && why.SIP != 408 {
		// The caller gave up while our answer was on its way (487, RFC 3261 §9.2), or its leg had no means to answer: it
		// was not an answered call. A caller that got the answer and never confirmed it (408) has been answered.
		c.facts.Answer = time.Time{}
	} else if caller && !c.facts.IsAnswered() && !why.IsRefusal() {
		q := why.Q850
		if why = cause.Cancelled(); q != 0 {
			why.Q850 = q
		}
	}
	switch {
	case why.Party == cause.System:
	case caller:
		why.Party = cause.Caller
	default:
		why.Party = cause.Callee
	}
	return why
}

// wait blocks until there may be an event, or reports that the service's time is over.
func (c *Call) wait(until time.Time) (expired bool) {
	next := c.watchUntil()
	if !until.IsZero() && (next.IsZero() || until.Before(next)) {
		next = until
	}
	var alarm <-chan time.Time
	if !next.IsZero() {
		alarm = c.alarm(next)
	}
	select {
	case <-c.mailbox.wake:
		return false
	case <-alarm:
	}
	now := time.Now()
	c.watch(now)
	return c.over.IsZero() && !until.IsZero() && !now.Before(until)
}

// alarm sets the call's one timer.
func (c *Call) alarm(at time.Time) <-chan time.Time {
	d := time.Until(at)
	if c.timer == nil {
		c.timer = time.NewTimer(d)
	} else {
		c.timer.Reset(d)
	}
	return c.timer.C
}

// stop makes the call be over. The first cause stays.
func (c *Call) stop(why cause.Cause) {
	if !c.over.IsZero() {
		return
	}
	if why.IsZero() {
		why = cause.Failed()
	}
	c.over = why
	c.cancel(ErrOver)
}

// run is the call's goroutine.
func (c *Call) run(ctx context.Context, serve Service) {
	ctx, c.cancel = context.WithCancelCause(ctx)
	defer c.cancel(ErrOver)
	if !c.restored {
		c.guarded("start", func() { c.tell(CallStarted{c.Record()}) })
	}
	c.guarded("service", func() { c.stop(serve(ctx, c)) })
	c.stop(cause.Failed()) // a service that panicked
	c.guarded("end", c.finish)
	// Messages of the legs that wait still want their answer: a BYE that crossed ours, a 200 that came too late.
	for _, e := range c.mailbox.close() {
		if do, ok := e.(Do); ok {
			c.guarded("rest", do.F)
		}
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	close(c.gone)
}

// guarded runs f; a panic ends this call and no other.
func (c *Call) guarded(what string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.registry.panics.Add(1)
			c.registry.log.Error("call: panic", "call", c.ID(), "in", what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	f()
}

// finish hangs up every leg that is left and completes the record.
func (c *Call) finish() {
	now := time.Now()
	c.settleHold(now)
	c.facts.Cause, c.facts.End = c.over, now
	if !c.silent.IsZero() {
		c.facts.End = c.silent // nobody should pay for silence
	}
	c.disconnect()
	for i, p := range c.parties {
		if p.gone {
			continue
		}
		why := c.over
		if i == 0 && !c.facts.IsAnswered() && !why.IsRefusal() {
			why = cause.Unreachable() // an INVITE needs a refusal
			c.facts.Cause = why
		}
		// One leg that panics must not keep the others alive.
		c.guarded("hangup", func() { c.drop(p, why, now) })
	}
	c.publish()
	c.tell(CallEnded{c.Record()})
}

// join adds a leg.
func (c *Call) join(leg Leg, line string, now time.Time) *party {
	p := &party{leg: leg, record: LegRecord{ID: leg.ID(), Line: line, Start: now}}
	c.parties = append(c.parties, p)
	return p
}

// find is the party of a leg that has not ended; nil for strangers.
func (c *Call) find(leg Leg) *party {
	for _, p := range slices.Backward(c.parties) {
		if p.leg == leg && !p.gone {
			return p
		}
	}
	return nil
}

// drop hangs a party up.
func (c *Call) drop(p *party, why cause.Cause, now time.Time) {
	if p.gone {
		return
	}
	c.retire(p, why, now)
	p.leg.Hangup(why)
}

// retire notes that a party is gone, with what its leg can tell while it still has its media.
func (c *Call) retire(p *party, why cause.Cause, now time.Time) {
	p.gone = true
	p.record.End, p.record.Cause = now, why
	p.record.Info = p.leg.Describe()
	if m := p.leg.Media(); m != nil {
		p.record.Streams, p.record.Received = m.Stats(), m.LastMedia()
	}
	if p == c.peer {
		c.disconnect()
	}
}

// legOf is the leg that an event came from.
func legOf(e Event) Leg {
	switch e := e.(type) {
	case Rang:
		return e.Leg
	case Connected:
		return e.Leg
	case Acked:
		return e.Leg
	case Failed:
		return e.Leg
	case Ended:
		return e.Leg
	case Updated:
		return e.Leg
	case Answered:
		return e.Leg
	case Informed:
		return e.Leg
	case Sounded:
		return e.Leg
	case Pressed:
		return e.Leg
	}
	return nil
}

// publish makes the facts visible to other goroutines.
func (c *Call) publish() {
	r := c.facts
	r.Path, r.Recordings = slices.Clone(r.Path), slices.Clone(r.Recordings)
	r.Legs = make([]LegRecord, len(c.parties))
	for i, p := range c.parties {
		if !p.gone {
			p.record.Info = p.leg.Describe()
		}
		r.Legs[i] = p.record
	}
	c.snapshot.Store(&r)
	c.publishMedia()
}

func (c *Call) tell(n Notice) {
	if o := c.registry.observer; o != nil {
		o.Observe(n)
	}
}
