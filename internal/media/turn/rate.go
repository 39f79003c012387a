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

// gate is one direction of an allocation: its budget in bytes, and what was found about its last peer.
type gate struct {
	mu     sync.Mutex
	budget bucket
	peer   netip.AddrPort
	good   bool
	until  time.Time
}

// verdictTime is how long a verdict on a peer is good: to know our own addresses the system has to be asked.
const verdictTime = 5 * time.Second

// allows reports whether datagrams may go to a peer, or come from it.
func (g *gate) allows(p Policy, peer netip.AddrPort, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if peer != g.peer || !now.Before(g.until) {
		g.peer, g.good, g.until = peer, p.allows(peer), now.Add(verdictTime)
	}
	return g.good
}

// pass counts a datagram; half a second's worth may come at once.
func (g *gate) pass(n, perSecond int, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.budget.take(float64(n), float64(perSecond), float64(max(perSecond/2, 4096)), now)
}
