package registrar

import (
	"bytes"
	"net/netip"

	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// maxListed is how many contacts one request may name.
const maxListed = 64

// Request is what a REGISTER asks for. Its slices point into the message.
type Request struct {
	Device    string
	Flow      location.Flow
	CallID    []byte
	CSeq      uint32
	UserAgent []byte
	Star      bool // Contact: *
	Contacts  []Contact
	// Expires is the value of the Expires header; it counts when HasExpires.
	Expires    uint32
	HasExpires bool
	// Path is the value of the Path headers, joined by commas.
	Path []byte
	// Outbound: Supported holds outbound. Direct: there is no proxy before us. PathOutbound: the Path has an "ob" URI.
	Outbound, Direct, PathOutbound bool
	// Straight: the sender is where its Via says, so that no NAT is between (RFC 3581).
	Straight bool

	pathBuf []byte
}

// Contact is one value of the Contact header.
type Contact struct {
	URI sip.URI
	// Params are the header parameters but for q and expires, with the leading ";".
	Params []byte
	Q      uint16 // thousandths
	// Expires counts when HasExpires.
	Expires    uint32
	HasExpires bool
	Instance   []byte
	RegID      uint32 // 0 when absent or not usable

	buf []byte
}

var (
	errContact  = &sip.ParseError{Status: 400, Reason: "Bad Contact"}
	errContacts = &sip.ParseError{Status: 400, Reason: "Too Many Contacts"}
	errStar     = &sip.ParseError{Status: 400, Reason: "Contact * Beside Others"}
	errPath     = &sip.ParseError{Status: 400, Reason: "Bad Path"}
)

// forget lets go of the message.
func (r *Request) forget() {
	contacts, path := r.Contacts, r.pathBuf
	for i := range contacts {
		contacts[i] = Contact{buf: contacts[i].buf[:0]}
	}
	*r = Request{Contacts: contacts[:0], pathBuf: path[:0]}
}

// read takes a REGISTER apart. Device and Flow are the caller's to fill in.
func (r *Request) read(m *sip.Message) *sip.ParseError {
	r.forget()
	r.CallID, r.CSeq = m.CallID(), m.CSeq()
	r.UserAgent, _ = m.Header(sip.HUserAgent)
	if m.Has(sip.HExpires) {
		// RFC 3261 §20.19: a malformed value is taken for 3600.
		r.HasExpires, r.Expires = true, 3600
		if v, ok := m.Uint(sip.HExpires); ok {
			r.Expires = v
		} else if v, ok := m.Header(sip.HExpires); ok {
			if v, ok := sip.DeltaSeconds(v); ok { // more than 32 bits hold
				r.Expires = v
			}
		}
	}
	r.Outbound = m.HasOption(sip.HSupported, "outbound") || m.HasOption(sip.HRequire, "outbound")
	vias := 0
	for e := m.Elements(sip.HVia); e.Next(); {
		vias++
	}
	r.Direct = vias == 1
	if via, err := m.Via(); err == nil {
		addr, ok := via.HostAddr()
		r.Straight = ok && at(addr, via.Port) == netip.AddrPortFrom(m.Received.Addr().Unmap(), m.Received.Port())
	}
	if err := r.readPath(m); err != nil {
		return err
	}
	for e := m.Elements(sip.HContact); e.Next(); {
		if len(r.Contacts) == maxListed {
			return errContacts
		}
		if err := r.readContact(&e); err != nil {
			return err
		}
	}
	if r.Star && len(r.Contacts) > 0 {
		return errStar
	}
	return nil
}

// readPath joins the Path headers to one value.
func (r *Request) readPath(m *sip.Message) *sip.ParseError {
	for e := m.Elements(sip.HPath); e.Next(); {
		a, err := e.Address()
		if err != nil || a.Star {
			return errPath
		}
		// RFC 5626 §6: the first hop has put "ob" into its Path URI.
		r.PathOutbound = r.PathOutbound || a.URI.Params.Has("ob")
		if len(r.pathBuf) > 0 {
			r.pathBuf = append(r.pathBuf, ", "...)
		}
		r.pathBuf = append(r.pathBuf, e.Value()...)
	}
	r.Path = r.pathBuf
	return nil
}

func (r *Request) readContact(e *sip.Elements) *sip.ParseError {
	a, err := e.Address()
	switch {
	case err != nil:
		return errContact
	case a.Star && (r.Star || len(r.Contacts) > 0):
		return errStar
	case a.Star:
		r.Star = true
		return nil
	}
	// Take the next Contact of the slice with the room it has from earlier requests.
	if n := len(r.Contacts); n < cap(r.Contacts) {
		r.Contacts = r.Contacts[:n+1]
	} else {
		r.Contacts = append(r.Contacts, Contact{})
	}
	c := &r.Contacts[len(r.Contacts)-1]
	*c = Contact{URI: a.URI, Q: 1000, buf: c.buf[:0]}
	return c.readParams(a.Params)
}

func (c *Contact) readParams(params sip.Params) *sip.ParseError {
	it := params.Iter()
	for it.Next() {
		name, value := it.Name(), it.Value()
		switch {
		case sip.EqualFold(name, "q"):
			q, ok := sip.QValue(value)
			if !ok {
				return errContact
			}
			c.Q = q
			continue
		case sip.EqualFold(name, "expires"):
			// RFC 3261 §20.10: a malformed value is taken for 3600.
			c.HasExpires, c.Expires = true, 3600
			if v, ok := sip.DeltaSeconds(value); ok {
				c.Expires = v
			}
			continue
		case sip.EqualFold(name, "+sip.instance"):
			c.Instance = bytes.Trim(value, `"<>`)
		case sip.EqualFold(name, "reg-id"):
			// RFC 5626 §10: 1 to 2^31-1.
			if v, ok := sip.DeltaSeconds(value); ok && v < 1<<31 {
				c.RegID = v
			}
		}
		c.buf = append(append(c.buf, ';'), name...)
		if it.HasValue() {
			c.buf = append(append(c.buf, '='), value...)
		}
	}
	if it.Err() != nil {
		return errContact
	}
	c.Params = c.buf
	if len(c.Instance) == 0 {
		c.RegID = 0 // RFC 5626 §6: reg-id without instance is ignored
	}
	return nil
}

// at is an address with a port that may be left to the usual one.
func at(addr netip.Addr, port uint16) netip.AddrPort {
	if port == 0 {
		port = 5060
	}
	return netip.AddrPortFrom(addr, port)
}

// elsewhere reports whether requests for a contact go where its URI says rather than where the REGISTER came from: to
// another port or transport of the same host (RFC 3261 §16.6 item 7).
//
// Deviation: a contact on another host is reached where its REGISTER came from all the same. It is the private address of a
// phone behind a NAT; and if it is not, nobody is to send our calls where he likes.
func (r *Request) elsewhere(c *Contact, regID uint32) bool {
	if !r.Straight || r.Flow.Stream() || regID != 0 { // RFC 5626 §7: a flow of an instance is what leads to it
		return false
	}
	addr, ok := c.URI.HostAddr()
	if !ok || addr != r.Flow.Remote.Addr().Unmap() {
		return false
	}
	kind, named := c.URI.Param("transport")
	return at(addr, c.URI.Port).Port() != r.Flow.Remote.Port() || named && !sip.EqualFold(kind, "udp")
}
