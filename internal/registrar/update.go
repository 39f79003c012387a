package registrar

import (
	"net/netip"
	"slices"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// Outcome is the answer to a request.
type Outcome struct {
	Status int    // 200, 400, 403, 423, 439, 500
	Reason string // "" for the usual phrase
	// Outbound: the bindings are flows of RFC 5626, and the UA knows what that means: Require: outbound.
	Outbound bool
}

// restart is how long after a refresh a lower CSeq can still be a request that was overtaken on the way: 64*T1, the
// life of a transaction (RFC 3261 §17.1.2.2).
const restart = 32 * time.Second

// Update works out what the request makes of the bindings of a line. next is only to be used when the status is 200; it
// may share memory with current, which is changed.
//
// RFC 3261 §10.3: a request is carried out wholly or not at all.
func Update(current []location.Binding, req *Request, p Policy, now time.Time) (next []location.Binding, out Outcome) {
	switch {
	case req.Star:
		return removeAll(current, req, now)
	case len(req.Contacts) == 0:
		return current, Outcome{Status: 200} // step 6: a query
	}
	useFlows, out := flows(req)
	if out.Status != 0 {
		return nil, out
	}
	if len(req.Contacts) > p.MaxContacts {
		return nil, Outcome{Status: 403, Reason: "Too Many Contacts"}
	}
	next = current
	for i := range req.Contacts {
		if next, out = one(next, req, &req.Contacts[i], useFlows, p, now); out.Status != 0 {
			return nil, out
		}
	}
	next = cut(next, req.Device, p.MaxContacts)
	out = Outcome{Status: 200}
	if useFlows && req.Outbound {
		for i := range req.Contacts {
			out.Outbound = out.Outbound || req.Contacts[i].RegID != 0
		}
	}
	return next, out
}

// flows decides whether reg-id counts in this request (RFC 5626 §6).
func flows(req *Request) (use bool, out Outcome) {
	listed, lasting := false, 0
	for i := range req.Contacts {
		c := &req.Contacts[i]
		listed = listed || c.RegID != 0
		if seconds, ok := req.wish(c); !ok || seconds > 0 {
			lasting++
		}
	}
	switch {
	case !listed:
		return false, Outcome{}
	case !req.Direct && !req.PathOutbound && req.Outbound:
		return false, Outcome{Status: 439}
	case !req.Direct && !req.PathOutbound:
		return false, Outcome{} // "the registrar MUST ignore the reg-id parameter"
	case lasting > 1:
		return false, Outcome{Status: 400, Reason: "One Flow per Registration"}
	}
	return true, Outcome{}
}

// wish is the expiration that the request asks for; false when it leaves it to us.
func (r *Request) wish(c *Contact) (seconds uint32, ok bool) {
	if c.HasExpires {
		return c.Expires, true
	}
	return r.Expires, r.HasExpires
}

// one carries out one contact of the request. A status of 0 is success.
func one(bs []location.Binding, req *Request, c *Contact, useFlows bool, p Policy, now time.Time) ([]location.Binding, Outcome) {
	// Step 7: the contact's expires, else the request's, else our own.
	length := p.Default
	if seconds, ok := req.wish(c); ok {
		length = time.Duration(seconds) * time.Second
	}
	if length > 0 && length < p.Min {
		return nil, Outcome{Status: 423}
	}
	length = min(length, p.Max)
	regID := uint32(0)
	if useFlows {
		regID = c.RegID
	}
	i := find(bs, req.Device, c, regID)
	if i < 0 {
		if length == 0 {
			return bs, Outcome{} // nothing to remove
		}
		bs = append(bs, location.Binding{Device: req.Device, Created: now})
		i = len(bs) - 1
	} else if stale(&bs[i], req, now) {
		return nil, Outcome{Status: 500, Reason: "CSeq Out of Order"}
	} else if length == 0 {
		return slices.Delete(bs, i, i+1), Outcome{}
	}
	b := &bs[i]
	b.Contact = keep(b.Contact, c.URI.Raw)
	b.Params = keep(b.Params, c.Params)
	b.Q = c.Q
	b.Path = keep(b.Path, req.Path)
	b.Instance = keep(b.Instance, c.Instance)
	b.RegID = regID
	b.CallID, b.CSeq = keep(b.CallID, req.CallID), req.CSeq
	b.UserAgent = keep(b.UserAgent, req.UserAgent)
	b.Flow = req.Flow
	if req.elsewhere(c, regID) {
		b.Flow.Local = netip.AddrPort{}
	}
	b.Updated, b.Expires = now, now.Add(length)
	return bs, Outcome{}
}

// find is the index of the device's binding that the contact is about; -1 when there is none.
//
// RFC 5626 §6: with instance and reg-id these two decide, else RFC 3261 §10.3 step 7: the URIs are compared.
func find(bs []location.Binding, device string, c *Contact, regID uint32) int {
	for i := range bs {
		b := &bs[i]
		if b.Device != device || (b.RegID != 0) != (regID != 0) {
			continue
		}
		if regID != 0 {
			if b.RegID == regID && b.Instance == string(c.Instance) {
				return i
			}
			continue
		}
		if b.Contact == string(c.URI.Raw) {
			return i
		}
		if u, err := sip.ParseURI([]byte(b.Contact)); err == nil && u.Equal(&c.URI) {
			return i
		}
	}
	return -1
}

// stale reports whether the request was sent before the one that made the binding (step 7: same Call-ID, CSeq not
// higher). Contacts that stand twice in one request are not.
//
// Deviation: phones that keep their Call-ID over a restart begin anew with a low CSeq and would be locked out until
// the binding expires. A request that was overtaken cannot be older than a transaction lives; what comes later is a
// phone that has restarted (a replay is stopped by the nonce).
func stale(b *location.Binding, req *Request, now time.Time) bool {
	if b.CallID != string(req.CallID) || req.CSeq > b.CSeq {
		return false
	}
	sameRequest := req.CSeq == b.CSeq && b.Updated.Equal(now)
	return !sameRequest && now.Sub(b.Updated) < restart
}

// removeAll carries out "Contact: *" for the device.
//
// RFC 3261 §10.3 step 6: with an Expires of zero only; Call-ID and CSeq count for each binding.
func removeAll(bs []location.Binding, req *Request, now time.Time) ([]location.Binding, Outcome) {
	if !req.HasExpires || req.Expires != 0 || len(req.Contacts) > 0 {
		return nil, Outcome{Status: 400, Reason: "Contact * Needs Expires 0"}
	}
	for i := range bs {
		if bs[i].Device == req.Device && stale(&bs[i], req, now) {
			return nil, Outcome{Status: 500, Reason: "CSeq Out of Order"}
		}
	}
	return slices.DeleteFunc(bs, func(b location.Binding) bool { return b.Device == req.Device }), Outcome{Status: 200}
}

// cut removes the device's bindings that were refreshed longest ago until there are at most most of them: they are
// what a phone with a new address or port has left behind.
func cut(bs []location.Binding, device string, most int) []location.Binding {
	for {
		n, oldest := 0, -1
		for i := range bs {
			if bs[i].Device != device {
				continue
			}
			n++
			if oldest < 0 || bs[i].Updated.Before(bs[oldest].Updated) {
				oldest = i
			}
		}
		if n <= most {
			return bs
		}
		bs = slices.Delete(bs, oldest, oldest+1)
	}
}

// keep is the text of b; the string that there is already when it says the same.
func keep(old string, b []byte) string {
	if old == string(b) {
		return old
	}
	return string(b)
}
