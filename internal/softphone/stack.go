package softphone

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/media"
	"dialtone/internal/sip"
	"dialtone/internal/sip/dialog"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
	"dialtone/internal/sipleg"
)

// userAgent names us to the other side.
const userAgent = "Dialtone phone"

// stack is what a phone stands on: one socket (or stream) and the layers above it.
type stack struct {
	phone        *Phone
	target       transport.Target // the server
	transport    *transport.Layer
	transactions *transaction.Layer
	media        *media.Engine
	ownsMedia    bool
	legs         *sipleg.Endpoint
	calls        *call.Registry
	cancel       context.CancelFunc
	running      sync.WaitGroup
	broken       atomic.Pointer[error] // why the stream to the server was closed last
}

// openStack finds the server and builds the layers; nothing runs yet.
func openStack(ctx context.Context, p *Phone) (*stack, error) {
	s := &stack{phone: p}
	var err error
	if s.target, err = p.find(ctx); err != nil {
		return nil, err
	}
	s.transactions = transaction.New(transaction.Config{Timers: p.config.Timers, User: s})
	s.calls = call.NewRegistry(call.Config{Observer: p, MediaTimeout: p.config.MediaTimeout, Log: p.log})
	c := transport.Config{Network: p.config.Network, Handler: s, Workers: 1, ClientTLS: p.tls, Log: p.log}
	if s.target.Kind == transport.UDP {
		local := netip.IPv4Unspecified()
		if s.target.Addr.Addr().Is6() {
			local = netip.IPv6Unspecified()
		}
		c.Listeners = []transport.Listener{{Kind: transport.UDP, Addr: netip.AddrPortFrom(local, 0)}}
	}
	if s.transport, err = transport.New(c); err != nil {
		return nil, err
	}
	if s.media = p.config.Media; s.media == nil {
		s.ownsMedia = true
		if s.media, err = media.New(media.Config{Network: p.config.Network, Workers: 1, Ports: p.config.Ports}); err != nil {
			s.transport.Close()
			return nil, err
		}
	}
	s.legs = sipleg.New(sipleg.Config{Transactions: s.transactions, Router: s, Media: s.media, UserAgent: userAgent,
		Timer: dialog.TimerPolicy{Expires: sessionExpires}, Log: p.log})
	return s, nil
}

// find looks the server up.
func (p *Phone) find(ctx context.Context) (transport.Target, error) {
	text := "sip:" + p.host
	if p.port != 0 {
		text += ":" + strconv.Itoa(int(p.port))
	}
	kind := p.config.Transport
	u, err := sip.ParseURI([]byte(text + ";transport=" + strings.ToLower(kind.String())))
	if err != nil {
		return transport.Target{}, fmt.Errorf("server %s: %w", p.config.Server, err)
	}
	if addr, ok := u.HostAddr(); ok { // nothing to look up
		port := p.port
		if port == 0 {
			port = kind.DefaultPort()
		}
		return transport.Target{Kind: kind, Addr: netip.AddrPortFrom(addr, port)}, nil
	}
	dns := p.config.DNS
	if dns == nil {
		dns = transport.NewSystemDNS(transport.SystemDNSConfig{})
	}
	r := transport.NewResolver(transport.ResolverConfig{DNS: dns, Kinds: []transport.Kind{kind}})
	defer r.Close()
	targets, err := r.Resolve(ctx, &u)
	if err != nil {
		return transport.Target{}, fmt.Errorf("find %s: %w", p.config.Server, err)
	}
	return targets[0], nil
}

// start runs the layers.
func (s *stack) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.running.Go(func() {
		if err := s.transport.Run(ctx); err != nil {
			s.phone.log.Error("softphone: transport", "error", err)
		}
	})
	s.running.Go(func() { _ = s.transactions.Run(ctx) }) // it ends with ctx only
}

// close ends the layers, from the top down.
func (s *stack) close() {
	s.cancel()
	s.running.Wait()
	if s.ownsMedia {
		if err := s.media.Close(); err != nil {
			s.phone.log.Error("softphone: media", "error", err)
		}
	}
}

// server is the flow to the server; a stream that is closed is opened again.
func (s *stack) server() (*transport.Flow, error) { return s.transport.Connect(s.target) }

// viaServer as the source of an outbound leg sends it to the server, whatever its URI says.
type viaServer struct{}

// Path implements sipleg.Router. What has an address goes there, over the phone's own transport; everything else goes
// to the server.
func (s *stack) Path(uri string, source any) sipleg.Path {
	w := &way{stack: s, target: s.target}
	if _, ok := source.(viaServer); ok {
		return w
	}
	u, err := sip.ParseURI([]byte(uri))
	if err != nil {
		return w
	}
	if addr, ok := u.HostAddr(); ok && !s.target.Kind.Reliable() {
		port := u.Port
		if port == 0 {
			port = s.target.Kind.DefaultPort()
		}
		w.target = transport.Target{Kind: s.target.Kind, Addr: netip.AddrPortFrom(addr, port)}
	}
	return w
}

// way is a Path with one place.
type way struct {
	stack  *stack
	target transport.Target
	used   bool
}

// Next implements sipleg.Path.
func (w *way) Next(_ int, done func(sipleg.Flow, error)) {
	if w.used {
		done(nil, sipleg.ErrNoFlow)
		return
	}
	w.used = true
	f, err := w.stack.transport.Connect(w.target)
	if err != nil {
		done(nil, err)
		return
	}
	done(f, nil)
}

// HandleMessage implements transport.Handler.
func (s *stack) HandleMessage(f *transport.Flow, m *sip.Message) {
	s.transactions.HandleMessage(f, m)
	if !m.IsRequest() && m.Method() == sip.BYE && m.Status() >= 200 {
		s.phone.byeAnswered(m.CallID())
	}
}

// HandleMalformed implements transport.Handler.
func (s *stack) HandleMalformed(f *transport.Flow, _ []byte, m *sip.Message, err error) {
	s.phone.log.Info("softphone: malformed message", "from", f.String(), "error", err)
	if m.Answerable() {
		_ = f.Send(sip.NewResponse(m, 400, "", transaction.NewTag()).Append(nil)) // whoever sends it again gets it again
	}
}

// HandleClosed implements transport.Handler.
func (s *stack) HandleClosed(f *transport.Flow, err error) {
	if f.Remote() == s.target.Addr {
		s.broken.Store(&err) // before the transactions that fail because of it
	}
	s.transactions.HandleClosed(f)
	if f.Remote() == s.target.Addr {
		s.phone.registration.lost(err)
	}
}

// HandleRequest implements transaction.User.
func (s *stack) HandleRequest(tx *transaction.Server, f transaction.Flow, m *sip.Message) {
	switch {
	case m.Method() == sip.ACK:
		s.legs.HandleRequest(nil, m)
		return
	case m.ToTag() != nil:
		if !s.legs.HandleRequest(tx, m) {
			reply(tx, m, 481)
		}
		return
	}
	if m.Check() != nil {
		reply(tx, m, 400)
		return
	}
	switch m.Method() {
	case sip.INVITE:
		s.invite(tx, f, m)
	case sip.OPTIONS: // RFC 3261 §11.2
		_ = tx.Respond(sip.NewResponse(m, 200, "", transaction.NewTag()).Add(sip.HAllow, sipleg.Allow).
			Add(sip.HAccept, "application/sdp").Add(sip.HSupported, supported).Add(sip.HUserAgent, userAgent))
	case sip.BYE, sip.PRACK, sip.UPDATE, sip.INFO:
		reply(tx, m, 481)
	default:
		_ = tx.Respond(sip.NewResponse(m, 405, "", transaction.NewTag()).Add(sip.HAllow, sipleg.Allow))
	}
}

// HandleCancel implements transaction.User.
func (s *stack) HandleCancel(tx *transaction.Server, m *sip.Message) { s.legs.HandleCancel(tx, m) }

func reply(tx *transaction.Server, m *sip.Message, status int) {
	_ = tx.Respond(sip.NewResponse(m, status, "", transaction.NewTag())) // a flow that is gone needs no answer
}

// invite takes a call that comes in.
func (s *stack) invite(tx *transaction.Server, f transaction.Flow, m *sip.Message) {
	flow, ok := f.(sipleg.Flow)
	if !ok || s.phone.isClosing() {
		reply(tx, m, 480)
		return
	}
	if unknown := sipleg.Unsupported(m); unknown != nil { // RFC 3261 §8.2.2.3
		_ = tx.Respond(sip.NewResponse(m, 420, "", transaction.NewTag()).Add(sip.HUnsupported, strings.Join(unknown, ", ")))
		return
	}
	var who Incoming
	if from, err := m.From(); err == nil {
		who.From, who.Name = from.URI.UserUnescaped(), from.DisplayName()
	}
	who.Active = s.calls.Len()
	decision := Decision{Refuse: cause.Busy()}
	if s.phone.config.Answer != nil {
		decision = s.phone.config.Answer(who)
	}
	in, err := s.legs.Accept(tx, flow, m, sipleg.Party{Device: s.phone.config.User, User: s.phone.config.User, Terms: s.phone.terms})
	if err != nil {
		return // it has been answered
	}
	c := newCall(s.phone, who.From, decision.Talk)
	c.inbound, c.decision, c.leg, c.mailbox = true, decision, in.Leg, in.Mailbox
	s.calls.Start(call.Setup{Caller: in.Leg, Mailbox: in.Mailbox, Offer: in.Offer, From: call.Side{Number: who.From, Name: who.Name},
		MaxForwards: in.MaxForwards}, c.serve)
}

func (p *Phone) isClosing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing
}
