package turn

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// bucket is a budget that fills with time. The zero value is full.
type bucket struct {
	spent float64 // of the burst
	at    time.Time
}

// take spends n and reports whether there was enough.
func (b *bucket) take(n, perSecond, burst float64, now time.Time) bool {
	if !b.at.IsZero() {
		b.spent = max(0, b.spent-perSecond*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.spent+n > burst {
		return false
	}
	b.spent += n
	return true
}

// sources are the budgets of all sources in a table of fixed size. Sources that fall on one place share it: what a place
// holds is enough for several, and where it falls nobody outside knows.
type sources struct {
	perSecond, burst float64
	seed             maphash.Seed
	shards           [sourceShards]guarded[[sourcePlaces]bucket]
}

const (
	sourceShards = 16
	sourcePlaces = 512
)

func newSources(perSecond, burst int) *sources {
	return &sources{perSecond: float64(perSecond), burst: float64(burst), seed: maphash.MakeSeed()}
}

// admit counts one message of a source.
func (t *sources) admit(a netip.Addr, now time.Time) bool {
	h := maphash.Comparable(t.seed, sourceKey(a))
	shard := &t.shards[h%sourceShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return shard.v[h/sourceShards%sourcePlaces].take(1, t.perSecond, t.burst, now)
}

// throttle is the budget of one direction of an allocation, in bytes.
type throttle struct {
	mu sync.Mutex
	bucket
}

// pass counts a datagram; half a second's worth may come at once.
func (t *throttle) pass(n, perSecond int, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.take(float64(n), float64(perSecond), float64(max(perSecond/2, 4096)), now)
}
