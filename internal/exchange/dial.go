package exchange

import (
	"bytes"
	"context"
	"slices"

	"dialtone/internal/admission"
	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/dialplan"
	"dialtone/internal/directory"
	"dialtone/internal/sip"
)

// maxDiversions is how many lines a call may be sent on to by the phones it rings.
const maxDiversions = 5

// dial rings a line and keeps the call connected when somebody answers.
func (r *route) dial(ctx context.Context, c *call.Call, step dialplan.Dial) (cause.Cause, bool) {
	c.SetTo(call.Side{Number: step.Line.Number, Name: step.Line.Name, Line: step.Line.Number})
	d := diversion{route: r, call: c}
	defer d.release()
	places := d.visit(step.Line)
	if places == nil {
		return d.why, false
	}
	timeout := step.Timeout
	if t := r.exchange.config.RingTime; t > 0 {
		timeout = t
	}
	leg, why := c.Dial(ctx, r.exchange.config.Dialer, call.Fork{
		Targets: places, Timeout: timeout, To: step.Line.Number, Redirect: d.redirect,
	})
	if leg == nil {
		return why, false
	}
	return c.Bridge(ctx, leg), true
}

// diversion is the lines that an attempt rings: the called one, and those that its phones send the caller on to.
type diversion struct {
	*route
	call    *call.Call
	visited []string
	taken   []func()
	why     cause.Cause // of the last line that could not be rung
}

func (d *diversion) release() {
	for _, release := range d.taken {
		release()
	}
}

// visit counts the call for a line and returns where it can be rung; nil when it cannot, and why says the reason.
func (d *diversion) visit(line *directory.Line) []call.Target {
	places := d.others(targets(d.exchange.config.Locator, d.inv.Tenant, line))
	if len(places) == 0 {
		d.why = cause.Unreachable()
		return nil
	}
	release, ok := d.exchange.lines.Take(admission.Line{Tenant: d.inv.Tenant, Number: line.Number}, line.CallLimit())
	if !ok {
		d.why = admission.Inbound.Refusal()
		return nil
	}
	d.straighten(places, line)
	d.visited = append(d.visited, line.Number)
	d.taken = append(d.taken, release)
	return places
}

// straighten marks the places whose media may go straight between them and the caller: devices of one site that allows it,
// with the same terms and nothing to be converted.
func (d *diversion) straighten(places []call.Target, line *directory.Line) {
	if d.line == nil || d.line.Site.IsZero() || d.line.Site != line.Site {
		return
	}
	if d.line.Record == directory.RecordAlways || line.Record == directory.RecordAlways {
		return // it has to be heard here
	}
	site := d.snapshot.SiteByID(line.Site)
	own := d.line.Device(d.inv.Device)
	if site == nil || !site.DirectMedia || own == nil || own.Media != nil {
		return
	}
	for i := range places {
		other := line.Device(places[i].Device)
		places[i].Direct = other != nil && other.Media == nil && other.SRTP == own.SRTP
	}
}

// redirect follows a 3xx of a phone, to lines of its own tenant only: a redirection gives nobody rights that the
// redirecting line has not. RFC 3261 §8.1.3.4: a target is never visited twice.
func (d *diversion) redirect(from call.Target, contacts []string) []call.Target {
	var places []call.Target
	for _, contact := range contacts {
		line := d.lineAt(contact)
		if line == nil || slices.Contains(d.visited, line.Number) || len(d.visited) > maxDiversions {
			continue
		}
		if more := d.visit(line); more != nil {
			d.call.Step("dial "+line.Number, "device "+from.Device+" of line "+from.Line+" redirects the caller there")
			places = append(places, more...)
		}
	}
	return places
}

// lineAt is the line that a URI names; nil when it is no line of this tenant.
func (d *diversion) lineAt(contact string) *directory.Line {
	u, err := sip.ParseURI([]byte(contact))
	if err != nil {
		return nil
	}
	plan := dialplan.Make(d.snapshot, nil, dialplan.Caller{Tenant: d.inv.Tenant},
		dialplan.Dialled{Number: u.UserUnescaped(), Domain: string(u.Host)}, d.call.Record().Start)
	if step, ok := plan.Steps[0].(dialplan.Dial); ok {
		return step.Line
	}
	return nil
}

// targets are all places at which a line can be rung: bindings, and devices with a fixed address.
func targets(l Locator, tenant directory.ID, line *directory.Line) []call.Target {
	places := l.Targets(tenant, line)
	for i := range line.Devices {
		d := &line.Devices[i]
		if d.Address != "" {
			places = append(places, call.Target{Line: line.Number, Device: d.Username, URI: d.Address, Fixed: true})
		}
		for k := range places {
			if places[k].Device == d.Username {
				places[k].Terms = call.TermsOf(d)
			}
		}
	}
	return places
}

// others leaves the caller's own place out, so that a phone that calls the number of its line rings the other phones
// of the line and not itself. It is known by its Contact, or by being the only binding of its device; a fixed address
// (several callers may share a device that is known by address) by its Contact alone.
func (r *route) others(places []call.Target) []call.Target {
	if r.line == nil {
		return places
	}
	own := func(t call.Target) bool { return t.Line == r.line.Number && t.Device == r.inv.Device }
	caller := func(t call.Target) bool { return own(t) && samePlace(t.URI, r.inv.Contact) }
	if !slices.ContainsFunc(places, caller) {
		binding := func(t call.Target) bool { return own(t) && !t.Fixed }
		first := slices.IndexFunc(places, binding)
		if first < 0 || slices.ContainsFunc(places[first+1:], binding) {
			return places
		}
		caller = binding
	}
	return slices.DeleteFunc(slices.Clone(places), caller)
}

// samePlace compares two contacts of one phone by user, host and port. RFC 3261 §19.1.4 would have all parameters
// compared, but phones write other ones into the Contact of a call than into that of a registration.
func samePlace(a, b string) bool {
	if a == b {
		return true
	}
	u, errU := sip.ParseURI([]byte(a))
	v, errV := sip.ParseURI([]byte(b))
	return errU == nil && errV == nil && bytes.Equal(u.User, v.User) && bytes.EqualFold(u.Host, v.Host) && port(u) == port(v)
}

func port(u sip.URI) int {
	if u.Port == 0 {
		return 5060
	}
	return int(u.Port)
}
