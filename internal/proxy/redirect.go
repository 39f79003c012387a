package proxy

import (
	"slices"
	"strconv"
	"time"

	"dialtone/internal/nexthop"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// HandleRedirect answers where the callee is: RFC 3261 §8.3. It is a stateless user agent server (§8.2.7): it keeps nothing,
// sends no request, and answers a repetition as it has answered before.
func (p *Proxy) HandleRedirect(f *transport.Flow, m *sip.Message) {
	switch m.Method() {
	case sip.ACK: // for the redirection: there is nothing left that it could stop
		return
	case sip.CANCEL: // §8.3: a CANCEL is answered with 2xx; its request has been answered before it
		p.reply(nil, f, m, refusal{status: 200})
		return
	}
	c, no := p.read(f, m)
	if no.status != 0 {
		p.reply(nil, f, m, no)
		return
	}
	if m.Has(sip.HRequire) { // §8.2.2.3
		p.refuseRequire(f, m)
		return
	}
	d := p.destinationOf(&c)
	if p.ours(&c) {
		p.reply(nil, f, m, own(m))
		return
	}
	switch {
	case d.tenant == nil && d.set == nil, c.next != nil:
		no = refusal{status: 404}
	case d.tenant != nil && d.set != nil && !c.vouched && !p.Door.Knows(f, m):
		no = refusal{status: 403}
	case p.mustProve(m, &c, d) && !p.Door.Knows(f, m):
		no = refusal{status: 403}
	}
	if no.status == 0 {
		no = p.redirect(f, m, &c, d)
	}
	if no.status != 0 {
		p.reply(nil, f, m, no)
	}
}

func (p *Proxy) refuseRequire(f *transport.Flow, m *sip.Message) {
	s := p.scratch()
	defer p.free(s)
	b := p.response(s, nil, m, refusal{status: 420})
	for e := m.Elements(sip.HRequire); e.Next(); {
		b.AddBytes(sip.HUnsupported, e.Value())
	}
	p.send(nil, f, m, s, b)
}

// redirect answers with 302 and the contacts, those with the highest q first.
func (p *Proxy) redirect(f *transport.Flow, m *sip.Message, c *course, d destination) refusal {
	s := p.scratch()
	defer p.free(s)
	ways := s.ways[:0]
	if d.set != nil {
		ways = p.serverContacts(ways, d, m, c)
	} else {
		var no refusal
		s.bindings, ways, no = p.located(s.bindings[:0], ways, d, &c.target)
		if no.status != 0 {
			return no
		}
	}
	for i := range s.bindings {
		ways = append(ways, wayTo(&s.bindings[i]))
	}
	// §8.3: a server MUST NOT redirect to the Request-URI; without another place there is none.
	ways = slices.DeleteFunc(ways, func(w way) bool {
		u, err := sip.ParseURI(w.uri)
		return err != nil || u.Equal(&c.target)
	})
	if len(ways) == 0 {
		return refusal{status: 480}
	}
	slices.SortStableFunc(ways, func(a, b way) int { return int(b.q) - int(a.q) })
	s.ways = ways
	b := p.response(s, nil, m, refusal{status: 302})
	now := time.Now()
	for i := range ways {
		s.value = ways[i].appendContact(s.value[:0], now)
		b.AddBytes(sip.HContact, s.value)
	}
	p.send(nil, f, m, s, b)
	return refusal{}
}

// serverContacts appends the servers of a set for the user part of a request, in the order in which they are to be tried.
func (p *Proxy) serverContacts(ways []way, d destination, m *sip.Message, c *course) []way {
	var room [8]*nexthop.Target
	for i, t := range d.servers(room[:0], d.set.SteadyKey(m), m, c, m.Arrived) {
		w := way{uri: uriAt(t, &c.target), q: uint16(max(1000-10*i, 1))}
		if w.uri == nil {
			w.uri = raw(t.URI)
		}
		ways = append(ways, w)
	}
	return ways
}

// appendContact appends a way as a Contact value: §20.10; q and how long it may be remembered (§8.3).
func (w *way) appendContact(dst []byte, now time.Time) []byte {
	dst = append(append(append(dst, '<'), w.uri...), '>')
	dst = sip.AppendQ(dst, w.q)
	if !w.expires.IsZero() {
		left := max((w.expires.Sub(now)+time.Second-1)/time.Second, 1)
		dst = strconv.AppendInt(append(dst, ";expires="...), int64(left), 10)
	}
	return dst
}
