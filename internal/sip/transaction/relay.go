package transaction

import (
	"math/rand/v2"
	"sync"
	"time"

	"dialtone/internal/sip"
)

// Forwarder is a User that forwards what comes on some flows instead of taking it. There the same request may come by
// several paths, which is a spiral (RFC 3261 §16.3 item 4) and not a merged request (§8.2.2.2).
type Forwarder interface {
	Forwards(f Flow) bool
}

// NewBranchID is the number of a new branch.
func NewBranchID() uint64 { return rand.Uint64() }

// AppendBranch appends the branch with a number. Behind a "." whoever forwards requests may add a part of his own
// (RFC 5393 §4.2.1).
func AppendBranch(dst []byte, id uint64) []byte {
	return sip.AppendHex(append(dst, branchPrefix...), id)
}

// Relay sends a request that is already printed, with the branch of id in its top Via, and starts its transaction. The
// transaction keeps the slice. Apart from that it is Request.
func (l *Layer) Relay(id uint64, method sip.Method, request []byte, f Flow, h ClientHandler) (*Client, error) {
	return l.startBytes(clientKey{id: id}, method, request, f, h)
}

// Alarm is a timer for those above the transactions (RFC 3261 §16.6 item 11: timer C). It rings on the goroutine of the
// layer's timers and must not block there. Its methods are safe for any goroutine.
type Alarm struct {
	layer *Layer
	shard *shard
	ring  func()
	timer timer

	mu  sync.Mutex
	due int64 // tick; 0 when it is not set
}

// NewAlarm makes an alarm that is not set.
func (l *Layer) NewAlarm(ring func()) *Alarm {
	a := &Alarm{layer: l, shard: &l.shards[rand.Uint64()&(shardCount-1)], ring: ring}
	a.timer.owner, a.timer.which = a, timerLife
	return a
}

// Set lets the alarm ring d from now, once; it forgets an earlier Set.
func (a *Alarm) Set(d time.Duration) {
	a.mu.Lock()
	a.due = a.layer.set(a.shard, &a.timer, d)
	a.mu.Unlock()
}

// Stop forgets an earlier Set. The alarm may be ringing at this moment.
func (a *Alarm) Stop() {
	a.mu.Lock()
	a.due = 0
	a.shard.stop(&a.timer)
	a.mu.Unlock()
}

// expire implements expirer.
func (a *Alarm) expire(_ uint8, tick int64) {
	a.mu.Lock()
	rings := a.due != 0 && a.due <= tick
	if rings {
		a.due = 0
	}
	a.mu.Unlock()
	if rings {
		a.ring()
	}
}
