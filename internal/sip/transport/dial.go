package transport

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/coder/websocket"
)

// connectStream finds the open stream to a target, or starts to open one.
func (l *Layer) connectStream(t Target) (*Flow, error) {
	// A stream that the far end has opened serves as well, where no name has to be proved: that is how phones behind a
	// NAT, and all WebSockets, are reached (RFC 5626 §5.3, RFC 7118 §5).
	if t.Name == "" {
		if f := l.streams.accepted(t.Kind, t.Addr); f != nil {
			return f, nil
		}
	}
	k := streamKey{kind: t.Kind, remote: t.Addr, name: t.Name, role: t.Role}
	c, made := l.streams.find(k, func() *conn {
		c := &conn{l: l, key: k, name: t.Name, names: l.namesFor(t), opened: make(chan struct{}), busy: true}
		c.kept.Store(true) // whom we call we trust to be quiet
		local := netip.AddrPortFrom(l.localAddr(netip.IPv6Unspecified(), t.Addr.Addr()), 0)
		c.f = &Flow{l: l, kind: t.Kind, role: t.Role, remote: t.Addr, local: local, conn: c}
		return c
	})
	if made && !l.spawn(func() { c.dial(t) }) {
		l.streams.remove(c)
		return nil, ErrClosed
	}
	return c.f, nil
}

// namesFor is how we name ourselves on a stream that we open. RFC 3261 §18.1.1: sent-by is where we listen for that
// transport, for the far end may have to open a stream of its own. A WebSocket client has no such place
// (RFC 7118 §5.1).
func (l *Layer) namesFor(t Target) *sentBy {
	if t.Kind == WS || t.Kind == WSS {
		host := rand.Text()[:12] + ".invalid"
		return &sentBy{via: "SIP/2.0/" + t.Kind.String() + " " + host, sentBy: host}
	}
	var best *streamListener
	rank := 0
	for _, s := range l.accepting {
		if s.c.Kind != t.Kind {
			continue
		}
		r := 2 * reaches(l, s.addr.Addr(), t.Addr.Addr())
		if r > 0 && t.Role != "" && s.c.Role == t.Role {
			r += 100
		}
		if r > rank {
			best, rank = s, r
		}
	}
	if best != nil {
		return best.names(t.Addr.Addr())
	}
	local := l.localAddr(netip.IPv6Unspecified(), t.Addr.Addr())
	return newSentBy(t.Kind, local.WithZone("").String(), t.Kind.DefaultPort())
}

// dial opens the stream, lets go what has been waiting, and is its worker from then on.
func (c *conn) dial(t Target) {
	raw, ws, err := c.reach(t)
	if err != nil {
		c.l.Stats.DialFailures.Add(1)
		c.end(fmt.Errorf("connect %v: %w", t, err))
		return
	}
	if !c.attach(raw, ws) {
		return
	}
	c.open()
	c.flush()
	if ws != nil {
		done := make(chan struct{})
		defer close(done)
		c.l.spawn(func() { c.ping(done) })
		c.serveWebSocket(ws)
		return
	}
	c.serve()
}

// reach opens the connection and all that is on top of it.
func (c *conn) reach(t Target) (net.Conn, *websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(c.l.ctx, c.l.limits.Connect)
	defer cancel()
	raw, err := c.l.c.Network.Dial(ctx, t.Addr)
	if err != nil {
		return nil, nil, err
	}
	if t.Kind.Secure() {
		secured := tls.Client(raw, c.l.clientTLS(t))
		if err := secured.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, nil, err
		}
		raw = secured
	}
	if t.Kind != WS && t.Kind != WSS {
		return raw, nil, nil
	}
	ws, err := dialWebSocket(ctx, raw, t)
	if err != nil {
		raw.Close()
		return nil, nil, err
	}
	return raw, ws, nil
}

// clientTLS verifies the far end for the target's name; RFC 5922 §4: the name is that of the URI, not one that DNS put
// in its place.
func (l *Layer) clientTLS(t Target) *tls.Config {
	c := &tls.Config{}
	if l.c.ClientTLS != nil {
		if own := l.c.ClientTLS(t); own != nil {
			c = own
		}
	}
	c = modern(c)
	if c.ServerName == "" {
		c.ServerName = t.Name
	}
	if c.ServerName == "" {
		c.ServerName = t.Addr.Addr().WithZone("").String()
	}
	return c
}

// dialWebSocket asks for the sub-protocol sip on a connection that is open already.
func dialWebSocket(ctx context.Context, raw net.Conn, t Target) (*websocket.Conn, error) {
	host := t.Name
	if host == "" {
		host = t.Addr.String()
	}
	transport := &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return raw, nil },
		DisableKeepAlives: true,
	}
	// The connection is secured already, so the URL says ws either way.
	ws, answer, err := websocket.Dial(ctx, "ws://"+t.Addr.String()+"/ws", &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Host:         host,
		Subprotocols: []string{subprotocol},
	})
	if err != nil {
		return nil, err
	}
	if answer.Header.Get("Sec-WebSocket-Protocol") != subprotocol {
		ws.CloseNow()
		return nil, fmt.Errorf("WebSocket without the sub-protocol %s", subprotocol)
	}
	return ws, nil
}
