// Package admission counts what is in use and says whether one more call may start. It owns the number of calls of
// each line, over all its devices; it does not own the limits (they come with the question, from the directory), nor
// what a refused caller is told beyond the cause.
//
// A call counts for a line from its acceptance, ringing and held times included, until it is released. An emergency
// call is never refused; it is counted, so that what follows it finds the line in use.
//
// Goroutines: none. Everything may be called from any goroutine; a question and its count are one atomic step, so
// that a limit holds exactly however many calls arrive at once.
package admission

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
)

// Direction is the way of a call, seen from the line.
type Direction bool

// The directions.
const (
	Outbound Direction = false // the line calls
	Inbound  Direction = true  // the line is called
)

// Refusal is what the caller is told when a line has no channel left: a called line is busy (486, Q.850 17), a calling
// one may not start another call (403, Q.850 34; not 503, after which a phone would stop sending us anything,
// RFC 3261 §21.5.4).
func (d Direction) Refusal() cause.Cause {
	if d == Inbound {
		return cause.Busy()
	}
	return cause.LineInUse()
}

// Line names a line.
type Line struct {
	Tenant directory.ID
	Number string
}

const shards = 64

// Lines counts the calls of lines. The zero value is not ready: use NewLines. Its size is that of the lines in use.
type Lines struct {
	seed   maphash.Seed
	total  atomic.Int64
	shards [shards]shard
}

type shard struct {
	mu    sync.Mutex
	calls map[Line]int
	_     [40]byte // a cache line of its own
}

// NewLines makes an empty count.
func NewLines() *Lines {
	l := &Lines{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].calls = make(map[Line]int)
	}
	return l
}

// Take counts one more call of the line, unless limit calls (0: no limit) are in use. The release gives it back; it may
// be called more than once. It is nil when the call is refused.
func (l *Lines) Take(line Line, limit int) (release func(), ok bool) {
	s := l.shard(line)
	s.mu.Lock()
	n := s.calls[line]
	if ok = limit <= 0 || n < limit; ok {
		s.calls[line] = n + 1
	}
	s.mu.Unlock()
	if !ok {
		return nil, false
	}
	l.total.Add(1)
	return l.releaser(s, line), true
}

// TakeEmergency counts one more call of the line whatever its limit.
func (l *Lines) TakeEmergency(line Line) (release func()) {
	release, _ = l.Take(line, 0)
	return release
}

func (l *Lines) releaser(s *shard, line Line) func() {
	var done atomic.Bool
	return func() {
		if done.Swap(true) {
			return
		}
		s.mu.Lock()
		if n := s.calls[line]; n > 1 {
			s.calls[line] = n - 1
		} else {
			delete(s.calls, line)
		}
		s.mu.Unlock()
		l.total.Add(-1)
	}
}

// InUse is how many calls the line has.
func (l *Lines) InUse(line Line) int {
	s := l.shard(line)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[line]
}

// Total is how many calls all lines have; a call between two lines counts twice.
func (l *Lines) Total() int { return int(l.total.Load()) }

func (l *Lines) shard(line Line) *shard {
	var h maphash.Hash
	h.SetSeed(l.seed)
	h.Write(line.Tenant[:])
	h.WriteString(line.Number)
	return &l.shards[h.Sum64()%shards]
}
