package proxy

import (
	"net/netip"

	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// copyOf is one copy of a request that is about to leave: RFC 3261 §16.6.
type copyOf struct {
	m      *sip.Message
	c      course
	w      way
	in     *transport.Flow // where it came from
	out    *transport.Flow // where it goes
	branch []byte
	params []byte // behind the branch
	// breadth is the Max-Breadth of this branch (RFC 5393 §5.3.3); 0 leaves it.
	breadth int
	omit    []byte // credentials that were for us
}

// appendCopy prints the copy. s gives room for what is in between.
func (p *Proxy) appendCopy(dst []byte, s *scratch, x *copyOf) []byte {
	e := sip.Forward{Via: x.out.Via(), Branch: x.branch, ViaParams: x.params, Pop: x.c.pop, PopLast: x.c.popLast,
		URI: x.w.uri, Routes: x.w.routes, MaxBreadth: x.breadth, Omit: x.omit}
	if e.URI == nil && x.c.rewritten {
		e.URI = x.c.uri
	}
	s.lines = s.lines[:0]
	switch x.m.Method() {
	case sip.INVITE, sip.SUBSCRIBE, sip.REFER, sip.NOTIFY: // §16.6 item 4: what makes dialogs
		s.lines = p.appendRecordRoutes(s.lines, x)
	case sip.REGISTER:
		s.lines = p.appendPath(s.lines, x)
	}
	e.Lines = s.lines
	if x.c.next != nil && !x.c.loose && x.w.routes == nil {
		// §16.6 item 6: the next hop is a strict router: it finds itself in the Request-URI and ours at the end of Route.
		s.value = append(append(append(s.value[:0], '<'), x.c.uri...), '>')
		e.URI, e.LastRoute = x.c.next, s.value
		e.Pop++
	}
	return sip.AppendForward(dst, x.m, &e)
}

// appendRecordRoutes appends one Record-Route where both neighbours see the same of us, else two: one for each side
// (RFC 3261 §16.7 item 8 wants it rewritten otherwise; two need no memory). A side whose neighbour is reached over a flow
// only, a connection or a NAT, gets the token of that flow (RFC 5626 §5.3).
func (p *Proxy) appendRecordRoutes(dst []byte, x *copyOf) []byte {
	in, out := x.in, p.side(x.out, x.in)
	var inToken, outToken [flowTokenLen]byte
	var inFlow, outFlow []byte
	if p.needsFlow(x) {
		inFlow = x.in.AppendToken(inToken[:0])
	}
	if x.w.needsFlow(x.out) || x.c.has && x.c.next == nil && x.w.uri == nil {
		outFlow = x.out.AppendToken(outToken[:0])
	}
	secure := x.c.secure()
	if inFlow == nil && outFlow == nil && in.Kind() == out.Kind() && in.SentBy() == out.SentBy() {
		return p.appendMark(append(dst, "Record-Route: "...), in, nil, x.m.CallID(), secure, "")
	}
	dst = p.appendMark(append(dst, "Record-Route: "...), out, outFlow, x.m.CallID(), secure, "")
	return p.appendMark(append(dst, "Record-Route: "...), in, inFlow, x.m.CallID(), secure, "")
}

// appendPath: RFC 3327 §5.2; "ob" tells the registrar that the flow is kept (RFC 5626 §5.1), which only the first proxy
// may say.
//
// Deviation: also for phones that do not say Supported: path. Without it nobody could reach them behind a NAT.
func (p *Proxy) appendPath(dst []byte, x *copyOf) []byte {
	var room [flowTokenLen]byte
	ob := ";ob"
	if x.m.HasSecondVia() {
		ob = ""
	}
	return p.appendMark(append(dst, "Path: "...), p.side(x.out, x.in), x.in.AppendToken(room[:0]), nil, false, ob)
}

// appendMark appends the URI of one of our sides, as a value with its CRLF. §16.6 item 4: lr, and no transport where
// none is needed; sips when the request is.
func (p *Proxy) appendMark(dst []byte, side *transport.Flow, flow, callID []byte, secure bool, more string) []byte {
	scheme, kind := "<sip:", ""
	switch k := side.Kind(); {
	case secure && k == transport.TLS:
		scheme = "<sips:"
	case k != transport.UDP:
		kind = k.Name()
	}
	dst = p.Key.appendToken(append(dst, scheme...), flow, callID)
	dst = append(append(dst, '@'), side.SentBy()...)
	if kind != "" {
		dst = append(append(dst, ";transport="...), kind...)
	}
	return append(append(append(dst, ";lr"...), more...), ">\r\n"...)
}

// side is the flow whose name stands for us towards the far end of out: a listener that forwards, although a phone may be
// registered on one that does not. It is that of out where that one forwards, for the far end may speak no other transport.
func (p *Proxy) side(out, in *transport.Flow) *transport.Flow {
	if out.Role() == in.Role() || p.Forwards != nil && p.Forwards(out.Role()) {
		return out
	}
	if f, err := p.Network.Connect(transport.Target{Kind: transport.UDP, Addr: out.Remote(), Role: in.Role()}); err == nil && f.Role() == in.Role() {
		return f
	}
	return in
}

// needsFlow reports whether the sender of a request can be reached over the flow only that it came by: a connection, or a
// path through a NAT. Behind another proxy that is the other's concern.
func (p *Proxy) needsFlow(x *copyOf) bool {
	if x.m.HasSecondVia() {
		return false
	}
	if x.in.Reliable() {
		return true
	}
	e := x.m.Elements(sip.HContact)
	if !e.Next() {
		return false
	}
	a, err := e.Address()
	return err == nil && !leadsTo(&a.URI, x.m.Received)
}

// needsFlow is the same for the user agent that a request goes to.
func (w *way) needsFlow(out *transport.Flow) bool {
	if !w.bound {
		return false
	}
	if out.Reliable() {
		return true
	}
	u, err := sip.ParseURI(w.uri)
	return err == nil && !leadsTo(&u, out.Remote())
}

// leadsTo reports whether a URI with an address is that address and port.
func leadsTo(u *sip.URI, remote netip.AddrPort) bool {
	addr, ok := u.HostAddr()
	port := u.Port
	if port == 0 {
		port = transport.UDP.DefaultPort()
	}
	return ok && addr == remote.Addr().Unmap() && port == remote.Port()
}
