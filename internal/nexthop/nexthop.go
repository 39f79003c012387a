// Package nexthop knows the sets of servers that requests are sent on to: which set takes a request, in which order its
// targets are tried, and which of them are alive.
//
// It owns the choice, the health checks and the memory of targets that have failed. It does not own the objects
// (directory), how a request is sent and when the next target is tried (proxy), nor names, which the resolver of the
// transport turns into addresses.
//
// The choice is a pure function (order): priorities first, inside one of them weighted rendezvous hashing. A key always
// meets the same target; one that comes or goes moves only the requests that are its own share. Nothing is random and
// nothing depends on the process, so several edges with the same sets choose alike.
//
// Goroutines: one for each target that is asked with OPTIONS, started and awaited by Run. Choosing takes no lock and
// allocates nothing: it reads an immutable table through an atomic pointer and the flags of each target. Update may be
// called from anywhere; what it says holds from its return.
//
// Ordering: what a check finds out and what requests meet may overtake each other; the last one stands.
//
// RFCs: 2782 (priority and weight), 3261 §11 (OPTIONS), §21.5.4 (Retry-After), 3263 §4.3.
package nexthop

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/event"
)

// Checker asks a target whether it is alive; *Options does. It blocks until it knows.
type Checker interface {
	Check(ctx context.Context, uri string) bool
}

// Publisher is where changes of state are published; *event.Bus does.
type Publisher interface {
	Publish(tenant, object string, data event.Data) event.Event
}

// Config of a Hops.
type Config struct {
	Checker   Checker
	Publisher Publisher // nil: nobody is told
	Log       *slog.Logger
	// Own reports whether a host and port (0: none) are those of a listener that forwards: such a target would be a loop.
	// nil: none are.
	Own func(host []byte, port uint16) bool
	// Draw is a random number from 0 up to 1; nil takes a good one. It spreads the checks.
	Draw func() float64
}

// Hops is all sets.
type Hops struct {
	c       Config
	table   atomic.Pointer[table]
	changed chan struct{}

	mu    sync.Mutex // held while a table is made
	lives map[lifeKey]*life
}

// table is all sets at one moment. It never changes.
type table struct {
	domains map[string][]*Set       // by domain, the longest prefix first
	tenants map[directory.ID][]*Set // those without a domain
	byID    map[directory.ID]*Set
	watched []*life // to be asked
}

// lifeKey tells targets apart over all changes of their set.
type lifeKey struct {
	set directory.ID
	uri string
}

// New makes an empty Hops.
func New(c Config) *Hops {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hops{c: c, changed: make(chan struct{}, 1), lives: map[lifeKey]*life{}}
	h.table.Store(&table{})
	return h
}

// Concerns reports whether changes touch what a table is made of.
func Concerns(changes []directory.Change) bool {
	return slices.ContainsFunc(changes, func(c directory.Change) bool {
		k := c.Object().ObjectKind()
		return k == directory.KindNextHop || k == directory.KindTenant // whose name is in the labels
	})
}

// Update takes the sets of a snapshot over. Targets that were there keep what is known of them.
func (h *Hops) Update(s *directory.Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := &table{domains: map[string][]*Set{}, tenants: map[directory.ID][]*Set{}, byID: map[directory.ID]*Set{}}
	lives := map[lifeKey]*life{}
	for n := range s.AllNextHops() {
		set := h.newSet(s, n, lives)
		t.byID[n.ID] = set
		if n.Domain != "" {
			t.domains[n.Domain] = append(t.domains[n.Domain], set)
		} else {
			t.tenants[n.Tenant] = append(t.tenants[n.Tenant], set)
		}
		for i := range set.targets {
			if l := set.targets[i].life; n.Health == directory.HealthOptions && !set.targets[i].loop {
				t.watched = append(t.watched, l)
			} else {
				l.down.Store(false) // nobody asks: nobody knows
			}
		}
	}
	longest := func(a, b *Set) int { return len(b.prefix) - len(a.prefix) }
	for _, sets := range t.domains {
		slices.SortStableFunc(sets, longest)
	}
	for _, sets := range t.tenants {
		slices.SortStableFunc(sets, longest)
	}
	h.lives = lives
	h.table.Store(t)
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// newSet makes a set; the lives of its targets are those they had.
func (h *Hops) newSet(s *directory.Snapshot, n *directory.NextHop, lives map[lifeKey]*life) *Set {
	set := &Set{ID: n.ID, Patience: n.Patience, prefix: n.Prefix, hash: n.Hash, targets: make([]Target, len(n.Targets))}
	label := n.Name
	if t := s.Tenant(n.Tenant); t != nil && t.Name != directory.DefaultTenant {
		label = t.Name + "/" + n.Name // names have no slash
	}
	for i, t := range n.Targets {
		k := lifeKey{n.ID, t.URI}
		l := h.lives[k]
		if l == nil || l.label != label {
			old := l
			l = &life{hops: h, id: n.ID, tenant: n.Tenant, label: label, uri: t.URI, nudge: make(chan struct{}, 1)}
			l.inherit(old)
		}
		lives[k] = l
		target := Target{URI: t.URI, life: l, priority: t.Priority, weight: t.Weight, drain: t.Drain, hash: hashText(t.URI)}
		if u, ok := hostOf(t.URI); ok && h.c.Own != nil && h.c.Own(u.Host, u.Port) {
			target.loop = true
			h.c.Log.Warn("a next hop leads back here and is not used", "set", label, "target", t.URI)
		}
		set.targets[i] = target
	}
	return set
}

// ForDomain is the set for a foreign domain and a user part; nil: there is none.
func (h *Hops) ForDomain(domain, user []byte) *Set {
	t := h.table.Load()
	if len(t.domains) == 0 {
		return nil
	}
	sets, ok := t.domains[string(domain)]
	if !ok && !isCanonical(domain) { // it seldom is not
		sets = t.domains[directory.CanonicalDomain(string(domain))]
	}
	return longestPrefix(sets, user)
}

func isCanonical(domain []byte) bool {
	for _, c := range domain {
		if c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return len(domain) == 0 || domain[len(domain)-1] != '.'
}

// ForTenant is the set for a user part of a tenant's own domains; nil: there is none.
func (h *Hops) ForTenant(tenant directory.ID, user []byte) *Set {
	t := h.table.Load()
	if len(t.tenants) == 0 {
		return nil
	}
	return longestPrefix(t.tenants[tenant], user)
}

// longestPrefix takes the first that fits: the longest prefixes stand first.
func longestPrefix(sets []*Set, user []byte) *Set {
	for _, s := range sets {
		if len(user) >= len(s.prefix) && string(user[:len(s.prefix)]) == s.prefix {
			return s
		}
	}
	return nil
}

// State is how a target is.
type State struct {
	Set   string // name; behind that of the tenant and a slash for others than the default tenant
	URI   string
	Word  string    // up, down, failed, draining or loop
	Since time.Time // when a check has last changed its mind; zero: never
	// Requests have been sent to it, and Failures of them have met silence, no connection, 408 or 503.
	Requests, Failures uint64
}

// Up reports whether the target is tried in its turn, as far as its life goes.
func (s State) Up() bool { return s.Word == "up" || s.Word == "draining" }

// States tells how the targets of a set are, in its order; nil for an unknown one.
func (h *Hops) States(id directory.ID) []State {
	set := h.table.Load().byID[id]
	if set == nil {
		return nil
	}
	return set.states(nil, time.Now())
}

// All tells how all targets are.
func (h *Hops) All() []State {
	var out []State
	now := time.Now()
	for _, set := range h.table.Load().byID {
		out = set.states(out, now)
	}
	slices.SortFunc(out, func(a, b State) int {
		if c := strings.Compare(a.Set, b.Set); c != 0 {
			return c
		}
		return strings.Compare(a.URI, b.URI)
	})
	return out
}

// Run asks the targets whether they are alive until ctx ends.
func (h *Hops) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	watched := map[*life]context.CancelFunc{}
	for {
		now := map[*life]bool{}
		for _, l := range h.table.Load().watched {
			now[l] = true
			if watched[l] != nil {
				continue
			}
			one, cancel := context.WithCancel(ctx)
			watched[l] = cancel
			wg.Go(func() { h.watch(one, l) })
		}
		for l, cancel := range watched {
			if !now[l] {
				cancel()
				delete(watched, l)
			}
		}
		select {
		case <-h.changed:
		case <-ctx.Done():
			return nil
		}
	}
}
