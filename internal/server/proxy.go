package server

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"dialtone/internal/config"
	"dialtone/internal/ingress"
	"dialtone/internal/metrics"
	"dialtone/internal/nexthop"
	"dialtone/internal/proxy"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// forwarding is what the role of a listener makes of requests.
func forwarding(r config.Role) ingress.Forwarding {
	switch r {
	case config.Proxy:
		return ingress.Stateful
	case config.Stateless:
		return ingress.Stateless
	case config.Redirect:
		return ingress.Redirect
	}
	return ingress.None
}

// buildProxy makes what listeners that forward share; nil where there is none.
func (s *Server) buildProxy(door proxy.Door) (*proxy.Proxy, error) {
	if !slices.ContainsFunc(s.options.Config.SIP.Listen, func(l config.SIPListener) bool { return forwarding(l.Role) != ingress.None }) {
		return nil, nil
	}
	key, err := secretFile(s.options.Config.Data, "proxy.key", len(proxy.Key{}))
	if err != nil {
		return nil, fmt.Errorf("proxy key: %w", err)
	}
	// Without state the choice must be a function of the message (RFC 3261 §16.11): this resolver draws no lots, and is
	// never told what has failed.
	steady := transport.NewResolver(transport.ResolverConfig{DNS: s.options.DNS, Draw: func(n int) int { return n / 2 }})
	s.onClose(func() error { steady.Close(); return nil })
	// Of several listeners that forward the first one asks whether servers are alive.
	at := slices.IndexFunc(s.options.Config.SIP.Listen, func(l config.SIPListener) bool { return forwarding(l.Role) != ingress.None })
	s.hops = nexthop.New(nexthop.Config{Publisher: s.bus, Log: s.log, Own: s.isForwarder, Checker: &nexthop.Options{
		Transactions: s.transactions, Network: waysOut{s}, Resolver: s.resolver, UserAgent: userAgent,
		Role: s.options.Config.SIP.Listen[at].String(),
	}})
	forwards := map[string]bool{}
	for _, l := range s.options.Config.SIP.Listen {
		forwards[l.String()] = forwarding(l.Role) != ingress.None
	}
	p := proxy.New(proxy.Config{
		Transactions: s.transactions, Network: waysOut{s}, Resolver: s.resolver, Steady: steady, Directory: s.directory,
		Locations: s.locations, Door: door, NextHops: s.hops, Own: s.isForwarder, Here: s.isHost,
		Forwards: func(role string) bool { return forwards[role] }, Local: s.isLocal, Key: proxy.Key(key),
		TimerC: s.options.Config.SIP.TimerC.Duration, UserAgent: userAgent,
	})
	s.onClose(func() error { p.Close(); return nil })
	return p, nil
}

// nextHops is how the servers behind are, for metrics.
func (s *Server) nextHops() []metrics.NextHop {
	if s.hops == nil {
		return nil
	}
	states := s.hops.All()
	out := make([]metrics.NextHop, len(states))
	for i, state := range states {
		out[i] = metrics.NextHop{Set: state.Set, Target: state.URI, Up: state.Up(), Requests: state.Requests, Failures: state.Failures}
	}
	return out
}

// waysOut stands for the transport, which is made after the proxy.
type waysOut struct{ s *Server }

func (n waysOut) Connect(t transport.Target) (*transport.Flow, error) {
	return n.s.transport.Connect(t)
}

func (n waysOut) Flow(token []byte) (*transport.Flow, error) { return n.s.transport.Flow(token) }

func (n waysOut) Stream(id uint64) *transport.Flow { return n.s.transport.Stream(id) }

func (n waysOut) UDPFrom(local, remote netip.AddrPort) *transport.Flow {
	return n.s.transport.UDPFrom(local, remote)
}

// forwarder is where a listener that forwards is bound.
type forwarder struct {
	kind  transport.Kind
	bound netip.AddrPort
}

// noteForwarders remembers where the listeners that forward are, once they are bound.
func (s *Server) noteForwarders() {
	seen := map[transport.Kind]int{}
	for _, l := range s.options.Config.SIP.Listen {
		k := transport.ParseKind(l.Transport)
		bound := l.Addr
		if addrs := s.transport.Addrs(k); seen[k] < len(addrs) {
			bound = addrs[seen[k]] // with the port that 0 became
		}
		seen[k]++
		if forwarding(l.Role) != ingress.None {
			s.forwarders = append(s.forwarders, forwarder{k, bound})
		}
	}
}

// isForwarder reports whether a host and port are those of a listener that forwards.
func (s *Server) isForwarder(host []byte, port uint16) bool {
	return slices.ContainsFunc(s.forwarders, func(f forwarder) bool {
		return f.bound.Port() == cmp.Or(port, f.kind.DefaultPort())
	}) && s.isHost(host)
}

// EdgeAddr is the address of the first datagram listener that forwards; "" when there is none.
func (s *Server) EdgeAddr() string {
	at := slices.IndexFunc(s.forwarders, func(f forwarder) bool { return f.kind == transport.UDP })
	if at < 0 {
		return ""
	}
	return reachable(s.forwarders[at].bound)
}

// isHost reports whether a host is this server: an address, or a name that it goes by.
func (s *Server) isHost(host []byte) bool {
	u := sip.URI{Host: host}
	if addr, ok := u.HostAddr(); ok {
		return s.isLocal(addr)
	}
	c := s.options.Config
	if c.SIP.Public != "" && sip.EqualFold(host, c.SIP.Public) || sip.EqualFold(host, "localhost") {
		return true
	}
	return slices.ContainsFunc(c.SIP.Domains, func(d string) bool { return sip.EqualFold(host, d) })
}
