package event

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// Sizes that a zero Config stands for.
const (
	defaultRing  = 4096
	defaultQueue = 256
)

// Config sets the sizes of a Bus. The zero value is good for a server.
type Config struct {
	// Ring is how many of the latest events (of all tenants together) are kept for replay; 0 = 4096.
	Ring int
	// Queue is how many undelivered events a subscription may have before it is dropped; 0 = 256.
	Queue int
}

// Bus hands each published event to its subscriptions. Make one with NewBus.
type Bus struct {
	queue int

	mu      sync.Mutex
	closed  bool
	ring    []entry // entry of all-tenant sequence n stands at (n-1) % len(ring)
	seq     uint64  // of the latest event, all tenants
	tenants map[string]*scope
	all     map[*Subscription]struct{}
}

// entry is an event as the ring keeps it: Event.Seq is that of the all-tenant stream.
type entry struct {
	event     Event
	tenantSeq uint64
}

// scope is one tenant's stream.
type scope struct {
	seq           uint64
	subscriptions map[*Subscription]struct{}
}

// NewBus makes an empty bus.
func NewBus(c Config) *Bus {
	if c.Ring <= 0 {
		c.Ring = defaultRing
	}
	if c.Queue <= 0 {
		c.Queue = defaultQueue
	}
	return &Bus{
		queue:   c.Queue,
		ring:    make([]entry, c.Ring),
		tenants: map[string]*scope{},
		all:     map[*Subscription]struct{}{},
	}
}

// Publish makes data an event of a tenant (empty for the system) about an object, and queues it for all whom it
// concerns. It never blocks. It returns the event with the sequence of the all-tenant stream; after Close it does
// nothing and returns the zero Event.
func (b *Bus) Publish(tenant, object string, data Data) Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return Event{}
	}
	s := b.scope(tenant)
	b.seq++
	s.seq++
	e := Event{
		// Made under the lock, so that the order of the IDs is the order of the events.
		ID:     uuid.Must(uuid.NewV7()), // fails only without a source of randomness, where Go itself gives up
		Seq:    b.seq,
		Time:   time.Now(),
		Tenant: tenant,
		Type:   data.EventType(),
		Object: object,
		Data:   data,
	}
	b.ring[(b.seq-1)%uint64(len(b.ring))] = entry{e, s.seq}
	for sub := range b.all {
		b.deliver(sub, e)
	}
	own := e
	own.Seq = s.seq
	for sub := range s.subscriptions {
		b.deliver(sub, own)
	}
	return e
}

// deliver queues e or ends the subscription. The send cannot block: one place beyond the queue is kept for the marker,
// and only the bus, which holds its lock, sends.
func (b *Bus) deliver(sub *Subscription, e Event) {
	if len(sub.events) < cap(sub.events)-1 {
		sub.last = e.ID
		sub.events <- e
		return
	}
	sub.events <- Event{
		ID: e.ID, Seq: e.Seq, Time: e.Time, Tenant: sub.tenant,
		Type: TypeDropped, Data: Dropped{After: sub.last},
	}
	b.end(sub)
}

// end closes the subscription's channel, once.
func (b *Bus) end(sub *Subscription) {
	if sub.ended {
		return
	}
	sub.ended = true
	close(sub.events)
	if sub.tenants {
		delete(b.all, sub)
		return
	}
	delete(b.scope(sub.tenant).subscriptions, sub)
}

// scope returns the stream of a tenant. Streams stay for the life of the bus: their counters must not start anew.
func (b *Bus) scope(tenant string) *scope {
	s := b.tenants[tenant]
	if s == nil {
		s = &scope{subscriptions: map[*Subscription]struct{}{}}
		b.tenants[tenant] = s
	}
	return s
}

// Close ends all subscriptions after what they have queued.
func (b *Bus) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for sub := range b.all {
		b.end(sub)
	}
	for _, s := range b.tenants {
		for sub := range s.subscriptions {
			b.end(sub)
		}
	}
}
