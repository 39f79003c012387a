package transport

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"dialtone/internal/sip"
)

// Layer carries the messages of one exchange.
type Layer struct {
	// Stats counts for metrics.
	Stats Stats

	c          Config
	limits     Limits
	log        *slog.Logger
	workers    int
	seed       maphash.Seed
	udp        []*udpListener
	accepting  []*streamListener
	streams    streams
	handshakes chan struct{} // a token for each TLS handshake under way
	buffers    sync.Pool     // of *[]byte, a whole message long
	refusesTCP refusals

	ctx    context.Context // ends with the layer
	cancel context.CancelCauseFunc

	mu   sync.Mutex // guards over, and wg against an Add beside Wait
	over bool
	wg   sync.WaitGroup
}

// New binds the listeners. Nothing is read before Run; Close releases them if Run is never called.
func New(c Config) (*Layer, error) {
	if c.Network == nil || c.Handler == nil {
		return nil, errors.New("transport: no network or no handler")
	}
	l := &Layer{c: c, limits: c.Limits.withDefaults(), log: c.Log, workers: c.Workers, seed: maphash.MakeSeed()}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.workers <= 0 {
		l.workers = runtime.GOMAXPROCS(0)
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.handshakes = make(chan struct{}, l.limits.Handshakes)
	l.buffers.New = func() any { b := make([]byte, bigBuffer); return &b }
	l.streams.init(l.limits)
	for _, listener := range c.Listeners {
		if err := l.listen(listener); err != nil {
			l.Close()
			return nil, fmt.Errorf("transport: %w", err)
		}
	}
	return l, nil
}

func (l *Layer) listen(c Listener) error {
	if c.Kind == UDP {
		return l.listenUDP(c)
	}
	return l.listenStream(c)
}

// Addrs are the bound addresses, in the order of the configured listeners of that kind.
func (l *Layer) Addrs(k Kind) []netip.AddrPort {
	var out []netip.AddrPort
	if k == UDP {
		for _, u := range l.udp {
			out = append(out, u.addr)
		}
	}
	for _, s := range l.accepting {
		if s.c.Kind == k {
			out = append(out, s.addr)
		}
	}
	return out
}

// Run reads until ctx ends or a socket fails, then closes everything and waits for it. It returns nil when ctx ended
// it.
func (l *Layer) Run(ctx context.Context) error {
	for _, u := range l.udp {
		for _, s := range u.sockets {
			l.spawn(s.run)
		}
	}
	for _, s := range l.accepting {
		l.spawn(s.run)
	}
	select {
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	l.Close()
	if err := context.Cause(l.ctx); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// Close closes everything and waits until the workers are gone. Not to be called from a Handler.
func (l *Layer) Close() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.cancel(ErrClosed)
	for _, u := range l.udp {
		for _, s := range u.sockets {
			s.pc.Close()
		}
	}
	for _, s := range l.accepting {
		s.close()
	}
	l.streams.closeAll(ErrClosed)
	l.wg.Wait()
}

// spawn starts a goroutine that Close waits for; false when the layer is closed.
func (l *Layer) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.wg.Go(f)
	return true
}

// fatal ends Run.
func (l *Layer) fatal(err error) { l.cancel(err) }

func (l *Layer) admit(src netip.AddrPort, now time.Time) bool {
	if l.c.Admit == nil || l.c.Admit(src, now) {
		return true
	}
	l.Stats.Refused.Add(1)
	return false
}

// take parses a message that came at the time now and hands it up. It reports whether the message could be read. A panic
// above costs the message, not the worker.
func (l *Layer) take(f *Flow, m *sip.Message, b []byte, now time.Time) (ok bool) {
	defer l.recovered(f)
	l.Stats.Received[f.kind].Add(1)
	if l.c.Tap != nil {
		l.c.Tap(f, In, b)
	}
	err := m.Parse(b)
	m.Received, m.Arrived = f.remote, now // RFC 3261 §18.2.1
	if err != nil {
		l.Stats.Malformed.Add(1)
		l.c.Handler.HandleMalformed(f, b, m, err)
		return false
	}
	ok = true
	l.c.Handler.HandleMessage(f.replyFlow(m), m)
	return ok
}

func (l *Layer) recovered(f *Flow) {
	if r := recover(); r != nil {
		l.Stats.Panics.Add(1)
		l.log.Error("panic while handling a message", "flow", f.String(), "panic", r, "stack", string(debug.Stack()))
	}
}

// Connect is the flow to a target, without blocking: for UDP from the listener that is placed best, for a stream the
// open one to the same target (RFC 3261 §18: never one that was opened for another name), or a new one, which is being
// opened while what is sent waits in its queue. Flow.Wait tells how that went, and so does Handler.HandleClosed.
func (l *Layer) Connect(t Target) (*Flow, error) {
	t.Addr = netip.AddrPortFrom(t.Addr.Addr().Unmap(), t.Addr.Port())
	if !t.Addr.IsValid() || t.Addr.Port() == 0 {
		return nil, fmt.Errorf("transport: no address in target %v", t)
	}
	if t.Kind == UDP {
		return l.connectUDP(t)
	}
	if t.Kind > WSS || t.Kind == 0 {
		return nil, fmt.Errorf("transport: no such kind in target %v", t)
	}
	return l.connectStream(t)
}

func (l *Layer) connectUDP(t Target) (*Flow, error) {
	var best *udpListener
	rank := 0
	for _, u := range l.udp {
		placed := u.reaches(t.Addr.Addr())
		r := 2 * placed
		if placed > 0 && t.Role != "" && u.role == t.Role {
			// The role decides among listeners that are well placed, not against the way that the system would take: on a
			// host with a leg in each network a request from one of them leaves by the other.
			if r++; placed > elsewhere {
				r += 100
			}
		}
		if r > rank {
			best, rank = u, r
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: %v", ErrNoListener, t)
	}
	return best.flow(t.Addr), nil
}

// tcpTrial is how long a long request waits for TCP before it goes by UDP after all: some firewalls swallow what they do
// not know.
const tcpTrial = 2 * time.Second

// Open is Connect for a request of the given size, waiting until the flow is open. RFC 3261 §18.1.1: a request that is
// too long for a datagram goes over TCP, and over UDP all the same when the far end has no TCP; that it has none is
// remembered for ten minutes. It blocks up to Limits.Connect, and two seconds more where TCP is swallowed: not for
// workers.
func (l *Layer) Open(ctx context.Context, t Target, size int) (*Flow, error) {
	if t.Kind == UDP && size > MaxDatagram && !l.refusesTCP.has(t.Addr) {
		long := t
		long.Kind = TCP
		trial, cancel := context.WithTimeout(ctx, tcpTrial)
		f, err := l.open(trial, long)
		cancel()
		if err == nil {
			return f, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		l.refusesTCP.add(t.Addr)
	}
	return l.open(ctx, t)
}

func (l *Layer) open(ctx context.Context, t Target) (*Flow, error) {
	f, err := l.Connect(t)
	if err != nil {
		return nil, err
	}
	if err := f.Wait(ctx); err != nil {
		return nil, fmt.Errorf("open %v: %w", t, err)
	}
	return f, nil
}

// Send opens a flow to the target as Open does and sends b on it. The Via of b must fit the flow, so a request is
// mostly better served by Open, which tells the Via.
func (l *Layer) Send(ctx context.Context, t Target, b []byte) (*Flow, error) {
	f, err := l.Open(ctx, t, len(b))
	if err != nil {
		return nil, err
	}
	return f, f.Send(b)
}

// localAddr is the address that remote sees of a socket bound to bound.
func (l *Layer) localAddr(bound, remote netip.Addr) netip.Addr {
	if !bound.IsUnspecified() {
		return bound
	}
	if a, err := l.c.Network.LocalAddrFor(remote); err == nil {
		return a
	}
	return bound
}

// sentBy is how a flow names our side.
type sentBy struct {
	via    string // "SIP/2.0/UDP host:port"
	sentBy string // "host:port"
}

func newSentBy(k Kind, host string, port uint16) *sentBy {
	s := net.JoinHostPort(host, fmt.Sprint(port))
	return &sentBy{via: "SIP/2.0/" + k.String() + " " + s, sentBy: s}
}

// sentBys remembers the names of one listener, by host.
type sentBys struct {
	l    *Layer
	kind Kind
	m    sync.Map // host as netip.Addr or string -> *sentBy
}

// of is how the listener at bound is named to remote: by the advertised host, or by the local address.
func (s *sentBys) of(bound netip.AddrPort, remote netip.Addr) *sentBy {
	if s.l.c.Advertise != nil {
		if host := s.l.c.Advertise(remote); host != "" {
			if v, ok := s.m.Load(host); ok {
				return v.(*sentBy)
			}
			v, _ := s.m.LoadOrStore(host, newSentBy(s.kind, host, bound.Port()))
			return v.(*sentBy)
		}
	}
	a := s.l.localAddr(bound.Addr(), remote)
	if v, ok := s.m.Load(a); ok {
		return v.(*sentBy)
	}
	v, _ := s.m.LoadOrStore(a, newSentBy(s.kind, a.WithZone("").String(), bound.Port()))
	return v.(*sentBy)
}
