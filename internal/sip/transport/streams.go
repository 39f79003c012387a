package transport

import (
	"net/netip"
	"sync"
	"time"
)

// streamKey is what a stream may be found by: who is at the other end, and for what name it was opened.
type streamKey struct {
	kind   Kind
	remote netip.AddrPort
	name   string
	role   string
}

// streams are the open ones.
type streams struct {
	mu     sync.Mutex
	limits Limits
	next   uint64
	all    map[uint64]*conn
	byKey  map[streamKey]*conn
	from   map[netip.Addr]int // accepted ones, by address

	count int // of accepted ones
}

func (s *streams) init(l Limits) {
	s.limits = l
	s.all = map[uint64]*conn{}
	s.byKey = map[streamKey]*conn{}
	s.from = map[netip.Addr]int{}
}

// source is what the limit per address counts: an IPv6 host has a whole /64.
func source(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// admit counts an accepted stream before anything is spent on it; release takes it back.
func (s *streams) admit(from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := source(from)
	if s.count >= s.limits.Streams || s.from[a] >= s.limits.StreamsPerAddress {
		return false
	}
	s.from[a]++
	s.count++
	return true
}

func (s *streams) release(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := source(from)
	s.count--
	if s.from[a]--; s.from[a] <= 0 {
		delete(s.from, a)
	}
}

// add gives a stream its number. A stream that was dialled is found by its key; an accepted one by its remote address,
// for targets that ask for no name (RFC 5923: a name must be proved).
func (s *streams) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(c)
}

func (s *streams) addLocked(c *conn) {
	s.next++
	c.f.id = s.next
	s.all[c.f.id] = c
	s.byKey[c.key] = c
}

// find is the open stream with a key, or the one that make makes.
func (s *streams) find(k streamKey, make func() *conn) (c *conn, made bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byKey[k]; c != nil {
		return c, false
	}
	c = make()
	s.addLocked(c)
	return c, true
}

// accepted is the stream that the far end at remote has opened, if any.
func (s *streams) accepted(k Kind, remote netip.AddrPort) *Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byKey[streamKey{kind: k, remote: remote}]; c != nil {
		return c.f
	}
	return nil
}

func (s *streams) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c.f.id)
	if s.byKey[c.key] == c {
		delete(s.byKey, c.key)
	}
}

func (s *streams) byID(id uint64) *Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.all[id]; c != nil {
		return c.f
	}
	return nil
}

func (s *streams) closeAll(why error) {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.all))
	for _, c := range s.all {
		all = append(all, c)
	}
	s.mu.Unlock()
	// At the same time: a TLS stream says good-bye first, for which a far end that is stuck is given five seconds.
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() { c.end(why) })
	}
	wg.Wait()
}

// refusals remember far ends that have no TCP, for ten minutes.
type refusals struct {
	mu sync.Mutex
	m  map[netip.AddrPort]time.Time
}

const (
	refusalAge = 10 * time.Minute
	refusalCap = 4096
)

func (r *refusals) has(a netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.m[a]
	return ok && time.Since(t) < refusalAge
}

func (r *refusals) add(a netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil || len(r.m) >= refusalCap {
		r.m = map[netip.AddrPort]time.Time{}
	}
	r.m[a] = time.Now()
}
