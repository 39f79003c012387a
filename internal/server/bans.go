package server

import (
	"net/netip"
	"sync"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/guard"
)

// bans shows the API the guard, and publishes what is done with it.
type bans struct{ s *Server }

var _ admin.Guard = bans{}

func (b bans) Banned(now time.Time) []guard.Ban { return b.s.guard.Banned(now) }

func (b bans) Trusted(addr netip.Addr) bool { return b.s.guard.Trusted(addr) }

func (b bans) Ban(addr netip.Addr, d time.Duration, now time.Time) guard.Ban {
	return b.s.guard.Ban(addr, d, now)
}

func (b bans) Unban(addr netip.Addr, now time.Time) bool {
	was := b.s.guard.Unban(addr, now)
	if was {
		admin.AnnounceUnban(b.s.bus, guard.Source(addr))
	}
	return was
}

// banned publishes a ban that begins. A flood from many sources makes many bans: the ring of events must not be full of
// nothing else, so only some a second are told of; the metrics count all.
func (s *Server) banned(b guard.Ban) {
	if b.Reason == guard.ReasonOperator || s.banEvents.take(time.Now()) {
		admin.AnnounceBan(s.bus, b)
	}
}

// bansTold is how many bans a second are events.
const bansTold = 20

// ration lets so many through in a second.
type ration struct {
	mu     sync.Mutex
	second int64
	taken  int
}

func (r *ration) take(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Unix() != r.second {
		r.second, r.taken = now.Unix(), 0
	}
	r.taken++
	return r.taken <= bansTold
}
