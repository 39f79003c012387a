package transport

import (
	"testing"
	"time"

	"dialtone/internal/network"
)

// agedConn is a socket whose datagrams have waited for as long as a test says.
type agedConn struct {
	network.PacketConn
	age   time.Duration
	known bool
	asked int
}

func (c *agedConn) Age() (time.Duration, bool) {
	c.asked++
	return c.age, c.known
}

// TestBacklog: the system is asked after full batches only, and not after each of them; a batch that is not full says
// that the queue is empty.
func TestBacklog(t *testing.T) {
	c := &agedConn{age: 30 * time.Millisecond, known: true}
	b := newBacklog(c)
	l := &Layer{udp: []*udpListener{{sockets: []*udpSocket{{backlog: b}, {backlog: newBacklog(&agedConn{})}}}}}
	now := time.Now()
	step := func(n int, after, want time.Duration, asked int) {
		t.Helper()
		now = now.Add(after)
		b.read(n, now)
		if got := l.QueueDelay(); got != want || c.asked != asked {
			t.Errorf("after a batch of %d: %v, asked %d times; want %v, %d", n, got, c.asked, want, asked)
		}
	}
	step(1, 0, 0, 0)
	step(udpBatch-1, time.Millisecond, 0, 0)
	step(udpBatch, time.Millisecond, 30*time.Millisecond, 1)
	c.age = 40 * time.Millisecond
	step(udpBatch, time.Millisecond, 30*time.Millisecond, 1) // not yet again
	step(udpBatch, backlogPeriod, 40*time.Millisecond, 2)
	step(udpBatch-1, time.Millisecond, 0, 2)
	c.known = false
	step(udpBatch, backlogPeriod, 0, 3)
	c.known = true
	b.read(udpBatch, time.Now().Add(-2*backlogAge)) // a worker that has said nothing for long
	b.asked = time.Time{}
	b.read(udpBatch, time.Now().Add(-2*backlogAge))
	if got := l.QueueDelay(); got != 0 {
		t.Errorf("an old delay of %v counts", got)
	}
	none := newBacklog(nil) // a socket that knows no age
	none.read(udpBatch, now)
	if none.wait.Load() != 0 {
		t.Error("a delay that nobody knows")
	}
}
