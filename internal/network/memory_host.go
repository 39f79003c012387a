package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// Host is one machine on a Memory. It is a Network.
type Host struct {
	m         *Memory
	number    int
	realm     *realm
	addrs     []netip.Addr
	sockets   map[uint16][]*memorySocket
	listeners map[uint16][]*memoryListener
	streams   map[*memoryStream]struct{}
	next      uint16 // the last ephemeral port given out
}

// Host adds a host to the world. Each address belongs to one host.
func (m *Memory) Host(addrs ...netip.Addr) *Host {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.addHost(m.world, addrs)
}

func (m *Memory) addHost(r *realm, addrs []netip.Addr) *Host {
	h := &Host{
		m:         m,
		number:    len(m.hosts),
		realm:     r,
		sockets:   map[uint16][]*memorySocket{},
		listeners: map[uint16][]*memoryListener{},
		streams:   map[*memoryStream]struct{}{},
		next:      firstEphemeral - 1,
	}
	m.hosts = append(m.hosts, h)
	for _, a := range addrs {
		h.add(a.Unmap())
	}
	return h
}

func (h *Host) add(a netip.Addr) {
	if h.realm.taken(a) {
		panic("network: address " + a.String() + " is taken")
	}
	h.addrs = append(h.addrs, a)
	h.realm.hosts[a] = h
}

// Addr is the first address.
func (h *Host) Addr() netip.Addr {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if len(h.addrs) == 0 {
		return netip.Addr{}
	}
	return h.addrs[0]
}

// Readdress gives the host other addresses, as a new lease does. Sockets that are bound to an old one hear nothing.
func (h *Host) Readdress(addrs ...netip.Addr) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	for _, a := range h.addrs {
		delete(h.realm.hosts, a)
	}
	h.addrs = nil
	for _, a := range addrs {
		h.add(a.Unmap())
	}
}

// Crash closes everything that is open on the host and tells nobody: the far ends of its streams are left half open,
// and learn of it only when they send.
func (h *Host) Crash() {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.shut(syscall.ECONNABORTED)
}

// shut ends all that is open; the caller holds the lock.
func (h *Host) shut(err error) {
	for _, ss := range h.sockets {
		for _, s := range slices.Clone(ss) {
			s.end()
		}
	}
	for _, ls := range h.listeners {
		for _, l := range slices.Clone(ls) {
			l.end()
		}
	}
	for s := range h.streams {
		s.fail(err)
	}
}

const (
	firstEphemeral = 32768
	lastEphemeral  = 60999
)

// bound is anything that holds a port.
type bound interface {
	address() netip.AddrPort
	sharing() bool
}

// clash reports whether two bindings of one port exclude each other. "::" takes IPv4 as well (RFC 3493 §5.3).
func clash(a, b bound) bool {
	if a.sharing() && b.sharing() {
		return false
	}
	x, y := a.address().Addr(), b.address().Addr()
	if x == y || x == netip.IPv6Unspecified() || y == netip.IPv6Unspecified() {
		return true
	}
	return x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}

// claim checks an address and finds a port for it; used reports whether a port is taken. The caller holds the lock.
func (h *Host) claim(addr netip.AddrPort, used func(netip.AddrPort) bool) (netip.AddrPort, error) {
	ip := addr.Addr().Unmap()
	switch {
	case h.m.closed:
		return addr, net.ErrClosed
	case !ip.IsValid():
		return addr, syscall.EINVAL
	case !ip.IsUnspecified() && !ip.IsLoopback() && !slices.Contains(h.addrs, ip):
		return addr, syscall.EADDRNOTAVAIL
	}
	if p := addr.Port(); p != 0 {
		a := netip.AddrPortFrom(ip, p)
		if used(a) {
			return a, syscall.EADDRINUSE
		}
		return a, nil
	}
	for range lastEphemeral - firstEphemeral + 1 {
		h.next++
		if h.next > lastEphemeral || h.next < firstEphemeral {
			h.next = firstEphemeral
		}
		if a := netip.AddrPortFrom(ip, h.next); !used(a) {
			return a, nil
		}
	}
	return addr, syscall.EADDRINUSE
}

// openSocket binds a datagram socket, for a poller when there is one.
func (h *Host) openSocket(addr netip.AddrPort, shared bool, p *memoryPoller, ph PacketHandler) (*memorySocket, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if p != nil && p.closed {
		return nil, net.ErrClosed
	}
	s := newMemorySocket(h, shared, p, ph)
	a, err := h.claim(addr, func(a netip.AddrPort) bool {
		s.local = a
		return slices.ContainsFunc(h.sockets[a.Port()], func(o *memorySocket) bool { return clash(s, o) })
	})
	if err != nil {
		return nil, fmt.Errorf("listen udp %v: %w", addr, err)
	}
	s.local = a
	h.sockets[a.Port()] = append(h.sockets[a.Port()], s)
	return s, nil
}

// ListenPacket implements Network.
func (h *Host) ListenPacket(addr netip.AddrPort, shared bool) (PacketConn, error) {
	s, err := h.openSocket(addr, shared, nil, nil)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Listen implements Network.
func (h *Host) Listen(addr netip.AddrPort) (net.Listener, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	l := newMemoryListener(h)
	a, err := h.claim(addr, func(a netip.AddrPort) bool {
		l.local = a
		return slices.ContainsFunc(h.listeners[a.Port()], func(o *memoryListener) bool { return clash(l, o) })
	})
	if err != nil {
		return nil, fmt.Errorf("listen tcp %v: %w", addr, err)
	}
	l.local = a
	h.listeners[a.Port()] = append(h.listeners[a.Port()], l)
	return l, nil
}

// Dial implements Network.
func (h *Host) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	s, err := h.dial(ctx, unmapped(addr))
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: err}
	}
	return s, nil
}

// NewPoller implements Network. The network's goroutine does the work, whatever the number of workers.
func (h *Host) NewPoller(int) (Poller, error) { return &memoryPoller{h: h}, nil }

// LocalAddrFor implements Network.
func (h *Host) LocalAddrFor(remote netip.Addr) (netip.Addr, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if a := h.source(netip.Addr{}, remote.Unmap()); a.IsValid() {
		return a, nil
	}
	return netip.Addr{}, fmt.Errorf("no route to %v: %w", remote, syscall.ENETUNREACH)
}

// source is the address from which a socket bound to ip (or to anything) reaches remote; invalid when there is none.
// The caller holds the lock.
func (h *Host) source(ip, remote netip.Addr) netip.Addr {
	if !remote.IsValid() {
		return netip.Addr{}
	}
	if ip.IsValid() && !ip.IsUnspecified() {
		if ip.Is4() != remote.Is4() {
			return netip.Addr{}
		}
		return ip
	}
	if ip.IsValid() && ip.Is4() && !remote.Is4() {
		return netip.Addr{}
	}
	if remote.IsLoopback() || slices.Contains(h.addrs, remote) {
		return remote
	}
	for _, a := range h.addrs {
		if a.Is4() == remote.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// path finds the way to dst; a host reaches its loopback addresses itself. The caller holds the lock.
func (h *Host) path(stream bool, src, dst netip.AddrPort) (path, bool) {
	if dst.Addr().IsLoopback() {
		return path{h, src, dst}, true
	}
	return h.m.route(h.realm, stream, src, dst)
}

// pick chooses among the bindings of a port the one that hears what comes to at: the most specific; among shared ones
// the one that the far address hashes to, always the same.
func pick[B bound](bs []B, at, from netip.AddrPort) (B, bool) {
	var none B
	best, rank := []B(nil), 0
	for _, b := range bs {
		r := 0
		switch a := b.address().Addr(); {
		case a == at.Addr():
			r = 3
		case a.IsUnspecified() && a.Is4() == at.Addr().Is4():
			r = 2
		case a == netip.IPv6Unspecified():
			r = 1
		default:
			continue
		}
		if r > rank {
			best, rank = best[:0], r
		}
		if r == rank {
			best = append(best, b)
		}
	}
	if len(best) == 0 {
		return none, false
	}
	return best[hash(from)%uint64(len(best))], true
}

// hash is FNV-1a: the choice must not differ from run to run.
func hash(a netip.AddrPort) uint64 {
	h := uint64(14695981039346656037)
	ip := a.Addr().As16()
	for _, b := range append(ip[:], byte(a.Port()>>8), byte(a.Port())) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h ^ h>>29
}

var _ Network = (*Host)(nil)
