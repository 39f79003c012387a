package t38

const (
	window = 64 // packets that a Receiver remembers; a power of two
	// leap is a distance of sequence numbers that no loss explains: the sender has begun anew.
	leap = 512
)

// Origin is where a packet was found.
type Origin uint8

// The origins.
const (
	Primary   Origin = iota // its own datagram
	Secondary               // repeated in a later one
	Parity                  // computed
)

// String is the word for traces.
func (o Origin) String() string { return [...]string{"primary", "secondary", "parity"}[o] }

// Delivery is one IFP packet in its order. Data is valid until the next Receive, Flush or Reset.
type Delivery struct {
	Sequence uint16
	Data     []byte // of a packet from parity zeros may follow
	Origin   Origin
	Lost     int // packets before it that will not come
}

// Statistics count what a Receiver has seen.
type Statistics struct {
	Datagrams uint64
	Faulty    uint64 // could not be read
	Late      uint64 // came after their turn, or twice
	Recovered uint64
	Lost      uint64
	Restarts  uint64
}

// Receiver puts packets in order and wins back those that were lost. The zero value waits for two packets.
type Receiver struct {
	// Wait is how many later packets may arrive before one that is missing is given up; where the sender uses parity it
	// is at least as long as that may need. 0 is 2, negative does not wait.
	Wait int

	started bool
	next    int64 // extended sequence number that is to be delivered
	newest  int64
	slots   [window]slot
	parity  int // packets that the sender's parity reaches back
	packet  Packet
	out     []Delivery
	arena   []byte // what out refers to
	lost    int    // since the last delivery
	stats   Statistics
}

// slot is what is known about one packet.
type slot struct {
	sequence int64 // extended; what holds for another one is as good as nothing
	have     bool
	origin   Origin
	data     []byte
	parity   [][]byte // that came with it
	span     int
}

// Statistics counts so far.
func (r *Receiver) Statistics() Statistics { return r.stats }

// Reset forgets everything but the statistics.
func (r *Receiver) Reset() {
	r.started = false
	r.parity = 0
	for i := range r.slots {
		r.slots[i].have = false
		r.slots[i].sequence = -1
	}
}

// Receive takes one datagram and returns what is due after it: nothing while something earlier may still come.
func (r *Receiver) Receive(datagram []byte) ([]Delivery, error) {
	r.out, r.arena = r.out[:0], r.arena[:0]
	r.stats.Datagrams++
	if err := r.packet.Parse(datagram); err != nil {
		r.stats.Faulty++
		return nil, err
	}
	p := &r.packet
	if !r.started {
		r.begin(p)
	}
	at := r.next + int64(int16(p.Sequence-uint16(r.next)))
	if at-r.next >= leap || r.next-at >= leap {
		r.stats.Restarts++
		r.give(r.newest + 1)
		r.begin(p)
		at = r.next + int64(p.Sequence-uint16(r.next))
	}
	if at > r.newest {
		r.give(at + 1 - window) // what leaves the window is given up
		r.newest = at
	}
	r.store(at, p.Primary, Primary)
	for i, b := range p.Secondary {
		r.store(at-1-int64(i), b, Secondary)
	}
	r.keepParity(at)
	r.repair()
	r.release()
	return r.out, nil
}

// Flush returns everything that is left: nothing will be waited for.
func (r *Receiver) Flush() []Delivery {
	r.out, r.arena = r.out[:0], r.arena[:0]
	if r.started {
		r.give(r.newest + 1)
	}
	return r.out
}

// begin starts with a datagram: what it repeats was sent before we listened, and is due first.
func (r *Receiver) begin(p *Packet) {
	r.Reset()
	r.started = true
	at := int64(p.Sequence) + 1<<16 // so that nothing is below zero
	r.next = at - int64(min(len(p.Secondary), int(p.Sequence)))
	r.newest = r.next - 1
}

func (r *Receiver) slot(at int64) *slot { return &r.slots[at&(window-1)] }

// has reports whether a packet is known, delivered or not.
func (r *Receiver) has(at int64) bool {
	s := r.slot(at)
	return s.have && s.sequence == at
}

// store keeps a packet if it is new. One that is beyond its turn may still help parity.
func (r *Receiver) store(at int64, b []byte, o Origin) {
	known := at <= r.newest-window || r.has(at)
	if o == Primary && (known || at < r.next) {
		r.stats.Late++
	}
	if known {
		return
	}
	s := r.slot(at)
	s.take(at, o)
	s.data = append(s.data[:0], b...)
}

// take makes the slot that of a packet.
func (s *slot) take(at int64, o Origin) {
	if s.sequence != at {
		s.parity = s.parity[:0]
	}
	s.sequence, s.have, s.origin = at, true, o
}

// keepParity keeps the parity packets of the datagram that was just stored.
func (r *Receiver) keepParity(at int64) {
	n := len(r.packet.Parity)
	if n == 0 || r.packet.Span == 0 || !r.has(at) {
		return
	}
	s := r.slot(at)
	s.span = r.packet.Span
	for i, b := range r.packet.Parity {
		if i < cap(s.parity) {
			s.parity = s.parity[:i+1]
		} else {
			s.parity = append(s.parity, nil)
		}
		s.parity[i] = append(s.parity[i][:0], b...)
	}
	s.parity = s.parity[:n]
	r.parity = min(s.span*n, window-MaxParity)
}

// repair computes what parity allows, until nothing more comes of it. Each round but the last wins a packet of the window.
func (r *Receiver) repair() {
	for again := r.parity > 0 && r.isIncomplete(); again; {
		again = false
		for at := max(r.next, r.newest-window+1); at <= r.newest; at++ {
			if s := r.slot(at); s.sequence == at && s.have && len(s.parity) > 0 {
				for m := range s.parity {
					again = r.repairWith(s, m) || again
				}
			}
		}
	}
}

// isIncomplete reports whether something between what is due and the newest is missing.
func (r *Receiver) isIncomplete() bool {
	for at := r.next; at < r.newest; at++ {
		if !r.has(at) {
			return true
		}
	}
	return false
}

// repairWith uses parity packet m of a slot, if exactly one of the packets under it is missing.
func (r *Receiver) repairWith(s *slot, m int) bool {
	step := int64(len(s.parity))
	end := s.sequence + int64(m)
	first := end - int64(s.span)*step
	missing := int64(-1)
	for at := first; at < end; at += step {
		if !r.has(at) {
			if missing >= 0 {
				return false
			}
			missing = at
		}
	}
	if missing < r.next || missing <= r.newest-window {
		return false
	}
	x := r.slot(missing)
	x.take(missing, Parity)
	x.data = append(x.data[:0], s.parity[m]...)
	for at := first; at < end; at += step {
		if at == missing {
			continue
		}
		for i, b := range r.slot(at).data {
			if i == len(x.data) {
				break // a sender whose parity is too short
			}
			x.data[i] ^= b
		}
	}
	return true
}

// release delivers what is due.
func (r *Receiver) release() {
	wait := r.Wait
	if wait == 0 {
		wait = 2
	}
	wait = max(wait, r.parity)
	for r.next <= r.newest && (r.has(r.next) || r.newest-r.next > int64(wait)) {
		r.give(r.next + 1)
	}
}

// give delivers everything below an end; what is missing is lost.
func (r *Receiver) give(end int64) {
	for ; r.next < end; r.next++ {
		if !r.has(r.next) {
			r.stats.Lost++
			r.lost++
			continue
		}
		s := r.slot(r.next)
		if s.origin != Primary {
			r.stats.Recovered++
		}
		start := len(r.arena)
		r.arena = append(r.arena, s.data...)
		r.out = append(r.out, Delivery{Sequence: uint16(r.next), Data: r.arena[start:len(r.arena):len(r.arena)], Origin: s.origin, Lost: r.lost})
		r.lost = 0
	}
}
