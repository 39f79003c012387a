// Package period keeps several readers of one thing in step, when the thing is made in periods of 20 ms and whoever comes
// first makes the next.
//
// It owns the rule which period a reader gets. It does not keep the periods, and knows no clock: readers come when their
// own clocks let them, at any phase, late, and in a burst afterwards. What follows from the rule: a period is made only
// when a reader has had all before it, so a burst of one that was late reads what it missed and never drives the others
// ahead; one that lost ticks for good does not stay behind for ever.
//
// Pure values; no goroutines. A Cursor is guarded by what guards the periods.
package period

// History is how many periods the owner has to keep, the newest included: the media clock makes up for 60 ms at most.
const History = 4

// window is over how many reads a cursor has to be behind at each before it skips: one second.
const window = 50

// Cursor is the place of one reader. The zero Cursor begins at the newest period.
type Cursor struct {
	next  uint64 // period that is read next; 0 for the newest
	least uint64 // least lag seen in this window
	reads int    // in this window
}

// From is a cursor that reads the given period first.
func From(first uint64) Cursor { return Cursor{next: first} }

// Pull says which period the reader gets now; newest is the last that was made, 0 for none. The answer is between
// newest-History+1 and newest+1; if it is newest+1, the caller makes that one.
func (c *Cursor) Pull(newest uint64) uint64 {
	if c.next == 0 {
		c.next = max(newest, 1)
	}
	c.next = min(c.next, newest+1)
	if c.next+History <= newest {
		// Not the newest: the rest of a burst must find something to read, too.
		c.next = newest - History + 1
		c.reads = 0
	}
	lag := newest - min(c.next, newest)
	if c.reads == 0 {
		c.least = lag
	}
	c.least = min(c.least, lag)
	if c.reads++; c.reads == window {
		c.next += c.least
		c.reads = 0
	}
	got := c.next
	c.next++
	return got
}
