package location

import "time"

// Bindings stand in buckets by the second in which they expire, so that expiring costs what expires and nothing is
// scanned. A bucket is a list through the records themselves: moving a binding to another second is two pointers.

// second is the bucket of a moment: the second that follows it, so that nothing expires early.
func second(at int64) int64 { return at/int64(time.Second) + 1 }

// schedule puts r into the bucket of its expiry.
func (s *shard) schedule(r *record) {
	// What has expired already goes with the next sweep.
	bucket := max(second(r.expires), s.swept+1)
	if r.bucket == bucket {
		return
	}
	s.unschedule(r)
	head := s.buckets[bucket]
	r.bucket, r.later, r.prev = bucket, head, nil
	if head != nil {
		head.prev = r
	}
	s.buckets[bucket] = r
}

// unschedule takes r out of its bucket.
func (s *shard) unschedule(r *record) {
	if r.bucket == 0 {
		return
	}
	switch {
	case r.prev != nil:
		r.prev.later = r.later
	case r.later != nil:
		s.buckets[r.bucket] = r.later
	default:
		delete(s.buckets, r.bucket)
	}
	if r.later != nil {
		r.later.prev = r.prev
	}
	r.bucket, r.later, r.prev = 0, nil, nil
}

// Expire drops the bindings that have expired by now, up to a second late. Run calls it each second.
func (t *Table) Expire(now time.Time) {
	at := t.since(now)
	last := at / int64(time.Second)
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for s.swept < last {
			if len(s.buckets) == 0 {
				s.swept = last // after a long sleep there is nothing to look for
				break
			}
			s.swept++
			for r := s.buckets[s.swept]; r != nil; {
				later := r.later
				t.remove(s, r.aor, expired, func(x *record) bool { return x == r })
				r = later
			}
		}
		s.mu.Unlock()
	}
}
