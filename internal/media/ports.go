package media

import (
	"errors"
	"fmt"
	"sync"
)

// ErrNoPorts is returned when every port pair of the range is in use; the call is refused with 503.
var ErrNoPorts = errors.New("no RTP port is free")

// PortRange is the inclusive range of UDP ports for media. RTP takes the even ports, RTCP the odd one above
// (RFC 3550 §11).
type PortRange struct {
	Min, Max uint16
}

// pairs is how many even/odd pairs lie wholly inside the range, and the first even port.
func (r PortRange) pairs() (first uint16, n int) {
	min, max := int(r.Min), int(r.Max)
	min += min & 1
	if min == 0 || max <= min {
		return 0, 0
	}
	return uint16(min), (max - min + 1) / 2
}

// allocator hands out port pairs. The free pairs stand in a queue that starts at a random place: a pair that was
// given back goes to its end, so that the whole range passes before it is used again and late packets of an old call do
// not meet a new one.
type allocator struct {
	first, last uint16 // never changed

	mu   sync.Mutex
	free []uint16 // ring of even ports
	head int
	n    int
	used map[uint16]struct{}
}

func newAllocator(r PortRange, random func(n int) int) (*allocator, error) {
	first, n := r.pairs()
	if n == 0 {
		return nil, fmt.Errorf("RTP port range %d-%d holds no even/odd pair", r.Min, r.Max)
	}
	a := &allocator{first: first, last: first + uint16(2*n-1), free: make([]uint16, n), n: n, used: make(map[uint16]struct{})}
	start := random(n)
	for i := range a.free {
		a.free[i] = first + uint16(2*((start+i)%n))
	}
	return a, nil
}

// covers reports whether a port is one of the range.
func (a *allocator) covers(port uint16) bool { return port >= a.first && port <= a.last }

// take returns the even port of the pair that has rested longest.
func (a *allocator) take() (uint16, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == 0 {
		return 0, ErrNoPorts
	}
	port := a.free[a.head]
	a.head = (a.head + 1) % len(a.free)
	a.n--
	a.used[port] = struct{}{}
	return port, nil
}

// claim takes one named pair, for a session that is restored. A port outside the range is nobody's to hand out and
// may be claimed freely.
func (a *allocator) claim(port uint16) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, taken := a.used[port]; taken {
		return fmt.Errorf("RTP port %d is in use", port)
	}
	for i := range a.n {
		at := (a.head + i) % len(a.free)
		if a.free[at] != port {
			continue
		}
		a.free[at] = a.free[a.head]
		a.head = (a.head + 1) % len(a.free)
		a.n--
		a.used[port] = struct{}{}
		break
	}
	return nil
}

// give returns a pair to the end of the queue.
func (a *allocator) give(port uint16) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, taken := a.used[port]; !taken {
		return
	}
	delete(a.used, port)
	a.free[(a.head+a.n)%len(a.free)] = port
	a.n++
}

// counts returns how many pairs are in use and how many there are.
func (a *allocator) counts() (used, total int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.free) - a.n, len(a.free)
}
