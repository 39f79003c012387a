package admin

import (
	"net"
	"net/netip"
	"sync"
)

// Connections at a time, each listener. Idle ones and those that never finish a request are closed by the timeouts; up
// to these bounds they do not keep others out.
const (
	connections          = 2048
	connectionsPerSource = 512
)

// capped is a listener with so many connections at a time. More of them wait in the kernel; more of one source are
// closed at once.
type capped struct {
	net.Listener
	slots chan struct{}

	mu      sync.Mutex
	sources map[netip.Addr]int
}

func newCapped(l net.Listener) *capped {
	return &capped{Listener: l, slots: make(chan struct{}, connections), sources: map[netip.Addr]int{}}
}

// Accept waits for a free slot, then for a connection.
func (c *capped) Accept() (net.Conn, error) {
	c.slots <- struct{}{}
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			<-c.slots
			return nil, err
		}
		source := sourceOf(conn)
		if c.take(source) {
			return &slotted{Conn: conn, free: sync.OnceFunc(func() { c.give(source) })}, nil
		}
		_ = conn.Close() // it was not used
	}
}

// sourceOf is the zero address for those who came through the Unix socket.
func sourceOf(conn net.Conn) netip.Addr {
	if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return perSource(addr.AddrPort().Addr())
	}
	return netip.Addr{}
}

func (c *capped) take(source netip.Addr) bool {
	if !source.IsValid() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sources[source] >= connectionsPerSource {
		return false
	}
	c.sources[source]++
	return true
}

func (c *capped) give(source netip.Addr) {
	if source.IsValid() {
		c.mu.Lock()
		if c.sources[source]--; c.sources[source] == 0 {
			delete(c.sources, source)
		}
		c.mu.Unlock()
	}
	<-c.slots
}

// slotted is a connection that gives its slot back.
type slotted struct {
	net.Conn
	free func()
}

// Close closes the connection.
func (c *slotted) Close() error {
	defer c.free()
	return c.Conn.Close()
}
