package sipleg

import (
	"bytes"
	"strings"
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
	timer    dialog.SessionTimer
	value    string // Session-Expires of the 2xx
	require  bool
	before   []byte // the party's description that is in force until this one is accepted
}

// request takes a request inside the dialog, on the call's goroutine. tx is nil for ACK.
func (l *Leg) request(tx *transaction.Server, m *sip.Message) {
	if l.phase == ended {
		if !l.afterwards(tx, m) && tx != nil {
			tx.Respond(sip.NewResponse(m, 481, "", transaction.NewTag()))
		}
		return
	}
	d := l.dialogOf(m)
	switch {
	case d == nil && tx != nil:
		tx.Respond(sip.NewResponse(m, 481, "", transaction.NewTag()))
		return
	case d == nil:
		return
	case tx == nil:
		l.acknowledged(m)
		return
	}
	if err := d.Receive(m); err != nil {
		tx.Respond(l.response(m, 500, "CSeq Out Of Order")) // RFC 3261 §12.2.2
		return
	}
	if tags := Unsupported(m); tags != nil { // RFC 3261 §8.2.2.3
		tx.Respond(l.response(m, 420, "").Add(sip.HUnsupported, strings.Join(tags, ", ")))
		return
	}
	if d != l.dialog {
		l.early(tx, m)
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
			l.informed(m)
		}
	case sip.OPTIONS:
		l.capabilities(tx, m)
	default:
		tx.Respond(l.response(m, 405, "").Add(sip.HAllow, Allow))
	}
}

// dialogOf is the dialog of a request: the leg's, or an early one of its INVITE; nil for a stranger.
func (l *Leg) dialogOf(m *sip.Message) *dialog.Dialog {
	switch {
	case l.dialog != nil && l.dialog.Matches(m):
		return l.dialog
	case l.dialog == nil && l.out != nil:
		for _, e := range l.out.early {
			if e.dialog.Matches(m) {
				return e.dialog
			}
		}
	}
	return nil
}

// early takes a request of the party inside a dialog that our INVITE has made and no 2xx has confirmed.
func (l *Leg) early(tx *transaction.Server, m *sip.Message) {
	switch {
	case m.Method() == sip.UPDATE && len(m.Body()) > 0:
		// RFC 3311 §5.2: our offer is not answered yet.
		tx.Respond(l.response(m, 491, ""))
	case m.Method() == sip.UPDATE:
		tx.Respond(l.response(m, 200, "").Add(sip.HAllow, Allow))
	case m.Method() == sip.INFO:
		tx.Respond(l.response(m, 200, ""))
	case m.Method() == sip.OPTIONS:
		l.capabilities(tx, m)
	default: // RFC 3261 §15: a callee ends an early dialog with a refusal, not with BYE
		tx.Respond(l.response(m, 405, "").Add(sip.HAllow, Allow))
	}
}

// capabilities answers OPTIONS: RFC 3261 §11.2.
func (l *Leg) capabilities(tx *transaction.Server, m *sip.Message) {
	tx.Respond(l.response(m, 200, "").Add(sip.HAllow, Allow).Add(sip.HAccept, "application/sdp").Add(sip.HSupported, supported))
}

// asks takes a re-INVITE or UPDATE.
func (l *Leg) asks(tx *transaction.Server, m *sip.Message) {
	body := m.SDP()
	if l.change != nil && l.change.wait != nil {
		l.change.giveWay() // RFC 3261 §14.1: who waits after a 491 has nothing under way
	}
	if b := l.refusal(m, body); b != nil {
		tx.Respond(b)
		return
	}
	t, value, require, tooSmall := l.endpoint.Timer.Accept(m)
	if tooSmall {
		tx.Respond(l.response(m, 422, "").AddUint(sip.HMinSE, l.endpoint.Timer.MinSESeconds()))
		return
	}
	if l.asked != nil { // its ACK was lost, but who goes on has seen the 2xx
		l.asked.tx.Acknowledged()
	}
	l.allow.learn(m)
	l.asked = &asking{tx: tx, req: m, offered: body != nil, timer: t, value: value, require: require, before: l.theirs}
	switch {
	case m.Method() == sip.UPDATE && body == nil:
		l.accept(nil)
		return
	case body != nil && bytes.Equal(body, l.theirs) && l.ours != nil && l.phase == connected:
		// A refresh: nothing changes, so the other party need not hear of it (RFC 4028 §7.4).
		l.accept(l.ours)
		return
	}
	if m.Method() == sip.INVITE {
		tx.Respond(sip.NewResponse(m, 100, "", ""))
	}
	var offer *sdp.Description
	if body != nil {
		var err error
		if offer, err = l.learn(body, offers); err != nil {
			l.endpoint.Log.Info("sipleg: offer refused", "error", err)
			tx.Respond(addWarning(l.response(m, statusOf(err), ""), err))
			l.asked = nil
			return
		}
	}
	l.tell(call.Updated{Leg: l, Offer: offer})
}

// refusal is what a re-INVITE or UPDATE gets that cannot be taken now, or not at all; else nil.
func (l *Leg) refusal(m *sip.Message, body []byte) *sip.Builder {
	isInvite := m.Method() == sip.INVITE
	retry := func(seconds string) *sip.Builder {
		return l.response(m, 500, "Request In Progress").Add(sip.HRetryAfter, seconds)
	}
	switch {
	case !Readable(m): // RFC 3261 §8.2.3
		return AddReadable(l.response(m, 415, ""))
	case isInvite && l.phase == inviting:
		return retry("5") // RFC 3261 §14.2: a second INVITE before the first has its final response
	case l.asked != nil && !l.asked.answered:
		return retry("2") // RFC 3261 §14.2, RFC 3311 §5.2: the party's own offer is not answered yet
	case l.phase == inviting && body != nil && l.in.offered:
		return retry("5") // RFC 3311 §5.2: likewise
	case body == nil && !isInvite:
		return nil // no offer, nothing to collide with
	case l.change != nil, l.in != nil && !l.in.offered, l.asked != nil && !l.asked.offered:
		return l.response(m, 491, "") // RFC 3261 §14.2, RFC 3311 §5.2: our own offer is under way
	}
	return nil
}

// Respond implements call.Leg.
func (l *Leg) Respond(answer *sdp.Description, refusal cause.Cause) {
	ask := l.asked
	if ask == nil || ask.answered || l.phase == ended {
		return
	}
	if !refusal.IsRefusal() && answer != nil {
		body, err := l.localize(answer, role(ask.offered))
		if err == nil {
			l.ours = body
			l.accept(body)
			return
		}
		l.endpoint.Log.Warn("sipleg: answer", "error", err)
		refusal = causeOfMedia(err)
	}
	if !refusal.IsRefusal() {
		refusal = cause.NotAcceptable()
	}
	// RFC 3261 §14.2: the session stays as it was.
	if ask.offered {
		l.media.Rollback()
		l.theirs = ask.before
	}
	b := l.response(ask.req, refusal.SIP, "")
	if r := refusal.ResponseReason(); r != "" {
		b.Add(sip.HReason, r)
	}
	ask.tx.Respond(addWarning(b, l.trouble))
	l.asked = nil
}

// accept sends the 2xx to what the party asked: only now the request takes its effect on the dialog.
func (l *Leg) accept(body []byte) {
	ask := l.asked
	spoken, _ := ask.tx.Flow().(Flow)
	l.refreshTarget(ask.req, spoken)
	b := l.response(ask.req, 200, "").Add(sip.HAllow, Allow).Add(sip.HSupported, supported)
	if l.phase == connected { // in an early dialog the 2xx to the INVITE will say it
		addTimer(b, ask.value, ask.require)
		l.timer = ask.timer
	}
	if body != nil {
		b.Body("application/sdp", body)
	}
	ask.tx.SetHandler(l)
	ask.tx.Respond(b)
	ask.answered = true
	if ask.req.Method() == sip.UPDATE {
		l.asked = nil // an UPDATE has no ACK
	}
	l.startTimer()
}

// refreshTarget takes the party's Contact from a request that is accepted, or from a 2xx (RFC 3261 §12.2.1.2, §12.2.2),
// and finds the way to it. spoken is the flow on which it came; nil is the one so far.
func (l *Leg) refreshTarget(m *sip.Message, spoken Flow) {
	before := l.dialog.NextHop()
	l.dialog.Refresh(m)
	if l.dialog.NextHop() != before || spoken != nil && spoken.Remote() != l.way.now().Remote() {
		l.follow(spoken)
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
