package location

import (
	"time"

	"dialtone/internal/event"
)

// Publisher takes events; *event.Bus is one. It is called under a lock: it must neither block nor call the table.
type Publisher interface {
	Publish(tenant, object string, data event.Data) event.Event
}

// Registered is published when a contact is bound for the first time; not when it is refreshed. The event's object is
// the line.
type Registered struct {
	Device    string `json:"device"`
	Contact   string `json:"contact"`
	Source    string `json:"source"` // "udp 192.0.2.7:5060"
	UserAgent string `json:"user_agent"`
	Expires   string `json:"expires"` // RFC 3339, UTC, milliseconds: like every time that leaves the exchange
}

// EventType implements event.Data.
func (Registered) EventType() string { return "registration.added" }

// Unregistered is published when a binding ends. The event's object is the line.
type Unregistered struct {
	Device  string `json:"device"`
	Contact string `json:"contact"`
	Reason  string `json:"reason"` // "unregistered", "expired", "connection closed"
}

// EventType implements event.Data.
func (Unregistered) EventType() string { return "registration.removed" }

// ending says what has become of a binding.
type ending uint8

const (
	registered ending = iota
	unregistered
	expired
	flowLost
)

func (e ending) String() string {
	return [...]string{"registered", "unregistered", "expired", "connection closed"}[e]
}

// publish tells what happened to a record.
func (t *Table) publish(s *shard, r ref, what ending) {
	if t.events == nil {
		return
	}
	rec, text := s.record(r), *s.text(r)
	var data event.Data = Unregistered{Device: rec.at(text, textDevice), Contact: rec.at(text, textContact), Reason: what.String()}
	if what == registered {
		data = Registered{
			Device: rec.at(text, textDevice), Contact: rec.at(text, textContact), UserAgent: rec.at(text, textUserAgent),
			Source:  string(transports[rec.kind]) + " " + rec.remote.addrPort(rec.at(text, textRemote)).String(),
			Expires: t.start.Add(time.Duration(rec.expires)).UTC().Format(event.TimeLayout),
		}
	}
	t.events.Publish(rec.aor.Tenant.String(), rec.aor.Line.String(), data)
}
