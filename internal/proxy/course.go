package proxy

import (
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// course is what the routes of a request say: RFC 3261 §16.4. Its slices point into the message.
type course struct {
	uri     []byte // the Request-URI in force
	target  sip.URI
	pop     int    // Route values at the top that are ours
	popLast bool   // the last Route value was the Request-URI (a strict router was before us)
	next    []byte // URI of the first Route value that is not ours; nil: there is none
	loose   bool   // next has lr
	// flow is the flow token of the last Route value of ours: the way to the next hop (RFC 5626 §5.3); empty when it has none.
	flow [flowTokenLen]byte
	has  bool // flow is there
	// vouched: this proxy has let the dialog in, or has sent this very request here itself.
	vouched bool
	// failed: a flow of a Path of ours leads to the next hop, and it is gone (RFC 5626 §5.3.1).
	failed bool
	// rewritten: the Request-URI in force is not the one of the message.
	rewritten bool
	// fixed: the Request-URI says by maddr where it goes, and nobody else is asked (§16.5).
	fixed bool
}

// read checks a request as RFC 3261 §16.3 asks for and reads its routes. It reports a refusal with a status other than 0.
func (p *Proxy) read(f *transport.Flow, m *sip.Message) (c course, no refusal) {
	c.uri = m.RequestURI()
	var err error
	if c.target, err = sip.ParseURI(c.uri); err != nil {
		return c, refusal{400, "Bad URI"}
	}
	if c.target.IsSIP() && p.sealed(&c, &c.target, m) {
		// §16.4: a strict router has put our Record-Route into the Request-URI; the real one is the last Route.
		if last := lastRoute(m); last.IsSIP() {
			c.uri, c.target, c.popLast, c.rewritten = last.Raw, last, true, true
		}
	}
	if no := readable(m, &c); no.status != 0 {
		return c, no
	}
	// §16.3 item 2.
	if c.target.Scheme == sip.SchemeOther {
		return c, refusal{status: 416}
	}
	p.readMaddr(&c, f)
	if no := p.readRoutes(&c, m); no.status != 0 {
		return c, no
	}
	if via, err := m.Via(); err == nil && p.Local != nil && p.Local(m.Received.Addr()) {
		if _, ours := p.Key.made(via.Branch, m.CallID()); ours {
			c.vouched = true
		}
	}
	// §16.3 item 3. An OPTIONS for us is answered by whoever asks course.ours first.
	if n, ok := m.MaxForwards(); ok && n == 0 && !(m.Method() == sip.OPTIONS && p.ours(&c)) {
		return c, refusal{status: 483}
	}
	if c.failed {
		return c, refusal{status: 430}
	}
	// §16.3 item 5: no extension that a proxy must know is known here. §9.1, §17.1.1.3: neither ACK nor CANCEL is refused for it.
	if m.Has(sip.HProxyRequire) && m.Method() != sip.ACK && m.Method() != sip.CANCEL {
		return c, refusal{status: 420}
	}
	return c, refusal{}
}

// readable: §16.3 item 1. Beyond what a transaction needs, a new request must say from whom and to whom it is (RFC 4475
// §3.1.2.6). RFC 4475 §3.1.2.11: headers in a Request-URI (§19.1.5) are sent on by no proxy.
func readable(m *sip.Message, c *course) refusal {
	if m.Method() == sip.ACK || m.ToTag() != nil {
		return refusal{}
	}
	if c.target.IsSIP() && len(c.target.Headers) > 0 {
		return refusal{400, "Headers in Request-URI"}
	}
	if _, err := m.To(); err != nil {
		return refusal{400, "Bad To"}
	}
	if _, err := m.From(); err != nil {
		return refusal{400, "Bad From"}
	}
	return refusal{}
}

// secure reports whether every hop has to be secure: §26.4.4.
func (c *course) secure() bool { return c.target.Scheme == sip.SchemeSIPS }

// secured is the URI of a next hop as it has to be taken for this request: §16.6 item 7: where the Request-URI is a SIPS URI,
// so is any other.
func (c *course) secured(uri []byte) []byte {
	if !c.secure() || len(uri) < 4 || !sip.EqualFold(uri[:4], "sip:") {
		return uri
	}
	return append([]byte("sips"), uri[3:]...)
}

// readMaddr: §16.4. A maddr that names the listener which the request has come to says nothing new, and is taken off with
// port and transport; any other says where the request goes.
func (p *Proxy) readMaddr(c *course, f *transport.Flow) {
	if !hasMaddr(&c.target) {
		return
	}
	host, _ := c.target.Param("maddr")
	kind, port := transport.UDP, c.target.Port
	if c.target.Scheme == sip.SchemeSIPS {
		kind = transport.TLS
	}
	if v, ok := c.target.Param("transport"); ok {
		if kind = transport.ParseKind(text(v)); c.target.Scheme == sip.SchemeSIPS && kind == transport.TCP {
			kind = transport.TLS
		}
	}
	if port == 0 {
		port = kind.DefaultPort()
	}
	if kind != f.Kind() || port != f.Local().Port() || !p.responsible(host, port) {
		c.fixed = true
		return
	}
	var params sip.Params
	for it := c.target.Params.Iter(); it.Next(); {
		if name := it.Name(); !sip.EqualFold(name, "maddr") && !sip.EqualFold(name, "transport") {
			params = append(append(params, ';'), name...)
			if it.HasValue() {
				params = append(append(params, '='), it.Value()...)
			}
		}
	}
	u := c.target
	u.Params, u.Port = params, 0
	uri := u.Append(nil)
	if target, err := sip.ParseURI(uri); err == nil {
		c.uri, c.target, c.rewritten = uri, target, true
	}
}

func hasMaddr(u *sip.URI) bool { return u.IsSIP() && u.Params.Has("maddr") }

// responsible reports whether a host is one of our listeners or domains.
func (p *Proxy) responsible(host []byte, port uint16) bool {
	return p.Own != nil && p.Own(host, port) || p.Directory.Snapshot().TenantByDomain(text(host)) != nil
}

// readRoutes takes our own values off the top of Route.
func (p *Proxy) readRoutes(c *course, m *sip.Message) refusal {
	total := 0
	if c.popLast {
		for e := m.Elements(sip.HRoute); e.Next(); {
			total++
		}
	}
	at := 0
	for e := m.Elements(sip.HRoute); e.Next(); at++ {
		if c.popLast && at == total-1 {
			break
		}
		a, err := e.Address()
		if err != nil || !a.URI.IsSIP() {
			return refusal{400, "Bad Route"}
		}
		mine := p.sealed(c, &a.URI, m)
		if !mine && !p.isOwn(&a.URI) {
			c.next, c.failed = a.URI.Raw, false
			_, c.loose = a.URI.Param("lr")
			break
		}
		// RFC 5626 §5.3.1. In a dialog that no Path has begun, the next hop may still be found by its address.
		c.failed = mine && c.has && a.URI.Params.Has("ob") && !p.lives(c.flow)
		c.pop++
	}
	return refusal{}
}

// sealed reports whether a URI has a token of ours for this request, and notes what it says.
func (p *Proxy) sealed(c *course, u *sip.URI, m *sip.Message) bool {
	if len(u.User) == 0 {
		return false
	}
	var room [flowTokenLen]byte
	flow, ok := p.Key.readToken(room[:0], u.User, m.CallID())
	if !ok {
		return false
	}
	c.vouched = true
	if c.has = len(flow) == flowTokenLen; c.has {
		copy(c.flow[:], flow)
	}
	return true
}

// lives reports whether the flow of a token is there.
func (p *Proxy) lives(token [flowTokenLen]byte) bool {
	_, err := p.Network.Flow(token[:])
	return err == nil
}

func (p *Proxy) isOwn(u *sip.URI) bool { return p.Own != nil && u.IsSIP() && p.Own(u.Host, u.Port) }

// isHere reports whether a URI without a port names this host: as a domain, addresses-of-record have no ports.
func (p *Proxy) isHere(u *sip.URI) bool {
	return u.Port == 0 && p.Here != nil && u.IsSIP() && p.Here(u.Host)
}

// isMine reports whether a request is for a name of this server. Where a client has found its way here without a Route, a
// host without a port is the domain that it believes us to be; inside a dialog it is a contact, at the usual port.
func (p *Proxy) isMine(c *course) bool {
	return p.isOwn(&c.target) || c.pop == 0 && p.isHere(&c.target)
}

// ours reports whether the request is for this server itself: no user, and nowhere else to go.
func (p *Proxy) ours(c *course) bool {
	return c.next == nil && !c.fixed && c.target.IsSIP() && len(c.target.User) == 0 && p.setFor(c) == nil &&
		(p.isMine(c) || p.Directory.Snapshot().TenantByDomain(text(c.target.Host)) != nil)
}

// lastRoute is the URI of the last Route value; the zero value when there is none.
func lastRoute(m *sip.Message) (u sip.URI) {
	for e := m.Elements(sip.HRoute); e.Next(); {
		a, err := e.Address()
		if err != nil {
			return sip.URI{}
		}
		u = a.URI
	}
	return u
}

// Registers reports whether a REGISTER is for one of our domains, and so for our registrar rather than to be forwarded.
func (p *Proxy) Registers(f *transport.Flow, m *sip.Message) bool {
	if m.Method() != sip.REGISTER {
		return false
	}
	c, no := p.read(f, m)
	return no.status == 0 && c.next == nil && p.destinationOf(&c).tenant != nil
}
