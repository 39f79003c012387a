package location

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/directory"
)

// Config connects a Table with the rest. Every field may be left out.
type Config struct {
	Saver     Saver     // keeps a copy for the next start
	Publisher Publisher // hears what happens
	Logger    *slog.Logger
}

// Table holds the bindings.
type Table struct {
	start  time.Time // times in records count from here
	seed   maphash.Seed
	saver  Saver
	events Publisher
	log    *slog.Logger
	count  atomic.Int64
	lastID atomic.Uint64
	shards [shardCount]shard
	flows  [shardCount]flowShard
	save   saving
}

// flowShard says which addresses-of-record have bindings on a connection.
type flowShard struct {
	mu   sync.Mutex
	aors map[uint64]map[AOR]struct{}
}

// New makes an empty table. The times that its methods are given count from now on.
func New(c Config, now time.Time) *Table {
	t := &Table{start: now.Add(-time.Hour), seed: maphash.MakeSeed(), saver: c.Saver, events: c.Publisher, log: c.Logger}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	for i := range t.shards {
		t.shards[i].buckets = map[uint32]ref{}
		t.shards[i].swept = uint32(time.Hour / time.Second)
		t.flows[i].aors = map[uint64]map[AOR]struct{}{}
	}
	return t
}

func (t *Table) since(now time.Time) int64 { return int64(now.Sub(t.start)) }

// Count is the number of bindings.
func (t *Table) Count() int { return int(t.count.Load()) }

// Lookup appends the live bindings of an address-of-record to dst, those with the highest q first, then those refreshed
// last. It allocates only what dst lacks.
func (t *Table) Lookup(dst []Binding, aor AOR, now time.Time) []Binding {
	s, hash := t.shard(aor)
	first := len(dst)
	s.mu.Lock()
	dst = t.live(dst, s, aor, hash, t.since(now))
	s.mu.Unlock()
	if len(dst) > first+1 {
		slices.SortStableFunc(dst[first:], compareBindings)
	}
	return dst
}

// live appends the bindings that have not expired. The shard is locked.
func (t *Table) live(dst []Binding, s *shard, aor AOR, hash uint64, at int64) []Binding {
	for _, r := s.first(aor, hash); r != 0; {
		rec := s.record(r)
		if rec.expires > at {
			dst = append(dst, rec.binding(*s.text(r), t.start))
		}
		r = rec.sibling
	}
	return dst
}

// HasFlow reports whether a live binding of the line was registered from src, address and port: what comes from there
// comes from one of its devices, or from its NAT. It allocates nothing.
func (t *Table) HasFlow(tenant, line directory.ID, src netip.AddrPort, now time.Time) bool {
	aor := AOR{Tenant: tenant, Line: line}
	s, hash := t.shard(aor)
	at, from, zone := t.since(now), addrOf(src), src.Addr().Zone()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := s.first(aor, hash); r != 0; {
		rec := s.record(r)
		if rec.remote == from && rec.expires > at && (from.family != 6 || rec.at(*s.text(r), textRemote) == zone) {
			return true
		}
		r = rec.sibling
	}
	return false
}

// Update changes the bindings of an address-of-record in one step. f is given the live ones and returns those that
// there shall be, or false for "leave everything as it is". It may append to, and reorder, the slice that it is given;
// it runs under a lock, so it must be quick and not call the table. Bindings are told apart by device and contact, flows
// of RFC 5626 by device, instance and reg-id; of two that are the same the last one counts. It reports what f reported.
func (t *Table) Update(aor AOR, now time.Time, f func(current []Binding) (next []Binding, ok bool)) bool {
	s, hash := t.shard(aor)
	at := t.since(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	current := t.live(s.scratch[:0], s, aor, hash, at)
	next, ok := f(current)
	if ok {
		t.apply(s, aor, hash, next, at)
	}
	// The room is used again, but its texts are not kept alive.
	used := max(len(current), len(next))
	if cap(next) > cap(current) {
		current = next
	}
	clear(current[:min(used, cap(current))])
	s.scratch = current[:0]
	return ok
}

// apply makes the records of an address-of-record those of next.
func (t *Table) apply(s *shard, aor AOR, hash uint64, next []Binding, at int64) {
	for _, r := s.first(aor, hash); r != 0; {
		rec := s.record(r)
		sibling := rec.sibling
		if !slices.ContainsFunc(next, func(b Binding) bool { return rec.same(*s.text(r), &b) }) {
			why := unregistered
			if rec.expires <= at {
				why = expired
			}
			s.unlink(r, hash)
			t.drop(s, r, why)
		}
		r = sibling
	}
	for i := range next {
		b := &next[i]
		if !b.fits() {
			continue
		}
		_, r := s.first(aor, hash)
		for r != 0 && !s.record(r).same(*s.text(r), b) {
			r = s.record(r).sibling
		}
		t.put(s, aor, hash, r, b)
	}
}

// put writes a binding into its record r, a new one when r is 0.
func (t *Table) put(s *shard, aor AOR, hash uint64, r ref, b *Binding) {
	fresh := r == 0
	if fresh {
		r = s.take()
		rec := s.record(r)
		rec.aor, rec.id = aor, t.lastID.Add(1)
		s.link(r, hash)
		t.count.Add(1)
	}
	rec, text := s.record(r), s.text(r)
	before := rec.flow
	var what change
	if what, *text = rec.take(b, *text, t.start); what == unchanged && !fresh {
		return
	}
	if fresh {
		what = altered
	}
	s.schedule(r)
	if before != rec.flow {
		t.leaveFlow(before, aor, s, hash)
		t.joinFlow(rec)
	}
	t.changed(s, r, what)
	if fresh {
		t.publish(s, r, registered)
	}
}

// changed notes that r is to be saved.
func (t *Table) changed(s *shard, r ref, what change) {
	if t.saver == nil {
		return
	}
	rec := s.record(r)
	if what == altered {
		rec.marks |= whole
	}
	if rec.marks&dirty == 0 {
		rec.marks |= dirty
		s.dirty = append(s.dirty, r)
	}
}

// drop forgets a record that has been unlinked.
func (t *Table) drop(s *shard, r ref, why ending) {
	rec := s.record(r)
	s.unschedule(r)
	t.count.Add(-1)
	if rec.flow != 0 {
		t.leaveFlow(rec.flow, rec.aor, s, t.hash(rec.aor))
	}
	if rec.marks&saved != 0 {
		s.removed = append(s.removed, rec.id)
	}
	t.publish(s, r, why)
	s.give(r)
}

// remove ends the bindings of an address-of-record that match. The shard is locked.
func (t *Table) remove(s *shard, aor AOR, hash uint64, why ending, match func(*record, string) bool) (n int) {
	for _, r := s.first(aor, hash); r != 0; {
		rec := s.record(r)
		sibling := rec.sibling
		if match(rec, *s.text(r)) {
			s.unlink(r, hash)
			t.drop(s, r, why)
			n++
		}
		r = sibling
	}
	return n
}

// Remove ends the bindings of a device, or with device "" all bindings of the address-of-record: the device or line is
// gone, or an operator wants it to register anew. It returns how many there were.
func (t *Table) Remove(aor AOR, device string) int {
	s, hash := t.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.remove(s, aor, hash, unregistered, func(r *record, text string) bool {
		return device == "" || r.at(text, textDevice) == device
	})
}

// FlowClosed says that a connection is gone. Bindings that can only be reached over it (WebSockets, and flows of RFC
// 5626) end; others lose the flow and are reached by their contact's address.
func (t *Table) FlowClosed(id uint64) {
	if id == 0 {
		return
	}
	fs := &t.flows[id%shardCount]
	fs.mu.Lock()
	aors := fs.aors[id]
	delete(fs.aors, id)
	fs.mu.Unlock()
	for aor := range aors {
		s, hash := t.shard(aor)
		s.mu.Lock()
		for _, r := s.first(aor, hash); r != 0; r = s.record(r).sibling {
			if rec := s.record(r); rec.flow == id && rec.regID == 0 && !isWebSocket(rec.kind) {
				rec.flow = 0
			}
		}
		t.remove(s, aor, hash, flowLost, func(r *record, _ string) bool { return r.flow == id })
		s.mu.Unlock()
	}
}

func isWebSocket(kind uint8) bool {
	return transports[kind] == directory.WS || transports[kind] == directory.WSS
}

// joinFlow notes that the record's address-of-record has a binding on its connection.
func (t *Table) joinFlow(r *record) {
	if r.flow == 0 || transports[r.kind] == directory.UDP {
		return
	}
	fs := &t.flows[r.flow%shardCount]
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.aors[r.flow] == nil {
		fs.aors[r.flow] = map[AOR]struct{}{}
	}
	fs.aors[r.flow][r.aor] = struct{}{}
}

// leaveFlow forgets that note unless another binding of the address-of-record is on the connection. The shard is locked.
func (t *Table) leaveFlow(id uint64, aor AOR, s *shard, hash uint64) {
	if id == 0 {
		return
	}
	for _, r := s.first(aor, hash); r != 0; r = s.record(r).sibling {
		if s.record(r).flow == id {
			return
		}
	}
	fs := &t.flows[id%shardCount]
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.aors[id], aor)
	if len(fs.aors[id]) == 0 {
		delete(fs.aors, id)
	}
}

// Run expires bindings and saves changes until ctx ends; then it saves what is left.
func (t *Table) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	if t.saver != nil {
		wg.Go(func() { t.saveLoop(ctx) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.Expire(time.Now())
		case <-ctx.Done():
			wg.Wait()
			return nil
		}
	}
}
