package ingress

import (
	"dialtone/internal/auth"
	"dialtone/internal/directory"
	"dialtone/internal/proxy"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// Forwarding is how a listener sends requests on instead of taking them.
type Forwarding uint8

// The ways. A REGISTER for one of our domains is taken whatever the way: there is one location service.
const (
	None      Forwarding = iota
	Stateful             // with transactions: forking, failover (RFC 3261 §16)
	Stateless            // message by message (RFC 3261 §16.11)
	Redirect             // by telling the client where to go (RFC 3261 §8.3)
)

var _ proxy.Door = (*Ingress)(nil)
var _ transaction.Forwarder = (*Ingress)(nil)

// Forwards implements transaction.Forwarder.
func (i *Ingress) Forwards(tf transaction.Flow) bool {
	f, ok := tf.(*transport.Flow)
	return ok && i.Proxy != nil && i.Listeners[f.Role()].Forwarding != None
}

// withoutState takes what needs no transaction; false for everything else.
func (i *Ingress) withoutState(f *transport.Flow, m *sip.Message) bool {
	if !m.IsRequest() {
		if proxy.TakesResponse(m) {
			i.Proxy.HandleResponse(f, m)
			return true
		}
		return false
	}
	switch i.Listeners[f.Role()].Forwarding {
	case Stateless:
		if i.Proxy.Registers(f, m) {
			return false
		}
		i.Proxy.HandleStateless(f, m)
		return true
	case Redirect:
		if i.Proxy.Registers(f, m) {
			return false
		}
		i.Proxy.HandleRedirect(f, m)
		return true
	}
	return false
}

// serviceRoute leads from a proxy before us back to this listener, which sends on what its lines send: RFC 3608 §6.3. Who
// registers with us directly has our address already.
func serviceRoute(f *transport.Flow) string {
	uri := "<sip:" + f.SentBy()
	if f.Kind() != transport.UDP {
		uri += ";transport=" + f.Kind().Name()
	}
	return uri + ";lr>"
}

// Identify implements proxy.Door.
func (i *Ingress) Identify(tx *transaction.Server, f *transport.Flow, m *sip.Message) bool {
	a := i.answerTo(f, m, tx)
	defer i.done(a)
	who, ok := i.identify(a, i.Listeners[f.Role()])
	if ok && i.isAnothers(m, &who) {
		i.reply(a, 403, "From Is Another Line")
		return false
	}
	return ok
}

// isAnothers reports whether a request has the name of another line in its From. Unlike an exchange, which writes the From
// of its calls itself, a proxy sends on what it has got, and the callee takes it for proved.
func (i *Ingress) isAnothers(m *sip.Message, who *auth.Result) bool {
	if who.Device.Static() { // whoever is trusted by his address may be many
		return false
	}
	from, err := m.From()
	if err != nil {
		return false
	}
	s := i.Directory.Snapshot()
	tenant := s.TenantByDomain(string(from.URI.Host))
	if tenant == nil {
		return false
	}
	user := from.URI.UserUnescaped()
	line := s.Line(tenant.ID, user)
	if account, ok := s.Device(tenant.ID, user); ok {
		line = account.Line
	}
	return line != nil && line.ID != who.Line.ID
}

// Knows implements proxy.Door: a static device by its address, or a line by the flow that it is registered on.
func (i *Ingress) Knows(_ *transport.Flow, m *sip.Message) bool {
	from, err := m.From()
	if err != nil {
		return false
	}
	s := i.Directory.Snapshot()
	tenant := s.TenantByDomain(string(from.URI.Host))
	if tenant == nil {
		tenant = s.TenantByName(directory.DefaultTenant)
	}
	if tenant == nil {
		return false
	}
	user := from.URI.UserUnescaped()
	if _, ok := s.StaticDevice(tenant.ID, m.Received.Addr().Unmap(), user); ok {
		return true
	}
	now := m.Arrived
	if account, ok := s.Device(tenant.ID, user); ok && i.Locations.HasFlow(tenant.ID, account.Line.ID, m.Received, now) {
		return true
	}
	line := s.Line(tenant.ID, user)
	return line != nil && i.Locations.HasFlow(tenant.ID, line.ID, m.Received, now)
}
