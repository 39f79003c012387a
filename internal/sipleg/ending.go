package sipleg

import (
	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
)

// Hangup implements call.Leg.
func (l *Leg) Hangup(c cause.Cause) {
	switch {
	case l.phase == ended:
		return
	case l.phase == connected:
		l.bye(c.RequestReason())
	case l.inbound:
		l.refuse(c)
	default:
		l.giveUp(c.RequestReason())
	}
	l.end()
}

// over ends the leg because of what the party, or the lack of it, did.
func (l *Leg) over(c cause.Cause) {
	if l.phase == ended {
		return
	}
	l.end()
	l.tell(call.Ended{Leg: l, Cause: c})
}

// end releases everything that a leg holds. What is under way for it in the transaction layer finishes by itself.
func (l *Leg) end() {
	l.phase = ended
	if l.refresh != nil {
		l.refresh.Stop()
	}
	if l.change != nil && l.change.wait != nil {
		l.change.wait.Stop()
	}
	l.answerPending()
	if l.media != nil {
		l.media.Close()
	}
	l.change, l.afterACK, l.ours, l.theirs = nil, nil, nil, nil
	l.mu.Lock()
	waits := l.in != nil && l.farewell != ""
	if !waits && l.in != nil {
		l.in.tx.Acknowledged()
		l.in = nil
	}
	l.mu.Unlock()
	l.isOver.Store(true)
	if !waits {
		l.endpoint.leave(l)
	}
}

// answerPending ends what the party has asked: RFC 3261 §15.1.2: what is pending when the dialog ends is answered 487.
func (l *Leg) answerPending() {
	switch {
	case l.asked == nil:
	case l.asked.answered:
		l.asked.tx.Acknowledged() // the BYE says more than an ACK
	default:
		l.asked.tx.Respond(l.response(l.asked.req, 487, ""))
	}
	l.asked = nil
}

// noReason stands for a farewell without a Reason.
const noReason = "-"

// bye ends a confirmed dialog. RFC 3261 §15: a callee must not send BYE before the ACK for its 2xx is there, or will not
// come; until then the leg stays in the endpoint's table.
func (l *Leg) bye(reason string) {
	l.answerPending()
	switch {
	case l.in != nil:
		if l.farewell = reason; reason == "" {
			l.farewell = noReason
		}
		return
	case l.out != nil:
		l.sendACK(nil) // RFC 3261 §13.2.2.4: a 2xx is acknowledged, even if only to be ended
	case l.change != nil && l.change.pending:
		l.change.acknowledge(nil) // likewise
	}
	l.sendBye(reason, 0)
}

func (l *Leg) sendBye(reason string, tries int) {
	b := l.dialog.Request(sip.BYE)
	if reason != "" && reason != noReason {
		b.Add(sip.HReason, reason)
	}
	l.account.authorize(b, "BYE", l.dialog.Target)
	l.send(b, &parting{l, reason, tries})
}

// parting is our BYE. Its outcome concerns nobody, but a challenge must be answered, or the party's side stays up.
type parting struct {
	leg    *Leg
	reason string
	tries  int
}

// HandleResponse implements transaction.ClientHandler.
func (p *parting) HandleResponse(_ *transaction.Client, m *sip.Message) {
	if status := m.Status(); status != 401 && status != 407 || p.tries > 0 {
		return
	}
	l := p.leg
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.account.challenged(m) {
		l.sendBye(p.reason, p.tries+1)
	}
}

// HandleFailure implements transaction.ClientHandler.
func (*parting) HandleFailure(*transaction.Client, error) {}

// part sends the BYE that has waited. The caller holds mu.
func (l *Leg) part() {
	l.in.tx.Acknowledged()
	l.in = nil
	l.sendBye(l.farewell, 0)
	l.endpoint.leave(l)
}

// afterwards takes a request for a leg that has ended: the ACK that a farewell waits for, or a BYE that crosses it.
// False when the leg knows nothing of it. It may run on any goroutine.
func (l *Leg) afterwards(tx *transaction.Server, m *sip.Message) bool {
	if !l.isOver.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.in == nil || !l.dialog.Matches(m) {
		return false
	}
	switch {
	case tx == nil && m.CSeq() == l.in.cseq:
		l.part()
	case tx != nil && m.Method() == sip.BYE:
		tx.Respond(l.response(m, 200, ""))
		l.in.tx.Acknowledged()
		l.in = nil
		l.endpoint.leave(l)
	default:
		return false
	}
	return true
}

// HandleUnacknowledged implements transaction.ServerHandler: a 2xx without ACK, or a reliable provisional response
// without PRACK.
func (l *Leg) HandleUnacknowledged(tx *transaction.Server) {
	if !l.post(func() { l.unacknowledged(tx) }) && l.isOver.Load() {
		l.unacknowledged(tx)
	}
}

func (l *Leg) unacknowledged(tx *transaction.Server) {
	c := cause.NotAcknowledged()
	switch {
	case l.isOver.Load():
		l.mu.Lock()
		if l.in != nil && l.in.tx == tx {
			l.part()
		}
		l.mu.Unlock()
	case l.phase == inviting: // RFC 3262 §3: 5xx
		l.refuse(cause.Failed())
		l.over(c)
	case l.in != nil && l.in.tx == tx, l.asked != nil && l.asked.tx == tx:
		// RFC 3261 §13.3.1.4, §14.2: after 64*T1 without ACK, the session is ended.
		if l.in != nil && l.in.tx == tx {
			l.in = nil
		}
		l.bye(c.RequestReason())
		l.over(c)
	}
}
