// Package registrar answers REGISTER: it works out what a request makes of the bindings of a device, as a pure function,
// and writes the response.
//
// It does not know who sent the request (auth has found that out), keeps no bindings (location does), and sends nothing.
//
// A device changes its own bindings only, whatever name of its line it registers for; those of the line's other devices
// are neither listed to it nor touched by "Contact: *".
//
// Goroutines: none. Ordering: requests for one line are worked off one after another, each wholly or not at all.
//
// RFCs: 3261 §10.3, 3327 (Path), 5626 §6 (outbound); URIs are compared by RFC 3261 §19.1.4.
package registrar

import (
	"strconv"
	"sync"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// Locations holds the bindings; *location.Table is one.
type Locations interface {
	Update(aor location.AOR, now time.Time, f func(current []location.Binding) (next []location.Binding, ok bool)) bool
}

// Policy is what the operator decides. Zero fields take the values in brackets.
type Policy struct {
	Min         time.Duration // shortest registration [60 s]; at most an hour (RFC 3261 §10.3)
	Max         time.Duration // longest registration [1 h]; longer wishes are cut to it
	Default     time.Duration // for requests that name none [Max]
	MaxContacts int           // of one device [10]
	// FlowTimer is how often a phone shall send a keep-alive over a connection of its own (RFC 5626 §4.4) [120 s].
	FlowTimer time.Duration
}

func (p Policy) withDefaults() Policy {
	or := func(v *time.Duration, otherwise time.Duration) {
		if *v <= 0 {
			*v = otherwise
		}
	}
	or(&p.Min, time.Minute)
	or(&p.Max, time.Hour)
	or(&p.Default, p.Max)
	or(&p.FlowTimer, 2*time.Minute)
	// RFC 3261 §10.3 step 7: what is an hour or longer may not be called too brief.
	p.Min = min(p.Min, time.Hour, p.Max)
	if p.MaxContacts <= 0 {
		p.MaxContacts = 10
	}
	return p
}

// Registrar answers REGISTER requests. Any goroutine may use it.
type Registrar struct {
	locations Locations
	policy    Policy
	work      sync.Pool // of *work
}

// New makes a registrar.
func New(l Locations, p Policy) *Registrar {
	r := &Registrar{locations: l, policy: p.withDefaults()}
	r.work.New = func() any {
		w := &work{registrar: r}
		w.step, w.again = w.update, w.repeat
		return w
	}
	return r
}

// work is what one request needs; it is used again for later ones, so that a refresh allocates nothing.
type work struct {
	registrar *Registrar
	step      func([]location.Binding) ([]location.Binding, bool) // the method update
	again     func([]location.Binding) ([]location.Binding, bool) // the method repeat
	request   Request
	value     []byte

	// Of the request at hand:
	response *sip.Builder
	message  *sip.Message
	toTag    string
	now      time.Time
	outcome  Outcome

	serviceRoute string
}

// Subject is who registers: the device that has been authenticated, and its line.
type Subject struct {
	AOR    location.AOR
	Device string
	// ServiceRoute is how the device's requests come to us by way of the proxies before us (RFC 3608); "" for none.
	ServiceRoute string
}

// Respond works off the REGISTER m, which came over flow, and writes the response into b. It returns the status. toTag is
// the tag of To.
func (r *Registrar) Respond(b *sip.Builder, m *sip.Message, toTag string, who Subject, flow location.Flow, now time.Time) int {
	w := r.work.Get().(*work)
	defer r.work.Put(w)
	return w.respond(b, m, toTag, who, flow, now)
}

func (w *work) respond(b *sip.Builder, m *sip.Message, toTag string, who Subject, flow location.Flow, now time.Time) int {
	if unsupported(m) {
		b.Response(m, 420, "", toTag)
		addUnsupported(b, m)
		return 420
	}
	req := &w.request
	if err := req.read(m); err != nil {
		b.Response(m, err.Status, err.Reason, toTag)
		return err.Status
	}
	req.Device, req.Flow, w.serviceRoute = who.Device, flow, who.ServiceRoute
	w.response, w.message, w.toTag, w.now = b, m, toTag, now
	w.registrar.locations.Update(who.AOR, now, w.step)
	out := w.outcome
	// RFC 3261 §10.3 step 7: 423 MUST contain Min-Expires.
	if out.Status == 423 {
		b.AddUint(sip.HMinExpires, uint64(w.registrar.policy.Min/time.Second))
	}
	req.forget()
	w.response, w.message = nil, nil
	return out.Status
}

// Repeat answers the REGISTER m if it has been carried out already, as it was answered then but for the time that has
// passed; else it reports false and writes nothing. Whether it is the same is told by Call-ID and CSeq, which no other
// request of the device may have (RFC 3261 §8.1.1.5), and by where it comes from.
func (r *Registrar) Repeat(b *sip.Builder, m *sip.Message, toTag string, who Subject, flow location.Flow, now time.Time) bool {
	w := r.work.Get().(*work)
	defer r.work.Put(w)
	if unsupported(m) || w.request.read(m) != nil {
		return false
	}
	w.request.Device, w.request.Flow, w.serviceRoute = who.Device, flow, who.ServiceRoute
	w.response, w.message, w.toTag, w.now = b, m, toTag, now
	w.outcome = Outcome{}
	w.registrar.locations.Update(who.AOR, now, w.again)
	w.request.forget()
	w.response, w.message = nil, nil
	return w.outcome.Status == 200
}

// repeat is the step of Repeat; it changes nothing.
func (w *work) repeat(current []location.Binding) ([]location.Binding, bool) {
	req := &w.request
	for i := range current {
		b := &current[i]
		if b.Device == req.Device && b.CSeq == req.CSeq && b.CallID == string(req.CallID) && b.Flow.Remote == req.Flow.Remote {
			useFlows, _ := flows(req)
			w.outcome = Outcome{Status: 200, Outbound: useFlows && req.Outbound && b.RegID != 0}
			w.response.Response(w.message, 200, "", w.toTag)
			w.accept(current)
			break
		}
	}
	return nil, false
}

// update is the step that runs while the line is locked; it writes the response as well, from the bindings that it has
// in hand.
func (w *work) update(current []location.Binding) ([]location.Binding, bool) {
	next, out := Update(current, &w.request, w.registrar.policy, w.now)
	w.outcome = out
	w.response.Response(w.message, out.Status, out.Reason, w.toTag)
	if out.Status != 200 {
		return nil, false
	}
	w.accept(next)
	return next, true
}

// accept adds the headers of a 200 response.
func (w *work) accept(bindings []location.Binding) {
	b, m := w.response, w.message
	for i := range bindings {
		// RFC 3261 §10.3 step 8: all current bindings, each with an expires parameter.
		if bindings[i].Device == w.request.Device {
			w.value = appendContact(w.value[:0], &bindings[i], w.now)
			b.AddBytes(sip.HContact, w.value)
		}
	}
	if w.outcome.Outbound {
		b.Add(sip.HRequire, "outbound") // RFC 5626 §6
		b.AddUint(sip.HFlowTimer, uint64(w.registrar.policy.FlowTimer/time.Second))
	}
	// RFC 3327 §5.3: the Path goes back to a UA that understands it, so that it sees who is on the way.
	if m.Has(sip.HPath) && m.HasOption(sip.HSupported, "path") {
		b.Copy(m, sip.HPath)
	}
	if w.serviceRoute != "" {
		b.Add(sip.HServiceRoute, w.serviceRoute) // RFC 3608 §6.3
	}
	b.Add(sip.HSupported, "path, outbound")
	// RFC 3261 §20.17: Date is always GMT.
	w.value = w.now.UTC().AppendFormat(w.value[:0], "Mon, 02 Jan 2006 15:04:05 GMT")
	b.AddBytes(sip.HDate, w.value)
}

// appendContact appends a binding as a Contact value with what is left of it in seconds, rounded up: a phone that
// refreshes in time must not read 0.
func appendContact(dst []byte, b *location.Binding, now time.Time) []byte {
	dst = append(dst, '<')
	dst = append(dst, b.Contact...)
	dst = append(dst, '>')
	dst = append(dst, b.Params...)
	dst = sip.AppendQ(dst, b.Q)
	dst = append(dst, ";expires="...)
	left := (b.Expires.Sub(now) + time.Second - 1) / time.Second
	return strconv.AppendInt(dst, int64(max(left, 1)), 10)
}

// supports reports whether the registrar knows an option tag.
func supports(tag []byte) bool { return sip.EqualFold(tag, "path") || sip.EqualFold(tag, "outbound") }

// unsupported reports whether the request requires what we cannot do.
func unsupported(m *sip.Message) bool {
	for e := m.Elements(sip.HRequire); e.Next(); {
		if !supports(e.Value()) {
			return true
		}
	}
	return false
}

// addUnsupported names what we cannot do (RFC 3261 §8.2.2.3).
func addUnsupported(b *sip.Builder, m *sip.Message) {
	for e := m.Elements(sip.HRequire); e.Next(); {
		if !supports(e.Value()) {
			b.AddBytes(sip.HUnsupported, e.Value())
		}
	}
}
