package sipleg

import (
	"bytes"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/sdp"
	"dialtone/internal/sip"
	"dialtone/internal/sip/dialog"
	"dialtone/internal/sip/transaction"
)

// asking is a re-INVITE or UPDATE of the party that waits for the call's Respond.
type asking struct {
	tx       *transaction.Server
	req      *sip.Message
	offered  bool // it had an offer
	answered bool // the 2xx is out, the ACK is not here yet
	value    string
	require  bool
}

// request takes a request inside the dialog, on the call's goroutine. tx is nil for ACK.
func (l *Leg) request(tx *transaction.Server, m *sip.Message) {
	if l.phase == ended || l.dialog == nil || !l.dialog.Matches(m) {
		if tx != nil {
			tx.Respond(sip.NewResponse(m, 481, "", transaction.NewTag()))
		}
		return
	}
	if tx == nil {
		l.acknowledged(m)
		return
	}
	if err := l.dialog.Receive(m); err != nil {
		tx.Respond(l.response(m, 500, "CSeq Out Of Order")) // RFC 3261 §12.2.2
		return
	}
	switch m.Method() {
	case sip.BYE:
		tx.Respond(l.response(m, 200, ""))
		if l.phase == inviting { // BYE inside an early dialog: RFC 3261 §15
			l.refuse(cause.Cancelled())
		}
		l.over(causeOf(m, cause.Normal("")))
	case sip.INVITE, sip.UPDATE:
		l.asks(tx, m)
	case sip.PRACK:
		l.pracked(tx, m)
	case sip.INFO:
		tx.Respond(l.response(m, 200, ""))
		if len(m.Body()) > 0 {
			l.tell(call.Informed{Leg: l, ContentType: string(m.ContentType()), Body: m.Body()})
		}
	case sip.OPTIONS:
		tx.Respond(l.response(m, 200, "").Add(sip.HAllow, Allow).Add(sip.HAccept, "application/sdp").Add(sip.HSupported, supported))
	default:
		tx.Respond(l.response(m, 405, "").Add(sip.HAllow, Allow))
	}
}

// asks takes a re-INVITE or UPDATE.
func (l *Leg) asks(tx *transaction.Server, m *sip.Message) {
	body := m.SDP()
	switch {
	case m.Method() == sip.INVITE && l.phase == inviting:
		// RFC 3261 §14.2: a second INVITE before the first has its final response.
		tx.Respond(l.response(m, 500, "Request In Progress").Add(sip.HRetryAfter, "5"))
		return
	case l.asked != nil && !l.asked.answered:
		tx.Respond(l.response(m, 500, "Request In Progress").Add(sip.HRetryAfter, "2"))
		return
	case l.change != nil && (body != nil || m.Method() == sip.INVITE), l.phase == inviting && body != nil:
		// RFC 3261 §14.2, RFC 3311 §5.2: our own offer is under way, or the first one is not answered yet.
		tx.Respond(l.response(m, 491, ""))
		return
	}
	t, value, require, tooSmall := l.endpoint.Timer.Accept(m)
	if tooSmall {
		tx.Respond(l.response(m, 422, "").AddUint(sip.HMinSE, l.endpoint.Timer.MinSESeconds()))
		return
	}
	l.allow.learn(m)
	l.chooseFlow()
	ask := &asking{tx: tx, req: m, offered: body != nil, value: value, require: require}
	refreshed := func() { l.timer = t; l.startTimer() }
	switch {
	case m.Method() == sip.UPDATE && body == nil:
		b := l.response(m, 200, "").Add(sip.HAllow, Allow)
		addTimer(b, value, require)
		tx.Respond(b)
		refreshed()
		return
	case body != nil && bytes.Equal(body, l.theirs) && l.ours != nil:
		// A refresh: nothing changes, so the other party need not hear of it (RFC 4028 §7.4).
		l.asked = ask
		l.accept(l.ours)
		refreshed()
		return
	}
	if m.Method() == sip.INVITE {
		tx.Respond(sip.NewResponse(m, 100, "", ""))
	}
	tx.SetHandler(l)
	var offer *sdp.Description
	if body != nil {
		var err error
		theirs := l.theirs
		if offer, err = l.learn(body); err != nil {
			l.endpoint.Log.Info("sipleg: offer refused", "error", err)
			status, reason := statusOf(err)
			l.theirs = theirs
			tx.Respond(l.response(m, status, reason))
			return
		}
	}
	refreshed()
	l.asked = ask
	l.tell(call.Updated{Leg: l, Offer: offer})
}

// Respond implements call.Leg.
func (l *Leg) Respond(answer *sdp.Description, refusal cause.Cause) {
	ask := l.asked
	if ask == nil || ask.answered || l.phase == ended {
		return
	}
	if !refusal.IsRefusal() && answer != nil {
		body, err := l.localize(answer)
		if err == nil {
			l.ours = body
			l.accept(body)
			return
		}
		l.endpoint.Log.Warn("sipleg: answer", "error", err)
		refusal = cause.Of(err)
	}
	if !refusal.IsRefusal() {
		refusal = cause.NotAcceptable()
	}
	// RFC 3261 §14.2: the session stays as it was.
	if ask.offered {
		l.media.Rollback()
		l.theirs = nil // what is in force now is older: no refresh is told by it
	}
	b := l.response(ask.req, refusal.SIP, "")
	if r := refusal.ResponseReason(); r != "" {
		b.Add(sip.HReason, r)
	}
	ask.tx.Respond(b)
	l.asked = nil
}

// accept sends the 2xx to what the party asked.
func (l *Leg) accept(body []byte) {
	ask := l.asked
	b := l.response(ask.req, 200, "").Add(sip.HAllow, Allow).Add(sip.HSupported, supported)
	addTimer(b, ask.value, ask.require)
	ask.tx.SetHandler(l)
	ask.tx.Respond(b.Body("application/sdp", body))
	ask.answered = true
	if ask.req.Method() == sip.UPDATE {
		l.asked = nil // an UPDATE has no ACK
	}
}

// pracked takes a PRACK: RFC 3262 §3.
func (l *Leg) pracked(tx *transaction.Server, m *sip.Message) {
	in := l.in
	if in == nil || in.rseq == 0 || !dialog.AckedBy(m, in.rseq, in.cseq) {
		tx.Respond(l.response(m, 481, ""))
		return
	}
	in.tx.Pracked()
	in.rseq = 0
	if m.SDP() != nil {
		// A further offer in the PRACK (§5): the call settles it after the answer, not before.
		tx.Respond(l.response(m, 488, ""))
	} else {
		tx.Respond(l.response(m, 200, ""))
	}
	if next := in.queued; next != nil {
		in.queued = nil
		next()
	}
}

// startTimer restarts the session timer.
func (l *Leg) startTimer() {
	if l.refresh != nil {
		l.refresh.Stop()
		l.refresh = nil
	}
	if l.timer.Interval == 0 || l.phase != connected {
		return
	}
	l.refresh = time.AfterFunc(l.timer.Due(), func() { l.post(l.timerDue) })
}

// timerDue refreshes the session, or gives it up because the party did not: RFC 4028 §10.
func (l *Leg) timerDue() {
	if l.phase != connected {
		return
	}
	if !l.timer.Refresh {
		c := cause.SessionExpired()
		l.bye(c.RequestReason())
		l.over(c)
		return
	}
	if l.change != nil || l.asked != nil {
		l.refresh = time.AfterFunc(time.Second, func() { l.post(l.timerDue) })
		return
	}
	l.startChange(&changing{refresh: true, body: l.ours})
}
