package network

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	streamWindow  = 256 << 10 // bytes sent and not yet read at the far end; a writer waits above it
	acceptBacklog = 128
	maxSegment    = 1460 // RFC 9293 §3.7.1: MTU less 40
	ipTCPHeader   = 40

	firstRetry  = 200 * time.Millisecond // doubled each time
	lastRetry   = 60 * time.Second
	dataRetries = 12          // about 10 minutes
	dialRetry   = time.Second // RFC 6298 §2.1
	dialRetries = 6           // about 2 minutes
)

// memoryStream is one end of a stream. Segments that the link loses are sent again, as TCP does, so a stream is in order
// and complete however bad the link, until it is given up.
type memoryStream struct {
	h      *Host
	local  netip.AddrPort
	remote netip.AddrPort // as this end sees it
	peer   *memoryStream

	ready *sync.Cond // on the network's lock: something below has changed
	buf   []byte     // received and not read
	want  uint64     // sequence of the next segment to take
	early map[uint64]segment
	eof   bool // the far end has finished
	err   error
	rdl   deadline

	next     uint64 // sequence of the next segment to send
	inFlight int    // bytes sent and not read over there
	finished bool   // our FIN is under way
	closed   bool
	wdl      deadline
}

// segment is a piece of a stream; one with fin ends it.
type segment struct {
	seq  uint64
	data []byte
	fin  bool
}

// deadline is a time after which a wait ends; guarded by the network's lock.
type deadline struct {
	passed bool
	timer  *time.Timer
}

func (h *Host) newStream(local, remote netip.AddrPort) *memoryStream {
	s := &memoryStream{h: h, local: local, remote: remote, ready: sync.NewCond(&h.m.mu), early: map[uint64]segment{}}
	h.streams[s] = struct{}{}
	return s
}

// attempt sends something that must arrive from h and tries again, later each time, until it does, is given up, or is
// no longer wanted. The caller holds the lock; the functions are called with it.
type attempt struct {
	h        *Host
	from, to netip.AddrPort
	data     []byte
	retry    time.Duration
	left     int
	wanted   func() bool
	arrived  func(path)
	gaveUp   func()
}

func (a *attempt) send() {
	m := a.h.m
	if m.closed || !a.wanted() {
		return
	}
	now := time.Now()
	p, ok := a.h.path(true, a.from, a.to)
	if ok {
		l := m.link(a.h, p.to)
		c := m.conditions(l)
		if !l.lost(c) {
			m.schedule(l, l.arrival(c, now), func() {
				m.show(Frame{Stream: true, From: p.from, To: p.at, Data: a.data, Fate: Delivered})
				a.arrived(p)
			})
			return
		}
		m.show(Frame{Stream: true, From: p.from, To: p.at, Data: a.data, Fate: Lost})
	} else {
		m.show(Frame{Stream: true, From: a.from, To: a.to, Data: a.data, Fate: NoRoute})
	}
	m.kick()
	if a.left--; a.left <= 0 {
		a.gaveUp()
		return
	}
	m.schedule(m.link(a.h, a.h), now.Add(a.retry), a.send)
	a.retry = min(2*a.retry, lastRetry)
}

// dial opens a stream: SYN there, SYN-ACK or RST back.
func (h *Host) dial(ctx context.Context, to netip.AddrPort) (*memoryStream, error) {
	m := h.m
	m.mu.Lock()
	src := h.source(netip.Addr{}, to.Addr())
	if !src.IsValid() || m.closed {
		m.mu.Unlock()
		return nil, syscall.ENETUNREACH
	}
	local, err := h.claim(netip.AddrPortFrom(src, 0), func(a netip.AddrPort) bool {
		for s := range h.streams {
			if s.local == a {
				return true
			}
		}
		return len(h.listeners[a.Port()]) > 0
	})
	if err != nil {
		m.mu.Unlock()
		return nil, err
	}
	s := h.newStream(local, to)
	done := make(chan error, 1)
	over := false
	finish := func(err error) {
		if !over {
			over = true
			done <- err
		}
	}
	syn := &attempt{h: h, from: local, to: to, retry: dialRetry, left: dialRetries,
		wanted:  func() bool { return !over },
		arrived: func(p path) { p.to.synReceived(s, p, finish) },
		gaveUp:  func() { finish(syscall.ETIMEDOUT) },
	}
	syn.send()
	m.mu.Unlock()

	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return s, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	over = true
	if s.peer != nil {
		s.peer.fail(syscall.ECONNRESET)
	}
	s.fail(err)
	return nil, err
}

// synReceived answers a SYN at the host where it arrived. The caller holds the lock.
func (h *Host) synReceived(client *memoryStream, p path, finish func(error)) {
	if client.err != nil || client.peer != nil {
		return
	}
	l, ok := pick(h.listeners[p.at.Port()], p.at, p.from)
	if ok && len(l.pending) >= acceptBacklog {
		return // the dialler's own limit of time ends it
	}
	var server *memoryStream
	if ok {
		server = h.newStream(p.at, p.from)
		server.peer, client.peer = client, server
		l.pending = append(l.pending, server)
		l.ready.Signal()
	}
	back := &attempt{h: h, from: p.at, to: p.from, retry: dialRetry, left: dialRetries,
		wanted: func() bool { return client.err == nil },
		arrived: func(path) {
			if ok {
				finish(nil)
			} else {
				finish(syscall.ECONNREFUSED)
			}
		},
		gaveUp: func() { finish(syscall.ETIMEDOUT) },
	}
	back.send()
}

// transmit sends a segment; the caller holds the lock.
func (s *memoryStream) transmit(g segment) {
	a := &attempt{h: s.h, from: s.local, to: s.remote, data: g.data, retry: firstRetry, left: dataRetries,
		wanted: func() bool { return s.err == nil },
		arrived: func(p path) {
			peer := s.peer
			// RFC 9293 §3.10.7.1: a segment for a connection that does not exist is answered with a reset. The peer may
			// have gone, or know this end by another address since a NAT gave it a new one.
			if peer.err != nil || peer.h != p.to || peer.remote != p.from || peer.closed && len(g.data) > 0 {
				s.fail(syscall.ECONNRESET)
				return
			}
			peer.receive(g)
		},
		gaveUp: func() { s.fail(syscall.ETIMEDOUT) },
	}
	a.send()
}

// receive takes a segment in its place; the caller holds the lock.
func (s *memoryStream) receive(g segment) {
	s.early[g.seq] = g
	for {
		g, ok := s.early[s.want]
		if !ok {
			break
		}
		delete(s.early, s.want)
		s.want++
		s.buf = append(s.buf, g.data...)
		s.eof = s.eof || g.fin
	}
	s.ready.Broadcast()
	s.release()
}

// fail ends this end at once; the caller holds the lock.
func (s *memoryStream) fail(err error) {
	if s.err == nil {
		s.err = err
		s.ready.Broadcast()
		delete(s.h.streams, s)
	}
}

// release takes a stream off its host once both directions are over.
func (s *memoryStream) release() {
	if s.closed && s.eof {
		delete(s.h.streams, s)
	}
}

// Read implements net.Conn.
func (s *memoryStream) Read(b []byte) (int, error) {
	m := s.h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, net.ErrClosed
		case s.rdl.passed:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(s.buf) > 0:
			n := copy(b, s.buf)
			s.buf = slices.Delete(s.buf, 0, n)
			s.peer.inFlight -= n
			s.peer.ready.Broadcast()
			return n, nil
		case s.eof:
			return 0, io.EOF
		case s.err != nil:
			return 0, s.err
		}
		s.ready.Wait()
	}
}

// Write implements net.Conn.
func (s *memoryStream) Write(b []byte) (int, error) {
	m := s.h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := 0; ; {
		switch {
		case s.closed || s.finished:
			return n, net.ErrClosed
		case s.err != nil:
			return n, s.err
		case s.wdl.passed:
			return n, os.ErrDeadlineExceeded
		case n == len(b):
			return n, nil
		}
		if k := min(len(b)-n, s.segmentSize(), streamWindow-s.inFlight); k > 0 {
			s.inFlight += k
			s.next++
			s.transmit(segment{seq: s.next - 1, data: append([]byte(nil), b[n:n+k]...)})
			n += k
			continue
		}
		s.ready.Wait()
	}
}

// segmentSize is what fits the link now; the caller holds the lock.
func (s *memoryStream) segmentSize() int {
	m := s.h.m
	size := maxSegment
	if c := m.conditions(m.link(s.h, s.peer.h)); c.MTU > ipTCPHeader {
		size = min(size, c.MTU-ipTCPHeader)
	}
	return size
}

// CloseWrite ends our direction; the far end reads to the end and may go on sending.
func (s *memoryStream) CloseWrite() error {
	s.h.m.mu.Lock()
	defer s.h.m.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.finish()
	return nil
}

// finish sends our FIN once; the caller holds the lock.
func (s *memoryStream) finish() {
	if !s.finished && s.err == nil {
		s.finished = true
		s.next++
		s.transmit(segment{seq: s.next - 1, fin: true})
	}
}

// Close implements net.Conn.
func (s *memoryStream) Close() error {
	s.h.m.mu.Lock()
	defer s.h.m.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.finish()
	s.closed = true
	s.ready.Broadcast()
	s.rdl.stop()
	s.wdl.stop()
	s.release()
	return nil
}

// LocalAddr implements net.Conn.
func (s *memoryStream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(s.local) }

// RemoteAddr implements net.Conn.
func (s *memoryStream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// SetDeadline implements net.Conn.
func (s *memoryStream) SetDeadline(t time.Time) error {
	s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (s *memoryStream) SetReadDeadline(t time.Time) error { return s.limit(&s.rdl, t) }

// SetWriteDeadline implements net.Conn.
func (s *memoryStream) SetWriteDeadline(t time.Time) error { return s.limit(&s.wdl, t) }

func (s *memoryStream) limit(d *deadline, t time.Time) error {
	mu := &s.h.m.mu
	mu.Lock()
	defer mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	d.stop()
	d.passed = false
	if t.IsZero() {
		return nil
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passed = true
		s.ready.Broadcast()
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		mu.Lock()
		defer mu.Unlock()
		if d.timer == timer {
			d.passed = true
			s.ready.Broadcast()
		}
	})
	d.timer = timer
	return nil
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// memoryListener takes streams.
type memoryListener struct {
	h       *Host
	local   netip.AddrPort
	ready   *sync.Cond // on the network's lock
	pending []*memoryStream
	closed  bool
}

func newMemoryListener(h *Host) *memoryListener {
	return &memoryListener{h: h, ready: sync.NewCond(&h.m.mu)}
}

func (l *memoryListener) address() netip.AddrPort { return l.local }
func (l *memoryListener) sharing() bool           { return false }

// Accept implements net.Listener.
func (l *memoryListener) Accept() (net.Conn, error) {
	l.h.m.mu.Lock()
	defer l.h.m.mu.Unlock()
	for len(l.pending) == 0 && !l.closed {
		l.ready.Wait()
	}
	if l.closed {
		return nil, net.ErrClosed
	}
	s := l.pending[0]
	l.pending = slices.Delete(l.pending, 0, 1)
	return s, nil
}

// Close implements net.Listener.
func (l *memoryListener) Close() error {
	l.h.m.mu.Lock()
	defer l.h.m.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.end()
	return nil
}

// end stops listening; the caller holds the lock.
func (l *memoryListener) end() {
	if l.closed {
		return
	}
	l.closed = true
	port := l.local.Port()
	l.h.listeners[port] = slices.DeleteFunc(l.h.listeners[port], func(o *memoryListener) bool { return o == l })
	for _, s := range l.pending {
		peer := s.peer
		s.fail(net.ErrClosed)
		if peer != nil {
			peer.fail(syscall.ECONNRESET)
		}
	}
	l.pending = nil
	l.ready.Broadcast()
}

// Addr implements net.Listener.
func (l *memoryListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }
