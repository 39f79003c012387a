// Package location is the location service: which contacts are registered for an address-of-record, over which flow each
// of them is reached, and when they expire. It is a table in memory; a Saver keeps a copy of it for the next start.
//
// It does not decide what a REGISTER may change (registrar does, and hands the result to Table.Update), who may send
// one (auth), or how a request is forwarded. It does not send anything.
//
// An address-of-record is a line. Each of its devices has its own bindings in it, told apart by Binding.Device.
//
// Goroutines: Table.Run has two, one that expires bindings each second and one that saves changes; both end with its
// context. All methods may be called by any goroutine. The table is sharded by address-of-record; no lock is held
// across shards or while saving, nor longer than a few hundred bindings take. Reading and updating never wait for the
// Saver.
//
// Memory: a binding is a record without pointers and one string, some 200 bytes and its texts, so that a million of them
// cost the garbage collector little.
//
// Ordering: updates of one address-of-record happen one after another, and its events are published in that order.
// Time comes in from outside and is compared by the monotonic clock: setting the clock expires nothing.
//
// RFCs: 3261 §10, 5626 (instances and flows), 3327 (Path), 8599 (pn- parameters stay in the contact URI).
package location

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dialtone/internal/directory"
)

// AOR is an address-of-record: a line of a tenant. Whatever names people dial or register for it (the line's number,
// a device's username) lead here.
type AOR struct {
	Tenant directory.ID
	Line   directory.ID
}

// Compare orders by tenant, then by line.
func (a AOR) Compare(b AOR) int {
	if c := a.Tenant.Compare(b.Tenant); c != 0 {
		return c
	}
	return a.Line.Compare(b.Line)
}

// Flow is the way to a contact that its REGISTER came by (RFC 5626 §6): a connection, or the two ends of a UDP path.
type Flow struct {
	Transport directory.Transport
	// ID is the transport's number of the connection; 0 when it is gone (or for a path that needs none).
	ID uint64
	// Local is the zero value where the URI of the contact leads to it and the way of the REGISTER does not: another port.
	Local  netip.AddrPort
	Remote netip.AddrPort // where the REGISTER came from: behind a NAT, the NAT's address
}

// Stream reports whether the flow is a connection.
func (f Flow) Stream() bool { return f.Transport != directory.UDP && f.Transport != "" }

// Leads reports whether requests take the way of the REGISTER; else the URI of the contact says where they go.
func (f Flow) Leads() bool { return f.Stream() || f.Local.IsValid() }

// Binding is one registered contact. It is a value: two are the same registration in the same state when they are ==.
type Binding struct {
	Device  string // username of the device that registered it
	Contact string // the contact's URI as it came, with all its parameters
	// Params are the contact's header parameters as they came (";" first) without expires and q: feature tags, instance
	// and reg-id (RFC 5626 §6 has them stored).
	Params string
	Q      uint16 // preference in thousandths, 0 to 1000
	// Path is the value of the Route header that leads to the contact (RFC 3327); "" when there is none.
	Path string
	// Instance is the value of +sip.instance without quotes and angle brackets; "" when there is none.
	Instance string
	// RegID numbers the flows of an instance; 0 when the contact was not registered by RFC 5626.
	RegID     uint32
	CallID    string
	CSeq      uint32
	UserAgent string
	Flow      Flow
	Created   time.Time // when the contact was first bound
	Updated   time.Time // when its registration was last refreshed
	Expires   time.Time
}

// compareBindings puts those with the higher q first, then those refreshed last.
func compareBindings(a, b Binding) int {
	if c := cmp.Compare(b.Q, a.Q); c != 0 {
		return c
	}
	if c := b.Updated.Compare(a.Updated); c != 0 {
		return c
	}
	return cmp.Compare(a.Contact, b.Contact)
}

// Target is one user agent: the ways that lead to it, the best one first. A request goes to one of them at a time; the
// next is for when the flow has failed (430, or no connection), never for after an answer (RFC 5626 §7).
type Target []Binding

// IsSIP reports whether a SIP request can be sent to the contact. Others may be registered (RFC 3261 §10.2.1), for a
// redirect server to tell.
func (b *Binding) IsSIP() bool {
	scheme, _, _ := strings.Cut(b.Contact, ":")
	return strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips")
}

// Targets groups the bindings that a request can be sent to by user agent, those with the highest q first. Bindings with
// the same device and instance are one agent; one without instance is an agent of its own. Of an agent's ways the one
// refreshed last comes first.
//
// RFC 5626 §7: "The proxy MUST NOT populate the target set with more than one contact with the same AOR and instance-id
// at a time."
func Targets(bindings []Binding) []Target {
	sorted := slices.Clone(bindings)
	slices.SortStableFunc(sorted, compareBindings)
	var targets []Target
next:
	for _, b := range sorted {
		if !b.IsSIP() {
			continue
		}
		if b.Instance != "" {
			for i := range targets {
				if first := &targets[i][0]; first.Instance == b.Instance && first.Device == b.Device {
					targets[i] = append(targets[i], b)
					continue next
				}
			}
		}
		targets = append(targets, Target{b})
	}
	for _, t := range targets {
		slices.SortStableFunc(t, func(a, b Binding) int { return b.Updated.Compare(a.Updated) })
	}
	return targets
}
