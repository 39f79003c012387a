package proxy

import (
	"errors"
	"sync"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/nexthop"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// HandleRequest forwards a request with a transaction on each side: RFC 3261 §16.2. tx is nil for an ACK that belongs to
// no transaction: one for a 2xx.
func (p *Proxy) HandleRequest(tx *transaction.Server, f *transport.Flow, m *sip.Message) {
	if tx == nil {
		p.HandleACK(f, m)
		return
	}
	m = m.Clone() // whatever comes of it needs it until the last response
	c, no := p.read(f, m)
	if no.status == 0 && p.ours(&c) {
		no = own(m)
	}
	loop := uint64(0)
	if no.status == 0 {
		loop = p.Key.loopPart(f.Role(), &c, m)
	}
	if no.status == 0 && p.Key.looped(m, loop) {
		p.Stats.Loops.Add(1)
		no = refusal{status: 482}
	}
	d := destination{}
	if no.status == 0 {
		d = p.destinationOf(&c)
		if !p.permitted(tx, f, m, &c, d, &no) {
			return
		}
	}
	r := &relay{p: p, tx: tx, in: f, pending: &pending{m: m, c: c, loop: loop, breadth: breadthOf(m.Uint(sip.HMaxBreadth))}}
	if no.status == 0 {
		no = r.aim(d)
	}
	if no.status != 0 {
		p.turnAway(tx, f, m, no)
		return
	}
	if m.Method() == sip.INVITE {
		p.trying(tx, m)
	}
	tx.SetHandler(r)
	r.happen(happening{kind: began})
}

// HandleACK sends the ACK for a 2xx on: RFC 3261 §16.11 tells how, for there is no transaction. It is never refused; what
// may not pass is dropped.
func (p *Proxy) HandleACK(f *transport.Flow, m *sip.Message) {
	c, no := p.read(f, m)
	if no.status != 0 || p.ours(&c) || p.isOurAnswer(m) {
		return
	}
	if d := p.destinationOf(&c); permissionFor(&c, d, false) == granted || p.Door.Knows(f, m) {
		_ = p.pass(f, m, &c, d)
	}
}

// HandleCancel passes the CANCEL of an INVITE on to all its branches: RFC 3261 §16.10. The CANCEL itself has been answered.
//
// Deviation: §16.10 wants a CANCEL without a response context forwarded statelessly; the transactions answer it with 481,
// for no element behind us could match it to a branch of ours.
func (p *Proxy) HandleCancel(tx *transaction.Server, m *sip.Message) {
	r, ok := tx.Handler().(*relay)
	if !ok {
		return
	}
	reason := ""
	if v, ok := m.Header(sip.HReason); ok { // RFC 3326 §2: why travels with it
		reason = string(v)
	}
	r.happen(happening{kind: cancelled, reason: reason})
}

// permitted asks for the permission of a request, and answers it when there is none.
func (p *Proxy) permitted(tx *transaction.Server, f *transport.Flow, m *sip.Message, c *course, d destination, no *refusal) bool {
	if m.Method() == sip.REGISTER {
		if !registersAt(c, d) && !c.vouched && !p.Door.Knows(f, m) {
			*no = refusal{403, "Not Relayed"}
		}
		return true
	}
	return permissionFor(c, d, p.mustProve(m, c, d)) == granted || p.Door.Identify(tx, f, m)
}

// trying: RFC 3261 §16.2: 100 at once, so that the client stops sending the INVITE again.
func (p *Proxy) trying(tx *transaction.Server, m *sip.Message) {
	s := p.scratch()
	defer p.free(s)
	_ = tx.Respond(s.builder.Response(m, 100, "", ""))
}

// relay is the response context of one request (RFC 3261 §16.7). It lives as long as the transactions linger, for a 2xx
// that comes once more; most of what it knows goes with the last pending branch.
type relay struct {
	p  *Proxy
	tx *transaction.Server
	in *transport.Flow

	mu    sync.Mutex // guards queue and busy
	queue []happening
	busy  bool

	*pending // of whoever is busy; nil once every branch has ended
}

// pending is what a relay needs while branches are pending: the fork, and what carries out its orders.
type pending struct {
	m       *sip.Message // a copy of the request
	c       course
	loop    uint64 // what a copy of it is known by, should it come back
	breadth int    // incoming Max-Breadth
	located bool   // the targets are bindings
	// patience is how long a server of a set may be silent before another one is tried (nexthop.Set); 0: there is no set.
	patience time.Duration

	fork    fork
	targets []target
	early   []early // dialogs that provisional responses have begun
	reason  string  // of the client's CANCEL

	visited  [][]byte // the target set, once a redirection has been followed
	followed int      // contacts of redirections
}

// target is one user agent and the ways that lead to it, beside the attempt of the same number in the fork.
type target struct {
	all      []way
	ways     []way              // of all, those that have not been tried
	breadth  int                // Max-Breadth
	recalled *way               // that was redirected here by an earlier answer; nil: none was
	uri      []byte             // the URI whose addresses are next
	resolve  []transport.Target // and these addresses
	last     transport.Target   // in use; the zero value for a flow
	way      *way               // in use
	branch   *branch            // in use; nil: none, or the DNS is being asked
	answer   *sip.Message       // the final response, a copy
	answered bool               // more than 100 has come by the way in use: no other way is tried
	sent     bool               // the request has left by the way in use
}

// branch is one copy of the request under way.
type branch struct {
	r      *relay
	target int
	client *transaction.Client
	alarm  *transaction.Alarm // timer C, and before it the patience with a silent server
	due    time.Time          // of the alarm: what rings earlier was set before
	over   bool

	server  *nexthop.Target // of a set; nil: none
	patient bool            // nothing has come from the server yet
}

// early is a dialog of a branch that has no final response yet.
type early struct {
	branch *branch
	tag    string
}

// kind of a happening.
type kind uint8

const (
	began kind = iota
	responded
	failed
	resolved
	cancelled
	timedOut // the alarm of a branch
)

// happening is an event of a relay.
type happening struct {
	kind    kind
	branch  *branch
	client  *transaction.Client
	m       *sip.Message
	target  int
	targets []transport.Target
	reason  string
	status  int // that stands for a failure
}

// happen works off an event, and those that come meanwhile. Whoever finds the relay busy leaves his event there and goes.
func (r *relay) happen(h happening) {
	r.mu.Lock()
	if r.busy {
		if h.m != nil {
			h.m = h.m.Clone()
		}
		r.queue = append(r.queue, h)
		r.mu.Unlock()
		return
	}
	r.busy = true
	for {
		r.mu.Unlock()
		r.handle(&h)
		r.mu.Lock()
		if len(r.queue) == 0 {
			r.busy, r.queue = false, nil
			r.mu.Unlock()
			return
		}
		h = r.queue[0]
		r.queue = r.queue[1:]
	}
}

func (r *relay) handle(h *happening) {
	if r.pending == nil {
		r.late(h)
		return
	}
	switch h.kind {
	case began:
		r.carryOut(r.fork.begin(), nil)
	case responded:
		h.branch.client = h.client
		r.response(h.branch, h.m)
	case failed:
		r.failure(h.branch, h.status)
	case resolved:
		t := &r.targets[h.target]
		t.resolve = h.targets
		if r.fork.attempts[h.target].cancelled || r.fork.stopped {
			r.settle(h.target, 487, nil)
			return
		}
		if !r.advance(h.target) {
			r.settle(h.target, r.unreachable(), nil)
		}
	case cancelled:
		r.reason = h.reason
		r.carryOut(r.fork.onCancel(), nil)
	case timedOut:
		switch b := h.branch; {
		case b.over, r.targets[b.target].branch != b, time.Now().Before(b.due):
		case b.patient:
			r.abandon(b)
		default:
			r.carryOut(r.fork.onTimerC(b.target), nil)
		}
	}
	if r.fork.answered != 0 && !r.fork.pending() {
		r.pending = nil
	}
}

// late takes what happens when all is over. Only a 2xx to an INVITE, which its sender repeats until it is acknowledged, or
// of one branch after that of another, still goes upstream (RFC 3261 §16.7 item 5).
func (r *relay) late(h *happening) {
	if h.kind != responded || h.m.Status() < 200 {
		return
	}
	h.branch.end()
	if h.m.Status()/100 == 2 && r.tx.Method() == sip.INVITE {
		r.forward(h.m)
	}
}

// aim makes the target set: RFC 3261 §16.5.
func (r *relay) aim(d destination) refusal {
	r.fork.invite = r.m.Method() == sip.INVITE
	if r.breadth < 1 {
		return refusal{status: 440}
	}
	switch {
	case r.c.toSet(d):
		return r.aimAtSet(d)
	case r.c.next != nil, r.c.has, d.tenant == nil:
		r.add([]way{onward(&r.c)}, 0)
		return refusal{}
	}
	bindings, static, no := r.p.located(nil, nil, d, &r.c.target)
	if no.status != 0 {
		return no
	}
	r.located = true
	group := r.addAgents(location.Targets(bindings), static, 0)
	if len(r.targets) == 0 { // contacts that no request can be sent to
		return refusal{status: 480}
	}
	// RFC 5393 §5.3.3: not enough for the largest parallel fork.
	counts := make([]int, group+1)
	for _, a := range r.fork.attempts {
		if counts[a.group]++; share(r.breadth, counts[a.group]) < 1 {
			return refusal{status: 440}
		}
	}
	return refusal{}
}

// addAgents adds the user agents of a line: those of one q in one group, the first of which is given. It returns the last.
func (r *relay) addAgents(agents []location.Target, static []way, group int) int {
	q := uint16(1000)
	if len(static) == 0 && len(agents) > 0 {
		q = agents[0][0].Q
	}
	add := func(ways []way) {
		if ways[0].q != q {
			q = ways[0].q
			group++
		}
		r.add(ways, group)
	}
	for i := range static { // their q is 1, and no agent's is more
		add(static[i : i+1 : i+1])
	}
	for _, agent := range agents {
		ways := make([]way, len(agent))
		for i := range agent {
			ways[i] = wayTo(&agent[i])
			ways[i].q = agent[0].Q
		}
		add(ways)
	}
	return group
}

// unreachable is the status of a target without a way: a line's phone that is not there now, or a domain that has no
// address.
func (r *relay) unreachable() int {
	if r.located {
		return 480
	}
	return 502
}

func (r *relay) add(ways []way, group int) {
	r.targets = append(r.targets, target{all: ways, ways: ways})
	r.fork.attempts = append(r.fork.attempts, attempt{group: group})
}

// carryOut does what the fork orders. m is the response at hand.
func (r *relay) carryOut(o orders, m *sip.Message) {
	if o.forward && m != nil {
		r.forward(m)
	}
	for _, i := range o.cancel {
		r.cancel(i)
	}
	breadth := r.breadth
	if o.instead {
		breadth = r.targets[o.replaced].breadth
	}
	for _, i := range o.start {
		r.targets[i].breadth = share(breadth, len(o.start))
	}
	for _, i := range o.start {
		if !r.recall(i) && !r.advance(i) {
			r.settle(i, r.unreachable(), nil)
		}
	}
	if o.finish {
		r.finish()
	}
}

// settle gives an attempt its final status.
func (r *relay) settle(i, status int, m *sip.Message) {
	r.misled(i, status)
	r.carryOut(r.fork.onFinal(i, status), m)
}

// cancel gives the branch of an attempt up.
func (r *relay) cancel(i int) {
	b := r.targets[i].branch
	if b == nil { // the DNS is being asked; what it says does not matter any more
		r.settle(i, 487, nil)
		return
	}
	reason := r.reason
	if !r.fork.cancelled {
		reason = r.cancelReason(i)
	}
	b.client.Cancel(reason)
}

// cancelReason is the value of Reason (RFC 3326 §2) for a loser.
func (r *relay) cancelReason(i int) string {
	switch {
	case r.fork.attempts[i].expired:
		return `SIP;cause=408;text="Request Timeout"`
	case r.fork.answered/100 == 2:
		return `SIP;cause=200;text="Call completed elsewhere"`
	}
	return `SIP;cause=600;text="Busy Everywhere"`
}

// HandleUnacknowledged implements transaction.ServerHandler; the ACK of a 2xx is no concern of a proxy.
func (r *relay) HandleUnacknowledged(*transaction.Server) {}

// HandleResponse implements transaction.ClientHandler.
func (b *branch) HandleResponse(c *transaction.Client, m *sip.Message) {
	b.r.happen(happening{kind: responded, branch: b, client: c, m: m})
}

// HandleFailure implements transaction.ClientHandler. §16.9: a time-out is a 408, a failure of the transport a 503; of a
// phone that is not reached it says 480, for neither this server nor the next one is out of order.
func (b *branch) HandleFailure(c *transaction.Client, err error) {
	status := 408
	if errors.Is(err, transaction.ErrTransport) {
		if status = 503; b.r.located {
			status = 480
		}
	}
	b.r.happen(happening{kind: failed, branch: b, client: c, status: status})
}
