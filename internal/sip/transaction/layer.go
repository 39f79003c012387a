// Package transaction is RFC 3261 §17: the four state machines that make an unreliable exchange of messages reliable,
// with RFC 6026 (2xx to INVITE), RFC 4320 (non-INVITE), the matching rules of §17.1.3 and §17.2.3, CANCEL (§9), merged
// requests (§8.2.2.2) and the retransmission of 2xx and reliable provisional responses, which the RFCs give to the
// user of a transaction but which need the same timers.
//
// The machines are one pure function, Step; Layer, Client and Server are the thin shell around it. The package knows
// no dialogs and no targets: whoever sends a request brings the Flow.
//
// Concurrency: HandleMessage runs on the worker of the transport that read the message and calls the user there, so
// messages of one flow reach the user in the order in which they arrived. Timers run on one goroutine, which Run owns.
// Transactions live in shards found by hash; a shard's lock is held for map and timer work only, never across a send or
// a call of the user.
package transaction

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/sip"
)

// Flow is where messages of a transaction go.
type Flow interface {
	// Send passes one message to the network without blocking.
	Send(b []byte) error
	// Reliable tells whether the network retransmits by itself (TCP, TLS, WebSocket).
	Reliable() bool
	// Via is the sent-protocol and sent-by of this side of the flow: "SIP/2.0/UDP 192.0.2.1:5060".
	Via() string
}

// User is the core above the transactions: what decides about requests. All methods are called on the worker that
// read the message, which is valid until they return; they must not block.
type User interface {
	// HandleRequest takes a new request. An ACK for a 2xx belongs to no transaction: tx is nil.
	HandleRequest(tx *Server, f Flow, m *sip.Message)
	// HandleCancel tells that the client cancels an INVITE that has no final response yet. The CANCEL itself has been
	// answered.
	HandleCancel(tx *Server, m *sip.Message)
}

const shardCount = 64 // a power of two

// Layer holds the transactions of one exchange.
type Layer struct {
	timers   Timers
	user     User
	answered func(time.Duration)
	seed     maphash.Seed
	tags     maphash.Seed // of RequestTag: what strangers see tells nothing about the shards
	base     time.Time
	wake     chan struct{}
	shards   [shardCount]shard
	merged   [shardCount]mergeShard
	// Counters for metrics.
	Stray atomic.Uint64 // responses that match no transaction
}

type shard struct {
	mu      sync.Mutex
	wheel   wheel
	servers map[string]*Server
	clients map[clientKey]*Client
	_       [32]byte
}

// Config of a Layer.
type Config struct {
	Timers Timers // zero for the defaults of RFC 3261
	User   User
	// Answered is told how long a request waited for its final response, on either side. May be nil.
	Answered func(time.Duration)
}

// New makes a layer. Its timers run only while Run does.
func New(c Config) *Layer {
	l := &Layer{timers: c.Timers.withDefaults(), user: c.User, answered: c.Answered, seed: maphash.MakeSeed(), tags: maphash.MakeSeed(), base: time.Now(), wake: make(chan struct{}, 1)}
	for i := range l.shards {
		s := &l.shards[i]
		s.servers, s.clients = map[string]*Server{}, map[clientKey]*Client{}
		l.merged[i].m = map[uint64]*Server{}
	}
	return l
}

// SetUser sets the core; for construction in a circle only, before the first message.
func (l *Layer) SetUser(u User) { l.user = u }

// Len counts the transactions that are alive, lingering ones included.
func (l *Layer) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.servers) + len(s.clients)
		s.mu.Unlock()
	}
	return n
}

// Run serves the timers until ctx ends. While no transaction is alive it sleeps.
func (l *Layer) Run(ctx context.Context) error {
	ticker := time.NewTicker(wheelTick)
	defer ticker.Stop()
	var due []*timer
	for {
		busy := false
		now := l.now()
		for i := range l.shards {
			s := &l.shards[i]
			s.mu.Lock()
			due = s.wheel.advance(now, due)
			busy = busy || s.wheel.count > 0
			s.mu.Unlock()
		}
		for i, t := range due {
			due[i] = nil
			t.owner.expire(t.which, now)
		}
		busy = busy || len(due) > 0
		due = due[:0]
		if busy {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
			continue
		}
		ticker.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
			ticker.Reset(wheelTick)
		}
	}
}

// now is the current tick.
func (l *Layer) now() int64 { return int64(time.Since(l.base) / wheelTick) }

// set arms a timer d from now, rounded up to a tick.
func (l *Layer) set(s *shard, t *timer, d time.Duration) int64 {
	due := int64((time.Since(l.base) + d + wheelTick - 1) / wheelTick)
	s.mu.Lock()
	idle := s.wheel.count == 0
	s.wheel.set(t, due)
	due = t.due
	s.mu.Unlock()
	if idle {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return due
}

func (s *shard) stop(t *timer) {
	s.mu.Lock()
	s.wheel.stop(t)
	s.mu.Unlock()
}

// HandleMessage takes a message that the transport has read and parsed.
func (l *Layer) HandleMessage(f Flow, m *sip.Message) {
	if !m.IsRequest() {
		l.handleResponse(m)
		return
	}
	var space [512]byte
	key := appendServerKey(space[:0], m)
	s := l.shardOf(key)
	s.mu.Lock()
	tx := s.servers[string(key)]
	s.mu.Unlock()
	switch m.Method() {
	case sip.ACK:
		if tx == nil || !tx.handleAck() {
			l.user.HandleRequest(nil, f, m)
		}
	case sip.CANCEL:
		l.handleCancel(f, m, tx, key)
	default:
		if tx != nil {
			tx.event(Request, nil)
			return
		}
		l.handleNew(s, f, m, key)
	}
}

// HandleClosed fails the client transactions whose flow is gone (RFC 3261 §8.1.3.1: as if a 503 had come).
func (l *Layer) HandleClosed(f Flow) {
	var broken []*Client
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for _, c := range s.clients {
			if c.flow == f {
				broken = append(broken, c)
			}
		}
		s.mu.Unlock()
	}
	for _, c := range broken {
		c.fail()
	}
}

// Knows reports whether a request belongs to a transaction that is alive: it is a repetition.
func (l *Layer) Knows(m *sip.Message) bool {
	var space [512]byte
	key := appendServerKey(space[:0], m)
	s := l.shardOf(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers[string(key)] != nil
}

func (l *Layer) shardOf(key []byte) *shard {
	return &l.shards[maphash.Bytes(l.seed, key)&(shardCount-1)]
}

func (l *Layer) handleNew(s *shard, f Flow, m *sip.Message, key []byte) {
	tx := newServer(l, s, f, m, string(key))
	if !l.enter(tx) {
		return // the same request on another worker was quicker
	}
	forwarder, _ := l.user.(Forwarder)
	if h := l.mergeKey(m); h != 0 && (forwarder == nil || !forwarder.Forwards(f)) && !l.enterMerged(tx, h) {
		// RFC 3261 §8.2.2.2: the same request has come by another path.
		tx.RespondOnce(sip.NewResponse(m, 482, "", tx.RequestTag()))
		return
	}
	l.user.HandleRequest(tx, f, m)
}

// enter adds a server transaction; false when there is one with its key.
func (l *Layer) enter(tx *Server) bool {
	tx.shard.mu.Lock()
	_, taken := tx.shard.servers[tx.key]
	if !taken {
		tx.shard.servers[tx.key] = tx
	}
	tx.shard.mu.Unlock()
	if !taken {
		tx.mu.Lock()
		tx.lifeDue = l.set(tx.shard, &tx.life, unanswered)
		tx.mu.Unlock()
	}
	return !taken
}

// handleCancel: RFC 3261 §9.2.
func (l *Layer) handleCancel(f Flow, m *sip.Message, invite *Server, key []byte) {
	key = append(key, "|CANCEL"...)
	s := l.shardOf(key)
	s.mu.Lock()
	again := s.servers[string(key)]
	s.mu.Unlock()
	if again != nil {
		again.event(Request, nil)
		return
	}
	tx := newServer(l, s, f, m, string(key))
	if !l.enter(tx) {
		return
	}
	if invite == nil || invite.kind != ServerInvite {
		tx.Respond(sip.NewResponse(m, 481, "", NewTag()))
		return
	}
	tx.Respond(sip.NewResponse(m, 200, "", invite.tag()))
	if invite.awaitsAnswer() {
		l.user.HandleCancel(invite, m)
	}
}

func (l *Layer) handleResponse(m *sip.Message) {
	via, err := m.Via()
	if err != nil {
		l.Stray.Add(1)
		return
	}
	key, ok := clientKeyOf(via.Branch, m.Method() == sip.CANCEL)
	if !ok {
		l.Stray.Add(1)
		return
	}
	s := &l.shards[key.id&(shardCount-1)]
	s.mu.Lock()
	c := s.clients[key]
	s.mu.Unlock()
	// RFC 3261 §17.1.3: branch and method of CSeq must match.
	if c == nil || c.method != m.Method() {
		l.Stray.Add(1)
		return
	}
	c.handleResponse(m)
}
