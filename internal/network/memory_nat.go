package network

import (
	"net/netip"
	"time"
)

// realm is a set of addresses that reach each other directly: the world, or the inside of a NAT.
type realm struct {
	hosts map[netip.Addr]*Host
	nats  map[netip.Addr]*NAT // by the address they have here
	up    *NAT                // the way out; nil for the world
}

func newRealm(up *NAT) *realm {
	return &realm{hosts: map[netip.Addr]*Host{}, nats: map[netip.Addr]*NAT{}, up: up}
}

// Dependence says of which part of the far address something depends, in the words of RFC 4787 §4.1 and §5.
type Dependence uint8

// The dependences.
const (
	EndpointIndependent Dependence = iota
	AddressDependent
	AddressAndPortDependent
)

// NATConfig says how a NAT behaves. IPv4 and IPv6 alike; an address of the other family finds no way out.
type NATConfig struct {
	Public netip.Addr
	// Mapping decides when one inside address and port gets another public port (RFC 4787 §4.1).
	Mapping Dependence
	// Filtering decides who may send to a public port (RFC 4787 §5).
	Filtering Dependence
	// Timeout of a datagram mapping that nothing is sent through; 0 is 120 s (RFC 4787 §4.3 asks for at least that,
	// cheap routers have 30 s).
	Timeout time.Duration
}

// streamTimeout is how long a NAT keeps a silent TCP mapping (RFC 5382 §5).
const streamTimeout = 2*time.Hour + 4*time.Minute

// NAT is a box between hosts inside and the world, or another NAT, outside.
type NAT struct {
	m     *Memory
	c     NATConfig
	outer *realm
	inner *realm
	out   map[mappingKey]*mapping
	in    map[portKey]*mapping
	next  uint16
}

type mappingKey struct {
	stream bool
	inside netip.AddrPort
	far    netip.AddrPort // the part that the mapping depends on
}

type portKey struct {
	stream bool
	port   uint16
}

type mapping struct {
	key    mappingKey
	port   uint16
	sent   time.Time
	filter map[netip.AddrPort]struct{} // the parts of far addresses that may answer
}

// NAT adds a box whose outside is the world.
func (m *Memory) NAT(c NATConfig) *NAT {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.addNAT(c, m.world)
}

// NAT adds a box behind this one (a home router behind the NAT of a carrier).
func (n *NAT) NAT(c NATConfig) *NAT {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	return n.m.addNAT(c, n.inner)
}

func (m *Memory) addNAT(c NATConfig, outer *realm) *NAT {
	c.Public = c.Public.Unmap()
	if outer.taken(c.Public) {
		panic("network: address " + c.Public.String() + " is taken")
	}
	if c.Timeout <= 0 {
		c.Timeout = 120 * time.Second
	}
	n := &NAT{m: m, c: c, outer: outer}
	n.inner = newRealm(n)
	n.forget()
	outer.nats[c.Public] = n
	return n
}

func (r *realm) taken(a netip.Addr) bool { return r.hosts[a] != nil || r.nats[a] != nil }

// Host adds a host inside.
func (n *NAT) Host(addrs ...netip.Addr) *Host {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	return n.m.addHost(n.inner, addrs)
}

// Reboot forgets all mappings, as a router does that lost its power for a moment.
func (n *NAT) Reboot() {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	n.forget()
}

func (n *NAT) forget() {
	n.out = map[mappingKey]*mapping{}
	n.in = map[portKey]*mapping{}
	n.next += 40000 // a rebooted box does not hand out the same ports in the same order
}

// part is what of far the dependence looks at.
func (d Dependence) part(far netip.AddrPort) netip.AddrPort {
	switch d {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(far.Addr(), 0)
	}
	return far
}

func (n *NAT) expired(mp *mapping, now time.Time) bool {
	if mp.key.stream {
		return now.Sub(mp.sent) > streamTimeout
	}
	return now.Sub(mp.sent) > n.c.Timeout
}

// outbound translates the source of what leaves; the caller holds the lock.
func (n *NAT) outbound(stream bool, src, dst netip.AddrPort, now time.Time) (netip.AddrPort, bool) {
	if src.Addr().Is4() != n.c.Public.Is4() || dst.Addr().Is4() != n.c.Public.Is4() {
		return netip.AddrPort{}, false
	}
	k := mappingKey{stream, src, n.c.Mapping.part(dst)}
	mp := n.out[k]
	if mp == nil || n.expired(mp, now) {
		if mp != nil {
			delete(n.in, portKey{stream, mp.port})
		}
		port := n.freePort(stream, src.Port(), now)
		if port == 0 {
			return netip.AddrPort{}, false
		}
		mp = &mapping{key: k, port: port, filter: map[netip.AddrPort]struct{}{}}
		n.out[k] = mp
		n.in[portKey{stream, mp.port}] = mp
	}
	mp.sent = now
	mp.filter[n.c.Filtering.part(dst)] = struct{}{}
	return netip.AddrPortFrom(n.c.Public, mp.port), true
}

// freePort takes a public port that differs from the inside one, so that nothing works by luck; 0 when
// all are in use.
func (n *NAT) freePort(stream bool, inside uint16, now time.Time) uint16 {
	for range 1 << 16 {
		n.next++
		if n.next < 1024 || n.next == inside {
			continue
		}
		mp := n.in[portKey{stream, n.next}]
		if mp == nil {
			return n.next
		}
		if n.expired(mp, now) {
			delete(n.out, mp.key)
			return n.next
		}
	}
	return 0
}

// inbound finds the inside address of what comes back; the caller holds the lock.
func (n *NAT) inbound(stream bool, src netip.AddrPort, port uint16, now time.Time) (netip.AddrPort, bool) {
	mp := n.in[portKey{stream, port}]
	if mp == nil || n.expired(mp, now) {
		return netip.AddrPort{}, false
	}
	if _, ok := mp.filter[n.c.Filtering.part(src)]; !ok {
		return netip.AddrPort{}, false
	}
	return mp.key.inside, true
}

// path is where something ends up: the host, its own address, and the sender's address as the host sees it.
type path struct {
	to   *Host
	from netip.AddrPort
	at   netip.AddrPort
}

// route walks from a realm to the host that dst means there, through NATs both ways (hairpins included). The caller
// holds the lock.
func (m *Memory) route(r *realm, stream bool, src, dst netip.AddrPort) (path, bool) {
	now := time.Now()
	for range 16 { // NATs in a row; more is a loop
		if h := r.hosts[dst.Addr()]; h != nil {
			return path{h, src, dst}, true
		}
		var ok bool
		if n := r.nats[dst.Addr()]; n != nil {
			if dst, ok = n.inbound(stream, src, dst.Port(), now); !ok {
				return path{}, false
			}
			r = n.inner
			continue
		}
		if r.up == nil {
			return path{}, false
		}
		if src, ok = r.up.outbound(stream, src, dst, now); !ok {
			return path{}, false
		}
		r = r.up.outer
	}
	return path{}, false
}
