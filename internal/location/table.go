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

const shardCount = 64

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
	shards [shardCount]shard
	flows  [shardCount]flowShard
	save   saving
}

type shard struct {
	mu      sync.Mutex
	aors    map[AOR]*record
	buckets map[int64]*record // by second: the first record that expires in it
	swept   int64             // the last second whose bucket is gone
	scratch []Binding
	dirty   []*record // changed since they were last saved
	removed []RowKey  // removed since then
	_       [64]byte
}

// flowShard says which addresses-of-record have bindings on a connection.
type flowShard struct {
	mu   sync.Mutex
	aors map[uint64][]AOR
}

// New makes an empty table. The times that its methods are given count from now on.
func New(c Config, now time.Time) *Table {
	t := &Table{start: now.Add(-time.Hour), seed: maphash.MakeSeed(), saver: c.Saver, events: c.Publisher, log: c.Logger}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	for i := range t.shards {
		t.shards[i].aors = map[AOR]*record{}
		t.shards[i].buckets = map[int64]*record{}
		t.shards[i].swept = int64(time.Hour / time.Second)
		t.flows[i].aors = map[uint64][]AOR{}
	}
	return t
}

func (t *Table) shard(aor AOR) *shard { return &t.shards[maphash.Comparable(t.seed, aor)%shardCount] }

func (t *Table) since(now time.Time) int64 { return int64(now.Sub(t.start)) }

// Count is the number of bindings.
func (t *Table) Count() int { return int(t.count.Load()) }

// Lookup appends the live bindings of an address-of-record to dst, those with the highest q first, then those refreshed
// last. It allocates only what dst lacks.
func (t *Table) Lookup(dst []Binding, aor AOR, now time.Time) []Binding {
	s := t.shard(aor)
	at := t.since(now)
	first := len(dst)
	s.mu.Lock()
	for r := s.aors[aor]; r != nil; r = r.sibling {
		if r.expires > at {
			dst = append(dst, r.binding(t.start))
		}
	}
	s.mu.Unlock()
	if len(dst) > first+1 {
		slices.SortStableFunc(dst[first:], compareBindings)
	}
	return dst
}

// HasFlow reports whether a live binding of the line was registered from src, address and port: what comes from there
// comes from one of its devices, or from its NAT. It allocates nothing.
func (t *Table) HasFlow(tenant, line directory.ID, src netip.AddrPort, now time.Time) bool {
	aor := AOR{Tenant: tenant, Line: line}
	s := t.shard(aor)
	at := t.since(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := s.aors[aor]; r != nil; r = r.sibling {
		if r.remote == src && r.expires > at {
			return true
		}
	}
	return false
}

// Update changes the bindings of an address-of-record in one step. f is given the live ones and returns those that
// there shall be, or false for "leave everything as it is". It may append to, and reorder, the slice that it is given;
// it runs under a lock, so it must be quick and not call the table. Bindings are told apart by device and contact, flows
// of RFC 5626 by device, instance and reg-id; of two that are the same the last one counts. It reports what f reported.
func (t *Table) Update(aor AOR, now time.Time, f func(current []Binding) (next []Binding, ok bool)) bool {
	s := t.shard(aor)
	at := t.since(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.scratch[:0]
	for r := s.aors[aor]; r != nil; r = r.sibling {
		if r.expires > at {
			current = append(current, r.binding(t.start))
		}
	}
	next, ok := f(current)
	if ok {
		t.apply(s, aor, next, at)
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
func (t *Table) apply(s *shard, aor AOR, next []Binding, at int64) {
	for link, r := (*record)(nil), s.aors[aor]; r != nil; {
		sibling := r.sibling
		if slices.ContainsFunc(next, func(b Binding) bool { return r.same(&b) }) {
			link = r
		} else {
			why := unregistered
			if r.expires <= at {
				why = expired
			}
			t.unlink(s, link, r)
			t.drop(s, r, why)
		}
		r = sibling
	}
	for i := range next {
		b := &next[i]
		if !b.fits() {
			continue
		}
		r := s.aors[aor]
		for r != nil && !r.same(b) {
			r = r.sibling
		}
		if r != nil && r.binding(t.start) == *b {
			continue
		}
		t.put(s, aor, r, b)
	}
}

// put writes a binding into its record r, a new one when r is nil.
func (t *Table) put(s *shard, aor AOR, r *record, b *Binding) {
	fresh := r == nil
	if fresh {
		r = &record{aor: aor, sibling: s.aors[aor]}
		s.aors[aor] = r
		t.count.Add(1)
	}
	before := r.flow
	r.set(b, t.start)
	s.schedule(r)
	if before != r.flow {
		t.leaveFlow(before, aor, s)
		t.joinFlow(r)
	}
	if t.saver != nil && !r.dirty {
		r.dirty = true
		s.dirty = append(s.dirty, r)
	}
	if fresh {
		t.publish(r, registered)
	}
}

// unlink takes r, which follows link (nil: it is the first), out of the list of its address-of-record.
func (t *Table) unlink(s *shard, link, r *record) {
	switch {
	case link != nil:
		link.sibling = r.sibling
	case r.sibling != nil:
		s.aors[r.aor] = r.sibling
	default:
		delete(s.aors, r.aor)
	}
}

// drop forgets a record that has been unlinked.
func (t *Table) drop(s *shard, r *record, why ending) {
	r.sibling, r.dead = nil, true
	s.unschedule(r)
	t.count.Add(-1)
	if r.flow != 0 {
		t.leaveFlow(r.flow, r.aor, s)
	}
	if t.saver != nil {
		s.removed = append(s.removed, r.key())
	}
	t.publish(r, why)
}

// remove unlinks and drops the records of an address-of-record that match. The shard is locked.
func (t *Table) remove(s *shard, aor AOR, why ending, match func(*record) bool) {
	for link, r := (*record)(nil), s.aors[aor]; r != nil; {
		sibling := r.sibling
		if match(r) {
			t.unlink(s, link, r)
			t.drop(s, r, why)
		} else {
			link = r
		}
		r = sibling
	}
}

// Remove ends the bindings of a device, or with device "" all bindings of the address-of-record: the device or line is
// gone, or an operator wants it to register anew. It returns how many there were.
func (t *Table) Remove(aor AOR, device string) int {
	s := t.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	t.remove(s, aor, unregistered, func(r *record) bool {
		if device == "" || r.at(textDevice) == device {
			n++
			return true
		}
		return false
	})
	return n
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
	for _, aor := range aors {
		s := t.shard(aor)
		s.mu.Lock()
		for r := s.aors[aor]; r != nil; r = r.sibling {
			if r.flow == id && r.regID == 0 && !isWebSocket(r.kind) {
				r.flow = 0
			}
		}
		t.remove(s, aor, flowLost, func(r *record) bool { return r.flow == id })
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
	if list := fs.aors[r.flow]; !slices.Contains(list, r.aor) {
		fs.aors[r.flow] = append(list, r.aor)
	}
}

// leaveFlow forgets that note unless another binding of the address-of-record is on the connection. The shard is locked.
func (t *Table) leaveFlow(id uint64, aor AOR, s *shard) {
	if id == 0 {
		return
	}
	for r := s.aors[aor]; r != nil; r = r.sibling {
		if r.flow == id {
			return
		}
	}
	fs := &t.flows[id%shardCount]
	fs.mu.Lock()
	defer fs.mu.Unlock()
	list := fs.aors[id]
	if i := slices.Index(list, aor); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(fs.aors, id)
		return
	}
	fs.aors[id] = list
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
