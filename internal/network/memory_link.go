package network

import (
	"math/rand/v2"
	"time"
)

// Conditions is how one direction between two hosts behaves. The zero value loses nothing and takes 10 µs.
// Probabilities are 0 to 1.
type Conditions struct {
	Delay  time.Duration // one way
	Jitter time.Duration // added to Delay, evenly spread from 0 to this; order is kept
	Loss   float64       // share of datagrams lost
	// Burst is the mean number of datagrams lost in a row; up to 1, losses are independent of each other. (The model is
	// that of Gilbert: a good state that loses nothing and a bad one that loses all.)
	Burst     float64
	Duplicate float64 // share of datagrams that arrive twice
	Reorder   float64 // share of datagrams held back for ReorderBy, so that later ones overtake them
	ReorderBy time.Duration
	Corrupt   float64 // share of datagrams in which one bit is turned over (streams are spared: TCP sends again)
	// MTU is the longest IP packet; 0 has no limit. A longer datagram is lost, as where fragments are filtered; a
	// stream cuts its segments to fit.
	MTU  int
	Down bool // nothing passes; nobody is told
}

// reorderBy holds when Conditions.ReorderBy is zero: one packet interval of speech.
const reorderBy = 20 * time.Millisecond

// linkKey names one direction between two hosts by their numbers.
type linkKey struct{ from, to int }

// link is the state of one direction.
type link struct {
	key  linkKey
	own  *Conditions // nil: the default of the network
	draw *rand.Rand
	seq  uint64
	last time.Time // when the latest datagram that keeps its place arrives
	bad  bool      // Gilbert's bad state
}

// link finds or makes the state of a direction. The caller holds the lock.
func (m *Memory) link(from, to *Host) *link {
	k := linkKey{from.number, to.number}
	l := m.links[k]
	if l == nil {
		l = &link{key: k, draw: rand.New(rand.NewPCG(m.seed, uint64(k.from)<<32|uint64(k.to)))}
		m.links[k] = l
	}
	return l
}

// conditions of a direction; a host reaches itself without any.
func (m *Memory) conditions(l *link) Conditions {
	switch {
	case l.own != nil:
		return *l.own
	case l.key.from == l.key.to:
		return Conditions{}
	}
	return m.def
}

// Default sets the conditions of all pairs that have none of their own.
func (m *Memory) Default(c Conditions) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.def = c
}

// Link sets the conditions of one direction from now on; what is under way is not touched.
func (m *Memory) Link(from, to *Host, c Conditions) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.link(from, to).own = &c
}

// Between sets the conditions of both directions.
func (m *Memory) Between(a, b *Host, c Conditions) {
	m.Link(a, b, c)
	m.Link(b, a, c)
}

// lost draws whether the next datagram is lost.
func (l *link) lost(c Conditions) bool {
	switch {
	case c.Down || c.Loss >= 1:
		return true
	case c.Loss <= 0:
		l.bad = false
		return false
	case c.Burst <= 1:
		return l.draw.Float64() < c.Loss
	}
	// The bad state is left with probability r = 1/Burst and entered with q, and q/(q+r) must be Loss.
	r := 1 / c.Burst
	q := r * c.Loss / (1 - c.Loss)
	if l.bad {
		l.bad = l.draw.Float64() >= r
	} else {
		l.bad = l.draw.Float64() < q
	}
	return l.bad
}

// arrival draws when something sent now arrives; late ones let others pass.
func (l *link) arrival(c Conditions, now time.Time) time.Time {
	d := c.Delay
	if c.Jitter > 0 {
		d += time.Duration(l.draw.Int64N(int64(c.Jitter) + 1))
	}
	at := now.Add(max(d, minDelay))
	if c.Reorder > 0 && l.draw.Float64() < c.Reorder {
		by := c.ReorderBy
		if by <= 0 {
			by = reorderBy
		}
		return at.Add(by)
	}
	if at.Before(l.last) {
		at = l.last
	}
	l.last = at
	return at
}

// copies draws what arrives of a datagram: its payload, with a bit turned over perhaps, and perhaps a second time.
func (l *link) copies(c Conditions, b []byte) [][]byte {
	one := func() []byte {
		d := append([]byte(nil), b...)
		if c.Corrupt > 0 && len(d) > 0 && l.draw.Float64() < c.Corrupt {
			bit := l.draw.IntN(len(d) * 8)
			d[bit/8] ^= 1 << (bit % 8)
		}
		return d
	}
	out := [][]byte{one()}
	if c.Duplicate > 0 && l.draw.Float64() < c.Duplicate {
		out = append(out, one())
	}
	return out
}
