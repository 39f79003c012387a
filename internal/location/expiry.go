package location

import "time"

// Bindings stand in buckets by second, so that expiring costs what expires and nothing is scanned. A bucket is a list
// through the records themselves. A refresh leaves a binding where it is: when the second of its bucket comes, it moves
// to that of its expiry. So each binding moves once in the length of a registration, however often it is refreshed.

const (
	expireAtOnce = 128              // records looked at under one hold of a lock
	expireRow    = 1024             // and without a pause
	expirePause  = time.Millisecond // which leaves the processor to those who wait for it
)

// second is the bucket of a moment: the second that follows it, so that nothing expires early.
func second(at int64) uint32 { return uint32(max(0, at/int64(time.Second)+1)) }

// schedule sees to it that r is looked at by the time of its expiry.
func (s *shard) schedule(r ref) {
	rec := s.record(r)
	// What has expired already goes with the next sweep.
	bucket := max(second(rec.expires), s.swept+1)
	if rec.bucket != 0 && rec.bucket <= bucket {
		return
	}
	s.unschedule(r)
	head := s.buckets[bucket]
	rec.bucket, rec.later, rec.prev = bucket, head, 0
	if head != 0 {
		s.record(head).prev = r
	}
	s.buckets[bucket] = r
}

// unschedule takes r out of its bucket.
func (s *shard) unschedule(r ref) {
	rec := s.record(r)
	if rec.bucket == 0 {
		return
	}
	switch {
	case rec.prev != 0:
		s.record(rec.prev).later = rec.later
	case rec.later != 0:
		s.buckets[rec.bucket] = rec.later
	default:
		delete(s.buckets, rec.bucket)
	}
	if rec.later != 0 {
		s.record(rec.later).prev = rec.prev
	}
	rec.bucket, rec.later, rec.prev = 0, 0, 0
}

// Expire drops the bindings that have expired by now, up to a second late. Run calls it each second. Many that expire
// at once are dropped over some time, so that lookups and updates go on beside it; what has expired is never found.
func (t *Table) Expire(now time.Time) {
	last := uint32(t.since(now) / int64(time.Second))
	seen := 0
	for i := range t.shards {
		s := &t.shards[i]
		for done := false; !done; {
			var n int
			n, done = t.expireSome(s, last)
			if seen += n; seen >= expireRow {
				time.Sleep(expirePause)
				seen = 0
			}
		}
	}
}

// expireSome looks at the bindings whose second has come, some of them. done is false when there are more.
func (t *Table) expireSome(s *shard, last uint32) (n int, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.swept < last {
		if len(s.buckets) == 0 {
			s.swept = last // after a long sleep there is nothing to look for
			break
		}
		for r := s.buckets[s.swept+1]; r != 0; r = s.buckets[s.swept+1] {
			if n == expireAtOnce {
				return n, false
			}
			n++
			rec := s.record(r)
			if second(rec.expires) <= s.swept+1 {
				s.unlink(r, t.hash(rec.aor))
				t.drop(s, r, expired)
				continue
			}
			s.unschedule(r)
			s.schedule(r)
		}
		s.swept++
	}
	return n, true
}
