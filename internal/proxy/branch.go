package proxy

import (
	"bytes"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// advance sends the request to the next place of a target: the flows and addresses of its ways, one after another
// (RFC 3263 §4.3, RFC 5626 §5.3). It reports false when none is left; true also while the DNS is asked.
func (r *relay) advance(i int) bool {
	t := &r.targets[i]
	t.branch, t.answered = nil, false
	for {
		f, more := r.nextFlow(i)
		if f == nil {
			return more
		}
		if r.send(i, f) {
			return true
		}
	}
}

// nextFlow is the next flow of a target. nil and true: the DNS is asked, and an event follows.
func (r *relay) nextFlow(i int) (f *transport.Flow, more bool) {
	t := &r.targets[i]
	if t.last.Kind != 0 {
		r.p.Resolver.Failed(t.last) // asked again: the last one was no good
		t.last = transport.Target{}
	}
	for {
		for len(t.resolve) > 0 {
			next := t.resolve[0]
			t.resolve = t.resolve[1:]
			next.Role = r.in.Role()
			if f, err := r.p.Network.Connect(next); err == nil {
				t.last = next
				return f, true
			}
		}
		if t.uri == nil {
			t.notSent()
			if len(t.ways) == 0 {
				return nil, false
			}
			t.way, t.ways, t.sent = &t.ways[0], t.ways[1:], false
			f := r.p.boundFlow(&r.c, t.way)
			// What was registered over a datagram flow is reached by it or not at all: behind a NAT there is no other way in.
			if f == nil || f.Reliable() {
				t.uri = t.way.hop
			}
			if f != nil {
				return f, true
			}
		}
		uri := r.c.secured(t.uri)
		t.uri = nil
		u, err := sip.ParseURI(uri)
		if err != nil || !u.IsSIP() || isInvalid(u.Host) {
			continue
		}
		if direct, ok := transport.Direct(&u); ok {
			t.resolve = r.withTCP([]transport.Target{direct})
			continue
		}
		named := u // a copy: u stays off the heap
		targets, known := r.p.Resolver.Known(&named)
		if !known {
			if r.p.lookup(r.p.Resolver, string(uri), func(found []transport.Target) {
				r.happen(happening{kind: resolved, target: i, targets: found})
			}) {
				return nil, true
			}
			continue // too many names wait for the DNS already; another way may need none
		}
		t.resolve = r.withTCP(targets)
	}
}

// isInvalid tells the names of WebSocket clients, which are reached over their own connection or not at all
// (RFC 7118 §5).
func isInvalid(host []byte) bool {
	const suffix = ".invalid"
	return len(host) > len(suffix) && sip.EqualFold(host[len(host)-len(suffix):], suffix)
}

// growth is what a request may gain on its way through us.
const growth = 400

// withTCP puts TCP before UDP for a request that is too long for a datagram: RFC 3261 §18.1.1. A far end that has no TCP
// is reached by UDP after all.
func (r *relay) withTCP(targets []transport.Target) []transport.Target {
	if len(r.m.Bytes())+growth <= transport.MaxDatagram {
		return targets
	}
	out := make([]transport.Target, 0, 2*len(targets))
	for _, t := range targets {
		if t.Kind == transport.UDP {
			long := t
			long.Kind = transport.TCP
			out = append(out, long)
		}
		out = append(out, t)
	}
	return out
}

// send starts a branch: RFC 3261 §16.6 items 8 to 11.
func (r *relay) send(i int, f *transport.Flow) bool {
	p := r.p
	s := p.scratch()
	defer p.free(s)
	id := transaction.NewBranchID()
	s.branch = p.Key.appendBranch(s.branch[:0], id, r.loop, r.m.CallID())
	x := copyOf{m: r.m, c: r.c, w: *r.targets[i].way, in: r.in, out: f, branch: s.branch, breadth: max(r.targets[i].breadth, 1), omit: r.ourCredentials()}
	s.out = p.appendCopy(s.out[:0], s, &x)
	t := &r.targets[i]
	b := &branch{r: r, target: i, server: t.way.server}
	client, err := p.Transactions.Relay(id, r.m.Method(), append([]byte(nil), s.out...), f, b)
	if err != nil {
		return false
	}
	p.Stats.Forwarded.Add(1)
	if b.server != nil {
		b.server.Sent()
	}
	b.client = client
	t.branch, t.sent = b, true
	if r.fork.invite {
		b.alarm = p.Transactions.NewAlarm(func() { r.happen(happening{kind: timedOut, branch: b}) })
		if b.patient = r.patience > 0 && b.server != nil; b.patient {
			b.setAlarm(r.patience)
		} else {
			b.setAlarm(p.TimerC)
		}
	}
	return true
}

func (b *branch) setAlarm(d time.Duration) {
	b.due = time.Now().Add(d)
	b.alarm.Set(d)
}

// ourCredentials is the line of Proxy-Authorization that was for us: what it proves is no concern of those behind
// (RFC 3261 §22.3).
func (r *relay) ourCredentials() []byte {
	if !r.m.Has(sip.HProxyAuthorization) {
		return nil
	}
	from, err := r.m.From()
	if err != nil {
		return nil
	}
	s := r.p.Directory.Snapshot()
	tenant := s.TenantByDomain(text(from.URI.Host))
	if tenant == nil {
		tenant = s.TenantByName(directory.DefaultTenant)
	}
	if tenant == nil {
		return nil
	}
	realm := append(append([]byte(`realm="`), tenant.Realm...), '"')
	for i := range r.m.Len() {
		if _, v, id := r.m.At(i); id == sip.HProxyAuthorization && bytes.Contains(v, realm) {
			return v
		}
	}
	return nil
}

// response takes a response of a branch: RFC 3261 §16.7.
func (r *relay) response(b *branch, m *sip.Message) {
	status := m.Status()
	i := b.target
	r.heard(b, m)
	if status < 200 {
		r.provisional(b, m)
		return
	}
	b.end()
	current, answered := r.targets[i].branch == b, r.targets[i].answered
	switch {
	case status < 300:
		r.forgetEarly(b)
		if other := r.targets[i].branch; !current && other != nil && !other.over {
			other.client.Cancel(`SIP;cause=200;text="Call completed elsewhere"`)
		}
		r.settle(i, status, m)
		return
	case !current || r.fork.attempts[i].stage == ended: // another way has been taken since, or a 2xx was quicker
		return
	case r.follow(b, m):
		return
	case failsOver(status, r.isPhone(i)) && !answered && !r.fork.stopped && r.advance(i):
		return
	}
	if t := &r.targets[i]; t.answer == nil {
		t.answer = m.Clone()
	}
	r.dropped(b, status)
	r.settle(i, status, nil)
}

// isPhone reports whether a target is a phone of one of our lines, at the last of its addresses.
func (r *relay) isPhone(i int) bool {
	t := &r.targets[i]
	return r.located && t.way.server == nil && len(t.resolve) == 0
}

func (r *relay) provisional(b *branch, m *sip.Message) {
	if r.targets[b.target].branch != b || b.over {
		return
	}
	if b.patient {
		b.patient = false
		b.setAlarm(r.p.TimerC)
	}
	if m.Status() == 100 {
		r.fork.onTrying(b.target)
		return
	}
	if b.alarm != nil { // §16.7 item 2: 101 to 199 start timer C anew
		b.setAlarm(r.p.TimerC)
	}
	r.targets[b.target].answered = true
	if r.fork.invite {
		r.noteEarly(b, m)
	}
	r.carryOut(r.fork.onProvisional(b.target), m)
}

// failure takes a time-out or a broken flow.
func (r *relay) failure(b *branch, status int) {
	b.end()
	i := b.target
	if r.targets[i].branch != b || r.fork.attempts[i].stage == ended {
		return
	}
	r.missed(b)
	if !r.targets[i].answered && !r.fork.stopped && !r.fork.attempts[i].expired && r.advance(i) {
		return
	}
	r.dropped(b, status)
	r.settle(i, status, nil)
}

// end stops timer C and lets go of the request.
func (b *branch) end() {
	b.over = true
	if b.alarm != nil {
		b.alarm.Stop()
		b.alarm = nil
	}
	if b.client != nil {
		b.client.Release()
	}
}

const maxEarly = 32 // early dialogs of one request that are remembered, for 199

// noteEarly remembers the dialog of a provisional response.
func (r *relay) noteEarly(b *branch, m *sip.Message) {
	tag := m.ToTag()
	if tag == nil || len(r.early) == maxEarly {
		return
	}
	for i := range r.early {
		if r.early[i].branch == b && r.early[i].tag == string(tag) {
			return
		}
	}
	r.early = append(r.early, early{b, string(tag)})
}

func (r *relay) forgetEarly(b *branch) {
	kept := r.early[:0]
	for _, e := range r.early {
		if e.branch != b {
			kept = append(kept, e)
		}
	}
	r.early = kept
}

// dropped tells the client that the early dialogs of a branch are over while others go on: RFC 6228 §6.
func (r *relay) dropped(b *branch, status int) {
	others := 0
	for i := range r.fork.attempts {
		if i != b.target && r.fork.attempts[i].stage != ended {
			others++
		}
	}
	if others > 0 && r.fork.answered == 0 && !r.fork.stopped && r.m.HasOption(sip.HSupported, "199") {
		for _, e := range r.early {
			if e.branch == b {
				r.tell199(e.tag, status)
			}
		}
	}
	r.forgetEarly(b)
}
