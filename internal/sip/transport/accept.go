package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// streamListener accepts streams of one kind. WebSockets go on to an HTTP server of its own.
type streamListener struct {
	l    *Layer
	c    Listener
	addr netip.AddrPort
	ln   net.Listener
	said sentBys
	web  *http.Server
	ways chan net.Conn // connections for web
}

func (l *Layer) listenStream(c Listener) error {
	if c.Kind.Secure() {
		if c.TLS == nil {
			return fmt.Errorf("listen %v %v: no certificate", c.Kind, c.Addr)
		}
		c.TLS = modern(c.TLS)
		// A configuration that serves HTTP elsewhere may offer h2, which carries neither SIP nor this WebSocket.
		c.TLS.NextProtos = nil
		if c.Kind == WSS {
			c.TLS.NextProtos = []string{"http/1.1"}
		}
	}
	ln, err := l.c.Network.Listen(c.Addr)
	if err != nil {
		return err
	}
	s := &streamListener{l: l, c: c, ln: ln, ways: make(chan net.Conn)}
	s.addr = addrPort(ln.Addr())
	s.said.l, s.said.kind = l, c.Kind
	if c.Kind == WS || c.Kind == WSS {
		s.web = &http.Server{
			Handler:           l.webSocket(s),
			ReadHeaderTimeout: l.limits.Handshake,
			IdleTimeout:       l.limits.Handshake,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
		}
		s.web.SetKeepAlivesEnabled(false)
	}
	l.accepting = append(l.accepting, s)
	return nil
}

// modern is c without what is older than TLS 1.2 (RFC 8996).
func modern(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

func (s *streamListener) names(remote netip.Addr) *sentBy { return s.said.of(s.addr, remote) }

// run accepts until the listener is closed.
func (s *streamListener) run() {
	if s.web != nil {
		s.l.spawn(func() { _ = s.web.Serve(handed{s}) }) // it ends with net.ErrClosed
	}
	for {
		raw, err := s.ln.Accept()
		switch {
		case err == nil:
			s.accept(raw)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		// Out of descriptors, or the caller has gone: both pass.
		s.l.log.Warn("accept", "listener", s.addr.String(), "error", err)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-s.l.ctx.Done():
			return
		}
	}
}

// accept looks at who calls before anything is spent on it.
func (s *streamListener) accept(raw net.Conn) {
	l := s.l
	remote := addrPort(raw.RemoteAddr())
	if !remote.IsValid() || !l.admit(remote, time.Now()) {
		raw.Close()
		return
	}
	if !l.streams.admit(remote.Addr()) {
		l.Stats.OverLimit.Add(1)
		raw.Close()
		return
	}
	l.Stats.Accepted.Add(1)
	counted := &countedConn{Conn: raw, release: func() { l.streams.release(remote.Addr()) }}
	if !l.spawn(func() { s.welcome(counted, remote) }) {
		counted.Close()
	}
}

// welcome makes a stream of a connection and serves it.
func (s *streamListener) welcome(raw net.Conn, remote netip.AddrPort) {
	l := s.l
	local := addrPort(raw.LocalAddr())
	if s.c.Kind.Secure() {
		secured, err := l.shakeHands(raw, s.c.TLS)
		if err != nil {
			l.Stats.Handshakes.Add(1)
			raw.Close()
			return
		}
		raw = secured
	}
	if s.web != nil {
		select {
		case s.ways <- raw:
		case <-l.ctx.Done():
			raw.Close()
		}
		return
	}
	c := l.newAccepted(s.c.Kind, s.c.Role, local, remote, s.names(remote.Addr()))
	c.raw = raw
	if !l.enter(c) {
		raw.Close()
		return
	}
	c.serve()
}

// shakeHands does the server's side of TLS, with no more than the limit at a time: a handshake is what costs most before
// anybody has proved anything.
func (l *Layer) shakeHands(raw net.Conn, c *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.limits.Handshake)
	defer cancel()
	select {
	case l.handshakes <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.handshakes }()
	secured := tls.Server(raw, c)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secured, nil
}

// newAccepted makes an open stream of a connection that came in.
func (l *Layer) newAccepted(k Kind, role string, local, remote netip.AddrPort, names *sentBy) *conn {
	c := &conn{l: l, names: names, opened: make(chan struct{}), key: streamKey{kind: k, remote: remote}}
	close(c.opened)
	c.f = &Flow{l: l, kind: k, role: role, remote: remote, local: local, conn: c}
	return c
}

// enter adds an accepted stream; false when the layer is closed.
func (l *Layer) enter(c *conn) bool {
	l.streams.add(c)
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	if over {
		l.streams.remove(c)
	}
	return !over
}

func (s *streamListener) close() {
	s.ln.Close()
	if s.web != nil {
		s.web.Close()
	}
}

// countedConn takes itself off the count of its address when it is closed.
type countedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *countedConn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

// handed is the listener of the HTTP server: it takes what has been accepted, counted and secured.
type handed struct{ s *streamListener }

func (h handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.s.ways:
		return c, nil
	case <-h.s.l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (h handed) Close() error   { return nil }
func (h handed) Addr() net.Addr { return h.s.ln.Addr() }
