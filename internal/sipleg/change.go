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
	cseq    uint32
	pending uint32 // CSeq of a 2xx with an offer that waits for Acknowledge
	ack     []byte
	tries   int
	wait    *time.Timer
}

// maxGlare is how often a change is tried again after 491.
const maxGlare = 4

// Offer implements call.Leg.
func (l *Leg) Offer(offer *sdp.Description) {
	switch {
	case l.phase != connected:
		l.tell(call.Answered{Leg: l, Cause: cause.Failed()})
		return
	case l.change != nil && l.change.refresh && l.change.cseq == 0:
		l.change = nil // a refresh that waits gives way: the change refreshes as well
	case l.change != nil || l.asked != nil || l.in != nil:
		l.tell(call.Answered{Leg: l, Cause: cause.RequestPending()})
		return
	}
	var body []byte
	if offer != nil {
		var err error
		if body, err = l.localize(offer); err != nil {
			l.endpoint.Log.Warn("sipleg: offer", "error", err)
			l.tell(call.Answered{Leg: l, Cause: cause.Of(err)})
			return
		}
	}
	l.startChange(&changing{body: body})
}

func (l *Leg) startChange(c *changing) {
	c.leg = l
	l.change = c
	c.send()
}

func (c *changing) send() {
	l := c.leg
	method := sip.INVITE
	if c.refresh && l.allow.Update {
		method = sip.UPDATE // RFC 4028 §7.4: without an offer, so that nothing can change
	}
	b := l.dialog.Request(method)
	c.cseq = l.dialog.LocalSeq
	b.Add(sip.HContact, contact(l.flow, l.user)).Add(sip.HAllow, Allow).Add(sip.HSupported, supported)
	l.endpoint.Timer.Offer(b, l.timer)
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
	c.leg.post(func() { c.responded(m) })
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
	if l.phase != connected {
		return
	}
	isInvite := m.Method() == sip.INVITE
	switch status := m.Status(); {
	case l.change != c:
		if isInvite && status < 300 && c.ack != nil { // the 2xx came again
			if err := l.flow.Send(c.ack); err != nil {
				l.endpoint.Log.Info("sipleg: ACK not repeated", "error", err)
			}
		}
	case m.CSeq() != c.cseq || c.pending != 0:
	case status < 300:
		c.accepted(m, isInvite)
	case status == 491 && c.tries < maxGlare: // RFC 3261 §14.1
		c.tries++
		c.wait = time.AfterFunc(dialog.GlareWait(!l.inbound), func() { l.post(c.again) })
		if !c.refresh {
			return
		}
		c.cseq = 0
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

// again sends the request once more after a glare.
func (c *changing) again() {
	l := c.leg
	if l.phase == connected && l.change == c {
		c.send()
	}
}

// accepted takes the 2xx.
func (c *changing) accepted(m *sip.Message, isInvite bool) {
	l := c.leg
	l.dialog.Refresh(m)
	l.allow.learn(m)
	l.timer = l.endpoint.Timer.Result(m)
	l.startTimer()
	var description *sdp.Description
	if body := m.SDP(); body != nil && (!c.refresh || isInvite) {
		var err error
		if description, err = l.learn(body); err != nil {
			l.endpoint.Log.Info("sipleg: answer refused", "error", err)
		}
	}
	if isInvite && c.body == nil {
		c.pending = c.cseq // the answer goes into the ACK
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

// ackChange completes a re-INVITE without offer.
func (l *Leg) ackChange(body []byte) {
	c := l.change
	c.acknowledge(body)
	l.change = nil
}

func (c *changing) acknowledge(body []byte) {
	l := c.leg
	b := l.dialog.ACK(c.cseq)
	if body != nil {
		b.Body("application/sdp", body)
	}
	var err error
	if c.ack, err = l.endpoint.Transactions.Send(b, l.flow); err != nil {
		l.endpoint.Log.Info("sipleg: ACK not sent", "error", err)
	}
}

// Info implements call.Leg.
func (l *Leg) Info(contentType string, body []byte) {
	if l.phase != connected {
		return
	}
	l.send(l.dialog.Request(sip.INFO).Body(contentType, body), discard{})
}
