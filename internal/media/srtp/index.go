package srtp

// Limits of packets under one key. RFC 3711 §9.2: "the maximum number of packets ... is 2^48 SRTP packets or 2^31 SRTCP
// packets".
const (
	maxIndex        = 1<<48 - 1
	maxControlIndex = 1<<31 - 1
)

// source is what is kept of one SSRC.
type source struct {
	ssrc    uint32
	rtp     window // over roll-over counter and sequence number
	control window // over the SRTCP index
}

// index guesses the index of a packet from its sequence number; ok is false when it lies before the first one or behind
// the last.
//
// RFC 3711 §3.3.1, appendix A: the roll-over counter is the one that puts the packet nearest to the highest index seen.
// RFC 4568 §6.4: it is zero when a source begins.
func (s *source) index(sequence uint16) (index uint64, ok bool) {
	if !s.rtp.started {
		return uint64(sequence), true
	}
	distance := int64(int16(sequence - uint16(s.rtp.highest)))
	if distance == -1<<15 && sequence >= 1<<15 {
		distance = 1 << 15 // as far behind as ahead: appendix A keeps the counter
	}
	next := int64(s.rtp.highest) + distance
	return uint64(next), next >= 0 && next <= maxIndex
}

// windowSize is how far behind the newest packet another may arrive. RFC 3711 §3.3.2 asks for 64 at least.
const windowSize = 1024

// window remembers which of the last indexes were seen: bit i%windowSize stands for index i.
type window struct {
	started bool
	highest uint64
	seen    [windowSize / 64]uint64
}

// isNew tells whether an index was not seen and is not too old.
func (w *window) isNew(index uint64) bool {
	switch {
	case !w.started || index > w.highest:
		return true
	case w.highest-index >= windowSize:
		return false
	}
	return w.seen[index/64%(windowSize/64)]&(1<<(index%64)) == 0
}

// add marks an index that isNew.
func (w *window) add(index uint64) {
	if w.started && index > w.highest {
		if index-w.highest >= windowSize {
			w.seen = [windowSize / 64]uint64{}
		} else {
			for i := w.highest + 1; i <= index; i++ {
				w.seen[i/64%(windowSize/64)] &^= 1 << (i % 64)
			}
		}
	}
	if !w.started || index > w.highest {
		w.started, w.highest = true, index
	}
	w.seen[index/64%(windowSize/64)] |= 1 << (index % 64)
}

// resume goes on behind an index: whatever came before counts as seen, since which of it was is not known.
func (w *window) resume(index uint64) {
	w.started, w.highest = true, index
	for i := range w.seen {
		w.seen[i] = ^uint64(0)
	}
}
