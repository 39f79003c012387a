package ingress

import (
	"dialtone/internal/auth"
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

// withoutState takes what is forwarded without a transaction; false for everything else. What is for our registrar, atOnce
// has taken.
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
		i.Proxy.HandleStateless(f, m)
	case Redirect:
		i.Proxy.HandleRedirect(f, m)
	default:
		return false
	}
	return true
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
	s := i.Directory.Snapshot()
	if err != nil || s.TenantByDomain(view(from.URI.Host)) == nil {
		return false
	}
	_, line := i.sender(s, m)
	return line != nil && line.ID != who.Line.ID
}

// Knows implements proxy.Door: a static device by its address, or a line by the flow that it is registered on.
func (i *Ingress) Knows(_ *transport.Flow, m *sip.Message) bool { return i.knows(m, m.Arrived) }
