package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/sip"
)

const (
	udpBatch   = 32
	flowCache  = 4096 // flows that a socket remembers, so that a datagram from a known address makes none
	maxPayload = 65507
	// MaxDatagram is the longest request for a path of unknown MTU (RFC 3261 §18.1.1).
	MaxDatagram = 1300
)

// udpListener is one address with its sockets.
type udpListener struct {
	l       *Layer
	role    string
	addr    netip.AddrPort // as bound
	sockets []*udpSocket
	said    sentBys
}

// udpSocket is one socket, its worker's memory, and the flows it knows.
type udpSocket struct {
	listener *udpListener
	pc       network.PacketConn
	flows    [flowCache]atomic.Pointer[Flow]
	msg      sip.Message
	backlog  *backlog

	mu      sync.Mutex // guards what is collected
	collect bool       // the worker is in a batch: what is sent waits for its end
	out     []network.Packet
	arena   []byte
}

func (l *Layer) listenUDP(c Listener) error {
	u := &udpListener{l: l, role: c.Role, addr: c.Addr}
	u.said.l, u.said.kind = l, UDP
	l.udp = append(l.udp, u)
	// Sockets that share a port would share it with another server on this machine, too, and take half of its messages.
	if l.workers > 1 && u.addr.Port() != 0 {
		alone, err := l.c.Network.ListenPacket(u.addr, false)
		if err != nil {
			return err
		}
		if err := alone.Close(); err != nil {
			return err
		}
	}
	for i := range l.workers {
		pc, err := l.c.Network.ListenPacket(u.addr, l.workers > 1)
		if err != nil {
			if i > 0 && errors.Is(err, errors.ErrUnsupported) {
				break
			}
			return err
		}
		u.addr = pc.LocalAddr() // the port that 0 became
		s := &udpSocket{listener: u, pc: pc, backlog: newBacklog(pc)}
		s.out = make([]network.Packet, 0, udpBatch)
		s.arena = make([]byte, 0, 64<<10)
		u.sockets = append(u.sockets, s)
	}
	return nil
}

// reaches rates how well the listener is placed to send to remote; 0 is not at all.
func (u *udpListener) reaches(remote netip.Addr) int { return reaches(u.l, u.addr.Addr(), remote) }

// reaches rates a bound address for a remote one.
func reaches(l *Layer, bound, remote netip.Addr) int {
	switch {
	case bound == netip.IPv6Unspecified(), bound.IsUnspecified() && remote.Is4():
		return 2
	case bound.Is4() != remote.Is4(), bound.IsLoopback() != remote.IsLoopback():
		return 0
	}
	if a, err := l.c.Network.LocalAddrFor(remote); err == nil && a == bound {
		return 3
	}
	return elsewhere
}

// elsewhere rates a listener at an address that the system would not send from.
const elsewhere = 1

// localFor is the address from which the listener reaches remote.
func (u *udpListener) localFor(remote netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(u.l.localAddr(u.addr.Addr(), remote), u.addr.Port())
}

func (u *udpListener) names(remote netip.Addr) *sentBy { return u.said.of(u.addr, remote) }

// flow is the flow to remote, from the socket that the kernel would most likely hear it on or any other: they share
// the port.
func (u *udpListener) flow(remote netip.AddrPort) *Flow {
	return u.sockets[int(u.l.udpID(u.addr, remote)>>32)%len(u.sockets)].flowTo(remote)
}

// flowTo is the socket's flow to remote: the one it remembers, or a new one that takes its place.
func (s *udpSocket) flowTo(remote netip.AddrPort) *Flow {
	u := s.listener
	id := u.l.udpID(u.addr, remote)
	slot := &s.flows[id%flowCache]
	if f := slot.Load(); f != nil && f.id == id && f.remote == remote {
		return f
	}
	f := &Flow{l: u.l, kind: UDP, id: id, role: u.role, remote: remote, udp: s}
	slot.Store(f)
	return f
}

// run is the worker: read a batch, handle each message, send what was answered.
func (s *udpSocket) run() {
	l := s.listener.l
	ps := make([]network.Packet, udpBatch)
	bufs := make([][]byte, udpBatch)
	for i := range bufs {
		bufs[i] = make([]byte, sip.MaxMessage)
	}
	for {
		for i := range ps {
			ps[i].Data = bufs[i]
		}
		n, err := s.pc.ReadBatch(ps)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.fatal(fmt.Errorf("read %v: %w", s.listener.addr, err))
			}
			return
		}
		now := time.Now() // of the whole batch
		s.backlog.read(n, now)
		if n > 1 { // a lonely message is answered at once
			s.begin()
		}
		for i := range n {
			s.take(&ps[i], now)
		}
		if n > 1 {
			s.flush()
		}
	}
}

// take handles one datagram.
func (s *udpSocket) take(p *network.Packet, now time.Time) {
	l := s.listener.l
	if !p.Addr.IsValid() || p.Addr.Port() == 0 {
		return // no answer could reach it
	}
	if !l.admit(p.Addr, now) {
		return
	}
	if isKeepAlive(p.Data) {
		l.Stats.KeepAlives.Add(1)
		return
	}
	if isSTUN(p.Data) {
		l.Stats.KeepAlives.Add(1)
		if answer := answerSTUN(p.Data, p.Addr); answer != nil {
			_ = s.send(answer, p.Addr) // a lost answer is asked for again
		}
		return
	}
	l.take(s.flowTo(p.Addr), &s.msg, p.Data, now)
}

// begin collects what is sent from now on.
func (s *udpSocket) begin() {
	s.mu.Lock()
	s.collect = true
	s.mu.Unlock()
}

// flush sends what was collected and stops collecting.
func (s *udpSocket) flush() {
	s.mu.Lock()
	s.flushLocked()
	s.collect = false
	s.mu.Unlock()
}

func (s *udpSocket) flushLocked() {
	if len(s.out) > 0 {
		// What the system refuses is lost, as on the wire; transactions send again.
		_, _ = s.pc.WriteBatch(s.out)
	}
	s.out, s.arena = s.out[:0], s.arena[:0]
}

// send sends one datagram, or keeps a copy of it for the end of the worker's batch.
func (s *udpSocket) send(b []byte, to netip.AddrPort) error {
	if len(b) > maxPayload {
		return ErrTooLarge
	}
	s.mu.Lock()
	if !s.collect {
		s.mu.Unlock()
		return s.pc.WriteTo(b, to)
	}
	defer s.mu.Unlock()
	if len(s.out) == cap(s.out) || len(s.arena)+len(b) > cap(s.arena) {
		s.flushLocked()
	}
	if len(b) > cap(s.arena) {
		return s.pc.WriteTo(b, to)
	}
	off := len(s.arena)
	s.arena = append(s.arena, b...)
	s.out = append(s.out, network.Packet{Data: s.arena[off:len(s.arena):len(s.arena)], Addr: to})
	return nil
}
