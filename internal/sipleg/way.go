package sipleg

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
)

// way is where the requests of a dialog go. While it is being looked for, what is to be sent waits, so that an ACK or a
// BYE does not go astray and nothing overtakes. It is safe for any goroutine: an answer of the Router may come when the
// call is over.
type way struct {
	mu      sync.Mutex
	flow    Flow
	looking int
	sending bool // somebody works through waiting
	waiting []func(Flow)
}

// now is the flow of the moment; nil before the first.
func (w *way) now() Flow {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flow
}

// set changes the flow.
func (w *way) set(f Flow) {
	w.mu.Lock()
	w.flow = f
	w.mu.Unlock()
}

// look says that a better flow is being looked for; found must follow.
func (w *way) look() {
	w.mu.Lock()
	w.looking++
	w.mu.Unlock()
}

// found ends a search; nil keeps the flow.
func (w *way) found(f Flow) {
	w.mu.Lock()
	w.looking--
	if f != nil {
		w.flow = f
	}
	w.mu.Unlock()
	w.flush()
}

// do calls send with the flow, in the order of the calls of do; at once unless the flow is being looked for.
func (w *way) do(send func(Flow)) {
	w.mu.Lock()
	w.waiting = append(w.waiting, send)
	w.mu.Unlock()
	w.flush()
}

func (w *way) flush() {
	for {
		w.mu.Lock()
		if w.looking > 0 || w.sending || len(w.waiting) == 0 {
			if len(w.waiting) == 0 {
				w.waiting = nil
			}
			w.mu.Unlock()
			return
		}
		send, flow := w.waiting[0], w.flow
		w.waiting = w.waiting[1:]
		w.sending = true
		w.mu.Unlock()
		send(flow)
		w.mu.Lock()
		w.sending = false
		w.mu.Unlock()
	}
}

// requestSize is about what a request takes without its body.
const requestSize = 700

type discard struct{}

func (discard) HandleResponse(*transaction.Client, *sip.Message) {}
func (discard) HandleFailure(*transaction.Client, error)         {}

// send sends a request inside the dialog on the leg's flow; when that refuses it (a closed connection), the way is
// looked for anew.
func (l *Leg) send(b *sip.Builder, h transaction.ClientHandler) {
	b.Add(sip.HUserAgent, l.endpoint.UserAgent)
	next := l.dialog.NextHop()
	l.way.do(func(f Flow) {
		if f != nil {
			if _, err := l.endpoint.Transactions.Request(b, f, h); err == nil {
				return
			}
		}
		l.endpoint.Router.Path(next, nil).Next(requestSize, func(f Flow, err error) {
			if err == nil {
				if _, err = l.endpoint.Transactions.Request(b, f, h); err == nil {
					l.way.set(f)
					return
				}
			}
			h.HandleFailure(nil, fmt.Errorf("%w: %w", transaction.ErrTransport, err))
		})
	})
}

// sentACK is the ACK for a 2xx, which is repeated with it: RFC 3261 §13.2.2.4.
type sentACK struct{ bytes atomic.Pointer[[]byte] }

// acknowledge sends the ACK for a 2xx.
func (l *Leg) acknowledge(b *sip.Builder, a *sentACK) {
	l.way.do(func(f Flow) {
		sent, err := l.endpoint.Transactions.Send(b, f)
		if err != nil {
			l.endpoint.Log.Info("sipleg: ACK not sent", "error", err)
		}
		a.bytes.Store(&sent)
	})
}

// repeat sends the ACK again, because its 2xx has come again.
func (l *Leg) repeat(a *sentACK) {
	l.way.do(func(f Flow) {
		sent := a.bytes.Load()
		if sent == nil {
			return // there was none yet: it will come
		}
		if err := f.Send(*sent); err != nil {
			l.endpoint.Log.Info("sipleg: ACK not repeated", "error", err)
		}
	})
}

// follow decides where requests of the dialog go: the flow on which the party speaks when it sits behind a NAT or is
// connected by a stream, else where the route set and the Contact say. spoken is that flow; nil is the one so far.
func (l *Leg) follow(spoken Flow) {
	flow := l.way.now()
	if spoken == nil {
		spoken = flow
	}
	next, err := sip.ParseURI([]byte(l.dialog.NextHop()))
	if err != nil {
		return
	}
	direct := len(l.dialog.Routes) == 0
	if direct && spoken.Reliable() {
		l.way.set(spoken) // RFC 5626 §4.3: nobody can connect to the far end of a stream behind a NAT
		return
	}
	addr, literal := next.HostAddr()
	remote := spoken.Remote()
	switch {
	case literal && addr == remote.Addr() && port(&next) == remote.Port() && sameTransport(&next, spoken):
		l.way.set(spoken)
		return
	case literal && direct && addr != remote.Addr() && isInside(addr) && (l.natted || !isInside(remote.Addr())):
		l.way.set(spoken) // a private address that is not reached from here: a NAT is in between
		return
	case !literal && strings.HasSuffix(string(next.Host), ".invalid"): // RFC 7118 §5: a browser
		l.way.set(spoken)
		return
	}
	l.way.look()
	l.endpoint.Router.Path(l.dialog.NextHop(), nil).Next(requestSize, func(f Flow, err error) {
		if err != nil {
			f = nil // what there is, is better than nothing
		}
		l.way.found(f)
	})
}

func port(u *sip.URI) uint16 {
	if u.Port != 0 {
		return u.Port
	}
	if t, ok := u.Param("transport"); u.Scheme == sip.SchemeSIPS || ok && sip.EqualFold(t, "tls") {
		return 5061
	}
	return 5060
}

// sameTransport tells whether a URI asks for the transport of a flow. One that asks for none is content with it.
func sameTransport(u *sip.URI, f Flow) bool {
	t, ok := u.Param("transport")
	if !ok {
		return true
	}
	protocol, _, _ := strings.Cut(f.String(), " ")
	return sip.EqualFold(t, protocol)
}

// isInside tells addresses that have a meaning in their own network only.
func isInside(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() ||
		a.Is4() && a.As4()[0] == 100 && a.As4()[1]&0xc0 == 64 // RFC 6598
}

// contact is our Contact on a flow: where the peer sends the requests of the dialog to. RFC 3261 §12.1.1: a sips URI
// where the request had one.
func contact(f Flow, user string, secure bool) string {
	protocol, sentBy, _ := strings.Cut(strings.TrimPrefix(f.Via(), "SIP/2.0/"), " ")
	b := make([]byte, 0, 64)
	if secure {
		b = append(b, "<sips:"...)
	} else {
		b = append(b, "<sip:"...)
	}
	if user != "" {
		b = append(sip.AppendEscapedUser(b, user), '@')
	}
	b = append(b, sentBy...)
	switch {
	case protocol == "UDP":
	case secure && protocol == "TLS":
		b = append(b, ";transport=tcp"...) // RFC 3261 §26.2.2: sips says the rest
	default:
		b = append(append(b, ";transport="...), strings.ToLower(protocol)...)
	}
	return string(append(b, '>'))
}
