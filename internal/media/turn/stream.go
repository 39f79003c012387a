package turn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	strangerTime = 15 * time.Second // from the connection to a well-signed message
	quietTime    = 15 * time.Minute // silence of a client that is known: allocations last ten minutes
	frameTime    = 5 * time.Second  // from the first byte of a frame to its last
	sendTime     = 2 * time.Second  // that a slow reader may hold up an allocation
)

var errFrame = errors.New("neither STUN nor channel data")

// streamListener accepts the connections of clients, within bounds.
type streamListener struct {
	net.Listener
	s      *Server
	secure *tls.Config // nil: plain

	mu      sync.Mutex
	open    map[netip.AddrPort]*stream
	sources map[netip.Addr]int
	closed  bool
}

func newStreamListener(s *Server, in net.Listener, l Listener) *streamListener {
	return &streamListener{Listener: in, s: s, secure: l.TLS, open: map[netip.AddrPort]*stream{}, sources: map[netip.Addr]int{}}
}

// Accept waits for a connection that there is room for.
func (l *streamListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || l.isClosed() {
				return nil, err
			}
			// Pion would stop serving; the system is out of descriptors, or a client has gone already.
			time.Sleep(acceptPause)
			continue
		}
		if x := l.admit(c); x != nil {
			return x, nil
		}
		l.s.refuse(reasonStreams)
		_ = c.Close() // there is nobody to tell
	}
}

// acceptPause is how long nothing is accepted after an error.
const acceptPause = 50 * time.Millisecond

func (l *streamListener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

func (l *streamListener) admit(c net.Conn) *stream {
	remote := addrPort(c.RemoteAddr())
	source := sourceKey(remote.Addr())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !remote.IsValid() || len(l.open) >= l.s.limits.Streams || l.sources[source] >= l.s.limits.StreamsPerSource {
		return nil
	}
	if _, twice := l.open[remote]; twice {
		return nil
	}
	// The TLS is inside: Pion shakes hands itself with what it knows as TLS, and forgets to close what fails.
	x := &stream{Conn: c, l: l, remote: remote, deadline: time.Now().Add(strangerTime)}
	if l.secure != nil {
		x.Conn = tls.Server(c, l.secure)
	}
	l.open[remote] = x
	l.sources[source]++
	return x
}

func (l *streamListener) forget(x *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[x.remote] != x {
		return
	}
	delete(l.open, x.remote)
	source := sourceKey(x.remote.Addr())
	if l.sources[source]--; l.sources[source] <= 0 {
		delete(l.sources, source)
	}
}

// known notes that a client has signed well.
func (l *streamListener) known(client netip.AddrPort) {
	l.mu.Lock()
	x := l.open[client]
	l.mu.Unlock()
	if x != nil {
		x.isKnown.Store(true)
	}
}

func (l *streamListener) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Close closes the listener and all its connections.
func (l *streamListener) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	open := make([]*stream, 0, len(l.open))
	for _, x := range l.open {
		open = append(open, x)
	}
	l.mu.Unlock()
	for _, x := range open {
		_ = x.Close() // whatever it was about to say
	}
	if !first {
		return nil
	}
	return l.Listener.Close()
}

// stream is the connection of one client. Each Read gives exactly one frame: Pion's own reader of streams adds to lengths
// in 16 bits, so that a frame of length 65,516 counts as empty there and is read for ever.
type stream struct {
	net.Conn
	l        *streamListener
	remote   netip.AddrPort
	deadline time.Time // of a stranger
	isKnown  atomic.Bool
	write    sync.Mutex
	head     [8]byte
}

// Read gives one frame with its padding.
func (x *stream) Read(b []byte) (int, error) {
	for {
		n, err := x.frame(b)
		if err != nil {
			return 0, err
		}
		if x.l.s.admits(b[:n], x.remote) {
			// RFC 8656 §12.5: over a stream channel data is padded to a multiple of four.
			return n + padding(n), nil
		}
	}
}

// frame reads one frame; n is its length without padding.
func (x *stream) frame(b []byte) (n int, err error) {
	deadline := x.deadline
	if x.isKnown.Load() {
		deadline = time.Now().Add(quietTime)
	}
	if err := x.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(x.Conn, x.head[:1]); err != nil {
		return 0, err
	}
	if inside := time.Now().Add(frameTime); inside.Before(deadline) {
		if err := x.SetReadDeadline(inside); err != nil {
			return 0, err
		}
	}
	if _, err := io.ReadFull(x.Conn, x.head[1:channelHeader]); err != nil {
		return 0, err
	}
	n, ok := frameLength(x.head[:channelHeader])
	if total := n + padding(n); !ok || total > len(b) || total >= datagramBytes {
		x.l.s.refuse(reasonFrame)
		return 0, errFrame
	}
	copy(b, x.head[:channelHeader])
	_, err = io.ReadFull(x.Conn, b[channelHeader:n+padding(n)])
	return n, err
}

// padding fills a length up to a multiple of four.
func padding(n int) int { return -n & 3 }

// Write sends one frame. Who does not read loses the connection: an allocation waits for nobody.
func (x *stream) Write(b []byte) (int, error) {
	x.write.Lock()
	defer x.write.Unlock()
	if err := x.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return 0, err
	}
	n, err := x.Conn.Write(b)
	if err != nil {
		_ = x.Close() // half a frame may be out: there is no way back
	}
	return n, err
}

// RemoteAddr implements net.Conn.
func (x *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(x.remote) }

// Close implements net.Conn.
func (x *stream) Close() error {
	x.l.forget(x)
	return x.Conn.Close()
}
