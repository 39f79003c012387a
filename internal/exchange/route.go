package exchange

import (
	"context"

	"dialtone/internal/admission"
	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/dialplan"
	"dialtone/internal/directory"
)

// route is one call on its way through its plan. It lives on the call's goroutine.
type route struct {
	exchange *Exchange
	snapshot *directory.Snapshot // of the moment in which the call came: a change meanwhile does not bend it
	inv      Invitation
	line     *directory.Line // the calling line; nil for a party outside
	plan     dialplan.Plan
}

// from is how the caller is shown.
func (r *route) from() call.Side {
	s := call.Side{Number: r.inv.Number, Name: r.inv.Name, Device: r.inv.Device}
	if r.line != nil {
		s.Number, s.Line = r.line.Number, r.line.Number
		if r.line.Name != "" {
			s.Name = r.line.Name
		}
	}
	return s
}

// serve is the service of an inbound call: the steps of the plan, until one has settled the call.
func (r *route) serve(ctx context.Context, c *call.Call) cause.Cause {
	if r.inv.MaxForwards <= 0 {
		// RFC 3261 §16.3 item 3, applied to a B2BUA (RFC 7332 §4): the count is kept across us, so loops end.
		return cause.TooManyHops()
	}
	release, ok := r.admit()
	if !ok {
		return admission.Outbound.Refusal()
	}
	defer release()
	why := cause.UnknownNumber()
	for i, step := range r.plan.Steps {
		c.Step(step.String(), r.plan.Reasons[i])
		var settled bool
		if why, settled = r.take(ctx, c, step); settled || !c.Cause().IsZero() {
			break
		}
	}
	return why
}

// admit counts the call for the calling line.
func (r *route) admit() (release func(), ok bool) {
	if r.line == nil {
		return func() {}, true
	}
	line := admission.Line{Tenant: r.inv.Tenant, Number: r.line.Number}
	if r.plan.Emergency != "" {
		return r.exchange.lines.TakeEmergency(line), true
	}
	return r.exchange.lines.Take(line, r.line.CallLimit())
}

// take runs one step. settled tells that the call is over because of it and no further step should be taken.
func (r *route) take(ctx context.Context, c *call.Call, step dialplan.Step) (why cause.Cause, settled bool) {
	switch step := step.(type) {
	case dialplan.Dial:
		return r.dial(ctx, c, step)
	case dialplan.Room:
		c.SetTo(call.Side{Number: step.Room.Number, Name: step.Room.Name})
		return r.exchange.config.Rooms.Join(ctx, c, step.Room), true
	case dialplan.Music:
		c.SetTo(call.Side{Number: r.plan.Number})
		return r.exchange.music(c), true
	case dialplan.Echo:
		c.SetTo(call.Side{Number: r.plan.Number})
		return echo(c), true
	case dialplan.Refuse:
		return step.Cause, true
	}
	return cause.Failed(), true
}
