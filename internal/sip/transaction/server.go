package transaction

import (
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"dialtone/internal/sip"
)

// The timers of a transaction.
const (
	timerRetry uint8 = iota
	timerLife
	timerProvisional // retransmission of a reliable provisional response
)

// ErrTerminated is returned for a response that comes too late.
var ErrTerminated = errors.New("transaction: already terminated")

// ServerHandler is told what becomes of a server transaction after its user has answered. Calls come from the timer
// goroutine and must not block.
type ServerHandler interface {
	// HandleUnacknowledged: a 2xx got no ACK, or a reliable provisional response no PRACK, within 64*T1
	// (RFC 3261 §13.3.1.4, RFC 3262 §3).
	HandleUnacknowledged(tx *Server)
}

// Server is a server transaction. Its methods are safe for any goroutine.
type Server struct {
	layer  *Layer
	shard  *shard
	key    string
	merge  uint64
	flow   Flow
	kind   Kind
	method sip.Method
	began  time.Time

	mu       sync.Mutex
	state    State
	last     []byte // the last response
	toTag    string // the tag of our responses
	retries  int
	handler  ServerHandler
	acked    bool
	retry    timer
	life     timer
	retryDue int64
	lifeDue  int64
	reliable *reliable // of a provisional response that waits for its PRACK
}

// reliable is a provisional response of RFC 3262 under way.
type reliable struct {
	timer   timer
	due     int64
	retries int
	bytes   []byte
	ends    int64 // tick at which the wait for the PRACK is over
}

func newServer(l *Layer, s *shard, f Flow, m *sip.Message, key string) *Server {
	tx := &Server{began: time.Now(), layer: l, shard: s, key: key, flow: f, method: m.Method(), kind: ServerOther, state: Trying}
	if m.Method() == sip.INVITE {
		tx.kind, tx.state = ServerInvite, Proceeding
	}
	tx.retry.owner, tx.retry.which = tx, timerRetry
	tx.life.owner, tx.life.which = tx, timerLife
	return tx
}

// Flow is where the request came from.
func (tx *Server) Flow() Flow { return tx.flow }

// Method is the method of the request.
func (tx *Server) Method() sip.Method { return tx.method }

// SetHandler sets who is told about a missing ACK or PRACK.
func (tx *Server) SetHandler(h ServerHandler) {
	tx.mu.Lock()
	tx.handler = h
	tx.mu.Unlock()
}

// Respond sends a response that was built for the request of this transaction. A provisional response may be followed
// by others; after a final one (other than a second 2xx to INVITE) the result is ErrTerminated.
func (tx *Server) Respond(b *sip.Builder) error { return tx.RespondBytes(b.Append(nil)) }

// RespondBytes is Respond with a response that is already printed; the transaction keeps the slice.
func (tx *Server) RespondBytes(res []byte) error {
	status := int(res[8]-'0') * 100 // "SIP/2.0 nnn"
	e := Failure
	switch status {
	case 100:
		e = Provisional
	case 200:
		e = Success
	}
	if tx.kind == ServerOther {
		if string(res[8:11]) == "408" {
			tx.end() // RFC 4320 §4.2: nobody waits for it any more
			return nil
		}
		if e == Provisional && string(res[8:11]) != "100" {
			return nil // RFC 4320 §4.1
		}
	}
	return tx.event(e, res)
}

// RespondOnce sends a final response and forgets the transaction: the response is not repeated, and the request that
// comes again is a new one. It is for requests of parties that nobody has identified, whose address may be another's:
// nobody is made to send more than one packet for one, or to remember it.
//
// RFC 3261 §26.3.2.4 and §8.2.7: a single response without retransmission. RequestTag is the tag that goes with it.
func (tx *Server) RespondOnce(b *sip.Builder) error { return tx.RespondOnceBytes(b.Append(nil)) }

// RespondOnceBytes is RespondOnce with a response that is already printed.
func (tx *Server) RespondOnceBytes(res []byte) error {
	if tx.layer.answered != nil {
		tx.layer.answered(time.Since(tx.began))
	}
	err := tx.flow.Send(res)
	tx.end()
	return err
}

// Drop forgets the transaction without a response: its request has never come.
func (tx *Server) Drop() { tx.end() }

// RequestTag is a To tag that is the same whenever the request comes again: RFC 3261 §8.2.7.
func (tx *Server) RequestTag() string {
	return string(sip.AppendHex(nil, maphash.String(tx.layer.tags, tx.key)))
}

// RespondReliably sends a provisional response and repeats it until Pracked (RFC 3262 §3). The response must carry
// Require: 100rel and RSeq. Only one may be under way.
func (tx *Server) RespondReliably(b *sip.Builder) error {
	res := b.Append(nil)
	if err := tx.event(Provisional, res); err != nil {
		return err
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	r := &reliable{bytes: res, ends: tx.layer.now() + int64(64*tx.layer.timers.T1/wheelTick)}
	r.timer.owner, r.timer.which = tx, timerProvisional
	tx.stopReliable()
	tx.reliable = r
	r.due = tx.layer.set(tx.shard, &r.timer, tx.layer.timers.T1)
	return nil
}

// Pracked stops the retransmission of a reliable provisional response.
func (tx *Server) Pracked() {
	tx.mu.Lock()
	tx.stopReliable()
	tx.mu.Unlock()
}

func (tx *Server) stopReliable() {
	if tx.reliable != nil {
		tx.shard.stop(&tx.reliable.timer)
		tx.reliable = nil
	}
}

// Acknowledged tells that the ACK for the 2xx has arrived: the 2xx is not sent again.
func (tx *Server) Acknowledged() {
	tx.mu.Lock()
	tx.acked = true
	tx.mu.Unlock()
	tx.event(Acknowledged, nil)
	tx.mu.Lock()
	tx.last = nil // Accepted absorbs the INVITE: nothing is sent again
	tx.mu.Unlock()
}

// Handler is who SetHandler was called with; nil before.
func (tx *Server) Handler() ServerHandler {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.handler
}

// event steps the machine. res is the response that goes with it.
func (tx *Server) event(e Event, res []byte) error {
	tx.mu.Lock()
	state, act := Step(tx.kind, tx.state, e, tx.flow.Reliable())
	if res != nil && act&Send == 0 {
		tx.mu.Unlock()
		return ErrTerminated
	}
	changed := state != tx.state
	tx.state = state
	if act&Send != 0 {
		tx.last = res
		if tx.toTag == "" {
			tx.toTag = toTagOf(res)
		}
		if state != Proceeding {
			tx.stopReliable()
		}
	}
	tx.act(act, changed)
	if e == Provisional && tx.kind == ServerInvite && act&Send != 0 {
		// RFC 3261 §13.3.1.1: a callee that rings for long says so every minute.
		tx.lifeDue = tx.layer.set(tx.shard, &tx.life, unanswered)
	}
	if changed && e != Provisional && act&Send != 0 && tx.layer.answered != nil {
		tx.layer.answered(time.Since(tx.began))
	}
	h := tx.handler
	report := act&ReportTimeout != 0 && !tx.acked
	tx.mu.Unlock()
	if act&End != 0 {
		tx.forget()
	}
	if report && h != nil {
		h.HandleUnacknowledged(tx)
	}
	return nil
}

// act carries out what needs the lock.
func (tx *Server) act(act Action, changed bool) {
	l := tx.layer
	if act&(Send|Resend) != 0 && tx.last != nil {
		// A refused send is a lost message: the client repeats its request, or we our response, or a timer ends it.
		// There is nobody else to tell (RFC 3261 §17.2.4).
		_ = tx.flow.Send(tx.last)
	}
	switch {
	case act&StartRetry != 0:
		if changed {
			tx.retries = 0
		} else {
			tx.retries++
		}
		tx.retryDue = l.set(tx.shard, &tx.retry, l.timers.retry(tx.kind, tx.retries))
	case act&(StopRetry|End) != 0:
		tx.shard.stop(&tx.retry)
	}
	switch {
	case act&StartLife != 0:
		tx.lifeDue = l.set(tx.shard, &tx.life, l.timers.lifetime(tx.kind, tx.state))
	case act&End != 0:
		tx.shard.stop(&tx.life)
	}
}

// expire implements expirer.
func (tx *Server) expire(which uint8, tick int64) {
	tx.mu.Lock()
	switch which {
	case timerProvisional:
		r := tx.reliable
		if r == nil || r.due > tick {
			break
		}
		if tick >= r.ends {
			tx.reliable = nil
			h := tx.handler
			tx.mu.Unlock()
			if h != nil {
				h.HandleUnacknowledged(tx)
			}
			return
		}
		tx.flow.Send(r.bytes)
		r.retries++
		// RFC 3262 §3: the interval doubles without the cap T2, and the wait is over after 64*T1.
		left := time.Duration(r.ends-tick) * wheelTick
		r.due = tx.layer.set(tx.shard, &r.timer, min(tx.layer.timers.T1<<min(r.retries, 7), left))
	case timerRetry:
		if tx.retryDue <= tick && !tx.retry.linkedIn(tx.shard) {
			tx.mu.Unlock()
			tx.event(RetransmitTime, nil)
			return
		}
	case timerLife:
		if tx.lifeDue <= tick && !tx.life.linkedIn(tx.shard) {
			tx.mu.Unlock()
			tx.event(LifetimeTime, nil)
			return
		}
	}
	tx.mu.Unlock()
}

// linkedIn tells whether a timer that has fired was set again since.
func (t *timer) linkedIn(s *shard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.linked
}

// handleAck takes the ACK for a final response other than 2xx; false when the ACK is not for this transaction.
func (tx *Server) handleAck() bool {
	tx.mu.Lock()
	accepted := tx.state == Accepted
	tx.mu.Unlock()
	if accepted {
		return false // Interop: an ACK for a 2xx that reuses the branch of the INVITE
	}
	tx.event(Ack, nil)
	return true
}

// awaitsAnswer tells whether an INVITE has no final response yet.
func (tx *Server) awaitsAnswer() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.state == Proceeding
}

// tag is the To tag of the responses; a new one when there was none yet (RFC 3261 §9.2: the tag of the response to
// CANCEL should be that of the response to the request).
func (tx *Server) tag() string {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.toTag == "" {
		return NewTag()
	}
	return tx.toTag
}

func (tx *Server) end() {
	tx.mu.Lock()
	tx.state = Terminated
	tx.act(End, true)
	tx.mu.Unlock()
	tx.forget()
}

func (tx *Server) forget() {
	tx.mu.Lock()
	tx.stopReliable()
	tx.mu.Unlock()
	tx.shard.mu.Lock()
	if tx.shard.servers[tx.key] == tx {
		delete(tx.shard.servers, tx.key)
	}
	tx.shard.mu.Unlock()
	tx.layer.leaveMerged(tx)
}

// toTagOf finds the To tag in a printed response.
func toTagOf(res []byte) string { return string(sip.PeekToTag(res)) }
