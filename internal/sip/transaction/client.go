package transaction

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"dialtone/internal/sip"
)

// Errors that a client transaction reports to its handler.
var (
	// ErrTimeout: no final response within 64*T1; stands for 408 (RFC 3261 §8.1.3.1).
	ErrTimeout = errors.New("transaction: no response")
	// ErrTransport: the message could not be sent; stands for 503 (RFC 3261 §8.1.3.1).
	ErrTransport = errors.New("transaction: transport failed")
)

// ClientHandler takes the outcome of a request.
type ClientHandler interface {
	// HandleResponse takes a response: any number of provisional ones, then a final one; for an INVITE also every
	// repetition of a 2xx, each of which wants its ACK (RFC 6026 §7.2). It runs on the worker that read the response,
	// which is valid until it returns.
	HandleResponse(c *Client, m *sip.Message)
	// HandleFailure tells that there will be no final response: ErrTimeout or ErrTransport.
	HandleFailure(c *Client, err error)
}

// Client is a client transaction. Its methods are safe for any goroutine.
type Client struct {
	layer   *Layer
	shard   *shard
	key     clientKey
	flow    Flow
	kind    Kind
	method  sip.Method
	handler ClientHandler
	began   time.Time

	mu       sync.Mutex
	state    State
	request  []byte // as sent
	ack      []byte // for a final response other than 2xx
	retries  int
	slow     bool // retransmit each T2
	canceled bool
	quiet    bool // not sent again: see Abandon
	reason   string
	retry    timer
	life     timer
	retryDue int64
	lifeDue  int64
}

// Request sends a request on a flow and starts its transaction. The builder's Via is set here. A flow that refuses the
// message at once is reported as an error, and the handler is not called.
func (l *Layer) Request(b *sip.Builder, f Flow, h ClientHandler) (*Client, error) {
	id, branch := newBranch()
	// RFC 3581 §3: a client asks for responses to be sent where the request came from.
	b.Via(f.Via() + ";branch=" + branch + ";rport")
	return l.start(clientKey{id: id}, b, f, h)
}

func (l *Layer) start(key clientKey, b *sip.Builder, f Flow, h ClientHandler) (*Client, error) {
	return l.startBytes(key, b.Method(), b.Append(nil), f, h)
}

func (l *Layer) startBytes(key clientKey, method sip.Method, request []byte, f Flow, h ClientHandler) (*Client, error) {
	c := &Client{began: time.Now(), layer: l, shard: &l.shards[key.id&(shardCount-1)], key: key, flow: f, method: method, handler: h,
		kind: ClientOther, state: Trying, request: request}
	if c.method == sip.INVITE {
		c.kind, c.state = ClientInvite, Calling
	}
	c.retry.owner, c.retry.which = c, timerRetry
	c.life.owner, c.life.which = c, timerLife
	c.shard.mu.Lock()
	c.shard.clients[key] = c
	c.shard.mu.Unlock()

	c.mu.Lock()
	if !f.Reliable() {
		c.retryDue = l.set(c.shard, &c.retry, l.timers.retry(c.kind, 0)) // timers A and E
	}
	c.lifeDue = l.set(c.shard, &c.life, l.timers.lifetime(c.kind, c.state)) // timers B and F
	err := f.Send(c.request)
	c.mu.Unlock()
	if err != nil {
		c.terminate()
		return nil, fmt.Errorf("%w: %w", ErrTransport, err)
	}
	return c, nil
}

// Send sends a request that has no transaction: an ACK for a 2xx. It returns what was sent, to be repeated when the 2xx
// comes again.
func (l *Layer) Send(b *sip.Builder, f Flow) ([]byte, error) {
	_, branch := newBranch()
	b.Via(f.Via() + ";branch=" + branch + ";rport")
	out := b.Append(nil)
	return out, f.Send(out)
}

// Flow is where the request went.
func (c *Client) Flow() Flow { return c.flow }

// Method is the method of the request.
func (c *Client) Method() sip.Method { return c.method }

// Request is the request as it was sent; nil after Release.
func (c *Client) Request() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.request
}

// Release lets go of the request, when there is a final response: from then on nothing but the ACK is sent again, and
// that has been printed. A transaction lingers for half a minute, and most of its memory is the request.
func (c *Client) Release() {
	c.mu.Lock()
	switch c.state {
	case Completed, Accepted, Terminated:
		c.request = nil
	}
	c.mu.Unlock()
}

// Cancel gives an INVITE up: RFC 3261 §9.1. The CANCEL goes out at once, or with the first provisional response when
// there was none yet. The outcome is still reported: 487, or a 2xx that was quicker, or ErrTimeout. reason is the
// value of a Reason header (RFC 3326), or empty.
func (c *Client) Cancel(reason string) {
	c.mu.Lock()
	if c.kind != ClientInvite || c.canceled || c.state != Calling && c.state != Proceeding {
		c.mu.Unlock()
		return
	}
	c.canceled, c.reason = true, reason
	ready := c.state == Proceeding
	c.mu.Unlock()
	if ready {
		c.sendCancel()
	}
}

// Abandon is Cancel for a request that has met nothing but silence and whose outcome nobody waits for any more: it is not
// sent again either, which is all that happens to others than INVITE, so that a server that comes back finds no calls of
// the past (RFC 3261 §16.8: as if it had been answered with 408). What is answered nevertheless is still reported, and
// cancelled or acknowledged as it should be.
func (c *Client) Abandon(reason string) {
	c.mu.Lock()
	c.quiet = true
	c.mu.Unlock()
	c.Cancel(reason)
}

func (c *Client) sendCancel() {
	var m sip.Message
	if m.Parse(c.Request()) != nil {
		return // there has been a final response meanwhile
	}
	b := sip.NewCANCEL(&m)
	c.mu.Lock()
	if c.reason != "" {
		b.Add(sip.HReason, c.reason)
	}
	// §9.1: without a final response within 64*T1 after the CANCEL, the transaction is over.
	c.lifeDue = c.layer.set(c.shard, &c.life, 64*c.layer.timers.T1)
	c.mu.Unlock()
	// What the CANCEL is answered does not matter; the outcome is that of the INVITE.
	_, _ = c.layer.start(clientKey{c.key.id, true}, b, c.flow, discard{})
}

type discard struct{}

func (discard) HandleResponse(*Client, *sip.Message) {}
func (discard) HandleFailure(*Client, error)         {}

func (c *Client) handleResponse(m *sip.Message) {
	e := Failure
	switch m.Status() / 100 {
	case 1:
		e = Provisional
	case 2:
		e = Success
	}
	c.mu.Lock()
	first := c.state == Calling
	act := c.step(e, m)
	cancel := first && e == Provisional && c.canceled
	if e != Provisional && act&Deliver != 0 && act&(End|StartLife) != 0 && c.layer.answered != nil {
		c.layer.answered(time.Since(c.began))
	}
	c.mu.Unlock()
	if cancel {
		c.sendCancel()
	}
	if act&End != 0 {
		c.forget()
	}
	if act&Deliver != 0 {
		c.handler.HandleResponse(c, m)
	}
}

// step runs the machine and carries out what needs the lock, which the caller holds.
func (c *Client) step(e Event, m *sip.Message) Action {
	l := c.layer
	state, act := Step(c.kind, c.state, e, c.flow.Reliable())
	changed := state != c.state
	c.state = state
	var err error
	if act&Resend != 0 {
		err = c.flow.Send(c.request)
	}
	if act&SendAck != 0 {
		err = c.sendAck(m)
	}
	if act&SlowRetry != 0 {
		c.slow = true
	}
	switch {
	case act&StartRetry != 0:
		c.retries++
		d := l.timers.retry(c.kind, c.retries)
		if c.slow {
			d = l.timers.T2
		}
		c.retryDue = l.set(c.shard, &c.retry, d)
	case act&(StopRetry|End) != 0:
		c.shard.stop(&c.retry)
	}
	switch {
	case act&StartLife != 0:
		c.lifeDue = l.set(c.shard, &c.life, l.timers.lifetime(c.kind, c.state))
	case act&End != 0, act&StopLife != 0 && changed:
		c.shard.stop(&c.life)
	}
	if err != nil && e != SendFailed {
		act |= c.step(SendFailed, nil)
	}
	return act
}

// sendAck: RFC 3261 §17.1.1.3; the ACK is built once and repeated for each repetition of the response.
func (c *Client) sendAck(m *sip.Message) error {
	if c.ack == nil {
		var invite sip.Message
		if err := invite.Parse(c.request); err != nil {
			return err
		}
		c.ack = sip.NewACK(&invite, m).Append(nil)
	}
	return c.flow.Send(c.ack)
}

// expire implements expirer.
func (c *Client) expire(which uint8, tick int64) {
	c.mu.Lock()
	var act Action
	switch which {
	case timerRetry:
		if c.retryDue <= tick && !c.quiet && !c.retry.linkedIn(c.shard) {
			act = c.step(RetransmitTime, nil)
		}
	case timerLife:
		if c.lifeDue <= tick && !c.life.linkedIn(c.shard) {
			act = c.step(LifetimeTime, nil)
		}
	}
	c.mu.Unlock()
	if act&End != 0 {
		c.forget()
	}
	switch {
	case act&ReportTimeout != 0:
		c.handler.HandleFailure(c, ErrTimeout)
	case act&ReportFailure != 0:
		c.handler.HandleFailure(c, ErrTransport)
	}
}

// fail ends a transaction that waits for a response on a flow that is gone.
func (c *Client) fail() {
	c.mu.Lock()
	act := c.step(SendFailed, nil)
	c.mu.Unlock()
	if act&End != 0 {
		c.forget()
	}
	if act&ReportFailure != 0 {
		c.handler.HandleFailure(c, ErrTransport)
	}
}

func (c *Client) terminate() {
	c.mu.Lock()
	c.state = Terminated
	c.shard.stop(&c.retry)
	c.shard.stop(&c.life)
	c.mu.Unlock()
	c.forget()
}

func (c *Client) forget() {
	c.shard.mu.Lock()
	if c.shard.clients[c.key] == c {
		delete(c.shard.clients, c.key)
	}
	c.shard.mu.Unlock()
}
