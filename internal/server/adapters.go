package server

import (
	"slices"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/directory"
	"dialtone/internal/event"
	"dialtone/internal/location"
	"dialtone/internal/sipleg"
)

// locator tells the exchange where the devices of a line are.
type locator struct {
	locations *location.Table
	directory *directory.Directory
}

// Targets implements exchange.Locator. Of an instance with several flows (RFC 5626) the best is rung; the others are
// what its path falls back on.
func (l locator) Targets(tenant directory.ID, line *directory.Line) []call.Target {
	bindings := l.locations.Lookup(nil, location.AOR{Tenant: tenant, Line: line.ID}, time.Now())
	if len(bindings) == 0 {
		return nil
	}
	domain := ""
	if t := l.directory.Snapshot().Tenant(tenant); t != nil && len(t.Domains) > 0 {
		domain = t.Domains[0]
	}
	instances := location.Targets(bindings)
	targets := make([]call.Target, len(instances))
	for i, flows := range instances {
		b := &flows[0]
		targets[i] = call.Target{Line: line.Number, Device: b.Device, URI: b.Contact,
			Source: sipleg.Caller{Domain: domain, Source: flowsOf(flows)}}
		if b.Path != "" {
			targets[i].Route = []string{b.Path}
		}
	}
	return targets
}

// flowsOf are the ways to one instance, best first, without those that are the same.
func flowsOf(t location.Target) []location.Flow {
	flows := make([]location.Flow, 0, len(t))
	for i := range t {
		if t[i].Flow.Leads() && !slices.Contains(flows, t[i].Flow) {
			flows = append(flows, t[i].Flow)
		}
	}
	return flows
}

// announcer publishes what happens to calls.
type announcer struct{ bus *event.Bus }

// Observe implements call.Observer.
func (a announcer) Observe(n call.Notice) {
	switch n := n.(type) {
	case call.CallStarted:
		a.publish("started", n.Record)
	case call.CallRang:
		a.publish("rang", n.Record)
	case call.CallAnswered:
		a.publish("answered", n.Record)
	case call.CallHeld:
		a.publish("held", n.Record)
	case call.CallResumed:
		a.publish("resumed", n.Record)
	case call.CallSounded:
		a.bus.Publish(n.Record.Tenant.String(), n.Record.ID, soundedOf(n))
	case call.CallEnded:
		a.publish("ended", n.Record)
	}
}

func (a announcer) publish(happened string, r *call.Record) {
	a.bus.Publish(r.Tenant.String(), r.ID, CallChanged{
		Happened: happened, From: r.From.Number, To: r.Dialled, Direction: string(r.Direction), Cause: r.Cause.Words,
	})
}

// CallChanged is the payload of the events of calls: "call.started", "call.rang", "call.answered", "call.held",
// "call.resumed", "call.ended".
type CallChanged struct {
	Happened  string `json:"-"` // the verb of the event
	From      string `json:"from"`
	To        string `json:"to"`
	Direction string `json:"direction"`
	Cause     string `json:"cause,omitempty"` // words, once it has ended
}

// EventType implements event.Data.
func (c CallChanged) EventType() string { return "call." + c.Happened }
