package transport

import (
	"sync/atomic"
	"time"

	"dialtone/internal/network"
)

// backlog knows how long datagrams wait in the queue of one socket. The worker tells it of each batch; a batch that is not
// full has emptied the queue, and after a full one the system is asked, every few milliseconds at most.
type backlog struct {
	aged  network.Aged // nil: nobody knows
	asked time.Time
	wait  atomic.Int64 // nanoseconds
	at    atomic.Int64 // when that was, in nanoseconds since 1970
}

const (
	backlogPeriod = 4 * time.Millisecond
	backlogAge    = time.Second // what a worker has said longer ago than this says nothing
)

func newBacklog(pc network.PacketConn) *backlog {
	aged, _ := pc.(network.Aged)
	return &backlog{aged: aged}
}

// read notes a batch of n datagrams that was read now.
func (b *backlog) read(n int, now time.Time) {
	if n < udpBatch {
		if b.wait.Load() != 0 {
			b.wait.Store(0)
		}
		return
	}
	if b.aged == nil {
		return
	}
	if now.Sub(b.asked) < backlogPeriod {
		return
	}
	b.asked = now
	if age, ok := b.aged.Age(); ok {
		b.wait.Store(int64(age))
		b.at.Store(now.UnixNano())
	}
}

// QueueDelay is how long datagrams wait at this moment before they are read, in the socket where they wait longest.
func (l *Layer) QueueDelay() time.Duration {
	longest, since := int64(0), time.Now().Add(-backlogAge).UnixNano()
	for _, u := range l.udp {
		for _, s := range u.sockets {
			if s.backlog.at.Load() > since {
				longest = max(longest, s.backlog.wait.Load())
			}
		}
	}
	return time.Duration(longest)
}

// Messages is how many have come so far, those that were not admitted included.
func (l *Layer) Messages() uint64 {
	n := l.Stats.Refused.Load()
	for i := range l.Stats.Received {
		n += l.Stats.Received[i].Load()
	}
	return n
}
