// Package ingress is the SIP request pipeline: a table of contents of everything that can arrive at the exchange. Read
// HandleRequest from top to bottom.
//
// It owns the order of the questions (is it a scanner, is it sound, is it inside a dialog, who is it from) and the
// answers to requests that belong to nobody. It does not own any of the answers' reasons: guard, auth, registrar,
// sipleg and exchange decide, each about its own.
//
// Goroutines: none. Everything runs on the transport worker that read the message, in the order in which messages of a
// flow arrived, and blocks on nothing.
package ingress

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"dialtone/internal/auth"
	"dialtone/internal/call"
	"dialtone/internal/dialplan"
	"dialtone/internal/digest"
	"dialtone/internal/directory"
	"dialtone/internal/exchange"
	"dialtone/internal/guard"
	"dialtone/internal/location"
	"dialtone/internal/metrics"
	"dialtone/internal/proxy"
	"dialtone/internal/registrar"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
	"dialtone/internal/sipleg"
)

// Listener is what differs between the places where requests arrive. Its key is the role of the transport's flows.
type Listener struct {
	// Algorithms are offered in challenges, in this order.
	Algorithms []digest.Algorithm
	// RegistrarOnly takes REGISTER and OPTIONS and nothing else.
	RegistrarOnly bool
	// Forwarding says how requests are sent on; None: they are taken.
	Forwarding Forwarding
}

// Config is everybody who is asked.
type Config struct {
	Guard        *guard.Guard
	Auth         *auth.Authenticator
	Registrar    *registrar.Registrar
	Locations    *location.Table
	Directory    *directory.Directory
	Endpoint     *sipleg.Endpoint
	Exchange     *exchange.Exchange
	Transactions *transaction.Layer
	Proxy        *proxy.Proxy // nil where no listener forwards
	Metrics      *metrics.Metrics
	Overload     *guard.Overload     // nil: nothing is refused for want of time
	Listeners    map[string]Listener // by transport.Flow.Role
	UserAgent    string              // for Server
}

// Ingress takes what the transport reads and what the transactions make of it.
type Ingress struct {
	Config
	answers   sync.Pool    // of *answer
	abilities string       // the header lines that say what the exchange can do: RFC 3261 §11.2
	tags      maphash.Seed // of requestTag
	letters   sync.Pool    // of *[]byte: requests that are written anew
	shedder   *shedder
}

// New makes the pipeline.
func New(c Config) *Ingress {
	i := &Ingress{Config: c, tags: maphash.MakeSeed(), shedder: newShedder()}
	i.letters.New = newLetter
	i.abilities = "Allow: " + allow + "\r\nAccept: application/sdp\r\nSupported: path, outbound, 100rel, timer\r\nServer: " +
		c.UserAgent + "\r\n"
	i.answers.New = func() any { return &answer{out: make([]byte, 0, 1024)} }
	return i
}

var _ transport.Handler = (*Ingress)(nil)
var _ transaction.User = (*Ingress)(nil)

// Admit is asked before anything is parsed.
func (i *Ingress) Admit(src netip.AddrPort, now time.Time) bool {
	switch i.Guard.Admit(src, now) {
	case guard.OverRate:
		i.Metrics.GuardBlocked(guard.ReasonRate.String())
		return false
	case guard.Banned:
		i.Metrics.GuardBlocked(guard.ReasonBan.String())
		return false
	}
	return true
}

// HandleMessage implements transport.Handler.
func (i *Ingress) HandleMessage(f *transport.Flow, m *sip.Message) {
	i.Metrics.SIPMessageBytes(m.MethodName(), m.Status(), metrics.In)
	if m.IsRequest() {
		if ua, ok := m.Header(sip.HUserAgent); ok && i.Guard.Scanned(f.Remote(), ua, m.Arrived) {
			i.Metrics.GuardBlocked(guard.ReasonScanner.String())
			return // a scanner learns nothing, not even that somebody is here
		}
		if i.Overload != nil {
			if letter := i.advise(f, m, m.Arrived); letter != nil {
				defer i.letters.Put(letter)
			}
			if i.shed(f, m, m.Arrived) {
				return
			}
		}
	}
	if m.IsRequest() && i.atOnce(f, m) || i.Proxy != nil && i.withoutState(f, m) {
		return
	}
	i.Transactions.HandleMessage(f, m)
}

// HandleMalformed implements transport.Handler: a clear refusal where one is possible (RFC 3261 §16.3 item 1, RFC 4475).
func (i *Ingress) HandleMalformed(f *transport.Flow, _ []byte, m *sip.Message, err error) {
	if !m.Answerable() {
		return
	}
	a := i.answerTo(f, m, nil)
	defer i.done(a)
	status, reason := refusal(err)
	// Without a transaction: whoever sends rubbish again gets the same answer again.
	i.start(a, status, reason).Add(sip.HServer, i.UserAgent)
	i.refuse(a)
}

// HandleClosed implements transport.Handler.
func (i *Ingress) HandleClosed(f *transport.Flow, _ error) {
	i.Transactions.HandleClosed(f)
	i.Locations.FlowClosed(f.ID())
}

func refusal(err error) (status int, reason string) {
	if e, ok := err.(*sip.ParseError); ok {
		return e.Status, e.Reason
	}
	return 400, ""
}

// allow is what the exchange takes outside dialogs.
const allow = "REGISTER, OPTIONS, " + sipleg.Allow

// atOnce takes what is answered without a transaction: REGISTER, and OPTIONS outside dialogs.
func (i *Ingress) atOnce(f *transport.Flow, m *sip.Message) bool {
	listener := i.Listeners[f.Role()]
	switch m.Method() {
	case sip.REGISTER:
		if listener.Forwarding != None && !i.Proxy.Registers(f, m) {
			return false
		}
	case sip.OPTIONS:
		if listener.Forwarding != None || m.ToTag() != nil {
			return false
		}
	default:
		return false
	}
	a := i.answerTo(f, m, nil)
	defer i.done(a)
	if err := m.Check(); err != nil {
		status, reason := refusal(err)
		i.reply(a, status, reason)
		return true
	}
	if m.Method() == sip.REGISTER {
		i.register(a, listener)
	} else {
		i.options(a)
	}
	return true
}

// HandleRequest implements transaction.User: what happens to every other request that is not a repetition.
func (i *Ingress) HandleRequest(tx *transaction.Server, tf transaction.Flow, m *sip.Message) {
	f, ok := tf.(*transport.Flow)
	if !ok {
		return
	}
	listener := i.Listeners[f.Role()]
	a := i.answerTo(f, m, tx)
	defer i.done(a)
	switch {
	case listener.Forwarding != None:
		i.Proxy.HandleRequest(tx, f, m)
		return
	case m.Method() == sip.ACK: // for a 2xx: it belongs to a leg, or to nothing
		i.Endpoint.HandleRequest(nil, m)
		return
	case m.ToTag() != nil: // inside a dialog: tags that nobody can guess are the credentials
		if !i.Endpoint.HandleRequest(tx, m) {
			i.reply(a, 481, "")
		}
		return
	}
	if err := m.Check(); err != nil {
		status, reason := refusal(err)
		i.reply(a, status, reason)
		return
	}
	switch m.Method() {
	case sip.INVITE:
		if listener.RegistrarOnly {
			i.notAllowed(a)
			return
		}
		i.invite(a, listener)
	case sip.BYE, sip.PRACK, sip.UPDATE, sip.INFO, sip.NOTIFY: // without a dialog
		i.reply(a, 481, "")
	case sip.Other:
		i.reply(a, 501, "")
	default:
		i.notAllowed(a)
	}
}

// HandleCancel implements transaction.User.
func (i *Ingress) HandleCancel(tx *transaction.Server, m *sip.Message) {
	if i.Forwards(tx.Flow()) {
		i.Proxy.HandleCancel(tx, m)
		return
	}
	i.Endpoint.HandleCancel(tx, m)
}

// refuse answers a request of somebody who has not been identified. Only where it is known that the sender is at its
// source is the answer repeated until it has arrived; otherwise the source may be a third party's, who is to get one
// packet for one, and we remember nothing.
//
// RFC 3261 §26.3.2.4: a single 401, without retransmission.
func (i *Ingress) refuse(a *answer) {
	switch {
	case !i.Vouches(a.f, a.m):
		i.sendLean(a)
	case a.tx != nil && !a.f.Reliable():
		a.send()
	default:
		a.sendOnce()
	}
}

// reply answers a request by itself.
func (i *Ingress) reply(a *answer, status int, reason string) {
	i.start(a, status, reason).Add(sip.HServer, i.UserAgent)
	i.refuse(a)
}

func (i *Ingress) notAllowed(a *answer) {
	i.start(a, 405, "").Add(sip.HAllow, allow).Add(sip.HServer, i.UserAgent)
	i.refuse(a)
}

// options says what we can do: RFC 3261 §11.2; 503 while draining takes us out of the rotation of a balancer.
func (i *Ingress) options(a *answer) {
	if i.unsupported(a) {
		return
	}
	status := 200
	if i.Exchange.IsDraining() {
		status = 503
	}
	i.start(a, status, "").AddLines(i.abilities)
	i.refuse(a)
}

// unsupported refuses a request that requires what we cannot do: RFC 3261 §8.2.2.3.
func (i *Ingress) unsupported(a *answer) bool {
	missing := sipleg.Unsupported(a.m)
	if missing == nil {
		return false
	}
	i.start(a, 420, "").Add(sip.HServer, i.UserAgent)
	for _, tag := range missing {
		a.Add(sip.HUnsupported, tag)
	}
	i.refuse(a)
	return true
}

// identify asks who a request is from, and answers it when that is not known.
func (i *Ingress) identify(a *answer, l Listener) (auth.Result, bool) {
	f, m, now := a.f, a.m, a.m.Arrived
	r := auth.Request{Message: m, Source: m.Received, Snapshot: i.Directory.Snapshot(), Algorithms: l.Algorithms,
		Proxy: l.Forwarding != None, Now: now}
	r.Routed = r.Proxy && i.Proxy.Routed(m)
	who := i.Auth.Identify(&r)
	if who.Failed {
		i.Guard.AuthFailed(f.Remote(), now)
	}
	switch who.Verdict {
	case auth.Allow:
		if who.Proved {
			i.Guard.AuthPassed(f.Remote(), now)
			f.Keep()
		}
		return who, true
	case auth.Drop:
		return who, false
	}
	if who.Repeated && i.repeat(a, &who) {
		return who, false
	}
	i.start(a, who.Status, who.Reason)
	if who.Verdict == auth.Challenge {
		i.Guard.Challenged(f.Remote(), now)
		i.Auth.AddChallenge(&a.Builder, &r, &who)
	}
	a.Add(sip.HServer, i.UserAgent)
	if who.Failed { // a repetition of the same wrong password is not another one
		a.send()
		return who, false
	}
	i.refuse(a)
	return who, false
}

// register: RFC 3261 §10.3.
func (i *Ingress) register(a *answer, l Listener) {
	who, ok := i.identify(a, l)
	if !ok {
		return
	}
	i.Registrar.Respond(&a.Builder, a.m, i.requestTag(a), i.subject(a, &who), flowOf(a), a.m.Arrived)
	a.Add(sip.HServer, i.UserAgent)
	a.send()
}

// repeat answers a REGISTER that has been carried out before: its 200 was lost. false when it was another one.
func (i *Ingress) repeat(a *answer, who *auth.Result) bool {
	if a.m.Method() != sip.REGISTER || !i.Registrar.Repeat(&a.Builder, a.m, i.requestTag(a), i.subject(a, who), flowOf(a), a.m.Arrived) {
		return false
	}
	a.Add(sip.HServer, i.UserAgent)
	a.send()
	return true
}

func (i *Ingress) subject(a *answer, who *auth.Result) registrar.Subject {
	s := registrar.Subject{AOR: location.AOR{Tenant: who.Tenant.ID, Line: who.Line.ID}, Device: who.Device.Username}
	if f := i.Listeners[a.f.Role()].Forwarding; a.m.Has(sip.HPath) && (f == Stateful || f == Stateless) {
		s.ServiceRoute = serviceRoute(a.f)
	}
	return s
}

// flowOf is the way that a REGISTER came by.
func flowOf(a *answer) location.Flow {
	flow := location.Flow{Transport: transportOf(a.f.Kind()), Local: a.f.Local(), Remote: a.m.Received}
	if a.f.Reliable() {
		flow.ID = a.f.ID()
	}
	return flow
}

func transportOf(k transport.Kind) directory.Transport {
	switch k {
	case transport.TCP:
		return directory.TCP
	case transport.TLS:
		return directory.TLS
	case transport.WS:
		return directory.WS
	case transport.WSS:
		return directory.WSS
	}
	return directory.UDP
}

// invite starts a call.
func (i *Ingress) invite(a *answer, l Listener) {
	f, m, tx := a.f, a.m, a.tx
	if i.unsupported(a) {
		return
	}
	if !sipleg.Readable(m) { // RFC 3261 §8.2.3
		sipleg.AddReadable(i.start(a, 415, ""))
		a.Add(sip.HServer, i.UserAgent)
		i.refuse(a)
		return
	}
	if m.Has(sip.HAccept) && !m.HasOption(sip.HAccept, "application/sdp") && !m.HasOption(sip.HAccept, "*/*") { // §20.1
		i.reply(a, 406, "")
		return
	}
	if n, ok := m.MaxForwards(); ok && n == 0 { // RFC 7332 §4: a B2BUA counts hops as a proxy does
		i.reply(a, 483, "")
		return
	}
	who, ok := i.identify(a, l)
	if !ok {
		return
	}
	target, err := m.URI()
	if err != nil {
		i.reply(a, 400, "")
		return
	}
	dialled := dialplan.Dialled{Number: target.UserUnescaped(), Domain: string(target.Host)}
	in, err := i.Endpoint.Accept(tx, f, m, sipleg.Party{Device: who.Device.Username, User: dialled.Number,
		Terms: call.TermsOf(who.Device)})
	if err != nil {
		return // it has been answered
	}
	inv := exchange.Invitation{Mailbox: in.Mailbox, Tenant: who.Tenant.ID, Line: who.Line.Number, Device: who.Device.Username,
		Dialled: dialled, Offer: in.Offer, MaxForwards: in.MaxForwards}
	if from, err := m.From(); err == nil {
		inv.Name = from.DisplayName()
	}
	if e := m.Elements(sip.HContact); e.Next() {
		if a, err := e.Address(); err == nil {
			inv.Contact = a.URI.String()
		}
	}
	i.Exchange.Inbound(in.Leg, inv)
}
