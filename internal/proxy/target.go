package proxy

import (
	"bytes"
	"cmp"
	"time"
	"unsafe"

	"dialtone/internal/directory"
	"dialtone/internal/location"
	"dialtone/internal/nexthop"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// way is one way to a target: RFC 3261 §16.6 items 2, 6 and 7.
type way struct {
	uri    []byte        // the Request-URI; nil: that of the course
	routes []byte        // Path of the binding (RFC 3327), goes into Route; nil: none
	flow   location.Flow // where the contact was registered from
	bound  bool          // flow is set
	hop    []byte        // the URI whose address is the next hop, where no flow leads
	q      uint16        // in thousandths
	// expires is when the binding ends; zero for what was never registered.
	expires time.Time
	// server is what hop is one of; nil: no server of a set.
	server *nexthop.Target
}

// destination says how a request may be sent on.
type destination struct {
	tenant *directory.Tenant // whose location service answers; nil: foreign
	// set has the servers that take the request: for its domain, or, with a tenant, for its user part, which is no line.
	set *nexthop.Set
	// onRoute: the Route that is left leads to one of them, as the Service-Route of a phone behind us does (RFC 3608): no
	// relaying, for it would have gone there anyway.
	onRoute bool
}

// destinationOf: RFC 3261 §16.5. A Route that is left decides before the domain does.
func (p *Proxy) destinationOf(c *course) destination {
	if c.fixed { // §16.5: the Request-URI is the only target
		return destination{}
	}
	s := p.Directory.Snapshot()
	if c.target.Scheme == sip.SchemeTel { // names no domain
		return p.within(s, s.TenantByName(directory.DefaultTenant), c)
	}
	if t := s.TenantByDomain(text(c.target.Host)); t != nil {
		return p.within(s, t, c)
	}
	if set := p.setFor(c); set != nil { // also for a name of this host: it is what clients call the servers behind
		return destination{set: set, onRoute: isIn(set, c.next)}
	}
	if p.isMine(c) {
		return p.within(s, s.TenantByName(directory.DefaultTenant), c)
	}
	return destination{}
}

// isElsewhere reports whether the servers of a set have the domain of a request.
func (d destination) isElsewhere() bool { return d.tenant == nil && d.set != nil }

// isIn reports whether a Route leads to a server of a set.
func isIn(set *nexthop.Set, route []byte) bool {
	return route != nil && set.Any(func(uri string) bool { return isSameHop(route, raw(uri)) })
}

// isSameHop reports whether two URIs lead to the same server.
func isSameHop(a, b []byte) bool {
	if a == nil {
		return false
	}
	u, err := sip.ParseURI(a)
	v, errV := sip.ParseURI(b)
	port := func(u *sip.URI) uint16 { return cmp.Or(u.Port, transport.UDP.DefaultPort()) }
	return err == nil && errV == nil && u.Scheme == v.Scheme && sip.EqualFold(u.Host, text(v.Host)) && port(&u) == port(&v) && !hasMaddr(&u)
}

// Routed reports whether a next hop is configured for the domain of a request.
func (p *Proxy) Routed(m *sip.Message) bool {
	u, err := m.URI()
	return err == nil && p.destinationOf(&course{target: u, fixed: hasMaddr(&u)}).isElsewhere()
}

// claimsToBeOurs reports whether a request says that it is from one of our lines.
func (p *Proxy) claimsToBeOurs(m *sip.Message) bool {
	from, err := m.From()
	if err != nil {
		return true // whoever it is, he may prove it
	}
	if !from.URI.IsSIP() {
		return false
	}
	if p.Directory.Snapshot().TenantByDomain(text(from.URI.Host)) != nil {
		return true
	}
	if p.NextHops != nil && p.NextHops.ForDomain(from.URI.Host, from.URI.User) != nil {
		return false // the servers of that domain know their own, also where this host goes by its name
	}
	return p.isOwn(&from.URI) || p.isHere(&from.URI)
}

// mustProve reports whether the sender of a request has to prove who he is: he says that he is one of our lines. What has
// passed here before, and comes back to one of our lines because somebody on its way has forwarded it, was asked then.
func (p *Proxy) mustProve(m *sip.Message, c *course, d destination) bool {
	if c.vouched || !p.claimsToBeOurs(m) {
		return false
	}
	return d.tenant == nil || c.next != nil || !p.Key.returned(m)
}

// permission is what a request needs to be sent on.
type permission uint8

const (
	granted permission = iota
	wanted             // its sender must be known
)

// permissionFor is the rule against open relays: what comes from one of our lines, and what goes to a foreign domain, is
// forwarded for known senders only. What this proxy has let in before, and what goes to the domain of a set of servers,
// passes; so does what strangers send to our own lines. To a set that is chosen by a prefix alone only known senders come.
func permissionFor(c *course, d destination, claimsOurs bool) permission {
	switch {
	case c.vouched:
		return granted
	case d.onRoute && !claimsOurs:
		return granted
	case c.next != nil, d.tenant == nil && d.set == nil:
		return wanted
	case d.tenant != nil && d.set != nil: // a stranger's call to a number of ours that somebody else pays for
		return wanted
	case claimsOurs:
		return wanted
	}
	return granted
}

// line finds the line that a URI of ours names: by its number, or by the username of one of its devices.
func line(s *directory.Snapshot, tenant *directory.Tenant, u *sip.URI) *directory.Line {
	user := text(u.User)
	if bytes.IndexByte(u.User, '%') >= 0 {
		user = u.UserUnescaped()
	}
	if l := s.Line(tenant.ID, user); l != nil {
		return l
	}
	if account, ok := s.Device(tenant.ID, user); ok {
		return account.Line
	}
	return nil
}

// located appends the bindings of a URI of ours that may be used for it, and the addresses of static devices. It reports
// 404 when there is no such line, 480 when nobody is there.
func (p *Proxy) located(bindings []location.Binding, ways []way, d destination, u *sip.URI) ([]location.Binding, []way, refusal) {
	if d.tenant == nil || len(u.User) == 0 {
		return bindings, ways, refusal{status: 404}
	}
	l := line(p.Directory.Snapshot(), d.tenant, u)
	if l == nil {
		return bindings, ways, refusal{status: 404}
	}
	bindings = p.Locations.Lookup(bindings, location.AOR{Tenant: d.tenant.ID, Line: l.ID}, time.Now())
	if u.Scheme == sip.SchemeSIPS { // RFC 3261 §26.4.4: every hop is secure
		bindings = secureOnly(bindings)
	}
	for i := range l.Devices {
		if dev := &l.Devices[i]; dev.Static() && dev.Address != "" {
			ways = append(ways, way{uri: raw(dev.Address), hop: raw(dev.Address), q: 1000})
		}
	}
	if len(bindings) == 0 && len(ways) == 0 {
		return bindings, ways, refusal{status: 480}
	}
	return bindings, ways, refusal{}
}

func secureOnly(bindings []location.Binding) []location.Binding {
	out := bindings[:0]
	for _, b := range bindings {
		if k := b.Flow.Transport; k == directory.TLS || k == directory.WSS {
			out = append(out, b)
		}
	}
	return out
}

// wayTo is the way to a binding.
func wayTo(b *location.Binding) way {
	w := way{uri: raw(b.Contact), q: b.Q, flow: b.Flow, bound: b.Flow.Leads(), expires: b.Expires}
	if i := bytes.IndexByte(w.uri, '?'); i >= 0 {
		w.uri = w.uri[:i] // RFC 3261 §19.1.5: no headers in a Request-URI
	}
	w.hop = w.uri
	if b.Path != "" { // RFC 3327 §5.3: by way of the proxies that the REGISTER came through
		w.routes, w.bound = raw(b.Path), false
		if first := firstURI(w.routes); first != nil {
			w.hop = first
		}
	}
	return w
}

// firstURI is the URI of the first value of a Route.
func firstURI(routes []byte) []byte {
	lt := bytes.IndexByte(routes, '<')
	if lt < 0 {
		return nil
	}
	gt := bytes.IndexByte(routes[lt:], '>')
	if gt < 0 {
		return nil
	}
	return routes[lt+1 : lt+gt]
}

// onward is the way of a request that is not for one of our lines: along its Route, or to its URI.
func onward(c *course) way {
	if c.next != nil {
		return way{hop: c.next}
	}
	return way{hop: c.uri}
}

// registered is the flow that a contact was registered on, if it is still there.
func (p *Proxy) registered(f location.Flow) *transport.Flow {
	if f.Stream() {
		if s := p.Network.Stream(f.ID); s != nil && s.Remote() == f.Remote {
			return s
		}
		return nil
	}
	if u := p.Network.UDPFrom(f.Local, f.Remote); u != nil {
		return u
	}
	u, err := p.Network.Connect(transport.Target{Kind: transport.UDP, Addr: f.Remote})
	if err != nil {
		return nil
	}
	return u
}

// text is b as a string for look-ups, without a copy; nothing here keeps it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// raw is s as bytes that are only read.
func raw(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
