// Package guard stands at the door: it decides from the source address alone, before anything is parsed, whether a
// message is looked at. It owns the request budget of each source, the bans of those who guess passwords or flood, the
// list of trusted networks, and the names of well-known scanners.
//
// It does not know who a message is from (auth says whether a password was right), does not answer anything, and keeps
// nothing across a restart.
//
// A source is an IPv4 address or an IPv6 /64: what one party can change at will counts as one. Tables have a fixed size
// whatever arrives; when room is needed, those go first about whom nothing is known that matters, banned ones last.
// A ban is for strangers: a flow (address and port) on which somebody has authenticated goes on working when its
// neighbour behind the same NAT is banned, and the more such flows a source has, the more mistakes it may make. New flows
// of such a source get a trickle of requests in, so that a phone whose port has changed finds its way back.
//
// Goroutines: none; all methods may be called by any. Ordering: none between sources. Time comes in from outside and
// only differences of it count, so that a clock that is set changes nothing.
package guard

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"slices"
	"time"
)

// Verdict is what happens to a message.
type Verdict uint8

// The verdicts. Everything but Admitted means: drop it without an answer.
const (
	Admitted Verdict = iota
	OverRate
	Banned
)

// Reason names why messages were refused or a source banned: the label of a metric.
type Reason uint8

// The reasons.
const (
	ReasonRate     Reason = iota // over the budget of requests
	ReasonBan                    // from a banned source
	ReasonScanner                // the User-Agent of a scanner
	ReasonPassword               // wrong passwords: counts bans, not messages
	ReasonFlood                  // over the budget for long: counts bans, not messages
	ReasonProbe                  // many challenges and never a success: counts bans, not messages
	ReasonOperator               // banned by hand: counts bans, not messages
	ReasonOverload               // refused with 503: counted by Overload, not here
	ReasonSmall                  // a request of an unknown source that is much shorter than its answer
	reasonCount
)

// String is the label of the metric.
func (r Reason) String() string {
	return [...]string{"rate", "ban", "scanner", "password", "flood", "probe", "operator", "overload", "small"}[r]
}

// Config says how much a source may do. Zero fields take the defaults in brackets.
type Config struct {
	RequestsPerSecond int            // per source [50]
	Burst             int            // at once [twice RequestsPerSecond]
	FailuresPerMinute int            // wrong passwords per source [5]
	FirstBan          time.Duration  // [1 min]; each further one lasts twice as long
	LongestBan        time.Duration  // [1 h]
	Probes            int            // challenges that a source may leave unanswered, besides one a second [300]
	Trusted           []netip.Prefix // neither limited nor banned
	Sources           int            // how many sources are remembered at a time [65536]
	// Began is told of every ban as it begins, on the goroutine that has brought it about. It must be quick. [nobody]
	Began func(Ban)
}

// Guard is the door.
type Guard struct {
	limits  limits
	trusted []netip.Prefix
	began   func(Ban)
	start   time.Time
	seed    maphash.Seed
	sources *table[source, *source]
	flows   *table[flow, *flow]
}

// New makes a guard. The times that its methods are given count from now on.
func New(c Config, now time.Time) (*Guard, error) {
	if c.RequestsPerSecond < 0 || c.FailuresPerMinute < 0 || c.FirstBan < 0 || c.LongestBan < 0 || c.Sources < 0 ||
		c.Burst < 0 || c.Probes < 0 {
		return nil, errors.New("guard: limits may not be negative")
	}
	orInt := func(v, otherwise int) int {
		if v == 0 {
			return otherwise
		}
		return v
	}
	c.Sources, c.Probes = orInt(c.Sources, 1<<16), orInt(c.Probes, 300)
	c.RequestsPerSecond, c.FailuresPerMinute = orInt(c.RequestsPerSecond, 50), orInt(c.FailuresPerMinute, 5)
	c.Burst = orInt(c.Burst, 2*c.RequestsPerSecond)
	c.FirstBan = time.Duration(orInt(int(c.FirstBan), int(time.Minute)))
	c.LongestBan = time.Duration(orInt(int(c.LongestBan), int(time.Hour)))
	g := &Guard{
		limits: newLimits(&c),
		began:  c.Began,
		// An hour ahead of zero, so that 0 in a table always lies in the past.
		start:   now.Add(-time.Hour),
		seed:    maphash.MakeSeed(),
		sources: newTable[source, *source](c.Sources),
		flows:   newTable[flow, *flow](2 * c.Sources),
	}
	for _, p := range c.Trusted {
		if !p.IsValid() {
			return nil, errors.New("guard: trusted network is not valid")
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		g.trusted = append(g.trusted, p.Masked())
	}
	return g, nil
}

// since turns a time into nanoseconds, by the monotonic clock where there is one.
func (g *Guard) since(now time.Time) int64 { return int64(now.Sub(g.start)) }

// lockSource locks the part of the table that the source of addr is in. The caller unlocks it.
func (g *Guard) lockSource(addr netip.Addr) (p place[source, *source], key uint64) {
	key = sourceKey(addr)
	return g.sources.lock(maphash.Comparable(g.seed, key)), key
}

// Trusted reports whether addr is neither limited nor banned.
func (g *Guard) Trusted(addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, p := range g.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Admit decides about one message from src and takes it off the source's budget. It is called for every datagram
// before it is parsed: it allocates nothing.
func (g *Guard) Admit(src netip.AddrPort, now time.Time) Verdict {
	addr := src.Addr().Unmap()
	if g.Trusted(addr) {
		return Admitted
	}
	t := g.since(now)
	s, key := g.lockSource(addr)
	e := s.enter(key, t)
	v, began := e.request(t, &g.limits)
	good := v != Admitted && e.shares(t) > 1
	var ban Ban
	if began {
		ban = g.banOf(key, e, t, now)
	}
	s.Unlock()
	if v == Admitted || good && g.flowAdmits(src, t, v == Banned) {
		return Admitted
	}
	if began {
		s.counts[ReasonFlood].Add(1)
		g.tell(ban)
	}
	if v == OverRate {
		s.counts[ReasonRate].Add(1)
	} else {
		s.counts[ReasonBan].Add(1)
	}
	return v
}

// flowAdmits decides about a message that its source may not send any more: a flow on which somebody has
// authenticated has a budget of its own, so that it suffers neither from a ban nor from a flood of its neighbours. Of the
// others, those that have done nothing share a trickle while the source is banned.
func (g *Guard) flowAdmits(src netip.AddrPort, t int64, banned bool) bool {
	key := g.flowKey(src)
	f := g.flows.lock(key)
	e := f.find(key)
	admitted, barred := e != nil && e.request(t, &g.limits), e != nil && e.isBarred(t)
	isNew := e == nil || !e.isGood(t)
	f.Unlock()
	if admitted || !banned || barred || !isNew {
		return admitted
	}
	s, sourceKey := g.lockSource(src.Addr().Unmap())
	defer s.Unlock()
	return s.enter(sourceKey, t).newcomer(t)
}

// AuthPassed says that somebody has authenticated on the flow src: digest, certificate or a configured address.
func (g *Guard) AuthPassed(src netip.AddrPort, now time.Time) {
	addr := src.Addr().Unmap()
	if g.Trusted(addr) {
		return
	}
	t := g.since(now)
	fk := g.flowKey(src)
	f := g.flows.lock(fk)
	f.enter(fk, t).passed = t
	f.Unlock()
	s, key := g.lockSource(addr)
	s.enter(key, t).pass(t, fk)
	s.Unlock()
}

// Vouched reports whether src is trusted, or a flow on which somebody has authenticated: whoever is there receives what
// is sent there.
func (g *Guard) Vouched(src netip.AddrPort, now time.Time) bool {
	if g.Trusted(src.Addr()) {
		return true
	}
	key := g.flowKey(src)
	f := g.flows.lock(key)
	defer f.Unlock()
	e := f.find(key)
	return e != nil && e.isGood(g.since(now))
}

// AuthFailed says that src sent credentials that are wrong. Call it only where src has shown that it receives what is
// sent to it (the credentials answer a challenge of ours, or the transport is a stream): otherwise anybody could have
// others banned by writing their address on packets. It reports whether a ban began.
func (g *Guard) AuthFailed(src netip.AddrPort, now time.Time) bool {
	return g.fail(src, now, ReasonPassword)
}

// Challenged says that src was sent a challenge. A source that collects hundreds of them and never succeeds looks for
// extensions, under whatever name; it is banned unless it has good flows. It reports whether a ban began.
func (g *Guard) Challenged(src netip.AddrPort, now time.Time) bool {
	addr := src.Addr().Unmap()
	if g.Trusted(addr) {
		return false
	}
	t := g.since(now)
	s, key := g.lockSource(addr)
	e := s.enter(key, t)
	began := e.challenge(t, &g.limits)
	var ban Ban
	if began {
		ban = g.banOf(key, e, t, now)
	}
	s.Unlock()
	if began {
		s.counts[ReasonProbe].Add(1)
		g.tell(ban)
	}
	return began
}

// Scanned looks at a User-Agent value and reports whether it is a scanner's, whose requests are not answered. Such a
// request counts like a wrong password.
func (g *Guard) Scanned(src netip.AddrPort, userAgent []byte, now time.Time) bool {
	if !IsScanner(userAgent) || g.Trusted(src.Addr()) {
		return false
	}
	g.fail(src, now, ReasonScanner)
	return true
}

func (g *Guard) fail(src netip.AddrPort, now time.Time, why Reason) bool {
	addr := src.Addr().Unmap()
	if g.Trusted(addr) {
		return false
	}
	t := g.since(now)
	s, key := g.lockSource(addr)
	e := s.enter(key, t)
	began := e.fail(t, why, &g.limits)
	var ban Ban
	if began {
		ban = g.banOf(key, e, t, now)
	}
	if began || why == ReasonScanner {
		s.counts[why].Add(1)
	}
	s.Unlock()
	if began {
		// The flow that brought the ban about does not profit from an earlier success.
		fk := g.flowKey(src)
		f := g.flows.lock(fk)
		f.enter(fk, t).passed = -(t + int64(ban.Until.Sub(now)))
		f.Unlock()
		g.tell(ban)
	}
	return began
}

// Ban is a ban in force.
type Ban struct {
	Source netip.Prefix
	Until  time.Time
	Reason Reason
	Count  int // how many bans the source has had of late, this one included
}

// Banned lists the bans in force, those that end last first.
func (g *Guard) Banned(now time.Time) []Ban {
	t := g.since(now)
	var list []Ban
	g.sources.each(func(key uint64, e *source) {
		if e.ban > t {
			list = append(list, g.banOf(key, e, t, now))
		}
	})
	slices.SortFunc(list, func(a, b Ban) int {
		if c := b.Until.Compare(a.Until); c != 0 {
			return c
		}
		return a.Source.Compare(b.Source)
	})
	return list
}

// banOf describes the ban of an entry, whose shard is locked.
func (g *Guard) banOf(key uint64, e *source, t int64, now time.Time) Ban {
	return Ban{Source: sourcePrefix(key), Until: now.Add(time.Duration(e.ban - t)), Reason: e.why, Count: int(e.strikes)}
}

func (g *Guard) tell(b Ban) {
	if g.began != nil {
		g.began(b)
	}
}

// Source is what an address counts as: itself for IPv4, its /64 for IPv6.
func Source(addr netip.Addr) netip.Prefix { return sourcePrefix(sourceKey(addr.Unmap())) }

// Ban bans a source by hand, even one with authenticated flows, which go on. A ban of a trusted source has no effect.
func (g *Guard) Ban(addr netip.Addr, d time.Duration, now time.Time) Ban {
	addr, t := addr.Unmap(), g.since(now)
	s, key := g.lockSource(addr)
	e := s.enter(key, t)
	e.ban, e.why = t+int64(d), ReasonOperator
	ban := g.banOf(key, e, t, now)
	s.Unlock()
	s.counts[ReasonOperator].Add(1)
	g.tell(ban)
	return ban
}

// Unban forgets everything about a source. It reports whether it was banned.
func (g *Guard) Unban(addr netip.Addr, now time.Time) bool {
	addr, t := addr.Unmap(), g.since(now)
	s, key := g.lockSource(addr)
	defer s.Unlock()
	was := s.enter(key, t).ban > t
	s.remove(key)
	return was
}

// Counts is how often each reason has applied so far.
func (g *Guard) Counts() map[Reason]uint64 {
	sum := make(map[Reason]uint64, reasonCount)
	for i := range g.sources.shards {
		s := &g.sources.shards[i]
		for r := range s.counts {
			sum[Reason(r)] += s.counts[r].Load()
		}
	}
	return sum
}

func (g *Guard) flowKey(src netip.AddrPort) uint64 {
	return max(maphash.Comparable(g.seed, netip.AddrPortFrom(src.Addr().Unmap(), src.Port())), 1)
}

// sourceKey names a source: 0:ffff:a.b.c.d for IPv4 (no IPv6 /64 in use begins so), the first 64 bits for IPv6. Never 0.
func sourceKey(addr netip.Addr) uint64 {
	b := addr.As16()
	if addr.Is4() {
		return 0xffff<<32 | uint64(b[12])<<24 | uint64(b[13])<<16 | uint64(b[14])<<8 | uint64(b[15])
	}
	var key uint64
	for _, c := range b[:8] {
		key = key<<8 | uint64(c)
	}
	return max(key, 1) // ::/64, home of ::1
}

// sourcePrefix is the inverse of sourceKey.
func sourcePrefix(key uint64) netip.Prefix {
	if key>>32 == 0xffff {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(key >> 24), byte(key >> 16), byte(key >> 8), byte(key)}), 32)
	}
	if key == 1 {
		key = 0
	}
	var b [16]byte
	for i := range 8 {
		b[i] = byte(key >> (56 - 8*i))
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}
