package transaction

import "time"

// A wheel is a hashed timing wheel with ticks of wheelTick: to set and to stop a timer is a few pointer writes. It is
// guarded by the lock of its shard. Timers further away than one turn wait in their slot for more turns.
const (
	wheelTick  = 20 * time.Millisecond
	wheelSlots = 2048 // one turn is 41 s: nearly every timer of SIP
)

type wheel struct {
	slots [wheelSlots]timer // heads of ring lists
	tick  int64             // the last tick that was served
	count int
}

// timer is one entry of a wheel, part of what it belongs to.
type timer struct {
	next, prev *timer
	due        int64 // tick
	owner      expirer
	which      uint8
}

// expirer is told that a timer has fired. The call comes without any lock.
type expirer interface{ expire(which uint8, tick int64) }

func (w *wheel) init(now int64) {
	for i := range w.slots {
		h := &w.slots[i]
		h.next, h.prev = h, h
	}
	w.tick = now
}

func (t *timer) linked() bool { return t.next != nil }

func (w *wheel) set(t *timer, due int64) {
	if t.linked() {
		w.stop(t)
	}
	t.due = max(due, w.tick+1)
	h := &w.slots[t.due%wheelSlots]
	t.prev, t.next = h.prev, h
	h.prev.next, h.prev = t, t
	w.count++
}

func (w *wheel) stop(t *timer) {
	if !t.linked() {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
	w.count--
}

// advance moves to tick now and appends the timers that are due to out.
func (w *wheel) advance(now int64, out []*timer) []*timer {
	if w.count == 0 {
		w.tick = now
		return out
	}
	// After a pause longer than a turn every slot is visited once.
	for from := max(w.tick+1, now-wheelSlots+1); from <= now; from++ {
		h := &w.slots[from%wheelSlots]
		for t := h.next; t != h; {
			next := t.next
			if t.due <= now {
				w.stop(t)
				out = append(out, t)
			}
			t = next
		}
	}
	w.tick = now
	return out
}
