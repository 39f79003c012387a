package location

// index finds the first binding of an address-of-record in a shard: an open-addressed hash table of numbers, one word
// for each, which the garbage collector does not look into. A word is the upper half of the key's hash and the number
// of the record; 0 is an empty place. Growing needs no look at the records.
type index struct {
	words []uint64
	count int
}

const smallestIndex = 16

func word(hash uint64, r ref) uint64 { return hash>>32<<32 | uint64(r) }

// find returns the place and the record of a key; ref 0 when it is not there. is tells whether a record has the key.
func (x *index) find(hash uint64, is func(ref) bool) (place int, r ref) {
	if x.count == 0 {
		return 0, 0
	}
	mask := len(x.words) - 1
	for i := int(hash>>32) & mask; ; i = (i + 1) & mask {
		w := x.words[i]
		if w == 0 {
			return 0, 0
		}
		if w>>32 == hash>>32 && is(ref(w)) {
			return i, ref(w)
		}
	}
}

// set puts another record in a place that find returned.
func (x *index) set(place int, r ref) { x.words[place] = x.words[place]>>32<<32 | uint64(r) }

// add puts in a key that is not there.
func (x *index) add(hash uint64, r ref) {
	if 4*(x.count+1) > 3*len(x.words) {
		x.resize(max(smallestIndex, 2*len(x.words)))
	}
	x.place(word(hash, r))
	x.count++
}

func (x *index) place(w uint64) {
	mask := len(x.words) - 1
	i := int(w>>32) & mask
	for x.words[i] != 0 {
		i = (i + 1) & mask
	}
	x.words[i] = w
}

func (x *index) resize(n int) {
	old := x.words
	x.words = make([]uint64, n)
	for _, w := range old {
		if w != 0 {
			x.place(w)
		}
	}
}

// remove empties a place that find returned, and moves up those behind it that were pushed on by it.
func (x *index) remove(place int) {
	mask := len(x.words) - 1
	hole := place
	for i := (hole + 1) & mask; x.words[i] != 0; i = (i + 1) & mask {
		if home := int(x.words[i]>>32) & mask; (i-home)&mask >= (i-hole)&mask {
			x.words[hole] = x.words[i]
			hole = i
		}
	}
	x.words[hole] = 0
	x.count--
	if n := len(x.words) / 2; n >= smallestIndex && 8*x.count < len(x.words) {
		x.resize(n)
	}
}
