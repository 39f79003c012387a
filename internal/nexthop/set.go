package nexthop

import (
	"math"
	"math/rand/v2"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/sip"
)

// Set is a set as it is configured now. It never changes; the lives of its targets do.
type Set struct {
	ID directory.ID
	// Patience is how long an INVITE waits for any response before the next target is tried.
	Patience time.Duration

	prefix  string
	hash    directory.HopHash
	targets []Target
}

// Target is one server of a set.
type Target struct {
	URI string // a SIP URI without user part

	life             *life
	priority, weight int
	drain, loop      bool
	hash             uint64
}

// maxTargets is how many targets a set has at most; the directory sees to it.
const maxTargets = 64

// Key is what the targets are chosen by for a request. With lots drawn for each request it is another one each time.
func (s *Set) Key(m *sip.Message) uint64 {
	if s.hash == directory.HashNone {
		return rand.Uint64()
	}
	return s.SteadyKey(m)
}

// SteadyKey is Key for a server without state, where a repetition must go the same way (RFC 3261 §16.11): instead of lots
// the Call-ID decides.
func (s *Set) SteadyKey(m *sip.Message) uint64 {
	if s.hash == directory.HashSource {
		a := m.Received.Addr().As16()
		return hashBytes(a[:])
	}
	return hashBytes(m.CallID())
}

// Any reports whether f holds for the URI of one of the targets.
func (s *Set) Any(f func(uri string) bool) bool {
	for i := range s.targets {
		if f(s.targets[i].URI) {
			return true
		}
	}
	return false
}

// Order appends the targets for a key in the order in which they are to be tried. What has begun, a request inside a
// dialog, also goes to targets that get nothing new. It may append nothing.
func (s *Set) Order(dst []*Target, key uint64, begun bool, now time.Time) []*Target {
	var room [maxTargets]candidate
	candidates := room[:0]
	for i := range s.targets {
		t := &s.targets[i]
		candidates = append(candidates, candidate{
			priority: t.priority, weight: t.weight, hash: t.hash,
			out: t.loop || t.drain && !begun, last: !t.life.isAlive(now),
		})
	}
	var places [maxTargets]uint8
	for _, i := range order(places[:0], candidates, key) {
		dst = append(dst, &s.targets[i])
	}
	return dst
}

// candidate is what the choice knows of a target.
type candidate struct {
	priority, weight int
	hash             uint64
	out              bool // not to be tried at all
	last             bool // tried when no other is left
}

// order appends the places of the candidates in the order in which they are tried: those that are alive first, of these
// the lowest priority, and inside one the highest score. A set whose targets are all dead is tried nevertheless.
func order(dst []uint8, candidates []candidate, key uint64) []uint8 {
	var scores [maxTargets]float64
	for i := range candidates {
		c := &candidates[i]
		if c.out {
			continue
		}
		scores[i] = score(key, c.hash, c.weight)
		at := len(dst)
		dst = append(dst, 0)
		for ; at > 0 && before(candidates, &scores, i, int(dst[at-1])); at-- {
			dst[at] = dst[at-1]
		}
		dst[at] = uint8(i)
	}
	return dst
}

func before(candidates []candidate, scores *[maxTargets]float64, i, j int) bool {
	a, b := &candidates[i], &candidates[j]
	switch {
	case a.last != b.last:
		return b.last
	case a.priority != b.priority:
		return a.priority < b.priority
	}
	return scores[i] > scores[j]
}

// score is that of weighted rendezvous hashing: among targets with the weights w the one with the highest -w/ln(u), u even
// between 0 and 1, is the i-th with probability w[i]/sum(w), and no target's score depends on another one.
func score(key, target uint64, weight int) float64 {
	u := (float64(mix(key^target)>>11) + 0.5) / (1 << 53)
	return -float64(weight) / math.Log(u)
}

// mix is the finalizer of splitmix64: each bit of the input moves half of the output.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// hashBytes is FNV-1a, mixed. It has no seed: other servers with the same sets must choose alike. Whoever makes up his
// Call-IDs may choose his target among those that everybody is sent to, and nothing else.
func hashBytes(b []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return mix(h)
}

func hashText(s string) uint64 { return hashBytes([]byte(s)) }

func hostOf(uri string) (sip.URI, bool) {
	u, err := sip.ParseURI([]byte(uri))
	return u, err == nil
}

func (s *Set) states(dst []State, now time.Time) []State {
	for i := range s.targets {
		t := &s.targets[i]
		state := State{Set: t.life.label, URI: t.URI, Word: "up", Requests: t.life.requests.Load(), Failures: t.life.failures.Load()}
		if ms := t.life.since.Load(); ms != 0 {
			state.Since = time.UnixMilli(ms)
		}
		switch {
		case t.loop:
			state.Word = "loop"
		case t.life.down.Load():
			state.Word = "down"
		case t.life.hasFailed(now):
			state.Word = "failed"
		case t.drain:
			state.Word = "draining"
		}
		dst = append(dst, state)
	}
	return dst
}
