// Package dialog is the state that two user agents share between requests: RFC 3261 §12 (identifiers, sequence numbers,
// route set, remote target), the reliability of provisional responses (RFC 3262), the session timer (RFC 4028) and the
// rules for one change of the session at a time (RFC 3261 §14, RFC 3311 §5, RFC 6141).
//
// Everything here is a value: no sockets, goroutines or clocks, and everything can be written down as JSON and read
// back, because a call must be able to move to another process. A Dialog belongs to one goroutine.
package dialog

import (
	"errors"
	"fmt"
	"slices"

	"dialtone/internal/sip"
)

// Dialog is one side of a dialog. The zero value is no dialog.
type Dialog struct {
	CallID    string   `json:"call_id"`
	LocalTag  string   `json:"local_tag"`
	RemoteTag string   `json:"remote_tag"` // empty for a peer of RFC 2543 (§12.1.1)
	Local     string   `json:"local"`      // our From or To without tag, as name-addr
	Remote    string   `json:"remote"`     // the peer's
	Target    string   `json:"target"`     // remote target: the URI of the peer's Contact
	Routes    []string `json:"routes"`     // route set in the order in which it is visited, each "<sip:...;lr>"
	LocalSeq  uint32   `json:"local_seq"`  // of our last request, 0 before the first
	RemoteSeq uint32   `json:"remote_seq"` // of the peer's last request, 0 before the first
	Secure    bool     `json:"secure"`     // sips (§12.1.1)
}

// Errors of dialog rules.
var (
	// ErrNoContact: a request that should make a dialog has no usable Contact.
	ErrNoContact = errors.New("dialog: no Contact")
	// ErrRoutes: Record-Route is too long, or names what is no SIP URI.
	ErrRoutes = errors.New("dialog: unusable Record-Route")
	// ErrOldRequest: a request with a CSeq below that of an earlier one (§12.2.2: answered 500).
	ErrOldRequest = errors.New("dialog: request out of order")
)

// maxRoutes bounds the route set: longer ones are loops or attacks.
const maxRoutes = 20

// FromRequest makes the dialog of a UAS: RFC 3261 §12.1.1. localTag is the tag that the response will carry.
func FromRequest(req *sip.Message, localTag string) (*Dialog, error) {
	d := &Dialog{CallID: string(req.CallID()), LocalTag: localTag, RemoteTag: string(req.FromTag()), RemoteSeq: req.CSeq()}
	u, err := req.URI()
	if err != nil {
		return nil, fmt.Errorf("read Request-URI: %w", err)
	}
	d.Secure = u.Scheme == sip.SchemeSIPS
	if d.Remote, err = party(req, sip.HFrom); err != nil {
		return nil, err
	}
	if d.Local, err = party(req, sip.HTo); err != nil {
		return nil, err
	}
	if d.Target, err = contact(req); err != nil {
		return nil, err
	}
	// §12.1.1: Record-Route in the order of the request.
	if d.Routes, err = recordRoutes(req); err != nil {
		return nil, err
	}
	return d, nil
}

// FromResponse makes the dialog of a UAC from its request and a response with a To tag: RFC 3261 §12.1.2.
func FromResponse(req, res *sip.Message) (*Dialog, error) {
	d := &Dialog{CallID: string(req.CallID()), LocalTag: string(req.FromTag()), RemoteTag: string(res.ToTag()), LocalSeq: req.CSeq()}
	u, err := req.URI()
	if err != nil {
		return nil, fmt.Errorf("read Request-URI: %w", err)
	}
	d.Secure = u.Scheme == sip.SchemeSIPS
	if d.Local, err = party(req, sip.HFrom); err != nil {
		return nil, err
	}
	if d.Remote, err = party(req, sip.HTo); err != nil {
		return nil, err
	}
	if d.Target, err = contact(res); err != nil {
		// Interop: some user agents leave Contact out of their responses. RFC 3261 §12.1.1 demands it, but a dialog that
		// cannot be ended is worse than a guess: where the request went, the next one may go.
		d.Target = string(req.RequestURI())
	}
	d.Routes, err = reversedRoutes(res)
	return d, err
}

// reversedRoutes: §12.1.2: a UAC visits the Record-Route of the response in reverse.
func reversedRoutes(res *sip.Message) ([]string, error) {
	routes, err := recordRoutes(res)
	slices.Reverse(routes)
	return routes, err
}

// recordRoutes is Record-Route in the order of the message.
func recordRoutes(m *sip.Message) ([]string, error) {
	var routes []string
	for e := m.Elements(sip.HRecordRoute); e.Next(); {
		a, err := e.Address()
		if err != nil || !a.URI.IsSIP() || len(routes) == maxRoutes {
			return nil, ErrRoutes
		}
		routes = append(routes, string(e.Value()))
	}
	return routes, nil
}

// party is From or To without its parameters, as a name-addr.
func party(m *sip.Message, id sip.HeaderID) (string, error) {
	v, _ := m.Header(id)
	a, err := sip.ParseAddress(v)
	if err != nil {
		return "", fmt.Errorf("read %v: %w", id, err)
	}
	a.Params = nil
	return string(a.Append(nil)), nil
}

// contact is the URI of the only Contact: RFC 3261 §8.1.1.8.
func contact(m *sip.Message) (string, error) {
	e := m.Elements(sip.HContact)
	if !e.Next() {
		return "", ErrNoContact
	}
	a, err := e.Address()
	if err != nil || a.Star || !a.URI.IsSIP() {
		return "", ErrNoContact
	}
	a.URI.Headers = nil // RFC 3261 §19.1.1: they have no place in a Request-URI
	return string(a.URI.Append(nil)), nil
}

// Matches tells whether a request of the peer belongs to this dialog: RFC 3261 §12.2.2.
func (d *Dialog) Matches(m *sip.Message) bool {
	return string(m.CallID()) == d.CallID && string(m.ToTag()) == d.LocalTag && string(m.FromTag()) == d.RemoteTag
}

// Receive checks the order of a request of the peer and remembers its number: RFC 3261 §12.2.2. ACK and CANCEL are not
// for it.
func (d *Dialog) Receive(m *sip.Message) error {
	if d.RemoteSeq != 0 && m.CSeq() <= d.RemoteSeq {
		return ErrOldRequest
	}
	d.RemoteSeq = m.CSeq()
	return nil
}

// Refresh takes the Contact of a target refresh request (INVITE, UPDATE) or of its 2xx as the new remote target:
// RFC 3261 §12.2.1.2, §12.2.2. RFC 6141 §4.6: not before the request is answered with a 2xx; one that is refused must
// not change the target.
func (d *Dialog) Refresh(m *sip.Message) {
	if target, err := contact(m); err == nil {
		d.Target = target
	}
}

// Request starts the next request inside the dialog: RFC 3261 §12.2.1.1.
func (d *Dialog) Request(method sip.Method) *sip.Builder {
	d.LocalSeq++
	return d.request(method, d.LocalSeq)
}

// ACK starts the ACK for a 2xx to the INVITE with the number seq: RFC 3261 §13.2.2.4.
func (d *Dialog) ACK(seq uint32) *sip.Builder { return d.request(sip.ACK, seq) }

func (d *Dialog) request(method sip.Method, seq uint32) *sip.Builder {
	uri, routes := d.Target, d.Routes
	strict := len(routes) > 0 && !isLoose(routes[0])
	if strict {
		// §12.2.1.1: a strict router wants to find itself in the Request-URI and the target at the end of the routes.
		uri = bare(routes[0])
		routes = append(append([]string(nil), routes[1:]...), "<"+d.Target+">")
	}
	b := sip.NewRequest(method, uri)
	for _, r := range routes {
		b.Add(sip.HRoute, r)
	}
	b.Add(sip.HFrom, d.Local, ";tag=", d.LocalTag)
	if d.RemoteTag == "" {
		b.Add(sip.HTo, d.Remote)
	} else {
		b.Add(sip.HTo, d.Remote, ";tag=", d.RemoteTag)
	}
	return b.Add(sip.HCallID, d.CallID).CSeq(seq).Add(sip.HMaxForwards, "70")
}

// NextHop is the URI that the next request is sent to: the first route, or the target (RFC 3261 §8.1.2).
func (d *Dialog) NextHop() string {
	if len(d.Routes) > 0 {
		return bare(d.Routes[0])
	}
	return d.Target
}

func isLoose(route string) bool {
	a, err := sip.ParseAddress([]byte(route))
	if err != nil {
		return true
	}
	_, lr := a.URI.Param("lr")
	return lr
}

func bare(route string) string {
	a, err := sip.ParseAddress([]byte(route))
	if err != nil {
		return route
	}
	return a.URI.String()
}
