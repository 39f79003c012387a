// Package event is the nervous system of one process: typed publish and subscribe. What happens in the exchange (a
// line registered, a call was answered, an object was changed) is published once and reaches the live pages, webhooks,
// presence and metrics.
//
// It owns the bus, its subscriptions and a bounded ring of the latest events for replay. It does not own what the
// events mean: each publishing package declares its own payload types (Data). Nothing is written to disk; the ring
// starts empty after a restart.
//
// Ordering: Publish gives each event its place. Every subscription sees the events of its scope in that one order, and
// Seq grows by exactly one from each event to the next, be the scope a single tenant or all tenants: a hole in Seq is
// a lost event, always. Seq starts at 1 with each process; ID is unique for ever and sorts by time. Two Publish calls
// that do not know of each other are ordered by who took the bus first.
//
// A publisher never blocks: a subscription whose queue is full is ended there and then. What it had queued is still
// delivered, then one marker event of type TypeDropped, then its channel is closed. The subscriber subscribes again
// after the last ID it has seen and gets what it missed from the ring.
//
// Goroutines: none. All methods are safe for use by several goroutines.
package event

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Data is the payload of an event. Each kind of event has its own type, encoded as one JSON object; a subscriber
// tells them apart with a type switch. A payload is shared by all subscribers: nobody changes it once published.
type Data interface {
	// EventType is the stable, public name, "call.answered": the object's kind, a dot, a verb in the past tense.
	EventType() string
}

// Event is something that has happened.
type Event struct {
	// ID is a UUIDv7: unique, sorts by time, the same in every stream.
	ID uuid.UUID
	// Seq counts the events of the subscription's scope (one tenant or all), from 1, without holes.
	Seq uint64
	// Time is the moment of publication, with millisecond precision when printed.
	Time time.Time
	// Tenant is the identifier of the tenant whose event it is; empty for the system itself.
	Tenant string
	// Type is Data.EventType().
	Type string
	// Object is the identifier of what it happened to: a call, line, device.
	Object string
	// Data is the payload.
	Data Data
}

// TimeLayout is how every time leaves the exchange: RFC 3339 with milliseconds. Its Z is literal: convert to UTC first.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes {id, seq, time, tenant, type, object, data}.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID     uuid.UUID `json:"id"`
		Seq    uint64    `json:"seq"`
		Time   string    `json:"time"`
		Tenant string    `json:"tenant"`
		Type   string    `json:"type"`
		Object string    `json:"object"`
		Data   Data      `json:"data"`
	}{e.ID, e.Seq, e.Time.UTC().Format(TimeLayout), e.Tenant, e.Type, e.Object, e.Data})
}

// TypeDropped is the type of the marker that ends the subscription of a slow reader.
const TypeDropped = "stream.dropped"

// Dropped is the payload of the marker: the subscriber was too slow and events after After were not delivered to it.
type Dropped struct {
	// After is the last event that was delivered, to be given as Scope.After of the next subscription.
	After uuid.UUID `json:"after"`
}

// EventType names the marker.
func (Dropped) EventType() string { return TypeDropped }
