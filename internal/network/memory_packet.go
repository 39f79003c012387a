package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	memoryBacklog = 8192  // datagrams that wait in a socket
	maxPayload    = 65507 // of a UDP datagram over IPv4 (RFC 768, RFC 791)
	ipUDPHeader   = 28    // IPv4 and UDP; IPv6 has 48
)

// memorySocket is a datagram socket: read by ReadBatch, or with a handler polled.
type memorySocket struct {
	h       *Host
	local   netip.AddrPort
	shared  bool
	handler PacketHandler
	poller  *memoryPoller // nil unless polled
	dscp    atomic.Int32  // kept for Mark; a link treats all datagrams alike

	ready  *sync.Cond // on the network's lock
	queue  []Packet
	closed bool
	peer   netip.AddrPort // whom it is connected to; not valid: nobody
	near   netip.Addr     // the address that it then has

	busy  sync.Mutex // held while the handler runs
	ended atomic.Bool
}

func newMemorySocket(h *Host, shared bool, p *memoryPoller, handler PacketHandler) *memorySocket {
	return &memorySocket{h: h, shared: shared, poller: p, handler: handler, ready: sync.NewCond(&h.m.mu)}
}

func (s *memorySocket) address() netip.AddrPort { return s.local }
func (s *memorySocket) sharing() bool           { return s.shared }

// LocalAddr implements PacketWriter.
func (s *memorySocket) LocalAddr() netip.AddrPort { return s.local }

// WriteTo implements PacketWriter.
func (s *memorySocket) WriteTo(b []byte, to netip.AddrPort) error {
	m := s.h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.send(b, unmapped(to))
}

// WriteBatch implements PacketWriter.
func (s *memorySocket) WriteBatch(ps []Packet) (int, error) {
	m := s.h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	sent := 0
	var first error
	for i := range ps {
		if err := s.send(ps[i].Data, unmapped(ps[i].Addr)); err == nil {
			sent++
		} else if first == nil {
			first = err
		}
	}
	return sent, first
}

// send puts one datagram on its way; the caller holds the lock.
func (s *memorySocket) send(b []byte, to netip.AddrPort) error {
	if s.closed {
		return net.ErrClosed
	}
	if len(b) > maxPayload {
		return syscall.EMSGSIZE
	}
	m := s.h.m
	src := s.h.source(s.local.Addr(), to.Addr())
	if s.near.IsValid() && s.near.Is4() == to.Addr().Is4() {
		src = s.near
	}
	if !src.IsValid() {
		return fmt.Errorf("send to %v: %w", to, syscall.ENETUNREACH)
	}
	from := netip.AddrPortFrom(src, s.local.Port())
	p, ok := s.h.path(false, from, to)
	if !ok {
		m.show(Frame{From: from, To: to, Data: append([]byte(nil), b...), Fate: NoRoute})
		m.kick()
		return nil
	}
	l := m.link(s.h, p.to)
	c := m.conditions(l)
	at := l.arrival(c, time.Now())
	for _, d := range l.copies(c, b) {
		fate := Delivered
		switch {
		case c.MTU > 0 && len(d)+ipUDPHeader > c.MTU:
			fate = TooLong
		case l.lost(c):
			fate = Lost
		}
		m.schedule(l, at, func() { p.to.deliver(p, d, fate) })
	}
	return nil
}

// deliver hands a datagram to its socket; the caller holds the lock.
func (h *Host) deliver(p path, d []byte, fate Fate) {
	m := h.m
	defer func() { m.show(Frame{From: p.from, To: p.at, Data: d, Fate: fate}) }()
	if fate != Delivered {
		return
	}
	s, ok := pick(h.sockets[p.at.Port()], p.at, p.from)
	if !ok || !s.hears(p) || len(s.queue) >= memoryBacklog {
		fate = NoSocket
		return
	}
	if s.handler != nil {
		if len(d) > pollDatagram {
			fate = TooLong
			return
		}
		m.calls = append(m.calls, call{s: s, p: Packet{Data: slices.Clone(d), Addr: p.from}})
		return
	}
	s.queue = append(s.queue, Packet{Data: d, Addr: p.from})
	s.ready.Signal()
}

// handle runs the handler; called without the lock.
func (s *memorySocket) handle(ps []Packet) {
	s.busy.Lock()
	defer s.busy.Unlock()
	if !s.ended.Load() {
		s.handler.HandlePackets(s, ps)
	}
}

// ReadBatch implements PacketConn.
func (s *memorySocket) ReadBatch(ps []Packet) (int, error) {
	m := s.h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(s.queue) == 0 && !s.closed {
		s.ready.Wait()
	}
	if s.closed {
		return 0, net.ErrClosed
	}
	n := min(len(ps), len(s.queue))
	for i := range n {
		ps[i].Data = ps[i].Data[:copy(ps[i].Data, s.queue[i].Data)]
		ps[i].Addr = s.queue[i].Addr
	}
	s.queue = slices.Delete(s.queue, 0, n)
	return n, nil
}

// Mark implements Marker.
func (s *memorySocket) Mark(dscp int) error {
	s.dscp.Store(int32(dscp))
	return nil
}

// Connect implements Connector.
func (s *memorySocket) Connect(to netip.AddrPort) error {
	to = unmapped(to)
	s.h.m.mu.Lock()
	defer s.h.m.mu.Unlock()
	near := s.h.source(s.local.Addr(), to.Addr())
	switch {
	case s.closed:
		return net.ErrClosed
	case !near.IsValid() || to.Port() == 0 || to.Addr().IsUnspecified():
		return fmt.Errorf("connect to %v: %w", to, syscall.EAFNOSUPPORT)
	}
	s.peer, s.near = to, near
	return nil
}

// Disconnect implements Connector.
func (s *memorySocket) Disconnect() error {
	s.h.m.mu.Lock()
	defer s.h.m.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.peer, s.near = netip.AddrPort{}, netip.Addr{}
	return nil
}

// hears reports whether what comes this way is for the socket: all of it without a peer. The caller holds the lock.
func (s *memorySocket) hears(p path) bool {
	return !s.peer.IsValid() || p.from == s.peer && p.at.Addr() == s.near
}

// CloseLater implements PacketWriter.
func (s *memorySocket) CloseLater() {
	s.h.m.mu.Lock()
	defer s.h.m.mu.Unlock()
	s.end()
}

// end takes the socket off its host; the caller holds the lock.
func (s *memorySocket) end() {
	if s.closed {
		return
	}
	s.closed = true
	s.ended.Store(true)
	port := s.local.Port()
	s.h.sockets[port] = slices.DeleteFunc(s.h.sockets[port], func(o *memorySocket) bool { return o == s })
	s.queue = nil
	s.ready.Broadcast()
}

// Close implements PacketWriter.
func (s *memorySocket) Close() error {
	s.CloseLater()
	s.busy.Lock() // the handler, if it runs, has returned now
	defer s.busy.Unlock()
	return nil
}

// memoryPoller opens sockets whose handlers run on the network's goroutine.
type memoryPoller struct {
	h      *Host
	closed bool // guarded by the network's lock
}

// Open implements Poller.
func (p *memoryPoller) Open(addr netip.AddrPort, h PacketHandler) (PacketWriter, error) {
	s, err := p.h.openSocket(addr, false, p, h)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenShared implements Sharer, with one socket: there is one worker.
func (p *memoryPoller) OpenShared(addr netip.AddrPort, handler func(worker int) PacketHandler) ([]PacketWriter, error) {
	w, err := p.Open(addr, handler(0))
	if err != nil {
		return nil, err
	}
	return []PacketWriter{w}, nil
}

// Close implements Poller.
func (p *memoryPoller) Close() error {
	p.h.m.mu.Lock()
	p.closed = true
	var open []*memorySocket
	for _, ss := range p.h.sockets {
		for _, s := range ss {
			if s.poller == p {
				open = append(open, s)
			}
		}
	}
	p.h.m.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
	return nil
}
