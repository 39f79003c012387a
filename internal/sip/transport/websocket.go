package transport

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/coder/websocket"

	"dialtone/internal/sip"
)

const (
	subprotocol = "sip" // RFC 7118 §4.1
	// pingInterval is how often a WebSocket is probed: browsers cannot send pings themselves, and NATs forget.
	pingInterval = 30 * time.Second
	pingPatience = 15 * time.Second
)

// WebSocket serves SIP over WebSocket on somebody else's HTTP server, at whatever path it is mounted.
func (l *Layer) WebSocket(role string) http.Handler {
	said := map[Kind]*sentBys{WS: {l: l, kind: WS}, WSS: {l: l, kind: WSS}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := WS
		if r.TLS != nil {
			kind = WSS
		}
		remote, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "no remote address", http.StatusBadRequest)
			return
		}
		remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
		if !l.admit(remote, time.Now()) || !l.streams.admit(remote.Addr()) {
			l.Stats.OverLimit.Add(1)
			http.Error(w, "too many connections", http.StatusServiceUnavailable)
			return
		}
		defer l.streams.release(remote.Addr())
		l.Stats.Accepted.Add(1)
		l.upgrade(w, r, kind, role, remote, said[kind].of(localOf(r), remote.Addr()))
	})
}

// webSocket serves one of our own listeners; what it gets is counted already.
func (l *Layer) webSocket(s *streamListener) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" && r.URL.Path != "/ws" {
			http.NotFound(w, r)
			return
		}
		remote, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "no remote address", http.StatusBadRequest)
			return
		}
		remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
		l.upgrade(w, r, s.c.Kind, s.c.Role, remote, s.names(remote.Addr()))
	})
}

func localOf(r *http.Request) netip.AddrPort {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return addrPort(a)
	}
	return netip.AddrPort{}
}

// upgrade makes a WebSocket of a request and serves it, on the goroutine of the HTTP server.
func (l *Layer) upgrade(w http.ResponseWriter, r *http.Request, k Kind, role string, remote netip.AddrPort, n *sentBy) {
	if l.c.Origin != nil && !l.c.Origin(r) {
		http.Error(w, "origin not allowed", http.StatusForbidden)
		return
	}
	if !offersSIP(r) {
		// RFC 7118 §4.1: both sides must agree on the sub-protocol.
		http.Error(w, "sub-protocol "+subprotocol+" required", http.StatusBadRequest)
		return
	}
	c := l.newAccepted(k, role, localOf(r), remote, n)
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // of the Origin, which has been decided about above
		// Called while the worker reads. Browsers send no pings; who sends thousands gets no pongs, and then nothing.
		OnPingReceived: func(context.Context, []byte) bool {
			ok, bad := c.admit()
			if bad != nil && c.excess == maxExcess+1 { // once
				c.l.spawn(func() { c.end(bad) }) // not here: closing waits for the reader that calls us
			}
			return ok
		},
	})
	if err != nil {
		return // Accept has answered
	}
	c.ws = ws
	done := make(chan struct{})
	defer close(done)
	// Close waits for this goroutine of the HTTP server by way of one of its own.
	if !l.spawn(func() { c.ping(done) }) || !l.enter(c) {
		ws.CloseNow()
		return
	}
	c.serveWebSocket(ws)
}

func offersSIP(r *http.Request) bool {
	for _, v := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(p) == subprotocol {
				return true
			}
		}
	}
	return false
}

// ping probes the stream until done: a browser that is gone answers no pings and closes nothing.
func (c *conn) ping(done <-chan struct{}) {
	t := time.NewTicker(pingInterval)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
		}
		ctx, cancel := context.WithTimeout(c.l.ctx, pingPatience)
		err := c.ws.Ping(ctx)
		cancel()
		if err != nil {
			c.end(errIdle)
			<-done
			return
		}
	}
}

// serveWebSocket is the worker of a WebSocket: RFC 7118 §4.2, one message in each WebSocket message.
func (c *conn) serveWebSocket(ws *websocket.Conn) {
	l := c.l
	ws.SetReadLimit(sip.MaxMessage)
	var m sip.Message
	for {
		buf := l.buffers.Get().(*[]byte)
		b, err := c.readWebSocket(ws, *buf)
		if err == nil {
			mine := c.begin()
			bad := c.takeWebSocket(&m, b)
			if bad != nil {
				c.closeNow(bad, mine)
			} else if mine {
				c.flush()
			}
			err = bad
		}
		l.buffers.Put(buf)
		if err != nil {
			c.end(err)
			return
		}
	}
}

// readWebSocket reads one WebSocket message into b. Waiting for one takes as long as the stream may be idle; once it
// has begun it must be complete in the time of a message.
func (c *conn) readWebSocket(ws *websocket.Conn, b []byte) ([]byte, error) {
	ctx, cancel := context.WithCancel(c.l.ctx)
	defer cancel()
	kept := c.kept.Load()
	idle := time.AfterFunc(c.patience(), func() {
		if !kept && c.kept.Load() { // somebody has vouched for it since the wait began
			return
		}
		cancel()
	})
	_, r, err := ws.Reader(ctx)
	idle.Stop()
	if err == nil {
		defer time.AfterFunc(c.l.limits.Message, cancel).Stop()
		var n int
		n, err = io.ReadFull(r, b)
		if err == nil {
			return nil, errMalform // more than any message has
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF { // exactly: a broken connection wraps them
			return b[:n], nil
		}
	}
	switch {
	case ctx.Err() != nil && c.l.ctx.Err() == nil:
		c.l.Stats.SlowSenders.Add(1)
		return nil, errIdle
	case websocket.CloseStatus(err) != -1:
		return nil, ErrClosed
	}
	return nil, err
}

func (c *conn) takeWebSocket(m *sip.Message, b []byte) error {
	if isKeepAlive(b) {
		// RFC 5626 §4.4.1, which RFC 7118 §6 allows here as well.
		c.l.Stats.KeepAlives.Add(1)
		ok, bad := c.admit()
		if ok && len(b) == 4 {
			_ = c.send([]byte("\r\n"))
		}
		return bad
	}
	ok, bad := c.admit()
	if ok && !c.l.take(c.f, m, b, time.Now()) && !m.Answerable() {
		return errMalform
	}
	return bad
}
