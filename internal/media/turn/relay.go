package turn

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	pion "github.com/pion/turn/v5"

	"dialtone/internal/network"
)

var (
	errFull        = errors.New("no room for another allocation")
	errUnsupported = errors.New("not offered here")
)

// relays are the relay sockets of all allocations, with who has them. It is Pion's RelayAddressGenerator.
type relays struct {
	s *Server

	mu       sync.Mutex
	open     map[*relay]struct{}
	ports    map[uint16]struct{} // in use by us
	accounts map[string]*account // by label
	stopped  bool
}

// account is what one label has.
type account struct {
	allocations int
	client      netip.Addr // that has asked last
}

// accountsKept bounds the accounts without allocations: those whose request has failed after the quota was asked.
const accountsKept = 1024

// bindTries is how many ports are tried for an allocation.
const bindTries = 16

func newRelays(s *Server) *relays {
	return &relays{s: s, open: map[*relay]struct{}{}, ports: map[uint16]struct{}{}, accounts: map[string]*account{}}
}

// mayAllocate is asked by Pion before an allocation: false is answered with 486.
func (r *relays) mayAllocate(label, _ string, client net.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts[label]
	if a == nil {
		if len(r.accounts) >= accountsKept+r.s.limits.Allocations {
			for name, idle := range r.accounts {
				if idle.allocations == 0 {
					delete(r.accounts, name)
				}
			}
		}
		a = &account{}
		r.accounts[label] = a
	}
	a.client = addrPort(client).Addr()
	if a.allocations >= r.s.limits.PerUser {
		r.s.refuse(reasonQuota)
		return false
	}
	return true
}

// of is how many allocations a label has.
func (r *relays) of(label string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.accounts[label]; a != nil {
		return a.allocations
	}
	return 0
}

func (r *relays) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

// Validate implements pion.RelayAddressGenerator.
func (r *relays) Validate() error { return nil }

// AllocateListener implements pion.RelayAddressGenerator: TCP is not relayed.
func (r *relays) AllocateListener(pion.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	r.s.refuse(reasonCapacity)
	return nil, nil, errUnsupported
}

// AllocateConn implements pion.RelayAddressGenerator: TCP is not relayed.
func (r *relays) AllocateConn(pion.AllocateConnConfig) (net.Conn, error) {
	r.s.refuse(reasonCapacity)
	return nil, errUnsupported
}

// AllocatePacketConn implements pion.RelayAddressGenerator.
func (r *relays) AllocatePacketConn(c pion.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	if c.UserID == "" {
		return r.even()
	}
	x, client, err := r.admit(c.UserID)
	if err != nil {
		return nil, nil, err
	}
	told, err := r.told(client, c.Network == "udp6")
	if err == nil {
		err = r.bind(x, c.Network == "udp6", c.RequestedPort)
	}
	if err != nil {
		r.s.refuse(reasonCapacity)
		r.release(x)
		return nil, nil, err
	}
	return x, net.UDPAddrFromAddrPort(netip.AddrPortFrom(told, x.port)), nil
}

// admit counts an allocation, or says that there is no room.
func (r *relays) admit(label string) (x *relay, client netip.Addr, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts[label]
	switch {
	case r.stopped || a == nil:
		return nil, client, net.ErrClosed
	case a.allocations >= r.s.limits.PerUser:
		r.s.refuse(reasonQuota)
		return nil, client, errFull
	case len(r.open) >= r.s.limits.Allocations:
		r.s.refuse(reasonCapacity)
		return nil, client, errFull
	}
	a.allocations++
	x = &relay{s: r.s, label: label}
	r.open[x] = struct{}{}
	return x, a.client, nil
}

// told is the address of a relay as its client is told.
func (r *relays) told(client netip.Addr, six bool) (netip.Addr, error) {
	if client.Is6() != six {
		// Another family than that of the client (RFC 8656 §7.1): where the default route leads.
		client = netip.AddrFrom4([4]byte{192, 0, 2, 1})
		if six {
			client = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1})
		}
	}
	if r.s.config.Advertise != nil {
		if a := r.s.config.Advertise(client); a.IsValid() && a.Is6() == six {
			return a, nil
		}
	}
	a, err := r.s.config.Network.LocalAddrFor(client)
	if err == nil && a.Unmap().Is6() != six {
		err = errUnsupported
	}
	return a.Unmap(), err
}

// even answers Pion's search for an even port (RFC 8656 §7.2, EVEN-PORT), which opens sockets until it likes one: here it
// gets a port that is free, without a socket. The port above it may be taken by somebody else meanwhile; then the
// reservation is worth nothing, and its allocation is refused.
func (r *relays) even() (net.PacketConn, net.Addr, error) {
	first, n := int(r.s.config.Ports.Min), r.s.limits.ports
	r.mu.Lock()
	defer r.mu.Unlock()
	at := rand.IntN(n)
	for i := range n {
		port := uint16(first + (at+i)%n)
		if _, used := r.ports[port]; !used && port%2 == 0 {
			return noSocket{}, &net.UDPAddr{Port: int(port)}, nil
		}
	}
	r.s.refuse(reasonCapacity)
	return nil, nil, errFull
}

// noSocket is what Pion closes after it has seen the port.
type noSocket struct{ net.PacketConn }

// Close does nothing.
func (noSocket) Close() error { return nil }

// bind opens the socket of a relay at a port that nobody has, or at a wanted one.
func (r *relays) bind(x *relay, six bool, wanted int) error {
	host := netip.IPv4Unspecified()
	if six {
		host = netip.IPv6Unspecified()
	}
	first, n := int(r.s.config.Ports.Min), r.s.limits.ports
	err := errFull
	at, tries := rand.IntN(n), bindTries
	if wanted != 0 {
		if wanted < first || wanted >= first+n {
			return errFull
		}
		first, n, at, tries = wanted, 1, 0, 1
	}
	for range tries {
		port, ok := r.reserve(first, n, at)
		if !ok {
			return errFull
		}
		var c network.PacketConn
		if c, err = r.s.config.Network.ListenPacket(netip.AddrPortFrom(host, port), false); err == nil {
			return r.adopt(x, c, port)
		}
		r.mu.Lock()
		delete(r.ports, port) // somebody else's
		r.mu.Unlock()
		at = int(port) - first + 1
	}
	return err
}

// reserve takes the first free port from a place of the range on.
func (r *relays) reserve(first, n, at int) (uint16, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range n {
		port := uint16(first + (at+i)%n)
		if _, used := r.ports[port]; !used {
			r.ports[port] = struct{}{}
			return port, true
		}
	}
	return 0, false
}

// adopt gives a relay its socket, unless all is over.
func (r *relays) adopt(x *relay, c network.PacketConn, port uint16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	x.port = port
	if r.stopped {
		c.Close()
		return net.ErrClosed
	}
	x.packetConn = newPacketConn(c, relayBatch)
	return nil
}

// release takes a relay out of all books. It may be called twice.
func (r *relays) release(x *relay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, open := r.open[x]; !open {
		return
	}
	delete(r.open, x)
	delete(r.ports, x.port)
	if a := r.accounts[x.label]; a != nil {
		if a.allocations--; a.allocations <= 0 {
			delete(r.accounts, x.label)
		}
	}
}

// stop refuses what is new.
func (r *relays) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

// closeAll closes what Pion has left open.
func (r *relays) closeAll() {
	r.mu.Lock()
	left := make([]*relay, 0, len(r.open))
	for x := range r.open {
		left = append(left, x)
	}
	r.mu.Unlock()
	for _, x := range left {
		_ = x.Close() // it has no error
	}
}

// relay is the socket of one allocation: what goes through it is looked at in both directions.
type relay struct {
	*packetConn
	s       *Server
	label   string
	port    uint16
	in, out gate
}

// WriteTo sends to a peer, if the policy has nothing against it. A datagram that may not pass is gone, as it would be on
// any network.
func (x *relay) WriteTo(b []byte, to net.Addr) (int, error) {
	peer := addrPort(to)
	if !x.out.allows(x.s.config.Policy, peer, time.Now()) {
		x.s.refuse(reasonPeer)
		return len(b), nil
	}
	if !x.out.pass(len(b), x.s.limits.Bandwidth, time.Now()) {
		x.s.refuse(reasonBandwidth)
		return len(b), nil
	}
	x.s.out.Add(uint64(len(b)))
	_ = x.conn.WriteTo(b, peer) // what the system does not take is lost
	return len(b), nil
}

// ReadFrom waits for a datagram of a peer that may be heard.
func (x *relay) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := x.read(b)
		if err != nil {
			return 0, nil, err
		}
		now := time.Now()
		switch {
		case !x.in.allows(x.s.config.Policy, from, now):
			x.s.refuse(reasonPeer)
		case !x.in.pass(n, x.s.limits.Bandwidth, now):
			x.s.refuse(reasonBandwidth)
		default:
			x.s.in.Add(uint64(n))
			return n, x.netAddr(from), nil
		}
	}
}

// Close ends the allocation.
func (x *relay) Close() error {
	x.s.relays.release(x)
	if x.packetConn != nil {
		_ = x.conn.Close()
	}
	return nil
}
