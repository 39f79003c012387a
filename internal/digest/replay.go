package digest

import "sync"

// Window is how far a nonce count may lag behind the greatest one seen and still be told from a repetition.
const Window = 256

const (
	replayShards = 64
	replayWays   = 8
)

// Replay remembers which counts of which nonce have been used. Its size is fixed: a nonce gets an entry when it is first
// used in credentials that were right, never when it is handed out, so that a flood of requests without a password
// leaves it alone. When entries have to go, the oldest nonce goes, and what went is then stale, never fresh again.
//
// Any goroutine may use it.
type Replay struct {
	lifetime uint32
	buckets  uint64 // per shard, a power of two
	shards   [replayShards]replayShard
}

type replayShard struct {
	mu      sync.Mutex
	buckets []replayBucket
	_       [64]byte // keep the locks of two shards off one cache line
}

// replayBucket holds the nonces whose serial hashes to it.
type replayBucket struct {
	// floor is the serial of the youngest nonce that had to go; those before it that are not in the bucket count as gone.
	// Serials and not times: in one second more nonces may come than the bucket holds.
	floor   uint64
	floored bool
	ways    [replayWays]replayEntry
}

type replayEntry struct {
	serial uint64
	issued uint32 // 0 is an empty entry
	high   uint32
	seen   [Window / 64]uint64 // bit d%Window stands for count d, high-Window < d <= high
}

// NewReplay returns a table for at least the given number of nonces in use at a time, of 48 bytes each. lifetime is
// that of the nonces, in seconds.
func NewReplay(nonces int, lifetime uint32) *Replay {
	r := &Replay{lifetime: lifetime, buckets: 1}
	// Twice the room that is asked for: buckets do not fill evenly.
	for r.buckets*replayShards*replayWays < 2*uint64(max(nonces, 1)) {
		r.buckets *= 2
	}
	for i := range r.shards {
		r.shards[i].buckets = make([]replayBucket, r.buckets)
	}
	return r
}

// Use marks the count of a fresh nonce as used, at the time now in seconds since 1970. It reports false when the count
// was used before, lies too far behind, or is 0, and when the nonce's entry had to give way to others: the party then
// needs a new nonce (stale=true). Call it last, after the response has been verified.
//
// RFC 7616 §3.4: "If the same nc value is seen twice, then the request is a replay."
func (r *Replay) Use(n Nonce, count uint32, now uint32) bool {
	if count == 0 {
		return false
	}
	h := mix(n.Serial)
	s := &r.shards[h%replayShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.buckets[h/replayShards&(r.buckets-1)]
	victim := &b.ways[0]
	for i := range b.ways {
		e := &b.ways[i]
		if e.serial == n.Serial && e.issued == n.Issued && e.issued != 0 {
			return e.use(count)
		}
		if victim.issued != 0 && (e.issued == 0 || isOlder(e.serial, victim.serial)) {
			victim = e
		}
	}
	if b.floored && !isOlder(b.floor, n.Serial) {
		return false
	}
	if victim.issued != 0 && now-victim.issued < r.lifetime {
		b.floored = true
		if isOlder(n.Serial, victim.serial) {
			// The new one is itself the oldest: it gives way.
			b.floor = n.Serial
			return false
		}
		b.floor = victim.serial
	}
	*victim = replayEntry{serial: n.Serial, issued: n.Issued, high: count}
	victim.set(count)
	return true
}

// isOlder tells which of two serials was given first. They begin at a random number and may pass through zero.
func isOlder(a, b uint64) bool { return int64(a-b) < 0 }

func (e *replayEntry) use(count uint32) bool {
	if count > e.high {
		if count-e.high >= Window {
			clear(e.seen[:])
		} else {
			for c := e.high + 1; c < count; c++ {
				e.seen[c%Window/64] &^= 1 << (c % 64)
			}
		}
		e.high = count
		e.set(count)
		return true
	}
	if e.high-count >= Window || e.seen[count%Window/64]&(1<<(count%64)) != 0 {
		return false
	}
	e.set(count)
	return true
}

func (e *replayEntry) set(count uint32) { e.seen[count%Window/64] |= 1 << (count % 64) }

// mix spreads serials, which grow by one, over the shards (the finaliser of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
