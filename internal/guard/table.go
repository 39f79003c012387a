package guard

import (
	"sync"
	"sync/atomic"
)

const (
	tableShards = 64
	tableWays   = 8
)

// valued is what a table asks of its entries: worth is 0 for one that holds nothing worth keeping.
type valued[E any] interface {
	*E
	worth(now int64) int64
}

// table is a hash table of fixed size: shards with a lock each, buckets of eight entries, and in a full bucket the entry
// that is worth least gives way.
type table[E any, P valued[E]] struct {
	mask   uint64 // buckets per shard, less one
	shards [tableShards]shard[E]
}

type shard[E any] struct {
	sync.Mutex
	buckets []bucket[E]
	counts  [reasonCount]atomic.Uint64
	_       [64]byte // keep the locks of two shards off one cache line
}

// bucket holds entries; key 0 is an empty place.
type bucket[E any] struct {
	keys    [tableWays]uint64
	entries [tableWays]E
}

// newTable makes room for at least n entries.
func newTable[E any, P valued[E]](n int) *table[E, P] {
	buckets := 1
	for buckets*tableShards*tableWays < n {
		buckets *= 2
	}
	t := &table[E, P]{mask: uint64(buckets - 1)}
	for i := range t.shards {
		t.shards[i].buckets = make([]bucket[E], buckets)
	}
	return t
}

// place is a locked shard with the bucket that a hash falls into.
type place[E any, P valued[E]] struct {
	*shard[E]
	in *bucket[E]
}

// lock locks the shard of a hash. The caller unlocks it.
func (t *table[E, P]) lock(hash uint64) place[E, P] {
	s := &t.shards[hash%tableShards]
	s.Lock()
	return place[E, P]{s, &s.buckets[hash/tableShards&t.mask]}
}

// find is the entry of a key, nil when there is none.
func (p place[E, P]) find(key uint64) *E {
	for i, k := range p.in.keys {
		if k == key {
			return &p.in.entries[i]
		}
	}
	return nil
}

// enter is the entry of a key, a new one when there is none.
func (p place[E, P]) enter(key uint64, now int64) *E {
	if e := p.find(key); e != nil {
		return e
	}
	victim, least := 0, int64(-1)
	for i, k := range p.in.keys {
		if k == 0 {
			victim = i
			break
		}
		if w := P(&p.in.entries[i]).worth(now); least < 0 || w < least {
			victim, least = i, w
		}
	}
	p.in.keys[victim] = key
	e := &p.in.entries[victim]
	var zero E
	*e = zero
	return e
}

// remove forgets a key.
func (p place[E, P]) remove(key uint64) {
	for i, k := range p.in.keys {
		if k == key {
			var zero E
			p.in.keys[i], p.in.entries[i] = 0, zero
		}
	}
}

// each calls f for every entry, one shard locked at a time.
func (t *table[E, P]) each(f func(key uint64, e *E)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.Lock()
		for j := range s.buckets {
			b := &s.buckets[j]
			for w, k := range b.keys {
				if k != 0 {
					f(k, &b.entries[w])
				}
			}
		}
		s.Unlock()
	}
}
