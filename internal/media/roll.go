package media

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"dialtone/internal/media/ice"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// roll tells whose a packet is that comes in on a shared port. It only points the way: the port that it finds judges the
// source as one with a socket of its own does. What it cannot tell belongs to nobody.
//
// In this order:
//  1. A connectivity check names our user fragment (RFC 8445 §7.3).
//  2. A source address that the party has named, was heard from, or has proved by a check. Where several have the same one,
//     the SSRC decides.
//  3. The SSRC of a party that was heard before, from a host that may speak for it: a NAT forgot the mapping; with keys from
//     any host.
//  4. A host that may speak for exactly one party which was not heard yet.
//
// Workers read it for a whole batch at a time.
type roll struct {
	mu      sync.RWMutex
	sources map[netip.AddrPort]*seat
	voices  map[uint32][]*claim
	ufrags  map[string]*claim
	waiting map[netip.Addr]*host
	leaving []departure // in the order in which they are over
}

// claim is what marks one port's packets. It never changes.
type claim struct {
	port      *port
	sources   []place
	hosts     []netip.Addr // that may speak for the party
	ufrags    []string     // ours, of its checks
	ssrc      uint32
	at        int64 // engine time at which the party was heard last, as far as the claim knows
	voiced    bool  // ssrc is set
	encrypted bool  // who has the keys may come from anywhere
	waits     waits
}

// place is an address that is claimed.
type place struct {
	at     netip.AddrPort
	proven bool // from there it was heard, or its signalling comes from that host; else it is only said to be there
}

// waits tells whether a party may speak from an address that nobody has named.
type waits uint8

const (
	nowhere   waits = iota
	elsewhere       // it should use what it has named
	unsaid          // it has not named anything yet
	anywhere        // it cannot be where it says that it is
)

// host is those who wait for packets of one host.
type host struct {
	claims map[*claim]struct{}
	count  [anywhere + 1]int // by waits
}

// seat is one source address.
type seat struct {
	claims []*claim
	until  int64 // engine time up to which packets with ssrc are late ones of a stream that has gone
	ssrc   uint32
	voiced bool
}

type departure struct {
	at    netip.AddrPort
	until int64
}

const (
	// quarantine is how long packets of a stream that has gone may be late.
	quarantine = 5 * time.Second
	// maxSeat bounds the streams that are told apart by SSRC behind one address, and maxVoices those with one SSRC.
	maxSeat, maxVoices = 16, 16
	// maxLeaving bounds the addresses in quarantine.
	maxLeaving = 1 << 16
)

func newRoll() *roll {
	return &roll{
		sources: make(map[netip.AddrPort]*seat), voices: make(map[uint32][]*claim),
		ufrags: make(map[string]*claim), waiting: make(map[netip.Addr]*host),
	}
}

// enter adds a claim. With care it refuses one that could be taken for another.
func (r *roll) enter(c *claim, care bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if care && r.disputed(c) {
		return false
	}
	r.add(c)
	return true
}

// replace puts a claim in the place of another one of the same port.
func (r *roll) replace(old, c *claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(old)
	r.add(c)
}

// leave takes a claim out. For a while late packets of its party find nobody.
func (r *roll) leave(c *claim, now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(c)
	for len(r.leaving) > 0 && (r.leaving[0].until <= now || len(r.leaving) >= maxLeaving) {
		d := r.leaving[0]
		r.leaving = r.leaving[1:]
		s := r.sources[d.at]
		if s == nil || s.until != d.until {
			continue // another stream has left from there since
		}
		s.until, s.voiced = 0, false
		if len(s.claims) == 0 {
			delete(r.sources, d.at)
		}
	}
	for _, p := range c.sources {
		if !p.proven {
			continue // what was only said must not bar anybody
		}
		s := r.seat(p.at)
		s.until, s.ssrc, s.voiced = now+int64(quarantine), c.ssrc, c.voiced
		r.leaving = append(r.leaving, departure{p.at, s.until})
	}
}

func (r *roll) seat(at netip.AddrPort) *seat {
	s := r.sources[at]
	if s == nil {
		s = new(seat)
		r.sources[at] = s
	}
	return s
}

func (r *roll) add(c *claim) {
	for _, p := range c.sources {
		if s := r.seat(p.at); len(s.claims) < maxSeat {
			s.claims = append(s.claims, c)
		}
	}
	if c.voiced && len(r.voices[c.ssrc]) < maxVoices {
		r.voices[c.ssrc] = append(r.voices[c.ssrc], c)
	}
	for _, u := range c.ufrags {
		r.ufrags[u] = c
	}
	if c.waits == nowhere {
		return
	}
	for _, at := range c.hosts {
		h := r.waiting[at]
		if h == nil {
			h = &host{claims: make(map[*claim]struct{})}
			r.waiting[at] = h
		}
		if _, twice := h.claims[c]; !twice {
			h.claims[c] = struct{}{}
			h.count[c.waits]++
		}
	}
}

func (r *roll) remove(c *claim) {
	is := func(x *claim) bool { return x == c }
	for _, p := range c.sources {
		s := r.sources[p.at]
		if s == nil {
			continue
		}
		if s.claims = slices.DeleteFunc(s.claims, is); len(s.claims) == 0 && s.until == 0 {
			delete(r.sources, p.at)
		}
	}
	if list := slices.DeleteFunc(r.voices[c.ssrc], is); len(list) > 0 {
		r.voices[c.ssrc] = list
	} else {
		delete(r.voices, c.ssrc)
	}
	for _, u := range c.ufrags {
		if r.ufrags[u] == c {
			delete(r.ufrags, u)
		}
	}
	for _, at := range c.hosts {
		h := r.waiting[at]
		if h == nil {
			continue
		}
		if _, found := h.claims[c]; found {
			delete(h.claims, c)
			h.count[c.waits]--
		}
		if len(h.claims) == 0 {
			delete(r.waiting, at)
		}
	}
}

// disputed reports whether packets of this claim's party could be those of another one.
func (r *roll) disputed(c *claim) bool {
	for _, p := range c.sources {
		if s := r.sources[p.at]; s != nil && len(s.claims) > 0 {
			return true
		}
	}
	for _, at := range c.hosts {
		h := r.waiting[at]
		switch {
		case h == nil || c.waits == nowhere:
		case h.count[anywhere] > 0, c.waits == anywhere, c.waits == unsaid && h.count[unsaid] > 0:
			return true
		}
	}
	return false
}

// find fills in whose the packets are; nil is nobody's.
func (r *roll) find(owners []*port, ps []network.Packet, now int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := range ps {
		owners[i] = nil
		if c := r.owner(&ps[i], now); c != nil {
			owners[i] = c.port
		}
	}
}

func (r *roll) owner(p *network.Packet, now int64) *claim {
	ssrc, voiced := speaker(p.Data)
	if !voiced {
		if ufrag, ok := ice.Username(p.Data); ok {
			if c := r.ufrags[string(ufrag)]; c != nil {
				return c
			}
		}
	}
	s := r.sources[p.Addr]
	switch {
	case s == nil || len(s.claims) == 0 && now >= s.until:
		return r.stranger(p.Addr, ssrc, voiced)
	case now < s.until && (len(s.claims) == 0 || voiced && s.voiced && ssrc == s.ssrc):
		return nil
	case len(s.claims) == 1:
		return r.sole(s.claims[0], p.Addr)
	}
	return among(s.claims, p.Addr, ssrc, voiced)
}

// sole is the only one who claims an address, unless it merely says so and somebody else may well be there.
func (r *roll) sole(c *claim, at netip.AddrPort) *claim {
	if c.has(at) {
		return c
	}
	h := r.waiting[at.Addr().WithZone("")]
	if h == nil {
		return c
	}
	if _, waits := h.claims[c]; waits && len(h.claims) == 1 {
		return c
	}
	return nil
}

// has reports whether an address is surely the party's.
func (c *claim) has(at netip.AddrPort) bool {
	for _, p := range c.sources {
		if p.at == at {
			return p.proven
		}
	}
	return false
}

// among finds the one of several at one address.
func among(claims []*claim, at netip.AddrPort, ssrc uint32, voiced bool) (found *claim) {
	for _, c := range claims {
		if voiced && c.voiced && c.ssrc == ssrc && c.has(at) {
			return c
		}
	}
	for _, c := range claims {
		if c.voiced || !c.has(at) {
			continue
		}
		if found != nil {
			return nil
		}
		found = c
	}
	return found
}

// stranger finds whose a packet from an address may be that nobody claims.
func (r *roll) stranger(at netip.AddrPort, ssrc uint32, voiced bool) *claim {
	from := at.Addr().WithZone("")
	h := r.waiting[from]
	if voiced {
		var near, far *claim
		nears, fars := 0, 0
		for _, c := range r.voices[ssrc] {
			if slices.Contains(c.hosts, from) {
				near = c
				nears++
			} else if c.encrypted {
				far = c
				fars++
			}
		}
		switch {
		case nears == 1:
			return near
		case nears == 0 && fars == 1 && h == nil:
			return far
		}
	}
	if h == nil || len(h.claims) != 1 {
		return nil
	}
	for c := range h.claims {
		return c
	}
	return nil
}

// speaker is the SSRC that an RTP or RTCP packet begins with (RFC 3550 §5.1, §6.4).
func speaker(b []byte) (ssrc uint32, ok bool) {
	switch rtp.Classify(b) {
	case rtp.RTP:
		if len(b) >= rtp.HeaderSize {
			return binary.BigEndian.Uint32(b[8:]), true
		}
	case rtp.RTCP:
		if len(b) >= 8 {
			return binary.BigEndian.Uint32(b[4:]), true
		}
	}
	return 0, false
}
