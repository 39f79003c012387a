package recorder

import (
	"math/bits"
	"sync/atomic"
	"time"

	"dialtone/internal/codec"
)

// slack is how much later than its time a frame may come before its place is left silent, and how much earlier before it is
// dropped. Jitter of the network is less, a party that is not there is more.
const slack = 120 * time.Millisecond

// Channel is the ring of one party. Positions are samples since the start of the recording, so that a hole in what comes
// is a hole in the file, and channels stay side by side.
type Channel struct {
	recording *Recording
	index     int
	ring      []int16 // of a power of two samples
	next      int64   // position of the next frame; of the writing side

	head atomic.Int64 // written up to here, by WriteFrame
	tail atomic.Int64 // taken up to here, by drain
	lost atomic.Int64 // samples that found no room
}

func newChannel(r *Recording, index int) *Channel {
	least := uint(int64(r.rate) * int64(ringTime) / int64(time.Second))
	return &Channel{recording: r, index: index, ring: make([]int16, 1<<bits.Len(least-1))}
}

// Rate is what frames must have, in samples a second.
func (c *Channel) Rate() int { return c.recording.rate }

// WriteFrame takes what the party says. It never blocks; the frame is its caller's again when it returns.
func (c *Channel) WriteFrame(frame codec.Frame) {
	r := c.recording
	if r.timeline.Load().paused || r.over.Load() || r.stopping.Load() != 0 {
		return
	}
	n := int64(len(frame))
	if n == 0 || n > int64(len(c.ring)) {
		return
	}
	due := r.samples(r.elapsed(time.Since(r.began))) - n
	switch late := due - c.next; {
	case late > r.samples(slack), c.next == 0:
		c.next = max(c.next, due)
	case -late > r.samples(slack):
		c.lost.Add(n)
		return
	}
	tail := c.tail.Load()
	c.next = max(c.next, tail)
	if c.next+n-tail > int64(len(c.ring)) {
		c.lost.Add(n)
		c.next += n
		return
	}
	for at := max(c.head.Load(), tail); at < c.next; {
		hole := c.at(at, c.next-at)
		clear(hole)
		at += int64(len(hole))
	}
	for rest, at := frame, c.next; len(rest) > 0; {
		k := copy(c.at(at, int64(len(rest))), rest)
		rest, at = rest[k:], at+int64(k)
	}
	c.next += n
	c.head.Store(c.next)
}

// at is the ring from a position, at most n samples and up to the end of the memory.
func (c *Channel) at(position, n int64) []int16 {
	i := position & int64(len(c.ring)-1)
	return c.ring[i:min(i+n, int64(len(c.ring)))]
}

// drain fills the block with what stands from a position, which is where the last block ended. What did not come is
// silence.
func (c *Channel) drain(from int64, block []int16) {
	n := max(0, min(c.head.Load()-from, int64(len(block))))
	for at := int64(0); at < n; {
		at += int64(copy(block[at:n], c.at(from+at, n-at)))
	}
	clear(block[n:])
	c.tail.Store(from + int64(len(block)))
}
