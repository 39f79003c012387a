// Package proxy forwards requests instead of taking them: RFC 3261 §16. It has three ways to do so, one for each role of
// a listener: with state (forking, best response, failover), without any, and as a redirect server (§8.3) that only says
// where to go.
//
// It owns the reading of routes, the target set, loop detection, the response context of a request, the choice of the
// response that goes back, and its own marks in Via, Record-Route and Path. It does not own transactions and flows
// (sip/transaction, sip/transport), bindings (location), which servers stand behind and whether they live (nexthop), nor the question who a sender is: that it asks a Door.
//
// What it decides are pure functions: the routes (course), the target set, the fork (which branch is started, cancelled
// and answered), the best response. Relay is the thin shell that carries out what the fork orders.
//
// Goroutines: none for messages. Everything runs to completion on the worker that read the message, or on the goroutine
// of the transactions' timers. Only a name that the resolver does not remember is looked up in the background, at most
// 256 at a time; Close ends and awaits those.
//
// Ordering: the events of one request are worked off one after another by whoever comes first; nobody waits. State
// belongs to one request each, so no two cores share a lock, and nothing here reads a database.
//
// Marks: the branch of a request says that this proxy made it and what it looked like when it came (RFC 5393 §4.2.1); the
// user part of a Record-Route or Path URI says the flow to the neighbour (RFC 5626 §5.3) and that this proxy vouches for
// the dialog. Both carry a hash with a key that only this server knows, so that nobody can use it as an open relay with
// a Route of his own making.
//
// RFCs: 3261 §8.3, §16, §16.11, 3263 §4.3, 3327, 3581, 4320, 5393, 5626 §5.3, 6026 §7.3, 6228.
package proxy

import (
	"bytes"
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/location"
	"dialtone/internal/nexthop"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// Network opens and finds flows; *transport.Layer does.
type Network interface {
	Connect(t transport.Target) (*transport.Flow, error)
	Flow(token []byte) (*transport.Flow, error)
	Stream(id uint64) *transport.Flow
	UDPFrom(local, remote netip.AddrPort) *transport.Flow
}

// Resolver finds the addresses of a URI; *transport.Resolver does.
type Resolver interface {
	Known(u *sip.URI) ([]transport.Target, bool)
	Resolve(ctx context.Context, u *sip.URI) ([]transport.Target, error)
	Failed(t transport.Target)
}

// Locations knows where lines are registered; *location.Table does.
type Locations interface {
	Lookup(dst []location.Binding, aor location.AOR, now time.Time) []location.Binding
}

// Directory has the tenants and lines; *directory.Directory does.
type Directory interface {
	Snapshot() *directory.Snapshot
}

// Door knows who may send what.
type Door interface {
	// Identify finds out who a request is from; it answers those that it does not let in, and reports false.
	Identify(tx *transaction.Server, f *transport.Flow, m *sip.Message) bool
	// Knows reports whether the sender is known without being asked: by its address, or by the flow it is registered on.
	Knows(f *transport.Flow, m *sip.Message) bool
}

// Doubter is a Door that knows who may not be where he says he is: such a one gets one short answer to one request.
type Doubter interface {
	// Vouches reports whether an answer reaches the one who has sent the request.
	Vouches(f *transport.Flow, m *sip.Message) bool
	// Trim shortens an answer for everybody else.
	Trim(f *transport.Flow, m *sip.Message, res []byte) []byte
}

// Key is what the marks are made with. It must be the same after a restart, and a secret.
type Key [32]byte

// Config of a Proxy.
type Config struct {
	Transactions *transaction.Layer
	Network      Network
	Resolver     Resolver
	// Steady is the resolver for requests that are forwarded without state: for one name it always gives the same order
	// (RFC 3261 §16.11: the choice must be a function of the message). nil: Resolver.
	Steady    Resolver
	Directory Directory
	Locations Locations
	Door      Door
	NextHops  *nexthop.Hops // nil: none
	// Own reports whether the host and port of a SIP URI (0: none) are those of a listener that forwards.
	Own func(host []byte, port uint16) bool
	// Here reports whether a host is this one, whatever the port. nil: none is.
	Here func(host []byte) bool
	// Forwards reports whether a role, which is that of one listener, is to forward. nil: only that of the request at hand.
	Forwards func(role string) bool
	// Local reports whether an address is one of this host: what comes from there with a branch of ours, we have sent.
	Local func(netip.Addr) bool
	Key   Key
	// TimerC is how long an INVITE may wait for a response after a provisional one (RFC 3261 §16.6 item 11). [185 s]
	TimerC    time.Duration
	UserAgent string // for Server
}

// Stats counts; for metrics.
type Stats struct {
	Forwarded, Refused, Loops, Dropped atomic.Uint64
}

// Proxy forwards. Its methods are safe for any goroutine.
type Proxy struct {
	Config
	Stats Stats

	moved   moved
	buffers sync.Pool // of *scratch
	ctx     context.Context
	cancel  context.CancelFunc
	lookups chan struct{} // a token for each look-up under way
	mu      sync.Mutex    // guards over, and wg against an Add beside Wait
	over    bool
	wg      sync.WaitGroup
}

// MaxLookups is how many names are looked up at a time.
const MaxLookups = 256

// New makes a proxy.
func New(c Config) *Proxy {
	if c.TimerC <= 0 {
		c.TimerC = 185 * time.Second
	}
	if c.Steady == nil {
		c.Steady = c.Resolver
	}
	p := &Proxy{Config: c, lookups: make(chan struct{}, MaxLookups)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.buffers.New = func() any { return &scratch{out: make([]byte, 0, 2048)} }
	return p
}

// Close ends the look-ups that are under way and waits for them.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
}

// scratch is the room that one message needs.
type scratch struct {
	out      []byte // the printed message
	lines    []byte
	branch   []byte
	value    []byte
	params   []byte
	bindings []location.Binding
	ways     []way
	servers  []*nexthop.Target
	builder  sip.Builder
}

func (p *Proxy) scratch() *scratch { return p.buffers.Get().(*scratch) }

func (p *Proxy) free(s *scratch) {
	clear(s.bindings)
	clear(s.ways)
	clear(s.servers)
	s.bindings, s.ways, s.servers = s.bindings[:0], s.ways[:0], s.servers[:0]
	p.buffers.Put(s)
}

// lookup asks the DNS in the background; false when too many wait for it already.
func (p *Proxy) lookup(r Resolver, uri string, done func([]transport.Target)) bool {
	select {
	case p.lookups <- struct{}{}:
	default:
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		<-p.lookups
		return false
	}
	p.wg.Go(func() {
		defer func() { <-p.lookups }()
		ctx, cancel := context.WithTimeout(p.ctx, lookupTime)
		defer cancel()
		u, err := sip.ParseURI([]byte(uri))
		if err != nil {
			done(nil)
			return
		}
		targets, _ := r.Resolve(ctx, &u) // without an address there is nothing to try
		done(targets)
	})
	return true
}

const lookupTime = 5 * time.Second

// refusal is a response that the proxy gives by itself; the zero value is none.
type refusal struct {
	status int
	reason string // "" for the usual phrase
}

// own is the answer to a request for this server itself: it is here, and takes nothing (RFC 3261 §16.3 item 3, §11.2).
func own(m *sip.Message) refusal {
	if m.Method() == sip.OPTIONS {
		return refusal{status: 200}
	}
	return refusal{status: 404}
}

// reply answers a request: on its transaction, or without one. A response without a transaction has the same tag each
// time (RFC 3261 §8.2.7).
func (p *Proxy) reply(tx *transaction.Server, f *transport.Flow, m *sip.Message, no refusal) {
	if m.Method() == sip.ACK {
		return
	}
	s := p.scratch()
	defer p.free(s)
	p.Stats.Refused.Add(1)
	p.send(tx, f, m, s, p.refused(s, tx, m, no))
}

// refused is the response that says no.
func (p *Proxy) refused(s *scratch, tx *transaction.Server, m *sip.Message, no refusal) *sip.Builder {
	b := p.response(s, tx, m, no)
	if no.status == 420 {
		for e := m.Elements(sip.HProxyRequire); e.Next(); {
			b.AddBytes(sip.HUnsupported, e.Value()) // §16.3 item 5: none of them is known here
		}
	}
	return b
}

// turnAway answers a request that has had no answer yet. Of somebody who may be elsewhere nothing is remembered, and
// nothing is sent to him again unless he asks again (RFC 3261 §26.3.2.4).
func (p *Proxy) turnAway(tx *transaction.Server, f *transport.Flow, m *sip.Message, no refusal) {
	doubter, doubts := p.Door.(Doubter)
	if !doubts || doubter.Vouches(f, m) {
		p.reply(tx, f, m, no)
		return
	}
	s := p.scratch()
	defer p.free(s)
	p.Stats.Refused.Add(1)
	s.out = p.refused(s, nil, m, no).Append(s.out[:0]) // with the tag that HandleACK knows
	_ = tx.RespondOnceBytes(doubter.Trim(f, m, s.out))
}

// response starts a response in the scratch's builder.
func (p *Proxy) response(s *scratch, tx *transaction.Server, m *sip.Message, no refusal) *sip.Builder {
	tag := ""
	if tx != nil {
		tag = transaction.NewTag()
	} else {
		s.value = sip.AppendHex(s.value[:0], p.tag(m))
		tag = string(s.value)
	}
	return s.builder.Response(m, no.status, no.reason, tag).Add(sip.HServer, p.UserAgent)
}

// tag is the To tag of responses that are given without a transaction: the same for each repetition of a request.
func (p *Proxy) tag(m *sip.Message) uint64 {
	via, _ := m.Via()
	return p.Key.sum('t', via.Branch, m.CallID(), m.FromTag())
}

func (p *Proxy) send(tx *transaction.Server, f *transport.Flow, m *sip.Message, s *scratch, b *sip.Builder) {
	s.out = b.Append(s.out[:0])
	if doubter, ok := p.Door.(Doubter); ok && !doubter.Vouches(f, m) {
		s.out = doubter.Trim(f, m, s.out)
	}
	if tx != nil {
		_ = tx.RespondBytes(bytes.Clone(s.out)) // too late is nobody's loss
		return
	}
	_ = f.Send(s.out) // lost like any datagram: the client asks again
}
