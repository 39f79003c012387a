package transaction

import "time"

// A wheel is a hashed timing wheel with ticks of wheelTick: to set and to stop a timer is a few pointer writes. It is
// guarded by the lock of its shard. Timers further away than one turn wait in their slot for more turns.
const (
	wheelTick  = 20 * time.Millisecond
	wheelSlots = 2048 // one turn is 41 s: nearly every timer of SIP
)

type wheel struct {
	slots [wheelSlots]*timer // heads of doubly linked lists
	tick  int64              // the last tick that was served
	count int
}

// timer is one entry of a wheel, part of what it belongs to.
type timer struct {
	next, prev *timer // prev is nil at the head
	due        int64  // tick
	owner      expirer
	which      uint8
	linked     bool
}

// expirer is told that a timer has fired. The call comes without any lock.
type expirer interface{ expire(which uint8, tick int64) }

func (w *wheel) set(t *timer, due int64) {
	w.stop(t)
	t.due, t.linked = max(due, w.tick+1), true
	head := &w.slots[t.due%wheelSlots]
	if t.next = *head; t.next != nil {
		t.next.prev = t
	}
	*head = t
	w.count++
}

func (w *wheel) stop(t *timer) {
	if !t.linked {
		return
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.due%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.linked = nil, nil, false
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
		for t := w.slots[from%wheelSlots]; t != nil; {
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
