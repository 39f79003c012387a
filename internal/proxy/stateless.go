package proxy

import (
	"net/netip"
	"slices"
	"strconv"

	"dialtone/internal/location"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// HandleStateless forwards a request without keeping anything of it: RFC 3261 §16.11. The same message takes the same
// way each time, with the same branch; so do the CANCEL and the ACK of an INVITE.
//
// Nobody is challenged here: a repetition would look like a replay of its credentials. Senders are known by their address
// or by the flow they are registered on, or not at all.
func (p *Proxy) HandleStateless(f *transport.Flow, m *sip.Message) {
	if m.Method() == sip.ACK && p.isOurAnswer(m) {
		return // §8.2.7: the answer that it is for was ours
	}
	c, no := p.read(f, m)
	if no.status == 0 && p.ours(&c) {
		no = own(m)
	}
	if no.status != 0 {
		p.reply(nil, f, m, no)
		return
	}
	d := p.destinationOf(&c)
	if !p.passes(f, m, &c, d) {
		p.reply(nil, f, m, refusal{status: 403})
		return
	}
	if no := p.pass(f, m, &c, d); no.status != 0 {
		p.reply(nil, f, m, no)
	}
}

// isOurAnswer reports whether an ACK is for a response that was given here: it has our tag.
func (p *Proxy) isOurAnswer(m *sip.Message) bool {
	tag := m.ToTag()
	return len(tag) == hexLen && equalHex(tag, p.tag(m))
}

// passes asks for the permission of a request whose sender cannot be asked.
func (p *Proxy) passes(f *transport.Flow, m *sip.Message, c *course, d destination) bool {
	if m.Method() == sip.REGISTER { // the claim of a REGISTER is judged by its registrar
		return registersAt(c, d) || c.vouched || p.Door.Knows(f, m)
	}
	return permissionFor(c, d, p.mustProve(m, c, d)) == granted || p.Door.Knows(f, m)
}

// pass sends a request on without a transaction: anything on a stateless listener, and the ACK for a 2xx on others.
func (p *Proxy) pass(f *transport.Flow, m *sip.Message, c *course, d destination) refusal {
	s := p.scratch()
	defer p.free(s)
	id := p.Key.steadyID(m)
	if c.toSet(d) {
		return p.passToSet(f, m, c, d, s, id)
	}
	w := onward(c)
	if c.next == nil && !c.has && d.tenant != nil {
		var no refusal
		s.bindings, s.ways, no = p.located(s.bindings[:0], s.ways[:0], d, &c.target)
		s.bindings = slices.DeleteFunc(s.bindings, func(b location.Binding) bool { return !b.IsSIP() })
		switch {
		case no.status != 0:
			return no
		case len(s.bindings) == 0 && len(s.ways) == 0:
			return refusal{status: 480}
		}
		w = steadyChoice(id, s.bindings, s.ways)
	}
	out, hop := p.steadyFlow(c, &w, f)
	if out == nil && hop != nil {
		return p.passLater(f, m, string(hop))
	}
	if out == nil {
		return refusal{status: 480}
	}
	p.sendSteady(s, &copyOf{m: m, c: *c, w: w, in: f, out: out}, id)
	return refusal{}
}

// passToSet sends a request on to a server of a set: the first that has a flow. Without an address in memory the DNS is
// asked for that of the first.
//
// Deviation: RFC 3261 §16.11 wants the choice to be a function of the message. Here it also depends on which servers are
// alive: a repetition, a CANCEL or an ACK goes elsewhere when the first choice has died or been drained since, where it
// is of no use, as it would have been at a dead server.
func (p *Proxy) passToSet(f *transport.Flow, m *sip.Message, c *course, d destination, s *scratch, id uint64) refusal {
	s.servers = d.servers(s.servers[:0], d.set.SteadyKey(m), m, c, m.Arrived)
	for _, t := range s.servers {
		w := d.wayToServer(t, c)
		out, hop := p.steadyFlow(c, &w, f)
		if out != nil {
			t.Sent()
			p.sendSteady(s, &copyOf{m: m, c: *c, w: w, in: f, out: out}, id)
			return refusal{}
		}
		if hop != nil {
			return p.passLater(f, m, string(hop))
		}
	}
	return refusal{status: 480}
}

// sendSteady prints and sends a copy with the branch of id.
func (p *Proxy) sendSteady(s *scratch, x *copyOf, id uint64) {
	s.branch = p.Key.appendSteadyBranch(s.branch[:0], id, x.m.CallID())
	x.branch = s.branch
	if x.in.Reliable() {
		// The response finds its connection by this: Via alone names an address.
		s.params = sip.AppendHex(append(s.params[:0], ";dtflow="...), x.in.ID())
		x.params = s.params
	}
	// RFC 5393 §5.3.3: all proxied requests have a Max-Breadth; one branch takes all of it.
	if v, ok := x.m.Uint(sip.HMaxBreadth); !ok || v > maxBreadth {
		x.breadth = maxBreadth
	}
	s.out = p.appendCopy(s.out[:0], s, x)
	if x.out.Send(s.out) != nil { // §16.9: nobody is told; the client sends again, or times out
		p.Stats.Dropped.Add(1)
		return
	}
	p.Stats.Forwarded.Add(1)
}

// steadyChoice picks one of the ways with the highest q, by a hash of the request and of each way (RFC 3261 §16.11: the
// choice is a function of the message): one that comes or goes changes the choice of few others.
func steadyChoice(id uint64, bindings []location.Binding, static []way) way {
	var q uint16
	for i := range bindings {
		q = max(q, bindings[i].Q)
	}
	for i := range static {
		q = max(q, static[i].q)
	}
	var best way
	var most uint64
	consider := func(w way) {
		if w.q != q {
			return
		}
		if score := weigh(id, w.uri); best.uri == nil || score > most {
			best, most = w, score
		}
	}
	for i := range bindings {
		consider(wayTo(&bindings[i]))
	}
	for i := range static {
		consider(static[i])
	}
	return best
}

// weigh is FNV-1a over a way, begun with the number of the request, and mixed.
func weigh(id uint64, uri []byte) uint64 {
	h := id ^ 0xcbf29ce484222325
	for _, c := range uri {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// steadyFlow is the flow of a way: that of its token or registration, or the first address of its URI. Without a flow, hop
// is the URI that the DNS must be asked for; nil when there is nothing to ask.
//
// Deviation: RFC 3261 §18.1.1 wants a request that is too long for a datagram to go over TCP. Without state there is
// nobody who would notice that the far end has no TCP.
func (p *Proxy) steadyFlow(c *course, w *way, in *transport.Flow) (out *transport.Flow, hop []byte) {
	if f := p.boundFlow(c, w); f != nil {
		return f, nil
	}
	hop = c.secured(w.hop)
	u, err := sip.ParseURI(hop)
	if err != nil || !u.IsSIP() {
		return nil, nil
	}
	if t, ok := transport.Direct(&u); ok {
		t.Role = in.Role()
		if f, err := p.Network.Connect(t); err == nil {
			return f, nil
		}
		return nil, nil
	}
	named := u // a copy: u stays off the heap
	targets, known := p.Steady.Known(&named)
	if !known {
		return nil, hop
	}
	for _, t := range targets {
		t.Role = in.Role()
		if f, err := p.Network.Connect(t); err == nil {
			return f, nil
		}
	}
	return nil, nil
}

// boundFlow is the flow that leads to a way without asking anybody: that of the token in a Route of ours, or the one that
// the contact was registered on. nil: there is none (any more).
func (p *Proxy) boundFlow(c *course, w *way) *transport.Flow {
	if c.has && c.next == nil && w.uri == nil {
		token := c.flow // a copy, lest every course moves to the heap
		if f, err := p.Network.Flow(token[:]); err == nil && (f.Secure() || !c.secure()) {
			return f
		}
	}
	if w.bound {
		return p.registered(w.flow)
	}
	return nil
}

// passLater passes the request once the DNS has been asked; it goes through all the steps again, which are the same.
func (p *Proxy) passLater(f *transport.Flow, m *sip.Message, hop string) refusal {
	kept := m.Clone()
	asked := p.lookup(p.Steady, hop, func(targets []transport.Target) {
		c, no := p.read(f, kept)
		if no.status != 0 || len(targets) == 0 {
			p.reply(nil, f, kept, refusal{status: 502})
			return
		}
		if no := p.pass(f, kept, &c, p.destinationOf(&c)); no.status != 0 {
			p.reply(nil, f, kept, no)
		}
	})
	if !asked {
		return refusal{status: 503}
	}
	return refusal{}
}

// TakesResponse reports whether a response is for HandleResponse: to a request that went out without a transaction.
func TakesResponse(m *sip.Message) bool {
	via, err := m.Via()
	return err == nil && isSteady(via.Branch)
}

// HandleResponse sends a response on by its Via alone: RFC 3261 §16.11, §18.2.2.
func (p *Proxy) HandleResponse(f *transport.Flow, m *sip.Message) {
	top, err := m.Via()
	if err != nil {
		return
	}
	if _, ours := p.Key.made(top.Branch, m.CallID()); !ours {
		p.Stats.Dropped.Add(1)
		return // nobody makes us send what we have not asked for
	}
	next, err := m.SecondVia()
	if err != nil {
		return // §16.7 item 3: it was for us
	}
	up := p.upstream(f, &top, &next)
	if up == nil {
		p.Stats.Dropped.Add(1)
		return
	}
	s := p.scratch()
	defer p.free(s)
	s.out = sip.AppendUpstream(s.out[:0], m, nil)
	_ = up.Send(s.out) // lost like any datagram
}

// upstream is where a response goes: over the connection that the request came by, while it is open, else where Via says
// (RFC 3261 §18.2.2, RFC 3581 §4).
func (p *Proxy) upstream(f *transport.Flow, top, next *sip.Via) *transport.Flow {
	if v, ok := top.Params.Value("dtflow"); ok {
		if id, err := strconv.ParseUint(text(v), 16, 64); err == nil {
			if s := p.Network.Stream(id); s != nil {
				return s
			}
		}
	}
	t := transport.Target{Kind: transport.ParseKind(text(next.Transport)), Role: f.Role()}
	addr, ok := next.ReceivedAddr()
	if !ok {
		if addr, ok = next.HostAddr(); !ok {
			return nil
		}
	}
	port := next.Port
	if port == 0 {
		port = t.Kind.DefaultPort()
	}
	if next.RPort != 0 && t.Kind == transport.UDP {
		port = next.RPort
	}
	t.Addr = netip.AddrPortFrom(addr, port)
	out, err := p.Network.Connect(t)
	if err != nil {
		return nil
	}
	return out
}
