package transport

import (
	"context"
	"sync"
	"time"
)

const (
	cacheCap    = 4096
	leastTTL    = 5 * time.Second // a TTL of 0 would make each call wait for the DNS
	mostTTL     = time.Hour
	absentTTL   = 30 * time.Second // how long the absence of records is believed at most
	failureTTL  = 5 * time.Second  // after a failure, with nothing remembered
	staleTTL    = 24 * time.Hour   // how long old answers serve while the DNS is gone (RFC 8767 §4)
	staleWait   = 150 * time.Millisecond
	staleRetry  = 30 * time.Second // RFC 8767 §5 advises as much between attempts
	lookupLimit = 5 * time.Second
)

type cacheKey struct {
	name string
	t    RecordType
}

// cacheEntry is what is known about a name: the last answer, and when to ask again.
type cacheEntry struct {
	answer  Answer
	err     error     // when there never was an answer
	fresh   time.Time // until when it is served without asking
	expires time.Time // until when it is served at all
}

// flight is a look-up under way; everybody who needs it waits for the same one.
type flight struct {
	done   chan struct{}
	answer Answer
	err    error
}

// cache remembers answers of the DNS. An answer that has grown old serves on while the DNS is slow or gone.
type cache struct {
	dns    DNS
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	entries map[cacheKey]*cacheEntry
	flights map[cacheKey]*flight
	closed  bool
	wg      sync.WaitGroup
}

func newCache(dns DNS) *cache {
	c := &cache{dns: dns, entries: map[cacheKey]*cacheEntry{}, flights: map[cacheKey]*flight{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c *cache) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}

// known answers from memory, old answers included; it asks the DNS for what is old, and for what is missing, so that
// it is there the next time.
func (c *cache) known(name string, t RecordType) (Answer, error) {
	k := cacheKey{name, t}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[k]
	if e == nil || now.After(e.expires) {
		c.start(k)
		return Answer{}, errUnknown
	}
	if now.After(e.fresh) {
		c.start(k)
	}
	return e.answer, e.err
}

// lookup answers from memory or from the DNS.
func (c *cache) lookup(ctx context.Context, name string, t RecordType) (Answer, error) {
	k := cacheKey{name, t}
	now := time.Now()
	c.mu.Lock()
	e := c.entries[k]
	if e != nil && !now.After(e.fresh) {
		defer c.mu.Unlock()
		return e.answer, e.err
	}
	f := c.start(k)
	c.mu.Unlock()
	if f == nil {
		return Answer{}, ErrClosed
	}
	var patience <-chan time.Time
	if e != nil && e.err == nil && !now.After(e.expires) {
		timer := time.NewTimer(staleWait)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case <-f.done:
		if f.err != nil && patience != nil {
			return e.answer, nil
		}
		return f.answer, f.err
	case <-patience:
		return e.answer, nil
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

// start begins a look-up, or joins the one under way; nil when the cache is closed. The caller holds the lock. The
// look-up does not end with whoever asked for it first.
func (c *cache) start(k cacheKey) *flight {
	if f := c.flights[k]; f != nil {
		return f
	}
	if c.closed {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	c.flights[k] = f
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, lookupLimit)
		defer cancel()
		f.answer, f.err = c.dns.Lookup(ctx, k.name, k.t)
		c.land(k, f)
		close(f.done)
	})
	return f
}

// land remembers what a look-up brought.
func (c *cache) land(k cacheKey, f *flight) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, k)
	old := c.entries[k]
	if f.err != nil {
		switch {
		case old != nil && old.err == nil && now.Before(old.expires):
			old.fresh = now.Add(staleRetry) // served meanwhile
		default:
			c.put(k, &cacheEntry{err: f.err, fresh: now.Add(failureTTL), expires: now.Add(failureTTL)}, now)
		}
		return
	}
	ttl := min(max(f.answer.TTL, leastTTL), mostTTL)
	if f.answer.empty() {
		ttl = min(ttl, absentTTL)
	}
	c.put(k, &cacheEntry{answer: f.answer, fresh: now.Add(ttl), expires: now.Add(ttl + staleTTL)}, now)
}

// put makes room when there is none: what is old goes first, then anything.
func (c *cache) put(k cacheKey, e *cacheEntry, now time.Time) {
	if c.entries[k] == nil && len(c.entries) >= cacheCap {
		for key, old := range c.entries {
			if now.After(old.fresh) {
				delete(c.entries, key)
			}
		}
		for key := range c.entries {
			if len(c.entries) < cacheCap {
				break
			}
			delete(c.entries, key)
		}
	}
	c.entries[k] = e
}
