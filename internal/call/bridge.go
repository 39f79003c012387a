package call

import (
	"context"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
)

// change is a re-INVITE on its way through the call. At most one is under way.
type change struct {
	from, to *party
	held     bool // what from asks for: the other party on hold
	asked    bool // from made an offer; else the far end makes it and from answers in its ACK
	answered bool // from has the far end's offer and owes its answer
	ours     bool // nobody asked: the exchange itself brings the media here
}

// Bridge keeps the caller and the leg that Dial returned connected until one of them goes, and returns why. Changes of
// the media that a party asks for are carried to the other one and its answer back; hold and resume are such changes.
// While one is under way another one is refused with 491 (RFC 3261 §14.2).
func (c *Call) Bridge(_ context.Context, leg Leg) cause.Cause {
	peer := c.find(leg)
	if peer == nil {
		if c.over.IsZero() {
			return cause.Failed()
		}
		return c.over
	}
	c.peer = peer
	c.connect(peer)
	if c.owed == nil && !c.reachable() {
		c.Anchor() // a party behind a NAT is not where its description says
	}
	for {
		e, err := c.Next(time.Time{})
		if err != nil {
			return c.over
		}
		switch e := e.(type) {
		case Ended:
			if e.Leg == leg {
				return peer.record.Cause
			}
		case Acked:
			if why := c.acked(e); !why.IsZero() {
				return why
			}
		case Updated:
			c.updated(e)
		case Answered:
			c.answered(e)
		case Pressed:
			other := c.other(e.Leg)
			if other != nil && (e.Signalled || !media.Conveys(e.Leg.Media(), other.leg.Media())) {
				other.leg.Press(e.Digit, e.DurationMS)
			}
		case Informed:
			if other := c.other(e.Leg); other != nil {
				other.leg.Info(e.ContentType, e.Body)
			}
		}
	}
}

// other is the party on the far side of leg.
func (c *Call) other(leg Leg) *party {
	switch {
	case c.peer == nil:
		return nil
	case leg == c.peer.leg:
		return c.parties[0]
	case leg == c.parties[0].leg:
		return c.peer
	}
	return nil
}

// acked passes on the answer that came in an ACK.
func (c *Call) acked(e Acked) cause.Cause {
	switch {
	case c.owed != nil && e.Leg == c.Caller():
		if e.Description == nil {
			// RFC 3264 §4: the offer in our 200 was never answered; there is no session.
			return cause.NotAcceptable().By(cause.Caller)
		}
		c.owed.leg.Acknowledge(e.Description)
		c.owed, c.delayed = nil, false
		c.connect(c.peer)
		c.negotiated()
	case c.change != nil && c.change.answered && e.Leg == c.change.from.leg:
		ch := c.change
		c.change = nil
		if e.Description == nil {
			return cause.NotAcceptable().By(c.sideOf(ch.from))
		}
		ch.to.leg.Acknowledge(e.Description)
		c.settle(ch, ch.from.record.OnHold)
	case c.unsaved:
		c.negotiated() // the answer has been waiting in the leg; now there is a state to keep
	}
	return cause.Cause{}
}

// updated carries a party's wish to change the media to the other party.
func (c *Call) updated(e Updated) {
	from, to := c.find(e.Leg), c.other(e.Leg)
	if from == nil || to == nil || to.gone {
		e.Leg.Respond(nil, cause.Failed())
		return
	}
	if c.change != nil || c.owed != nil {
		// RFC 3261 §14.2: a second INVITE while one is in progress gets 491.
		e.Leg.Respond(nil, cause.RequestPending())
		return
	}
	c.change = &change{from: from, to: to, asked: e.Offer != nil}
	if c.words != nil && from == c.parties[0] && e.Offer != nil {
		c.words = e.Offer
	}
	if e.Offer != nil {
		c.change.held = e.Offer.OnHold()
	}
	to.leg.Offer(e.Offer)
}

// answered carries the result back.
func (c *Call) answered(e Answered) {
	if c.words != nil && e.Leg == c.Caller() && e.Description != nil {
		c.words = e.Description
	}
	ch := c.change
	if ch != nil && ch.ours {
		c.anchored(e)
		return
	}
	if ch == nil || ch.answered || e.Leg != ch.to.leg {
		return
	}
	switch {
	case e.Cause.IsRefusal():
		// RFC 3261 §14.1: a refused change leaves the session as it was.
		c.change = nil
		ch.from.leg.Respond(nil, e.Cause)
	case e.Description == nil:
		c.change = nil
		ch.from.leg.Respond(nil, cause.NotAcceptable())
	case !ch.asked:
		// The far end made the offer; its answer comes with the ACK of the party that asked.
		ch.answered = true
		ch.from.leg.Respond(e.Description, cause.Cause{})
		c.noteHold(ch.to, e.Description)
	default:
		c.change = nil
		ch.from.leg.Respond(e.Description, cause.Cause{})
		c.settle(ch, ch.held)
	}
}

// settle finishes a change.
func (c *Call) settle(ch *change, held bool) {
	ch.from.record.OnHold = held
	c.connect(c.peer)
	c.updateHold()
	c.negotiated()
}

// noteHold remembers whether the maker of an offer holds the other party.
func (c *Call) noteHold(p *party, offer *sdp.Description) { p.record.OnHold = offer.OnHold() }

// updateHold compares what the parties do with what the call knew.
func (c *Call) updateHold() {
	now := time.Now()
	held := false
	for _, p := range c.parties {
		held = held || !p.gone && p.record.OnHold
	}
	if held == c.facts.OnHold {
		return
	}
	if held {
		c.facts.OnHold, c.heldFrom = true, now
		c.publish()
		c.tell(CallHeld{c.Record()})
		return
	}
	c.settleHold(now)
	c.watched = now // nobody had to send anything meanwhile
	c.publish()
	c.tell(CallResumed{c.Record()})
}

// settleHold adds a hold that ends now.
func (c *Call) settleHold(now time.Time) {
	if c.facts.OnHold {
		c.facts.OnHold = false
		c.facts.Hold += now.Sub(c.heldFrom)
	}
}

// negotiated tells observers that there is a new state worth keeping.
func (c *Call) negotiated() {
	for _, p := range c.parties {
		if m := p.media(); m != nil {
			p.record.Streams = m.Stats() // what was agreed: the live view shows the codec
		}
	}
	c.publish()
	c.tell(CallNegotiated{Record: c.Record(), State: c.state})
}

func (c *Call) sideOf(p *party) cause.Party {
	if p == c.parties[0] {
		return cause.Caller
	}
	return cause.Callee
}

// connect lets the caller and p hear each other.
func (c *Call) connect(p *party) {
	a, b := c.Caller().Media(), p.leg.Media()
	if a == nil || b == nil {
		return
	}
	c.entertain(c.parties[0], p)
	c.entertain(p, c.parties[0])
	media.Bridge(a, b) // takes a away from whom it was bridged with
	c.bridged = b
}

// entertain plays music to a party that the other one holds, as long as its description lets it hear something, in place of
// what the holder may send. RFC 3264 §8.4: who is held goes on receiving unless it was told not to send and receive at all.
func (c *Call) entertain(holder, held *party) {
	a, b := holder.media(), held.media()
	if c.registry.config.Music == nil || a == nil || b == nil || c.IsDirect() {
		return
	}
	if !holder.record.OnHold || b.Held() {
		if held.music != nil {
			held.music.Stop()
			held.music = nil
			a.Hush(false)
		}
		return
	}
	if held.music != nil {
		return
	}
	rate, ok := b.VoiceRate()
	if !ok {
		return // nothing that we could play would be understood
	}
	a.Hush(true)
	playing, err := b.Play(c.registry.config.Music.Music(rate))
	if err != nil {
		a.Hush(false)
		return
	}
	held.music = playing
}

// disconnect undoes connect.
func (c *Call) disconnect() {
	if c.bridged == nil {
		return
	}
	if a := c.Caller().Media(); a != nil {
		media.Unbridge(a, c.bridged)
	}
	c.bridged = nil
}
