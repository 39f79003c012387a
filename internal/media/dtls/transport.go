package dtls

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"
)

const (
	queueLength = 64   // datagrams that wait to be handled; a flight has ten
	maxDatagram = 4096 // bytes; greater ones are no DTLS of a telephone
)

// transport is the net.PacketConn that the library reads from: a bounded queue in, a function out.
type transport struct {
	send   func([]byte)
	queue  chan []byte
	closed chan struct{}

	mu      sync.Mutex
	ended   bool          // closed is closed
	expired chan struct{} // closed while the read deadline lies in the past
	past    bool          // expired is closed
}

func newTransport(send func([]byte)) *transport {
	return &transport{send: send, queue: make(chan []byte, queueLength), closed: make(chan struct{}), expired: make(chan struct{})}
}

// receive takes a copy of a datagram, unless the queue is full.
func (t *transport) receive(datagram []byte) {
	if len(datagram) > maxDatagram || len(t.queue) == queueLength {
		return
	}
	select {
	case t.queue <- bytes.Clone(datagram):
	default:
	}
}

// ReadFrom waits for a datagram.
func (t *transport) ReadFrom(b []byte) (int, net.Addr, error) {
	t.mu.Lock()
	expired := t.expired
	t.mu.Unlock()
	select {
	case <-t.closed:
		return 0, nil, net.ErrClosed
	case <-expired:
		return 0, nil, os.ErrDeadlineExceeded
	default:
	}
	select {
	case <-t.closed:
		return 0, nil, net.ErrClosed
	case <-expired:
		return 0, nil, os.ErrDeadlineExceeded
	case datagram := <-t.queue:
		return copy(b, datagram), address{}, nil
	}
}

// WriteTo hands a datagram to the owner of the socket.
func (t *transport) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case <-t.closed:
		return 0, net.ErrClosed
	default:
	}
	t.send(b)
	return len(b), nil
}

// Close ends all reads.
func (t *transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.ended = true
		close(t.closed)
	}
	return nil
}

// SetReadDeadline knows the two uses that the library makes of it: none, and one in the past to wake a reader.
func (t *transport) SetReadDeadline(deadline time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch past := !deadline.IsZero(); {
	case past && !t.past:
		close(t.expired)
		t.past = true
	case !past && t.past:
		t.expired, t.past = make(chan struct{}), false
	}
	return nil
}

// SetWriteDeadline does nothing: writing does not block.
func (t *transport) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (t *transport) SetDeadline(deadline time.Time) error { return t.SetReadDeadline(deadline) }

// LocalAddr is an address without meaning.
func (t *transport) LocalAddr() net.Addr { return address{} }

// address stands for the peer: there is but one.
type address struct{}

func (address) Network() string { return "udp" }
func (address) String() string  { return "peer" }
