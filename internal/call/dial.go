package call

import (
	"context"
	"errors"
	"strconv"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/sdp"
)

// Fork is one attempt to reach somebody: all targets ring at once.
type Fork struct {
	Targets []Target
	Timeout time.Duration // how long it may ring; 0 = until the caller gives up
	To      string        // number that is called; the dialled one when empty
	// Redirect turns the contacts of a 3xx into further targets, as far as the called line may go there. nil refuses
	// every redirection.
	Redirect func(from Target, contacts []string) []Target
}

// Dial rings all targets and connects the caller with the first that answers; the others are told that the call was
// answered elsewhere. It returns the leg that answered, to be given to Bridge, or nil and the best of the causes
// (cause.Better) when nobody did. When the call ends meanwhile (the caller hangs up), everything is cancelled and the
// cause is that of the call.
//
// Ringing is passed on to the caller once per status; the first target with early media is heard, and a later 180
// does not take that away (RFC 3960 §3.2). A 6xx ends the whole attempt (RFC 3261 §16.7 step 5).
//
// The caller must not be connected yet.
func (c *Call) Dial(ctx context.Context, d Dialer, f Fork) (Leg, cause.Cause) {
	k := fork{call: c, dialer: d, Fork: f}
	for _, t := range f.Targets {
		k.start(ctx, t)
	}
	c.publish()
	var until time.Time
	if f.Timeout > 0 {
		until = time.Now().Add(f.Timeout)
	}
	for k.ringing > 0 {
		e, err := c.Next(until)
		switch {
		case errors.Is(err, ErrTimeout):
			k.abandon(cause.NoAnswer())
			k.best = cause.Better(k.best, cause.NoAnswer())
		case err != nil:
			k.abandon(c.over)
			return nil, c.over
		default:
			if p := k.take(ctx, e); p != nil {
				k.abandon(cause.AnsweredElsewhere())
				return p.leg, cause.Cause{}
			}
		}
	}
	if k.best.IsZero() {
		k.best = cause.Unreachable()
	}
	c.publish()
	return nil, k.best
}

// fork is a Fork under way.
type fork struct {
	Fork
	call    *Call
	dialer  Dialer
	forks   []*forked
	ringing int // forks that may still answer
	best    cause.Cause
	status  int // last status that the caller was told
	early   *party
}

type forked struct {
	*party
	target  Target
	preview *sdp.Description // its early description
}

// start rings one more target.
func (k *fork) start(ctx context.Context, t Target) {
	c := k.call
	if len(c.parties) >= maxLegs {
		k.best = cause.Better(k.best, cause.Loop())
		return
	}
	to := k.To
	if to == "" {
		to = c.facts.Dialled
	}
	leg, err := k.dialer.Dial(ctx, Invite{
		Call: c.facts.ID, Leg: "b" + strconv.Itoa(len(c.parties)), Tenant: c.facts.Tenant, Mailbox: c.mailbox, Target: t,
		Offer: c.offer, From: c.facts.From, To: to, MaxForwards: c.forwards - 1, Emergency: c.facts.Emergency,
	})
	if err != nil {
		why := cause.Unreachable()
		if f, ok := errors.AsType[*cause.Failure](err); ok {
			why = f.Cause
		}
		c.registry.log.Info("call: target not reached", "call", c.ID(), "device", t.Device, "error", err)
		k.best = cause.Better(k.best, why)
		return
	}
	p := c.join(leg, t.Line, time.Now())
	p.record.Info.Device = t.Device
	k.forks = append(k.forks, &forked{party: p, target: t})
	k.ringing++
}

// take handles one event and returns the party that has answered.
func (k *fork) take(ctx context.Context, e Event) *party {
	switch e := e.(type) {
	case Rang:
		if f := k.find(e.Leg); f != nil {
			k.rang(f, e)
		}
	case Connected:
		if f := k.find(e.Leg); f != nil {
			return k.connected(f, e)
		}
	case Failed:
		if f := k.find(e.Leg); f != nil {
			k.failed(ctx, f, e)
		}
	case Ended:
		// The leg died while ringing; Next has retired it.
		if f := k.find(e.Leg); f != nil {
			k.lost(f, f.record.Cause)
		}
	case Updated:
		// Nothing is settled that could be changed (RFC 3311 §5.2).
		e.Leg.Respond(nil, cause.RequestPending())
	}
	return nil
}

func (k *fork) find(leg Leg) *forked {
	for _, f := range k.forks {
		if f.leg == leg {
			return f
		}
	}
	return nil
}

// rang passes ringing and early media on to the caller.
func (k *fork) rang(f *forked, e Rang) {
	c, now := k.call, time.Now()
	if f.record.Ring.IsZero() {
		f.record.Ring = now
	}
	status := e.Status
	if e.Early != nil {
		f.preview = e.Early
	}
	switch {
	case e.Early != nil && c.offer != nil && (k.early == nil || k.early == f.party):
		// The first fork with early media is the one that is heard.
		k.early = f.party
		k.status = status
		c.straighten(f)
		c.Caller().Ring(status, e.Early)
		c.connect(f.party)
	case e.Early != nil && status == 183:
		// Progress of a fork that is not heard, or a preview of an offer that the caller cannot answer yet: it is
		// alerting at best.
		k.tell(180)
	default:
		k.tell(status)
	}
	if c.facts.Ring.IsZero() {
		c.facts.Ring = now
		c.publish()
		c.tell(CallRang{c.Record()})
	}
}

// tell passes a status without a description on, once. 180 after 183 keeps the early media: the leg is given nothing
// that would end it.
func (k *fork) tell(status int) {
	if status == k.status {
		return
	}
	k.status = status
	k.call.Caller().Ring(status, nil)
}

// connected answers the caller with the first answer.
func (k *fork) connected(f *forked, e Connected) *party {
	c, now := k.call, time.Now()
	description := e.Description
	if description == nil {
		// RFC 3261 §13.2.1: the answer may have come in a reliable provisional response, then the 200 has none.
		description = f.preview
	}
	if description == nil {
		c.drop(f.party, cause.NotAcceptable(), now)
		k.lost(f, cause.NotAcceptable())
		return nil
	}
	k.ringing--
	f.record.Answer = now
	c.facts.To.Line, c.facts.To.Device = f.target.Line, f.target.Device
	c.peer = f.party
	if c.offer == nil {
		// The caller made no offer, so this is the callee's: the caller's answer comes with Acked.
		c.owed = f.party
	}
	c.straighten(f)
	c.answer(description, now)
	c.connect(f.party)
	if c.owed == nil {
		c.negotiated()
	}
	return f.party
}

// failed notes that a fork did not come about.
func (k *fork) failed(ctx context.Context, f *forked, e Failed) {
	c := k.call
	why := e.Cause
	if why.IsZero() {
		why = cause.Unreachable()
	}
	c.retire(f.party, why, time.Now())
	if why.SIP >= 300 && why.SIP < 400 {
		if k.Redirect != nil {
			for _, t := range k.Redirect(f.target, e.Contacts) {
				k.start(ctx, t)
			}
		}
		// A redirection is for us, not for the caller.
		why = cause.Unreachable()
		why.Words = cause.WordsRedirected
	}
	k.lost(f, why)
}

// lost counts a fork out.
func (k *fork) lost(f *forked, why cause.Cause) {
	k.ringing--
	if k.early == f.party {
		k.call.disconnect()
		k.early = nil
	}
	if !why.IsRefusal() {
		why = cause.Unreachable() // it went without a word
	}
	k.best = cause.Better(k.best, why)
	if why.IsGlobal() {
		// RFC 3261 §16.7 step 5: a 6xx cancels all that is pending.
		k.abandon(why)
		k.best = why
	}
}

// abandon hangs up every fork that has not answered.
func (k *fork) abandon(why cause.Cause) {
	now := time.Now()
	for _, f := range k.forks {
		if f.gone || f.party == k.call.peer {
			continue
		}
		if k.early == f.party {
			k.call.disconnect()
			k.early = nil
		}
		k.call.drop(f.party, why, now)
		k.ringing--
	}
	k.call.publish()
}
