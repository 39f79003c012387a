package event

import "github.com/google/uuid"

// Scope says which events a subscription is about.
type Scope struct {
	// Tenant is the tenant whose events are wanted: only these, never another's and never the system's own.
	Tenant string
	// AllTenants asks for everything instead; Tenant is ignored then.
	AllTenants bool
	// After is the last event seen before; its successors come first, as Backlog. The zero UUID asks for no replay.
	After uuid.UUID
}

// Subscription is one reader's stream. Read Backlog first, then Events.
type Subscription struct {
	// Backlog are the events of the scope after Scope.After that the ring still holds, oldest first.
	Backlog []Event
	// Complete tells that nothing is missing between Scope.After and Backlog. When it is false (the event is older than
	// the ring, or from before a restart) Backlog is everything the ring holds of the scope, and the reader should
	// fetch the present state afresh.
	Complete bool

	bus     *Bus
	tenant  string
	tenants bool // all of them
	events  chan Event

	// Guarded by the bus.
	last  uuid.UUID // last event queued
	ended bool
}

// Subscribe starts a stream. Backlog and Events join without a hole or a double. The caller must Close it.
func (b *Bus) Subscribe(s Scope) *Subscription {
	sub := &Subscription{
		Complete: true,
		bus:      b,
		tenant:   s.Tenant,
		tenants:  s.AllTenants,
		events:   make(chan Event, b.queue+1),
		last:     s.After,
	}
	if s.AllTenants {
		sub.tenant = ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.After != (uuid.UUID{}) {
		sub.Backlog, sub.Complete = b.replay(s)
		if n := len(sub.Backlog); n > 0 {
			sub.last = sub.Backlog[n-1].ID
		}
	}
	switch {
	case b.closed:
		sub.ended = true
		close(sub.events)
	case s.AllTenants:
		b.all[sub] = struct{}{}
	default:
		b.scope(s.Tenant).subscriptions[sub] = struct{}{}
	}
	return sub
}

// replay collects the scope's events after s.After, and tells whether that event is still in the ring. An event of
// another scope does not count as found: its ID tells nothing about this stream.
func (b *Bus) replay(s Scope) (events []Event, found bool) {
	size := uint64(len(b.ring))
	oldest := uint64(1)
	if b.seq > size {
		oldest = b.seq - size + 1
	}
	for n := oldest; n <= b.seq; n++ {
		e := b.ring[(n-1)%size]
		if !s.AllTenants {
			if e.event.Tenant != s.Tenant {
				continue
			}
			e.event.Seq = e.tenantSeq
		}
		if e.event.ID == s.After {
			events, found = nil, true
			continue
		}
		events = append(events, e.event)
	}
	return events, found
}

// Events delivers what happens. The channel is closed by Close, by Bus.Close, or after a marker of type TypeDropped
// when the reader was too slow.
func (s *Subscription) Events() <-chan Event { return s.events }

// Close ends the stream. It may be called more than once.
func (s *Subscription) Close() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.bus.end(s)
}
