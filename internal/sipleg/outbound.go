package sipleg

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/digest"
	"dialtone/internal/sdp"
	"dialtone/internal/sip"
	"dialtone/internal/sip/dialog"
	"dialtone/internal/sip/transaction"
)

// Caller is what an outbound leg needs beyond call.Invite; the exchange gives it as call.Target.Source.
type Caller struct {
	// Source is the preferred flow, opaque to this package: it goes to Router.Path.
	Source any
	// Domain stands in From and To when the number has none.
	Domain string
	// Credentials answer a challenge of the peer (RFC 3261 §22). nil: a challenge is a failure. A client that is
	// called by strangers must limit the realm.
	Credentials *digest.Client
}

// calling is an outbound INVITE until its outcome.
type calling struct {
	invite  call.Invite
	caller  Caller
	path    Path
	from    string // our From without tag
	to      string
	tag     string // our tag
	callID  string
	cseq    uint32
	policy  dialog.TimerPolicy
	tx      *transaction.Client
	req     *sip.Message // as sent
	offered bool
	size    int // of the offer
	early   []*early
	tries   int
}

// early is the dialog of one provisional response; a forking proxy makes several. The numbers of reliable responses
// count in each of them: RFC 3262 §4.
type early struct {
	dialog      *dialog.Dialog
	provisional dialog.Reliable
}

// maxTries bounds how often one leg sends its INVITE: next targets, challenges, 422.
const maxTries = 8

func (e *Endpoint) dial(i call.Invite) (*Leg, error) {
	caller, _ := i.Target.Source.(Caller)
	target, err := sip.ParseURI([]byte(i.Target.URI))
	if err != nil || !target.IsSIP() {
		return nil, &cause.Failure{Cause: cause.InvalidNumber(), Err: errors.New("sipleg: target is no SIP URI")}
	}
	tag := transaction.NewTag()
	callID := transaction.NewTag() + transaction.NewTag()
	l := &Leg{endpoint: e, id: i.Leg, mailbox: i.Mailbox, device: i.Target.Device, terms: valueOf(i.Target.Terms), user: i.From.Number,
		key: string(appendKey(nil, []byte(callID), []byte(tag))), tag: tag, secure: target.Scheme == sip.SchemeSIPS}
	if caller.Credentials != nil {
		l.account = &account{client: caller.Credentials}
	}
	domain := caller.Domain
	if domain == "" {
		domain = string(target.Host)
	}
	l.out = &calling{invite: i, caller: caller, tag: tag, callID: callID, policy: e.Timer, offered: i.Offer != nil,
		from: nameAddr(i.From.Name, i.From.Number, domain), to: nameAddr("", i.To, domain)}
	next := i.Target.URI
	if len(i.Target.Route) > 0 {
		next = strings.Trim(i.Target.Route[0], "<>")
	}
	if i.Offer != nil {
		l.out.size = len(i.Offer.Bytes())
	}
	l.out.path = e.Router.Path(next, caller.Source)
	e.enter(l)
	l.nextTarget(cause.Unreachable())
	return l, nil
}

// nameAddr prints a party: a number that is a URI already, or has a domain, is left alone.
func nameAddr(name, number, domain string) string {
	b := make([]byte, 0, 64)
	if name != "" {
		b = append(sip.AppendQuoted(b, name), ' ')
	}
	if number == "" {
		number = "anonymous"
	}
	b = sip.AppendEscapedUser(append(b, "<sip:"...), number)
	return string(append(append(append(b, '@'), domain...), '>'))
}

// nextTarget tries the next place of the path (RFC 3263 §4.3); after the last one, the leg has failed because of last.
func (l *Leg) nextTarget(last cause.Cause) {
	out := l.out
	out.path.Next(requestSize+out.size, func(f Flow, err error) {
		proceed := func() {
			switch {
			case l.phase == ended:
			case err != nil:
				l.failed(last, nil)
			default:
				l.way.set(f)
				if err := l.invite(); err != nil {
					l.endpoint.Log.Info("sipleg: INVITE not sent", "to", f.String(), "error", err)
					if !errors.Is(err, transaction.ErrTransport) {
						l.failed(causeOfMedia(err), nil) // no ports: no other target will do better
						return
					}
					l.nextTarget(cause.ConnectionLost())
				}
			}
		}
		l.post(proceed)
	})
}

// invite sends the INVITE on the leg's flow, as a new transaction.
func (l *Leg) invite() error {
	out := l.out
	if out.tries++; out.tries > maxTries {
		return errors.New("too many tries")
	}
	out.cseq++
	i := &out.invite
	b := sip.NewRequest(sip.INVITE, i.Target.URI)
	for _, r := range i.Target.Route {
		b.Add(sip.HRoute, r)
	}
	b.Add(sip.HFrom, out.from, ";tag=", out.tag).Add(sip.HTo, out.to).Add(sip.HCallID, out.callID).CSeq(out.cseq)
	b.Add(sip.HMaxForwards, strconv.Itoa(max(i.MaxForwards, 0)))
	b.Add(sip.HContact, contact(l.way.now(), l.user, l.secure))
	b.Add(sip.HAllow, Allow)
	if out.offered {
		b.Add(sip.HSupported, supported)
	} else {
		// Without an offer, a reliable provisional response would have to carry one, and its PRACK the answer, before
		// anybody has answered: the party is not given the choice.
		b.Add(sip.HSupported, "timer")
	}
	out.policy.Offer(b, dialog.SessionTimer{})
	l.account.authorize(b, "INVITE", i.Target.URI)
	b.Add(sip.HUserAgent, l.endpoint.UserAgent)
	if out.offered {
		body, err := l.localize(i.Offer, offers)
		if err != nil {
			return err
		}
		l.ours = body
		b.Body("application/sdp", body)
	}
	tx, err := l.endpoint.Transactions.Request(b, l.way.now(), l)
	if err != nil {
		return err
	}
	out.tx, out.early = tx, nil
	out.req = &sip.Message{}
	return out.req.Parse(tx.Request())
}

// HandleResponse implements transaction.ClientHandler for the INVITE that makes the dialog. It runs on a worker.
func (l *Leg) HandleResponse(c *transaction.Client, m *sip.Message) {
	if m.Status() == 100 {
		return
	}
	m = m.Clone()         // the response outlives its worker
	if m.Status() < 200 { // a party that rings and rings does not end the call
		l.mailbox.PostIfRoom(call.Do{F: func() { l.responded(c, m) }})
		return
	}
	if !l.post(func() { l.responded(c, m) }) && m.Status()/100 == 2 {
		l.late(c, m)
	}
}

// HandleFailure implements transaction.ClientHandler.
func (l *Leg) HandleFailure(c *transaction.Client, err error) {
	l.post(func() {
		if l.phase != inviting || l.out == nil || c != l.out.tx {
			return
		}
		why := cause.NoResponse()
		if errors.Is(err, transaction.ErrTransport) {
			why = cause.ConnectionLost()
		}
		l.nextTarget(why) // RFC 3263 §4.3: a timeout or a transport failure moves to the next target
	})
}

func (l *Leg) responded(c *transaction.Client, m *sip.Message) {
	switch {
	case l.phase == ended:
		if m.Status()/100 == 2 {
			l.late(c, m)
		}
	case l.phase == connected:
		l.again(c, m)
	case l.out == nil || c != l.out.tx:
		if m.Status()/100 == 2 {
			l.late(c, m) // of a target that was given up for the next one
		}
	case m.Status() < 200:
		l.progress(m)
	case m.Status() < 300:
		l.answered(m)
	default:
		l.refused(m)
	}
}

// progress takes a provisional response.
func (l *Leg) progress(m *sip.Message) {
	out := l.out
	l.allow.learn(m)
	if len(m.ToTag()) > 0 && !l.prack(m) {
		return
	}
	var early *sdp.Description
	if body := m.SDP(); body != nil && out.offered {
		var err error
		if early, err = l.learn(body, answers); err != nil {
			l.endpoint.Log.Info("sipleg: early description", "error", err)
			early = nil
		}
	}
	l.tell(call.Rang{Leg: l, Status: m.Status(), Early: early})
}

// prack notes the early dialog of a provisional response and acknowledges a reliable one; false when the response is
// to be ignored.
func (l *Leg) prack(m *sip.Message) bool {
	out := l.out
	e := l.earlyDialog(m)
	if e == nil {
		return !m.HasOption(sip.HRequire, "100rel")
	}
	rseq, isReliable, isNext := e.provisional.Take(m)
	if !isReliable {
		return true
	}
	if !isNext {
		return false // RFC 3262 §4: a repetition, or one out of order
	}
	e.dialog.Refresh(m) // RFC 6141 §4.7
	b := e.dialog.Request(sip.PRACK).Add(sip.HRAck, dialog.RAck(rseq, out.cseq)).Add(sip.HUserAgent, l.endpoint.UserAgent)
	l.account.authorize(b, "PRACK", e.dialog.Target)
	// It takes the way of the INVITE: the party's Contact is followed once there is a dialog to keep.
	if _, err := l.endpoint.Transactions.Request(b, l.way.now(), discard{}); err != nil {
		l.endpoint.Log.Info("sipleg: PRACK not sent", "error", err)
	}
	return true
}

// earlyDialog is the dialog that a provisional response makes: RFC 3261 §12.1.2.
func (l *Leg) earlyDialog(m *sip.Message) *early {
	for _, e := range l.out.early {
		if e.dialog.RemoteTag == string(m.ToTag()) {
			return e
		}
	}
	d, err := dialog.FromResponse(l.out.req, m)
	if err != nil || len(l.out.early) >= maxEarly {
		return nil
	}
	e := &early{dialog: d}
	l.out.early = append(l.out.early, e)
	return e
}

// maxEarly bounds the early dialogs of one INVITE.
const maxEarly = 20

// answered takes the first 2xx.
func (l *Leg) answered(m *sip.Message) {
	out := l.out
	d, err := dialog.FromResponse(out.req, m)
	if err != nil {
		l.endpoint.Log.Info("sipleg: unusable 2xx", "error", err)
		l.failed(cause.Failed(), nil)
		return
	}
	for _, e := range out.early {
		if e.dialog.RemoteTag == d.RemoteTag { // RFC 3261 §13.2.2.4: all but the numbers comes from the 2xx
			d.LocalSeq, d.RemoteSeq = e.dialog.LocalSeq, e.dialog.RemoteSeq
		}
	}
	l.dialog, l.phase = d, connected
	l.allow.learn(m)
	if ua, ok := m.Header(sip.HServer); ok {
		l.userAgent = string(ua)
	} else if ua, ok := m.Header(sip.HUserAgent); ok {
		l.userAgent = string(ua)
	}
	l.account.accepted()
	l.timer = out.policy.Result(m, dialog.SessionTimer{})
	l.natted = len(out.invite.Target.Route) == 0 && isElsewhere(out.invite.Target.URI, l.way.now())
	l.follow(nil)
	var description *sdp.Description
	if body := m.SDP(); body != nil {
		if description, err = l.learn(body, role(out.offered)); err != nil {
			// RFC 3261 §13.2.2.4: an answer that cannot be taken: ACK, then BYE.
			l.endpoint.Log.Info("sipleg: answer refused", "error", err)
			l.sendACK(nil)
			l.bye(cause.NotAcceptable().RequestReason())
			l.failed(cause.NotAcceptable(), nil)
			return
		}
	}
	if out.offered {
		l.sendACK(nil)
	}
	l.startTimer()
	l.tell(call.Connected{Leg: l, Description: description})
}

// Acknowledge implements call.Leg.
func (l *Leg) Acknowledge(answer *sdp.Description) {
	if l.phase != connected {
		return
	}
	body, err := l.localize(answer, answers)
	if err != nil {
		l.endpoint.Log.Warn("sipleg: answer", "error", err)
		l.bye(cause.NotAcceptable().RequestReason())
		l.over(causeOfMedia(err))
		return
	}
	l.ours = body
	switch {
	case l.change != nil && l.change.pending:
		l.change.acknowledge(body)
		l.change = nil
	case l.out != nil:
		l.sendACK(body)
	}
}

// sendACK acknowledges the 2xx to the INVITE that made the dialog.
func (l *Leg) sendACK(body []byte) {
	out := l.out
	b := l.dialog.ACK(out.cseq)
	l.copyCredentials(b, out.req)
	if body != nil {
		b.Body("application/sdp", body)
	}
	l.acknowledge(b, &l.ack)
	l.out = nil // what the INVITE needed is not needed any more
}

// isElsewhere tells whether a URI names another address than the flow that leads to it: what has registered from
// behind a NAT.
func isElsewhere(uri string, f Flow) bool {
	u, err := sip.ParseURI([]byte(uri))
	if err != nil {
		return false
	}
	addr, literal := u.HostAddr()
	return literal && addr != f.Remote().Addr()
}

// copyCredentials: RFC 3261 §22.1: the ACK carries the credentials of its INVITE.
func (l *Leg) copyCredentials(b *sip.Builder, invite *sip.Message) {
	if invite != nil {
		b.Copy(invite, sip.HAuthorization, sip.HProxyAuthorization)
	}
}

// again takes a repeated 2xx, or the 2xx of another branch of a forking proxy.
func (l *Leg) again(c *transaction.Client, m *sip.Message) {
	switch {
	case m.Status()/100 != 2:
	case string(m.ToTag()) != l.dialog.RemoteTag:
		l.late(c, m)
	default:
		l.repeat(&l.ack)
	}
}

// late ends a dialog that nobody waits for any more: ACK and BYE (RFC 3261 §13.2.2.4).
func (l *Leg) late(c *transaction.Client, m *sip.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var req sip.Message
	if req.Parse(c.Request()) != nil {
		return
	}
	d, err := dialog.FromResponse(&req, m)
	if err != nil {
		return
	}
	f := c.Flow()
	b := d.ACK(req.CSeq())
	l.copyCredentials(b, &req)
	if _, err := l.endpoint.Transactions.Send(b, f); err != nil {
		return
	}
	if slices.Contains(l.lost, d.RemoteTag) || len(l.lost) >= maxEarly {
		return // it has its BYE
	}
	l.lost = append(l.lost, d.RemoteTag)
	l.endpoint.Late.Add(1)
	bye := d.Request(sip.BYE).Add(sip.HUserAgent, l.endpoint.UserAgent)
	_, _ = l.endpoint.Transactions.Request(bye, f, discard{}) // the party sees a lost call either way
}

// giveUp cancels the INVITE.
func (l *Leg) giveUp(reason string) {
	if l.out != nil && l.out.tx != nil {
		l.out.tx.Cancel(reason)
	}
}

// failed ends an outbound leg that did not come about.
func (l *Leg) failed(c cause.Cause, contacts []string) {
	if l.phase == ended {
		return
	}
	l.end()
	l.tell(call.Failed{Leg: l, Cause: c, Contacts: contacts})
}
