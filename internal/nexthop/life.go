package nexthop

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"dialtone/internal/directory"
)

const (
	upPause   = 30 * time.Second // between checks of a target that answers
	downPause = 10 * time.Second // and of one that has missed one, or is down
	misses    = 3                // in a row, until a target is down
	spread    = 0.1              // each pause is up to this part shorter or longer, so that checks do not go in step
	firstWait = 5 * time.Second  // the first check of a new target comes within this time

	deadTime = 30 * time.Second // how long a target that has failed a request is tried last
	maxBusy  = 5 * time.Minute  // the longest Retry-After that is believed
)

// life is what is known of one target. It is kept over all changes of its set.
type life struct {
	hops       *Hops
	id, tenant directory.ID
	label, uri string
	nudge      chan struct{} // a check is due now

	down  atomic.Bool  // the checks say so
	since atomic.Int64 // Unix milliseconds when they last changed their mind
	// A request has met no answer; any answer ends this. Unix nanoseconds until when, 0: none has.
	silent atomic.Int64
	// The target has asked to be left alone (503); only time ends this.
	busy atomic.Int64

	requests, failures atomic.Uint64 // since it is known
}

// inherit takes over what was known under another label.
func (l *life) inherit(old *life) {
	if old == nil {
		return
	}
	l.down.Store(old.down.Load())
	l.since.Store(old.since.Load())
	l.silent.Store(old.silent.Load())
	l.busy.Store(old.busy.Load())
	l.requests.Store(old.requests.Load())
	l.failures.Store(old.failures.Load())
}

func (l *life) isAlive(now time.Time) bool { return !l.down.Load() && !l.hasFailed(now) }

func (l *life) hasFailed(now time.Time) bool {
	silent, busy := l.silent.Load(), l.busy.Load()
	return silent|busy != 0 && now.UnixNano() < max(silent, busy)
}

// Sent tells that a request is on its way to the target.
func (t *Target) Sent() { t.life.requests.Add(1) }

// Failed tells that a request has found no way to the target, or no answer there: it is tried last for 30 seconds, or
// until it answers anything. A check of it is due at once.
func (t *Target) Failed(now time.Time) {
	l := t.life
	l.failures.Add(1)
	was := l.silent.Swap(now.Add(deadTime).UnixNano())
	if now.UnixNano() < was {
		return
	}
	l.hops.c.Log.Warn("a next hop does not answer requests", "set", l.label, "target", l.uri)
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// Busy tells that the target has answered 503: RFC 3261 §21.5.4 wants it left alone for its Retry-After (0: it named
// none), of which no more than five minutes are believed.
func (t *Target) Busy(now time.Time, retryAfter time.Duration) {
	l := t.life
	l.failures.Add(1)
	if retryAfter <= 0 {
		retryAfter = deadTime
	}
	until := now.Add(min(retryAfter, maxBusy)).UnixNano()
	if was := l.busy.Swap(until); now.UnixNano() >= was {
		l.hops.c.Log.Warn("a next hop refuses requests", "set", l.label, "target", l.uri, "for", min(retryAfter, maxBusy))
	}
}

// Answered tells that the target has answered a request, whatever it said.
func (t *Target) Answered() { t.life.answered() }

func (l *life) answered() {
	if l.silent.Load() != 0 {
		l.silent.Store(0)
	}
	if l.down.Load() {
		l.turn(false)
	}
}

// turn changes what is believed, and tells so.
func (l *life) turn(down bool) {
	if !l.down.CompareAndSwap(!down, down) {
		return
	}
	l.since.Store(time.Now().UnixMilli())
	c := l.hops.c
	if down {
		c.Log.Warn("a next hop is down", "set", l.label, "target", l.uri)
	} else {
		c.Log.Info("a next hop is up again", "set", l.label, "target", l.uri)
	}
	if c.Publisher != nil {
		c.Publisher.Publish(l.tenant.String(), l.id.String(), Changed{Up: !down, Set: l.label, Target: l.uri})
	}
}

// Changed is the event of a target that has come or gone: "next_hop.up", "next_hop.down".
type Changed struct {
	Up     bool   `json:"up"`
	Set    string `json:"set"`
	Target string `json:"target"`
}

// EventType implements event.Data.
func (c Changed) EventType() string {
	if c.Up {
		return "next_hop.up"
	}
	return "next_hop.down"
}

// watch asks one target until ctx ends.
func (h *Hops) watch(ctx context.Context, l *life) {
	timer := time.NewTimer(time.Duration(h.draw() * float64(firstWait)))
	defer timer.Stop()
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.nudge:
		}
		alive := h.c.Checker.Check(ctx, l.uri)
		if ctx.Err() != nil {
			return
		}
		var down bool
		down, missed = judge(l.down.Load(), missed, alive)
		switch {
		case alive:
			l.answered()
		case down:
			l.turn(true)
		}
		timer.Reset(pause(missed, down, h.draw()))
	}
}

// judge says what to believe after a check: three misses in a row are a death, one answer is life.
func judge(down bool, missed int, alive bool) (nowDown bool, nowMissed int) {
	switch {
	case alive:
		return false, 0
	case !down && missed >= misses: // a request has been answered since
		missed = 0
	}
	missed++
	return down || missed >= misses, missed
}

// pause is the time until the next check; draw is from 0 up to 1.
func pause(missed int, down bool, draw float64) time.Duration {
	d := upPause
	if down || missed > 0 {
		d = downPause
	}
	return time.Duration(float64(d) * (1 + spread*(2*draw-1)))
}

func (h *Hops) draw() float64 {
	if h.c.Draw != nil {
		return h.c.Draw()
	}
	return rand.Float64()
}
