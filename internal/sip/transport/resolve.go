package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"dialtone/internal/sip"
)

const (
	deadTime = 30 * time.Second // how long a target that failed is tried last
	deadCap  = 4096
)

// Errors of a Resolver.
var (
	// ErrUnresolved: the DNS has no address for the URI.
	ErrUnresolved = errors.New("transport: no address")
	// ErrURI: the URI cannot lead anywhere: no SIP URI, or a transport that contradicts sips or that we do not speak.
	ErrURI     = errors.New("transport: URI leads nowhere")
	errUnknown = errors.New("transport: not remembered")
)

// ResolverConfig configures a Resolver.
type ResolverConfig struct {
	DNS DNS
	// Kinds are the transports that requests may be sent over; nil is UDP, TCP and TLS.
	Kinds []Kind
	// Draw is a random number from 0 to n, for the weights of SRV records; nil takes a good one.
	Draw func(n int) int
}

// Resolver finds the next hops of a URI: RFC 3263 §4. It is safe for any goroutine.
type Resolver struct {
	c     ResolverConfig
	cache *cache

	mu   sync.Mutex
	dead map[Target]time.Time // until when
}

// NewResolver makes a resolver. Close ends it.
func NewResolver(c ResolverConfig) *Resolver {
	if c.Kinds == nil {
		c.Kinds = []Kind{UDP, TCP, TLS}
	}
	if c.Draw == nil {
		c.Draw = func(n int) int { return rand.IntN(n + 1) }
	}
	return &Resolver{c: c, cache: newCache(c.DNS), dead: map[Target]time.Time{}}
}

// Close ends the look-ups that are under way and waits for them.
func (r *Resolver) Close() { r.cache.close() }

// Resolve finds the targets of a SIP or SIPS URI in the order in which they are to be tried; those that have failed
// lately come last. It asks the DNS for what it does not remember, so it may block until ctx ends: not for workers.
func (r *Resolver) Resolve(ctx context.Context, u *sip.URI) ([]Target, error) {
	return r.resolve(u, func(name string, t RecordType) (Answer, error) { return r.cache.lookup(ctx, name, t) })
}

// Known is Resolve from memory: it never blocks, and reports false where the DNS would have to be asked. A URI with an
// address is always known.
func (r *Resolver) Known(u *sip.URI) ([]Target, bool) {
	ts, err := r.resolve(u, r.cache.known)
	return ts, err == nil
}

// Direct is the target of a URI that names an address, and so nothing to look up: what Resolve gives for it, for a
// Resolver of the usual kinds, without allocating.
func Direct(u *sip.URI) (Target, bool) {
	addr, ok := u.HostAddr()
	if !ok || !u.IsSIP() || u.Params.Has("maddr") {
		return Target{}, false
	}
	t := Target{Kind: UDP}
	if u.Scheme == sip.SchemeSIPS {
		t.Kind = TLS
	}
	if v, ok := u.Params.Value("transport"); ok {
		switch {
		case sip.EqualFold(v, "udp") && t.Kind == UDP:
		case sip.EqualFold(v, "tcp") && t.Kind == UDP:
			t.Kind = TCP
		case sip.EqualFold(v, "tls"), sip.EqualFold(v, "tcp"):
			t.Kind = TLS
		default:
			return Target{}, false
		}
	}
	port := u.Port
	if port == 0 {
		port = t.Kind.DefaultPort()
	}
	t.Addr = netip.AddrPortFrom(addr, port)
	return t, true
}

// Failed tells that a target did not answer: it comes last for 30 seconds.
func (r *Resolver) Failed(t Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.dead) >= deadCap {
		clear(r.dead)
	}
	t.Role = ""
	r.dead[t] = time.Now().Add(deadTime)
}

// Answered tells that a target works again.
func (r *Resolver) Answered(t Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Role = ""
	delete(r.dead, t)
}

// deadLast moves the targets that have failed lately to the end.
func (r *Resolver) deadLast(ts []Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.dead) == 0 {
		return
	}
	now := time.Now()
	rank := func(t Target) int {
		until, ok := r.dead[t]
		switch {
		case !ok:
			return 0
		case !now.Before(until):
			delete(r.dead, t)
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ts, func(a, b Target) int { return rank(a) - rank(b) })
}

// hop is what a URI says about the next hop before anybody is asked.
type hop struct {
	host   string     // to look up
	addr   netip.Addr // instead of host
	port   uint16     // 0 when there is none
	kind   Kind       // 0 when there is none
	secure bool       // sips
	name   string     // for the certificate
}

// hopOf reads a URI: RFC 3263 §4 with the maddr and transport parameters of RFC 3261 §19.1.1.
func hopOf(u *sip.URI) (hop, error) {
	if !u.IsSIP() {
		return hop{}, fmt.Errorf("%w: scheme %s", ErrURI, u.Scheme)
	}
	h := hop{port: u.Port, secure: u.Scheme == sip.SchemeSIPS, host: canonical(string(u.Host))}
	addr, numeric := u.HostAddr()
	if numeric {
		h.addr = addr.Unmap()
	} else {
		h.name = h.host
	}
	if m, ok := u.Param("maddr"); ok {
		h.host, h.addr = canonical(string(m)), netip.Addr{}
		if a, err := netip.ParseAddr(trimBrackets(h.host)); err == nil {
			h.addr = a.Unmap()
		}
	}
	if t, ok := u.Param("transport"); ok {
		if h.kind = ParseKind(string(t)); h.kind == 0 {
			return hop{}, fmt.Errorf("%w: transport %.20q", ErrURI, t)
		}
	}
	if h.secure {
		// RFC 3261 §26.2.2: every hop over TLS; transport=tcp then means TLS over TCP (§19.1.1).
		switch h.kind {
		case UDP:
			return hop{}, fmt.Errorf("%w: sips over UDP", ErrURI)
		case TCP:
			h.kind = TLS
		case WS:
			h.kind = WSS
		}
	}
	return h, nil
}

func trimBrackets(s string) string {
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		return s[1 : len(s)-1]
	}
	return s
}

// usual is the transport where nothing says which: RFC 3263 §4.1.
func (h hop) usual() Kind {
	switch {
	case h.kind != 0:
		return h.kind
	case h.secure:
		return TLS
	}
	return UDP
}

func (r *Resolver) speaks(k Kind) bool { return slices.Contains(r.c.Kinds, k) }

type lookup func(name string, t RecordType) (Answer, error)

func (r *Resolver) resolve(u *sip.URI, ask lookup) ([]Target, error) {
	h, err := hopOf(u)
	if err != nil {
		return nil, err
	}
	if k := h.usual(); (h.kind != 0 || h.port != 0 || h.addr.IsValid()) && !r.speaks(k) {
		return nil, fmt.Errorf("%w: %v is not spoken here", ErrURI, k)
	}
	if h.addr.IsValid() {
		return []Target{r.target(h, h.usual(), h.addr, h.port)}, nil
	}
	if h.port != 0 { // RFC 3263 §4.2: a port leaves nothing for SRV to say
		return r.finish(r.addTargets(nil, h, h.usual(), h.host, h.port, ask))
	}
	services, err := r.services(h, ask)
	if err != nil {
		return nil, err
	}
	var out []Target
	var last error
	found := false
	for _, s := range services {
		a, err := ask(s.name, ServiceRecords)
		if err != nil {
			if errors.Is(err, errUnknown) {
				return nil, err
			}
			last = err
			continue
		}
		found = found || len(a.SRV) > 0
		ordered := orderSRV(a.SRV, r.c.Draw)
		for _, srv := range ordered[:min(len(ordered), maxServices)] {
			if out, err = r.addTargets(out, h, s.kind, canonical(srv.Target), srv.Port, ask); err != nil {
				last = err
			}
		}
	}
	if len(out) == 0 && !found {
		// RFC 3263 §4.2: without SRV records, the addresses of the name itself.
		return r.finish(r.addTargets(nil, h, h.usual(), h.host, 0, ask))
	}
	return r.finish(out, last)
}

// services are the SRV names to ask for: from NAPTR, or all that we speak (RFC 3263 §4.1).
func (r *Resolver) services(h hop, ask lookup) ([]service, error) {
	if h.kind != 0 {
		return []service{{h.kind, h.kind.prefix() + h.host}}, nil
	}
	a, err := ask(h.host, NamingAuthority)
	if errors.Is(err, errUnknown) {
		return nil, err
	}
	// A server that fails at NAPTR, as some home routers do, may still know SRV.
	if out := orderNAPTR(a.NAPTR, r.speaks, h.secure); len(out) > 0 {
		return out, nil
	}
	var out []service
	for _, k := range []Kind{UDP, TCP, TLS} {
		if r.speaks(k) && (!h.secure || k.Secure()) {
			out = append(out, service{k, k.prefix() + h.host})
		}
	}
	return out, nil
}

// addTargets appends the addresses of one name.
func (r *Resolver) addTargets(out []Target, h hop, k Kind, name string, port uint16, ask lookup) ([]Target, error) {
	if a, err := netip.ParseAddr(name); err == nil { // not allowed in SRV, and seen
		return append(out, r.target(h, k, a.Unmap(), port)), nil
	}
	if len(out) >= maxTargets {
		return out, nil
	}
	a, err := ask(name, Addresses)
	if err != nil {
		return out, err
	}
	for _, ip := range orderAddrs(a.Addrs) {
		t := r.target(h, k, ip, port)
		if len(out) < maxTargets && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out, nil
}

func (r *Resolver) target(h hop, k Kind, ip netip.Addr, port uint16) Target {
	if port == 0 {
		port = k.DefaultPort()
	}
	t := Target{Kind: k, Addr: netip.AddrPortFrom(ip, port)}
	if k.Secure() || k == WS {
		t.Name = h.name
	}
	return t
}

func (r *Resolver) finish(ts []Target, err error) ([]Target, error) {
	if len(ts) == 0 {
		if err == nil {
			err = ErrUnresolved
		}
		return nil, err
	}
	r.deadLast(ts)
	return ts, nil
}
