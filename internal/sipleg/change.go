package sipleg

import (
	"errors"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/sdp"
	"dialtone/internal/sip"
	"dialtone/internal/sip/dialog"
	"dialtone/internal/sip/transaction"
)

// changing is our own re-INVITE or UPDATE.
type changing struct {
	leg     *Leg
	body    []byte // the offer; nil asks the party to make it
	refresh bool   // only the session timer: the call knows nothing of it
	policy  dialog.TimerPolicy
	cseq    uint32
	pending bool   // its 2xx had an offer and waits for Acknowledge
	auth    string // credentials of the request, for its ACK
	ack     sentACK
	tries   int
	wait    *time.Timer // after a 491; nil while the request is under way
}

// maxGlare is how often a change is tried again after 491.
const maxGlare = 4

// Offer implements call.Leg.
func (l *Leg) Offer(offer *sdp.Description) {
	switch {
	case l.phase != connected:
		l.tell(call.Answered{Leg: l, Cause: cause.Failed()})
		return
	case l.change != nil && l.change.refresh && l.change.wait != nil:
		l.change.giveWay() // the change refreshes as well
	case l.change == nil && l.awaitsACK():
		// RFC 3261 §14.1: not while the party's own INVITE transaction is in progress; its ACK is under way.
		l.afterACK = func() { l.Offer(offer) }
		return
	case l.change != nil || l.asked != nil || l.in != nil:
		l.tell(call.Answered{Leg: l, Cause: cause.RequestPending()})
		return
	}
	var body []byte
	if offer != nil {
		var err error
		if body, err = l.localize(offer, offers); err != nil {
			l.endpoint.Log.Warn("sipleg: offer", "error", err)
			l.tell(call.Answered{Leg: l, Cause: causeOfMedia(err)})
			return
		}
	}
	l.startChange(&changing{body: body})
}

// awaitsACK tells whether all that stands in the way of an offer of ours is an ACK without an answer.
func (l *Leg) awaitsACK() bool {
	if l.asked != nil {
		return l.asked.answered && l.asked.offered && l.in == nil
	}
	return l.in != nil && l.in.offered
}

func (l *Leg) startChange(c *changing) {
	c.leg, c.policy = l, l.endpoint.Timer
	l.change = c
	c.send()
}

// giveWay ends a change that waits after a 491.
func (c *changing) giveWay() {
	c.wait.Stop()
	c.leg.change = nil
	if !c.refresh {
		c.leg.tell(call.Answered{Leg: c.leg, Cause: cause.RequestPending()})
	}
}

func (c *changing) send() {
	l := c.leg
	method := sip.INVITE
	if c.refresh && l.allow.Update {
		method = sip.UPDATE // RFC 4028 §7.4: without an offer, so that nothing can change
	}
	b := l.dialog.Request(method)
	c.cseq = l.dialog.LocalSeq
	b.Add(sip.HContact, contact(l.way.now(), l.user, l.secure)).Add(sip.HAllow, Allow).Add(sip.HSupported, supported)
	c.policy.Offer(b, l.timer)
	c.auth = l.account.authorize(b, method.String(), l.dialog.Target)
	if method == sip.INVITE && c.body != nil {
		b.Body("application/sdp", c.body)
	}
	l.send(b, c)
}

// HandleResponse implements transaction.ClientHandler. It runs on a worker.
func (c *changing) HandleResponse(_ *transaction.Client, m *sip.Message) {
	if m.Status() < 200 {
		return
	}
	m = m.Clone()
	if !c.leg.post(func() { c.responded(m) }) && c.leg.isOver.Load() {
		c.late(m)
	}
}

// late acknowledges a 2xx that came after the end of the leg: RFC 3261 §13.2.2.4 knows no exception.
func (c *changing) late(m *sip.Message) {
	l := c.leg
	if m.Method() != sip.INVITE || m.Status() >= 300 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.acknowledge(nil)
}

// HandleFailure implements transaction.ClientHandler.
func (c *changing) HandleFailure(_ *transaction.Client, err error) {
	c.leg.post(func() {
		l := c.leg
		if l.phase != connected || l.change != c {
			return
		}
		// RFC 3261 §12.2.1.2: no answer to a request inside the dialog ends the dialog.
		why := cause.NoResponse()
		if errors.Is(err, transaction.ErrTransport) {
			why = cause.ConnectionLost()
		}
		l.bye(why.RequestReason())
		l.over(why)
	})
}

func (c *changing) responded(m *sip.Message) {
	l := c.leg
	if l.phase == ended {
		c.late(m)
		return
	}
	isInvite := m.Method() == sip.INVITE
	switch status := m.Status(); {
	case l.change != c:
		if isInvite && status < 300 && m.CSeq() == c.cseq { // the 2xx came again
			l.repeat(&c.ack)
		}
	case m.CSeq() != c.cseq || c.pending:
	case status < 300:
		c.accepted(m, isInvite)
	case status == 491 && c.tries < maxGlare: // RFC 3261 §14.1
		c.tries++
		c.wait = time.AfterFunc(dialog.GlareWait(!l.inbound), func() { l.post(c.again) })
	case status == 422 && c.raise(m), (status == 401 || status == 407) && c.tries < maxGlare && l.account.challenged(m):
		c.tries++
		c.send()
	case status == 408 || status == 481: // RFC 3261 §12.2.1.2
		l.bye("")
		l.over(causeOf(m, cause.FromSIP(status)))
	default:
		l.change = nil
		if c.refresh {
			// RFC 4028 §7.4, §10: the session goes on until it expires; the next refresh may do better.
			l.refresh = time.AfterFunc(max(l.timer.Interval/4, time.Second), func() { l.post(l.timerDue) })
			return
		}
		l.tell(call.Answered{Leg: l, Cause: causeOf(m, cause.FromSIP(status))})
	}
}

// raise takes the Min-SE of a 422: RFC 4028 §7.3.
func (c *changing) raise(m *sip.Message) bool {
	p, ok := c.policy.Raise(m)
	c.policy = p
	return ok
}

// again sends the request once more after a glare.
func (c *changing) again() {
	l := c.leg
	if l.phase == connected && l.change == c {
		c.wait = nil
		c.send()
	}
}

// accepted takes the 2xx.
func (c *changing) accepted(m *sip.Message, isInvite bool) {
	l := c.leg
	l.account.accepted()
	l.refreshTarget(m, nil)
	l.allow.learn(m)
	l.timer = c.policy.Result(m, l.timer)
	l.startTimer()
	var description *sdp.Description
	if body := m.SDP(); body != nil && (!c.refresh || isInvite) {
		var err error
		if description, err = l.learn(body, role(c.body != nil)); err != nil {
			// RFC 3261 §14.1 knows no way back from an answer that cannot be read: both sides think otherwise now.
			l.endpoint.Log.Info("sipleg: answer refused", "error", err)
			if isInvite {
				c.acknowledge(nil)
			}
			l.bye(cause.NotAcceptable().RequestReason())
			l.over(cause.NotAcceptable())
			return
		}
	}
	if isInvite && c.body == nil && description != nil {
		c.pending = true // the answer goes into the ACK
	} else {
		if isInvite {
			c.acknowledge(nil)
		}
		if c.body != nil {
			l.ours = c.body
		}
		l.change = nil
	}
	if !c.refresh {
		l.tell(call.Answered{Leg: l, Description: description})
	}
}

func (c *changing) acknowledge(body []byte) {
	l := c.leg
	b := l.dialog.ACK(c.cseq)
	if c.auth != "" {
		b.Add(l.account.header, c.auth) // RFC 3261 §22.1
	}
	if body != nil {
		b.Body("application/sdp", body)
	}
	l.acknowledge(b, &c.ack)
}

// Info implements call.Leg.
func (l *Leg) Info(contentType string, body []byte) {
	if l.phase != connected || contentType == typeMediaControl && l.media != nil && l.media.RequestPicture() {
		return
	}
	b := l.dialog.Request(sip.INFO)
	l.account.authorize(b, "INFO", l.dialog.Target)
	l.send(b.Body(contentType, body), discard{})
}
