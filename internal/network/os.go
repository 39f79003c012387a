package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// receiveBuffer is asked for each datagram socket that is opened with ListenPacket. The receive queue is what bounds
	// the rate that survives a burst: Kamailio's highest clean rate was set by it at 55 % of a core.
	receiveBuffer = 8 << 20

	// pollDatagram is the longest datagram that a polled socket takes: an Ethernet jumbo frame.
	pollDatagram = 9216

	routeAge = 5 * time.Second // how long LocalAddrFor trusts what the routing table said
	routeCap = 1024            // how many answers LocalAddrFor keeps
)

// OSConfig selects how the machine's network is used.
type OSConfig struct {
	// Portable uses nothing but net.UDPConn, one system call per datagram and one goroutine per polled socket. It is
	// always so where this package has no faster way (anything but Linux on amd64 and arm64).
	Portable bool
}

// OS is the network of the machine.
type OS struct {
	portable bool
	zones    zones
	batches  sync.Pool // of *sendBatch
	dropped  atomic.Uint64
	cut      atomic.Uint64
	rawWaits atomic.Int32 // threads inside a wait that the scheduler does not know of

	mu     sync.Mutex
	routes map[netip.Addr]route
}

type route struct {
	local netip.Addr
	until time.Time
}

// NewOS returns the network of the machine.
func NewOS(c OSConfig) *OS {
	o := &OS{portable: c.Portable || !fastPath, routes: map[netip.Addr]route{}}
	o.batches.New = func() any { return newSendBatch() }
	return o
}

// Dropped counts datagrams that the system did not take because its send queue was full.
func (o *OS) Dropped() uint64 { return o.dropped.Load() }

// Truncated counts datagrams that were thrown away because they were longer than a poller's buffer (9,216 bytes).
func (o *OS) Truncated() uint64 { return o.cut.Load() }

// ListenPacket implements Network.
func (o *OS) ListenPacket(addr netip.AddrPort, shared bool) (PacketConn, error) {
	lc := net.ListenConfig{Control: packetControl(shared)}
	pc, err := lc.ListenPacket(context.Background(), family("udp", addr.Addr()), addr.String())
	if err != nil {
		if shared && !fastPath && errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("shared port: %w", errors.ErrUnsupported)
		}
		return nil, fmt.Errorf("listen udp %v: %w", addr, err)
	}
	c := pc.(*net.UDPConn)
	growReceive(c, receiveBuffer)
	if o.portable {
		return newPortableConn(c), nil
	}
	f, err := newFastConn(o, c)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("listen udp %v: %w", addr, err)
	}
	return f, nil
}

// Listen implements Network.
func (o *OS) Listen(addr netip.AddrPort) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), family("tcp", addr.Addr()), addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen tcp %v: %w", addr, err)
	}
	return l, nil
}

// Dial implements Network.
func (o *OS) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, family("tcp", addr.Addr()), addr.String())
	if err != nil {
		return nil, fmt.Errorf("dial tcp %v: %w", addr, err)
	}
	return c, nil
}

// NewPoller implements Network.
func (o *OS) NewPoller(workers int) (Poller, error) {
	if o.portable {
		return newPortablePoller(o), nil
	}
	return newFastPoller(o, max(workers, 1))
}

// LocalAddrFor implements Network. The system is asked by connecting a datagram socket, which sends nothing; the
// answer is kept for five seconds.
func (o *OS) LocalAddrFor(remote netip.Addr) (netip.Addr, error) {
	remote = remote.Unmap()
	now := time.Now()
	o.mu.Lock()
	r, ok := o.routes[remote]
	o.mu.Unlock()
	if ok && now.Before(r.until) {
		return r.local, nil
	}
	if remote.IsUnspecified() || !remote.IsValid() {
		return netip.Addr{}, fmt.Errorf("no route to %v", remote)
	}
	c, err := net.DialUDP(family("udp", remote), nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("no route to %v: %w", remote, err)
	}
	local := addrPort(c.LocalAddr()).Addr()
	c.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.routes) >= routeCap {
		clear(o.routes)
	}
	o.routes[remote] = route{local, now.Add(routeAge)}
	return local, nil
}
