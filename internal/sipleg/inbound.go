package sipleg

import (
	"errors"
	"math/rand/v2"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
	"dialtone/internal/sip"
	"dialtone/internal/sip/dialog"
	"dialtone/internal/sip/transaction"
)

// answering is an inbound INVITE until its ACK.
type answering struct {
	tx       *transaction.Server
	req      *sip.Message // a clone
	cseq     uint32
	reliable bool   // provisional responses must be reliable: Require: 100rel
	rseq     uint32 // of the one under way, 0 none
	queued   func() // the next response, waiting for the PRACK
	offered  bool   // the INVITE had an offer
	early    bool   // our answer went out in a reliable provisional response
	value    string // Session-Expires of the 2xx
	require  bool
}

// Inbound is a leg that has come in, and what it asks for.
type Inbound struct {
	Leg     *Leg
	Mailbox *call.Mailbox
	Offer   *sdp.Description // nil: the party wants us to make the offer
	// MaxForwards of the request; 70 when it had none.
	MaxForwards int
}

// ErrRefused is returned by Accept after it has answered the INVITE itself.
var ErrRefused = errors.New("sipleg: INVITE refused")

// Party is who an inbound leg is from.
type Party struct {
	Device string       // name for the record
	User   string       // stands in our Contact
	Terms  *media.Terms // of its media; nil: nothing particular
}

// Accept makes a leg of an INVITE outside a dialog, which has been checked and whose sender is known. It runs on the transport worker. An INVITE that cannot become a leg
// (no Contact, unreadable description, a session interval that is too small) is answered here.
func (e *Endpoint) Accept(tx *transaction.Server, f Flow, m *sip.Message, who Party) (*Inbound, error) {
	tag := transaction.NewTag()
	refuse := func(status int, reason string, because error) (*Inbound, error) {
		tx.Respond(addWarning(sip.NewResponse(m, status, reason, tag), because).Add(sip.HServer, e.UserAgent))
		return nil, ErrRefused
	}
	d, err := dialog.FromRequest(m, tag)
	if err != nil {
		return refuse(400, "No Usable Contact", nil)
	}
	t, value, require, tooSmall := e.Timer.Accept(m)
	if tooSmall { // RFC 4028 §9
		tx.Respond(sip.NewResponse(m, 422, "", tag).AddUint(sip.HMinSE, e.Timer.MinSESeconds()).Add(sip.HServer, e.UserAgent))
		return nil, ErrRefused
	}
	l := &Leg{endpoint: e, id: "a", mailbox: call.NewMailbox(), inbound: true, user: who.User, device: who.Device, terms: valueOf(who.Terms), dialog: d, timer: t,
		key: string(appendKey(nil, m.CallID(), []byte(tag))), tag: tag, secure: d.Secure, natted: isNATted(m)}
	l.way.set(f)
	l.allow.learn(m)
	if ua, ok := m.Header(sip.HUserAgent); ok {
		l.userAgent = string(ua)
	}
	in := &Inbound{Leg: l, Mailbox: l.mailbox, MaxForwards: 70}
	if n, ok := m.MaxForwards(); ok {
		in.MaxForwards = n
	}
	body := m.SDP()
	if body != nil {
		if in.Offer, err = l.learn(body, offers); err != nil {
			e.Log.Info("sipleg: offer refused", "call-id", d.CallID, "error", err)
			if l.media != nil {
				l.media.Close()
			}
			return refuse(statusOf(err), "", err)
		}
	}
	l.in = &answering{tx: tx, req: m.Clone(), cseq: m.CSeq(), reliable: m.HasOption(sip.HRequire, "100rel"), offered: body != nil,
		value: value, require: require}
	tx.SetHandler(l)
	e.enter(l)
	// RFC 3261 §8.2.6.1: at once, so that the INVITE is not sent again while the call is looked for.
	tx.Respond(sip.NewResponse(m, 100, "", ""))
	return in, nil
}

// isNATted tells whether the sender of a request is not where its Via says.
func isNATted(m *sip.Message) bool {
	via, err := m.Via()
	if err != nil {
		return true
	}
	host, literal := via.HostAddr()
	return !literal || host != m.Received.Addr().Unmap()
}

// statusOf is what an offer that cannot be taken is answered with.
func statusOf(err error) int {
	if errors.Is(err, media.ErrNoPorts) {
		return 503
	}
	return 488
}

// addWarning says in words what is wrong with a description. RFC 3261 §20.43: 302 is the transport of the media, 305 its
// format, 370 the means to carry it.
func addWarning(b *sip.Builder, err error) *sip.Builder {
	code := ""
	switch {
	case errors.Is(err, media.ErrPlain), errors.Is(err, media.ErrEncrypted), errors.Is(err, media.ErrSuite):
		code = "302"
	case errors.Is(err, media.ErrNoCommonCodec):
		code = "305"
	case errors.Is(err, media.ErrNoPorts):
		code, err = "370", media.ErrNoPorts
	default:
		return b
	}
	text := err.Error()
	if f, ok := errors.AsType[*cause.Failure](err); ok {
		text = f.Err.Error()
	}
	return b.Add(sip.HWarning, code, " dialtone ", string(sip.AppendQuoted(nil, text)))
}

// Ring implements call.Leg.
func (l *Leg) Ring(status int, early *sdp.Description) {
	in := l.in
	if l.phase != inviting || in == nil {
		return
	}
	if in.early {
		early = nil // RFC 6337 §3.1.1: the offer has its answer; there is no second one
	}
	if in.rseq != 0 { // RFC 3262 §3: one reliable response at a time; the newest of those that wait goes next
		in.queued = func() { l.Ring(status, early) }
		return
	}
	var body []byte
	if early != nil && in.offered {
		var err error
		if body, err = l.localize(early, answers); err != nil {
			l.endpoint.Log.Warn("sipleg: early media", "error", err)
		}
	}
	b := l.response(in.req, status, "")
	b.Add(sip.HAllow, Allow)
	if body != nil {
		l.ours = body
		b.Body("application/sdp", body)
	}
	if !in.reliable {
		in.tx.Respond(b)
		return
	}
	in.rseq = l.provisional.Next(rand.Uint32N(1 << 16))
	b.Add(sip.HRequire, "100rel").AddUint(sip.HRSeq, uint64(in.rseq))
	in.early = body != nil
	in.tx.RespondReliably(b)
}

// Answer implements call.Leg.
func (l *Leg) Answer(answer *sdp.Description) {
	in := l.in
	if l.phase != inviting || in == nil {
		return
	}
	if in.rseq != 0 {
		in.queued = func() { l.Answer(answer) }
		return
	}
	var body []byte
	// RFC 3262 §5: an answer that was acknowledged in a PRACK is not repeated in the 2xx.
	if answer != nil && !in.early {
		var err error
		if body, err = l.localize(answer, role(in.offered)); err != nil {
			l.endpoint.Log.Warn("sipleg: answer", "error", err)
			l.refuse(causeOfMedia(err))
			l.over(causeOfMedia(err))
			return
		}
		l.ours = body
	}
	b := l.response(in.req, 200, "").Add(sip.HAllow, Allow).Add(sip.HSupported, supported)
	addTimer(b, in.value, in.require)
	if body != nil {
		b.Body("application/sdp", body)
	}
	l.phase = connected
	in.tx.Respond(b)
	l.follow(nil)
	l.startTimer()
}

// refuse answers the INVITE with the status of a cause.
func (l *Leg) refuse(c cause.Cause) {
	if l.in == nil {
		return
	}
	status := c.SIP
	if status < 300 {
		status = 480
	}
	b := l.response(l.in.req, status, "")
	if r := c.ResponseReason(); r != "" {
		b.Add(sip.HReason, r) // RFC 6432
	}
	l.in.tx.Respond(addWarning(b, l.trouble))
	l.in = nil
}

// cancelled: the party sent CANCEL (RFC 3261 §9.2).
func (l *Leg) cancelled(reason string) {
	if l.phase != inviting || l.in == nil {
		return
	}
	l.in.tx.Respond(l.response(l.in.req, 487, ""))
	l.in = nil
	c := cause.Cancelled()
	if reason != "" {
		c = c.WithReason(reason)
	}
	l.over(c)
}

// acknowledged: the ACK for our 2xx has come.
func (l *Leg) acknowledged(m *sip.Message) {
	var tx *transaction.Server
	delayed := false
	switch {
	case l.in != nil && m.CSeq() == l.in.cseq && l.phase == connected:
		tx, delayed = l.in.tx, !l.in.offered
		l.in = nil
	case l.asked != nil && l.asked.answered && m.CSeq() == l.asked.req.CSeq():
		tx, delayed = l.asked.tx, !l.asked.offered
		l.asked = nil
	default:
		return // a repetition
	}
	tx.Acknowledged()
	if !delayed {
		l.tell(call.Acked{Leg: l})
		if next := l.afterACK; next != nil {
			l.afterACK = nil
			next()
		}
		return
	}
	var answer *sdp.Description
	if body := m.SDP(); body != nil {
		var err error
		if answer, err = l.learn(body, answers); err != nil {
			l.endpoint.Log.Info("sipleg: answer in ACK", "error", err)
		}
	}
	l.tell(call.Acked{Leg: l, Description: answer})
}
