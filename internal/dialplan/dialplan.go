// Package dialplan decides where a dialled number leads. Make is a pure function of the directory's snapshot, a
// read-only view of what is live, who calls, what was dialled and the time; its Plan lists the steps to take and the
// reason for each, in words, so that "why did this call go there" has an answer before and after the call.
//
// It does not act: the exchange runs the steps. It knows no SIP beyond the domain that was dialled. No goroutines, no
// state.
//
// RFC 5031 and RFC 6881 §5 (emergency numbers are recognised before anything else).
package dialplan

import (
	"fmt"
	"strings"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/number"
)

// RingTime is how long a line rings when nothing else says otherwise.
const RingTime = 60 * time.Second

// Caller is who calls.
type Caller struct {
	Tenant directory.ID
	Line   string // number of the calling line; "" for a party outside
	Device string // username of the calling device
}

// Dialled is what was dialled: the two halves of the address.
type Dialled struct {
	Number string // user part, as it was dialled
	Domain string // host part; "" when there was none
}

// Live is a view of what changes from second to second. It is asked, never told.
type Live interface {
	// Bindings is how many places the line can be reached at now.
	Bindings(tenant directory.ID, line string) int
}

// Step is one thing to try: Dial, Room, Echo, Music or Refuse. When a Dial reaches nobody, the next step is taken.
type Step interface {
	fmt.Stringer
	step()
}

// Dial rings all devices of a line.
type Dial struct {
	Line    *directory.Line
	Timeout time.Duration
}

// Echo answers and lets the caller hear themselves.
type Echo struct{}

// Room lets the caller into a conference.
type Room struct {
	Room *directory.Room
}

// Music answers and plays music.
type Music struct{}

// Refuse ends the call.
type Refuse struct {
	Cause cause.Cause
}

func (Dial) step()   {}
func (Room) step()   {}
func (Echo) step()   {}
func (Music) step()  {}
func (Refuse) step() {}

// String implements Step.
func (d Dial) String() string { return "dial " + d.Line.Number }

// String implements Step.
func (r Room) String() string { return "room " + r.Room.Name }

// String implements Step.
func (Echo) String() string { return "echo" }

// String implements Step.
func (Music) String() string { return "music" }

// String implements Step.
func (r Refuse) String() string { return "refuse " + r.Cause.Words }

// Plan is what to do with a call.
type Plan struct {
	Number    string         // normalised
	E164      string         // the same in E.164, "+982188776655"; "" where it is no number of the public network
	Called    string         // the directory's number that was dialled, in its own form; "" for lines, codes and all else
	Emergency number.Service // not "": the caller needs help; nothing may hold the call up
	Steps     []Step
	Reasons   []string // one for each step
}

func (p *Plan) add(s Step, reason string, args ...any) {
	p.Steps = append(p.Steps, s)
	p.Reasons = append(p.Reasons, fmt.Sprintf(reason, args...))
}

// String prints the plan, a step with its reason on each line.
func (p Plan) String() string {
	var b strings.Builder
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "%d. %s: %s\n", i+1, s, p.Reasons[i])
	}
	return b.String()
}

// Make makes the plan for a call. live may be nil. There is always at least one step.
func Make(s *directory.Snapshot, live Live, who Caller, dialled Dialled, _ time.Time) Plan {
	q := question{Snapshot: s, live: live, who: who, plan: Plan{Number: number.Normalise(dialled.Number)}}
	switch {
	case q.emergency():
	case q.foreign(dialled.Domain):
	case q.feature():
	case q.line(dialled.Number):
	case q.room(dialled.Number):
	case q.number(dialled.Number):
	default:
		q.unknown()
	}
	return q.plan
}

// IsEmergency reports whether the plan for a call would be that for an emergency.
func IsEmergency(s *directory.Snapshot, who Caller, dialled string) bool {
	q := question{Snapshot: s, who: who, plan: Plan{Number: number.Normalise(dialled)}}
	_, _, ok := q.service()
	return ok
}

// question is a plan in the making.
type question struct {
	*directory.Snapshot
	live Live
	who  Caller
	plan Plan
}

// service recognises the emergency numbers of the country that the caller is in. Where no country is known, a line that
// somebody gave the number 112 or 911 keeps it.
func (q *question) service() (country string, service number.Service, ok bool) {
	country = q.country()
	service, ok = number.IsEmergency(country, q.plan.Number)
	if country == "" && q.Line(q.who.Tenant, q.plan.Number) != nil {
		ok = false
	}
	return country, service, ok
}

// emergency plans for an emergency number.
func (q *question) emergency() bool {
	country, service, ok := q.service()
	if !ok {
		return false
	}
	q.plan.Emergency = service
	where := "country " + country
	if country == "" {
		where = "an unknown country"
	}
	q.plan.add(Refuse{cause.NoRoute()}, "%s is the emergency number of %s (%s), and there is no trunk to carry it", q.plan.Number, where, service)
	return true
}

// country is that of the calling line's site; "" unknown.
func (q *question) country() string {
	if site := q.site(); site != nil {
		return site.Country
	}
	return ""
}

// site is the place of the calling line; nil unknown.
func (q *question) site() *directory.Site {
	line := q.Line(q.who.Tenant, q.who.Line)
	if line == nil || line.Site.IsZero() {
		return nil
	}
	return q.SiteByID(line.Site)
}

// foreign refuses the domains of other tenants: nothing of one tenant is visible to another, not even that it exists.
func (q *question) foreign(domain string) bool {
	if domain == "" {
		return false
	}
	t := q.TenantByDomain(domain)
	if t == nil || t.ID == q.who.Tenant {
		return false
	}
	q.plan.add(Refuse{cause.UnknownNumber()}, "%s is not a domain of the caller's tenant", domain)
	return true
}

// feature recognises the feature codes that exist.
func (q *question) feature() bool {
	f, _, ok := number.MatchFeature(q.plan.Number)
	var step Step
	switch {
	case ok && f == number.Echo:
		step = Echo{}
	case ok && f == number.Music:
		step = Music{}
	default:
		return false
	}
	q.plan.add(step, "%s is the feature code of the %s", q.plan.Number, f)
	return true
}

// line looks for a line, first as dialled, since a line's number may be any name, then normalised.
func (q *question) line(dialled string) bool {
	l := q.Line(q.who.Tenant, dialled)
	if l == nil {
		l = q.Line(q.who.Tenant, q.plan.Number)
	}
	if l == nil {
		return false
	}
	q.dial(l, l.Number+" is a line")
	return true
}

// room looks for a conference room.
func (q *question) room(dialled string) bool {
	r := q.RoomByNumber(q.who.Tenant, dialled)
	if r == nil {
		r = q.RoomByNumber(q.who.Tenant, q.plan.Number)
	}
	if r == nil {
		return false
	}
	q.plan.add(Room{r}, "%s is the room %s", r.Number, r.Name)
	return true
}

// number looks for a number that callers outside dial, in any form in which it is dialled at the caller's place, and
// follows it: such a call stays inside.
func (q *question) number(dialled string) bool {
	n := q.Number(q.who.Tenant, q.plan.Number)
	if n == nil {
		n = q.Number(q.who.Tenant, dialled)
	}
	country, area := "", ""
	if site := q.site(); site != nil {
		country, area = site.Country, site.AreaCode
	}
	if e164, ok := number.E164(country, area, q.plan.Number); ok {
		q.plan.E164 = e164
		if n == nil {
			n = q.Number(q.who.Tenant, e164)
		}
	}
	if n == nil {
		return false
	}
	q.plan.Called = n.Number
	if n.To.Kind == directory.ToHangup {
		q.plan.add(Refuse{cause.NotAllowed()}, "number %s leads to %s", n.Number, n.To)
		return true
	}
	if n.To.Kind == directory.ToLine {
		if l := q.Line(n.Tenant, n.To.Name); l != nil {
			q.dial(l, "number "+n.Number+" leads to "+n.To.String())
			return true
		}
	}
	if n.To.Kind == directory.ToRoom {
		if r := q.Room(n.Tenant, n.To.Name); r != nil {
			q.plan.add(Room{r}, "number %s leads to %s", n.Number, n.To)
			return true
		}
	}
	q.plan.add(Refuse{cause.NoRoute()}, "number %s leads to %s, which does not exist", n.Number, n.To)
	return true
}

// dial adds the step that rings a line.
func (q *question) dial(l *directory.Line, why string) {
	if l.Name != "" {
		why += " (" + l.Name + ")"
	}
	if q.live != nil {
		switch n := q.live.Bindings(q.who.Tenant, l.Number); n {
		case 0:
			why += ", not registered"
		case 1:
			why += ", reachable at 1 address"
		default:
			why += fmt.Sprintf(", reachable at %d addresses", n)
		}
	}
	q.plan.add(Dial{Line: l, Timeout: RingTime}, "%s", why)
}

// unknown refuses what nothing has claimed.
func (q *question) unknown() {
	f, _, ok := number.MatchFeature(q.plan.Number)
	switch {
	case ok:
		q.plan.add(Refuse{cause.UnknownNumber()}, "feature code %s (%s) is not in use here", q.plan.Number, f)
	case q.plan.Number == "":
		q.plan.add(Refuse{cause.InvalidNumber()}, "nothing was dialled")
	default:
		q.plan.add(Refuse{cause.UnknownNumber()}, "no line, room, number or feature code is %q", q.plan.Number)
	}
}
