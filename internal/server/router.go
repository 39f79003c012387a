package server

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
	"dialtone/internal/sipleg"
)

// router finds the way for the legs: over the flow that a phone has registered on, else where its URI leads.
type router struct{ s *Server }

// resolveTime bounds one look-up in the DNS.
const resolveTime = 5 * time.Second

// Path implements sipleg.Router. source is a []location.Flow, or nil.
func (r router) Path(uri string, source any) sipleg.Path {
	flows, _ := source.([]location.Flow)
	return &path{s: r.s, uri: uri, flows: flows}
}

// Revive implements sipleg.Reviver. name is what Flow.String returned: "udp 192.0.2.7:5060".
func (r router) Revive(name string, remote netip.AddrPort) (sipleg.Flow, error) {
	kind, _, _ := strings.Cut(name, " ")
	k := transport.ParseKind(kind)
	if k == 0 {
		return nil, fmt.Errorf("no transport in %q", name)
	}
	return r.s.transport.Connect(transport.Target{Kind: k, Addr: remote})
}

// path is the way of one request: first the flows of a registration, then the targets of its URI.
type path struct {
	s        *Server
	uri      string
	flows    []location.Flow
	targets  []transport.Target
	resolved bool
	last     transport.Target // that was given out
}

// Next implements sipleg.Path.
func (p *path) Next(size int, done func(sipleg.Flow, error)) {
	if p.last.Kind != 0 {
		p.s.resolver.Failed(p.last) // asked again: the last one was no good
		p.last = transport.Target{}
	}
	for len(p.flows) > 0 {
		flow := p.flows[0]
		p.flows = p.flows[1:]
		if f := p.registered(flow); f != nil {
			// What was registered over a datagram flow is reached by it, however long the request: behind a NAT there is no
			// other way in.
			p.resolved = p.resolved || !flow.Stream()
			done(f, nil)
			return
		}
	}
	if p.resolved {
		p.next(size, done)
		return
	}
	p.resolved = true
	u, err := sip.ParseURI([]byte(p.uri))
	if err != nil {
		done(nil, fmt.Errorf("%w: %w", sipleg.ErrNoFlow, err))
		return
	}
	if targets, ok := p.s.resolver.Known(&u); ok {
		p.targets = targets
		p.next(size, done)
		return
	}
	if strings.HasSuffix(string(u.Host), ".invalid") { // RFC 7118 §5: reached over its own connection or not at all
		done(nil, sipleg.ErrNoFlow)
		return
	}
	p.s.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
		defer cancel()
		targets, err := p.s.resolver.Resolve(ctx, &u)
		if err != nil {
			done(nil, fmt.Errorf("%w: %w", sipleg.ErrNoFlow, err))
			return
		}
		p.targets = targets
		p.next(size, done)
	})
}

// registered is the flow that a phone registered on, if it is still there.
func (p *path) registered(flow location.Flow) *transport.Flow {
	if flow.Stream() {
		if f := p.s.transport.Stream(flow.ID); f != nil && f.Remote() == flow.Remote {
			return f
		}
		return nil
	}
	if f := p.s.transport.UDPFrom(flow.Local, flow.Remote); f != nil {
		return f
	}
	f, err := p.s.transport.Connect(transport.Target{Kind: transport.UDP, Addr: flow.Remote})
	if err != nil {
		return nil
	}
	return f
}

// next takes the next target of the URI.
func (p *path) next(size int, done func(sipleg.Flow, error)) {
	if len(p.targets) == 0 {
		done(nil, sipleg.ErrNoFlow)
		return
	}
	t := p.targets[0]
	p.targets = p.targets[1:]
	p.last = t
	if t.Kind == transport.UDP && size > transport.MaxDatagram {
		p.s.background.Go(func() { // RFC 3261 §18.1.1: over TCP, as far as the far end has it
			ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
			defer cancel()
			f, err := p.s.transport.Open(ctx, t, size)
			p.give(f, err, size, done)
		})
		return
	}
	f, err := p.s.transport.Connect(t)
	p.give(f, err, size, done)
}

func (p *path) give(f *transport.Flow, err error, size int, done func(sipleg.Flow, error)) {
	if err != nil {
		p.next(size, done)
		return
	}
	done(f, nil)
}
