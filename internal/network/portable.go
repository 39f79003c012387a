package network

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// portableConn is a datagram socket by way of the standard library: the fallback for other systems and the oracle
// for the fast one.
type portableConn struct {
	c     *net.UDPConn
	local netip.AddrPort
	v6    bool
}

func newPortableConn(c *net.UDPConn) *portableConn {
	local := addrPort(c.LocalAddr())
	return &portableConn{c: c, local: local, v6: local.Addr().Is6()}
}

func (p *portableConn) LocalAddr() netip.AddrPort { return p.local }

func (p *portableConn) ReadBatch(ps []Packet) (int, error) {
	if len(ps) == 0 {
		return 0, nil
	}
	for {
		n, from, err := p.c.ReadFromUDPAddrPort(ps[0].Data)
		switch {
		case err == nil:
			ps[0].Data, ps[0].Addr = ps[0].Data[:n], unmapped(from)
			return 1, nil
		case errors.Is(err, net.ErrClosed):
			return 0, net.ErrClosed
		}
		// An ICMP error that belongs to an earlier datagram; the socket is as good as before.
	}
}

func (p *portableConn) WriteTo(b []byte, to netip.AddrPort) error {
	// Deviation: net.UDPConn waits when the send queue is full. That takes as long as the interface needs for one
	// datagram, and there is no portable way around it.
	_, err := p.c.WriteToUDPAddrPort(b, to)
	return err
}

func (p *portableConn) WriteBatch(ps []Packet) (int, error) {
	sent := 0
	var first error
	for i := range ps {
		if err := p.WriteTo(ps[i].Data, ps[i].Addr); err == nil {
			sent++
		} else if first == nil {
			first = err
		}
	}
	return sent, first
}

// Widen implements Widener.
func (p *portableConn) Widen(bytes int) { growReceive(p.c, bytes) }

func (p *portableConn) Mark(dscp int) error { return markConn(p.c, p.v6, dscp) }
func (p *portableConn) Close() error        { return p.c.Close() }
func (p *portableConn) CloseLater()         { p.c.Close() }

// portablePoller serves each socket with a goroutine of its own.
type portablePoller struct {
	o  *OS
	wg sync.WaitGroup

	mu     sync.Mutex
	open   map[*portableSocket]struct{}
	closed bool
}

func newPortablePoller(o *OS) *portablePoller {
	return &portablePoller{o: o, open: map[*portableSocket]struct{}{}}
}

// portableSocket is one polled socket. busy is held while the handler runs, so that Close can wait for it.
type portableSocket struct {
	*portableConn
	p    *portablePoller
	h    PacketHandler
	busy sync.Mutex
	done chan struct{} // closed once the socket is
	once sync.Once
}

func (p *portablePoller) Open(addr netip.AddrPort, h PacketHandler) (PacketWriter, error) {
	c, err := net.ListenUDP(family("udp", addr.Addr()), net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	s := &portableSocket{portableConn: newPortableConn(c), p: p, h: h, done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	p.open[s] = struct{}{}
	p.wg.Go(s.run)
	return s, nil
}

// OpenShared implements Sharer, with one socket.
func (p *portablePoller) OpenShared(addr netip.AddrPort, handler func(worker int) PacketHandler) ([]PacketWriter, error) {
	w, err := p.Open(addr, handler(0))
	if err != nil {
		return nil, err
	}
	w.(Widener).Widen(receiveBuffer)
	return []PacketWriter{w}, nil
}

func (p *portablePoller) Close() error {
	p.mu.Lock()
	p.closed = true
	open := make([]*portableSocket, 0, len(p.open))
	for s := range p.open {
		open = append(open, s)
	}
	p.mu.Unlock()
	for _, s := range open {
		s.CloseLater()
	}
	p.wg.Wait()
	return nil
}

func (s *portableSocket) run() {
	buf := make([]byte, pollDatagram+1)
	ps := make([]Packet, 1)
	for {
		ps[0].Data = buf
		n, err := s.ReadBatch(ps)
		if err != nil {
			return
		}
		if len(ps[0].Data) > pollDatagram {
			s.p.o.cut.Add(1)
			continue
		}
		s.busy.Lock()
		select {
		case <-s.done:
		default:
			s.h.HandlePackets(s, ps[:n])
		}
		s.busy.Unlock()
	}
}

func (s *portableSocket) CloseLater() {
	s.once.Do(func() {
		close(s.done)
		s.c.SetReadDeadline(time.Now())
		s.c.Close()
		s.p.mu.Lock()
		delete(s.p.open, s)
		s.p.mu.Unlock()
	})
}

func (s *portableSocket) Close() error {
	s.CloseLater()
	s.busy.Lock() // the handler, if it runs, has returned now
	defer s.busy.Unlock()
	return nil
}
