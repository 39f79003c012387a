package location

import (
	"hash/maphash"
	"sync"
)

const shardCount = 64

// shard is a part of the table under one lock.
type shard struct {
	mu      sync.Mutex
	chunks  []*chunk
	used    ref // records that were ever in use
	free    ref // first of those that are free again
	index   index
	buckets map[uint32]ref // by second: the first record that is looked at in it
	swept   uint32         // the last second whose bucket is gone
	scratch []Binding
	dirty   []ref    // changed since they were last saved
	removed []uint64 // removed since then, by id
	_       [64]byte
}

// Records stand in chunks, which never move. Only the texts are pointers.
const chunkRecords = 64

type chunk struct {
	records [chunkRecords]record
	texts   [chunkRecords]string
}

func (t *Table) hash(aor AOR) uint64 { return maphash.Comparable(t.seed, aor) }

// shard returns the shard of an address-of-record, and the hash of it.
func (t *Table) shard(aor AOR) (*shard, uint64) {
	hash := t.hash(aor)
	return &t.shards[hash%shardCount], hash
}

func (s *shard) record(r ref) *record {
	return &s.chunks[(r-1)/chunkRecords].records[(r-1)%chunkRecords]
}

func (s *shard) text(r ref) *string { return &s.chunks[(r-1)/chunkRecords].texts[(r-1)%chunkRecords] }

// first returns the first binding of an address-of-record, 0 when there is none, and its place in the index.
func (s *shard) first(aor AOR, hash uint64) (place int, r ref) {
	return s.index.find(hash, func(r ref) bool { return s.record(r).aor == aor })
}

// take returns a record that is not in use, all zero.
func (s *shard) take() ref {
	if r := s.free; r != 0 {
		rec := s.record(r)
		s.free, rec.sibling = rec.sibling, 0
		return r
	}
	if int(s.used) == len(s.chunks)*chunkRecords {
		s.chunks = append(s.chunks, new(chunk))
	}
	s.used++
	return s.used
}

// give takes a record back.
func (s *shard) give(r ref) {
	*s.text(r) = ""
	*s.record(r) = record{sibling: s.free}
	s.free = r
}

// link makes r the first binding of its address-of-record.
func (s *shard) link(r ref, hash uint64) {
	rec := s.record(r)
	if place, head := s.first(rec.aor, hash); head != 0 {
		rec.sibling = head
		s.index.set(place, r)
		return
	}
	s.index.add(hash, r)
}

// unlink takes r out of the list of its address-of-record.
func (s *shard) unlink(r ref, hash uint64) {
	rec := s.record(r)
	place, head := s.first(rec.aor, hash)
	switch {
	case head != r:
		before := s.record(head)
		for before.sibling != r {
			before = s.record(before.sibling)
		}
		before.sibling = rec.sibling
	case rec.sibling != 0:
		s.index.set(place, rec.sibling)
	default:
		s.index.remove(place)
	}
	rec.sibling = 0
}
