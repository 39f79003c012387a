// Package exchange runs a plan on a call. It asks the dial plan where a call goes, the admission whether it may, and
// runs each step of the plan with the service that knows it: one switch from dialplan.Step to service.
//
// It does not own: signalling (legs and the Dialer), the directory, the locations of devices (Locator), records
// (observers). It knows no SIP but the address in a redirection.
//
// Goroutines: none of its own; its services run on the goroutines of the calls, which belong to the call.Registry. Drain
// ends them.
//
// Accounting: a calling line counts from the acceptance of its call, a called line from the attempt to ring it, both
// until the call or the attempt is over; being on hold does not free a line. Emergency calls are never refused.
package exchange

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"dialtone/internal/admission"
	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/dialplan"
	"dialtone/internal/directory"
	"dialtone/internal/sdp"
)

// Directory is where the exchange reads what is configured.
type Directory interface {
	Snapshot() *directory.Snapshot
}

// Locator knows where the devices of a line are registered.
type Locator interface {
	// Targets are the places at which the line can be rung now, the best first: one for each binding of its devices.
	Targets(tenant directory.ID, line *directory.Line) []call.Target
}

// Rooms are the conferences.
type Rooms interface {
	// Join lets the caller take part until one side ends it.
	Join(ctx context.Context, c *call.Call, room *directory.Room) cause.Cause
	// Rejoin is Join for a call that was in the room before a restart.
	Rejoin(c *call.Call, room *directory.Room) cause.Cause
}

// Config is what an exchange needs.
type Config struct {
	Directory    Directory
	Locator      Locator
	Dialer       call.Dialer
	Observer     call.Observer // nil: nobody is told
	Rooms        Rooms
	Music        call.Music    // nil: there is none
	HoldMusic    bool          // whoever is held hears it
	MediaTimeout time.Duration // see call.Config; 0 = never
	MaxDuration  time.Duration // see call.Config; 0 = no limit
	RingTime     time.Duration // how long a line rings; 0 = what the plan says
	Log          *slog.Logger  // nil discards
}

// Exchange accepts inbound legs and runs their calls.
type Exchange struct {
	config Config
	calls  *call.Registry
	lines  *admission.Lines

	mu       sync.RWMutex // held for reading while a call starts
	draining bool
}

// New makes an exchange.
func New(c Config) *Exchange {
	hold := c.Music
	if !c.HoldMusic {
		hold = nil
	}
	return &Exchange{
		config: c,
		calls: call.NewRegistry(call.Config{
			Observer: c.Observer, MediaTimeout: c.MediaTimeout, MaxDuration: c.MaxDuration, Music: hold, Log: c.Log,
		}),
		lines: admission.NewLines(),
	}
}

// Calls are the live calls.
func (x *Exchange) Calls() *call.Registry { return x.calls }

// Lines are the counts of calls by line.
func (x *Exchange) Lines() *admission.Lines { return x.lines }

// Invitation is an inbound call, authenticated and accepted for routing.
type Invitation struct {
	Mailbox     *call.Mailbox // into which the leg posts
	Tenant      directory.ID
	Line        string // number of the calling line; "" for a party outside
	Device      string // username of the calling device
	Contact     string // URI in the caller's Contact: the place that is not rung when a line calls itself
	Number      string // presented, where there is no line
	Name        string // display name in From; the line's own goes before it
	Dialled     dialplan.Dialled
	Offer       *sdp.Description // nil: the caller made none
	MaxForwards int              // of the request; 70 where it had none
}

// Inbound makes a call of an inbound leg. It never blocks. It returns nil when the leg was refused at once, because
// the exchange is draining; every other refusal is the call's own and leaves a record.
func (x *Exchange) Inbound(leg call.Leg, inv Invitation) *call.Call {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.draining {
		leg.Hangup(cause.Draining())
		return nil
	}
	snapshot := x.config.Directory.Snapshot()
	line := snapshot.Line(inv.Tenant, inv.Line)
	r := route{
		exchange: x, snapshot: snapshot, inv: inv, line: line,
		plan: dialplan.Make(snapshot, nil, dialplan.Caller{Tenant: inv.Tenant, Line: inv.Line, Device: inv.Device}, inv.Dialled, time.Now()),
	}
	return x.calls.Start(call.Setup{
		Caller: leg, Mailbox: inv.Mailbox, Offer: inv.Offer, Tenant: inv.Tenant, From: r.from(),
		Dialled: inv.Dialled.Number, DialledE164: r.plan.E164, Number: r.plan.Called, Emergency: r.plan.Emergency != "", MaxForwards: inv.MaxForwards,
	}, r.serve)
}

// Explain is the plan that a call would get now, with what is live in its reasons.
func (x *Exchange) Explain(who dialplan.Caller, dialled dialplan.Dialled) dialplan.Plan {
	s := x.config.Directory.Snapshot()
	return dialplan.Make(s, bindings{s, x.config.Locator}, who, dialled, time.Now())
}

// bindings is the dial plan's view of what is live.
type bindings struct {
	snapshot *directory.Snapshot
	locator  Locator
}

func (b bindings) Bindings(tenant directory.ID, number string) int {
	line := b.snapshot.Line(tenant, number)
	if line == nil {
		return 0
	}
	return len(targets(b.locator, tenant, line))
}

// Drain takes no new calls from now on (they are refused with 503) and waits for the running ones; when ctx ends it
// hangs them up. It returns how many were hung up, once every call is over.
func (x *Exchange) Drain(ctx context.Context) int {
	x.mu.Lock()
	x.draining = true
	x.mu.Unlock()
	return x.calls.Drain(ctx)
}

// IsDraining reports whether new calls are refused.
func (x *Exchange) IsDraining() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.draining
}
