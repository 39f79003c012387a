package call

import "dialtone/internal/cause"

// straighten lets the caller's media go the way of the one that it is to hear: straight to it, or through us.
func (c *Call) straighten(f *forked) {
	if m := c.Caller().Media(); m != nil {
		m.SetDirect(f.target.Direct)
	}
	if c.facts.Bypassed = f.target.Direct; f.target.Direct && c.offer != nil {
		c.words = c.offer
	}
}

// IsDirect reports whether the media of the call goes straight between the parties.
func (c *Call) IsDirect() bool {
	if c.peer == nil {
		return false
	}
	a, b := c.Caller().Media(), c.peer.leg.Media()
	return a != nil && b != nil && a.IsDirect() && b.IsDirect()
}

// Anchor brings the media of a connected call here, when it goes straight between the parties: somebody is to listen, record
// or convert. The called party is asked for an offer, which goes to the caller with our addresses, and back (RFC 3725 §4.4).
// What comes of it is told by CallNegotiated; a party that refuses leaves the call as it was. It runs on the call's goroutine.
func (c *Call) Anchor() {
	if !c.IsDirect() || c.change != nil || c.owed != nil || c.words == nil {
		return
	}
	c.setDirect(false)
	c.change = &change{from: c.parties[0], to: c.peer, ours: true}
	c.peer.leg.Offer(nil)
}

func (c *Call) setDirect(on bool) {
	for _, leg := range [...]Leg{c.Caller(), c.peer.leg} {
		if m := leg.Media(); m != nil {
			m.SetDirect(on)
		}
	}
}

// anchored takes the steps of Anchor: the called party's offer goes to the caller, the caller's answer back.
func (c *Call) anchored(e Answered) {
	ch := c.change
	if e.Cause.IsRefusal() || e.Description == nil {
		c.setDirect(true)
	}
	switch {
	case e.Cause.IsRefusal() || e.Description == nil:
		c.change = nil
		if e.Leg == ch.from.leg && c.words != nil { // the called party waits for an answer: that of before
			ch.to.leg.Acknowledge(c.words)
		}
		if e.Cause.SIP != cause.RequestPending().SIP {
			c.registry.log.Info("call: media stays direct", "call", c.ID(), "cause", e.Cause.Words)
		}
	case e.Leg == ch.to.leg:
		ch.from.leg.Offer(e.Description)
	default:
		c.change = nil
		ch.to.leg.Acknowledge(e.Description)
		c.settle(ch, ch.from.record.OnHold)
	}
}

// reachable reports whether both parties of a direct call are where their descriptions say.
func (c *Call) reachable() bool {
	return !c.IsDirect() || c.Caller().Media().CanBeDirect() && c.peer.leg.Media().CanBeDirect()
}
