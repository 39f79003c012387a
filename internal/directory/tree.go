package directory

import "slices"

// comparable keys order themselves.
type sortable[K any] interface{ Compare(K) int }

// tree is a persistent ordered map: a B+ tree whose put and remove return a new tree that shares all nodes but those
// on the path to the key. The zero value is empty. Reading allocates nothing.
type tree[K sortable[K], V any] struct {
	root *node[K, V]
	size int
}

// node is a leaf (vals) or an inner node (kids). keys[i] is the key of vals[i], or the smallest key below kids[i] (it
// may be smaller than that after removals). A node never changes once a tree that holds it was returned.
type node[K sortable[K], V any] struct {
	keys []K
	vals []V
	kids []*node[K, V]
}

// Fill of nodes. A change copies one node per level: wide nodes are shallow, narrow nodes are cheap to copy.
const (
	maxFill = 32
	minFill = 12
)

// search returns the first position whose key is not less than k.
func (n *node[K, V]) search(k K) (int, bool) {
	lo, hi := 0, len(n.keys)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := n.keys[mid].Compare(k); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// descend returns the child that k belongs to.
func (n *node[K, V]) descend(k K) int {
	i, found := n.search(k)
	if !found && i > 0 {
		i--
	}
	return i
}

// get looks k up.
func (t tree[K, V]) get(k K) (v V, ok bool) {
	n := t.root
	if n == nil {
		return v, false
	}
	for n.kids != nil {
		n = n.kids[n.descend(k)]
	}
	i, found := n.search(k)
	if !found {
		return v, false
	}
	return n.vals[i], true
}

// lookup is get for the keys that requests come with. Here the comparison is a direct call, so that a key made of bytes
// of a message stays on the stack.
func lookup[V any](t tree[named, V], k named) (v V, ok bool) {
	for n := t.root; n != nil; {
		lo, hi := 0, len(n.keys) // the first key greater than k
		for lo < hi {
			if mid := int(uint(lo+hi) >> 1); compareNamed(&n.keys[mid], &k) <= 0 {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		at := max(lo-1, 0)
		if n.kids != nil {
			n = n.kids[at]
			continue
		}
		if n.keys[at] == k {
			return n.vals[at], true
		}
		break
	}
	return v, false
}

// ceil returns the first entry whose key is not less than k.
func (t tree[K, V]) ceil(k K) (key K, v V, ok bool) {
	if t.root == nil {
		return key, v, false
	}
	return t.root.ceil(k)
}

func (n *node[K, V]) ceil(k K) (key K, v V, ok bool) {
	if n.kids == nil {
		i, _ := n.search(k)
		if i == len(n.keys) {
			return key, v, false
		}
		return n.keys[i], n.vals[i], true
	}
	for i := n.descend(k); i < len(n.kids); i++ {
		if key, v, ok = n.kids[i].ceil(k); ok {
			return key, v, true
		}
	}
	return key, v, false
}

// ascend calls yield for each entry whose key is not less than from, in order, until yield returns false.
func (t tree[K, V]) ascend(from K, yield func(K, V) bool) {
	if t.root != nil {
		t.root.ascend(from, yield)
	}
}

func (n *node[K, V]) ascend(from K, yield func(K, V) bool) bool {
	if n.kids == nil {
		for i, _ := n.search(from); i < len(n.keys); i++ {
			if !yield(n.keys[i], n.vals[i]) {
				return false
			}
		}
		return true
	}
	for i := n.descend(from); i < len(n.kids); i++ {
		if !n.kids[i].ascend(from, yield) {
			return false
		}
	}
	return true
}

// put returns a tree in which k has the value v.
func (t tree[K, V]) put(k K, v V) tree[K, V] {
	if t.root == nil {
		return tree[K, V]{root: &node[K, V]{keys: []K{k}, vals: []V{v}}, size: 1}
	}
	left, right, added := t.root.put(k, v)
	if right != nil {
		left = &node[K, V]{keys: []K{left.keys[0], right.keys[0]}, kids: []*node[K, V]{left, right}}
	}
	if added {
		t.size++
	}
	return tree[K, V]{root: left, size: t.size}
}

// put returns the node with the entry; right is not nil when it had to be split.
func (n *node[K, V]) put(k K, v V) (left, right *node[K, V], added bool) {
	if n.kids == nil {
		i, found := n.search(k)
		if found {
			vals := slices.Clone(n.vals)
			vals[i] = v
			keys := slices.Clone(n.keys) // the new key: the old one may keep the memory of an old object
			keys[i] = k
			return &node[K, V]{keys: keys, vals: vals}, nil, false
		}
		left, right = (&node[K, V]{keys: inserted(n.keys, i, k), vals: inserted(n.vals, i, v)}).split()
		return left, right, true
	}
	i := n.descend(k)
	kid, extra, added := n.kids[i].put(k, v)
	m := &node[K, V]{keys: slices.Clone(n.keys), kids: slices.Clone(n.kids)}
	m.keys[i], m.kids[i] = kid.keys[0], kid
	if extra != nil {
		m.keys, m.kids = inserted(m.keys, i+1, extra.keys[0]), inserted(m.kids, i+1, extra)
	}
	left, right = m.split()
	return left, right, added
}

// split halves a node that is too full. n must be new.
func (n *node[K, V]) split() (left, right *node[K, V]) {
	if len(n.keys) <= maxFill {
		return n, nil
	}
	h := len(n.keys) / 2
	left = &node[K, V]{keys: slices.Clone(n.keys[:h])}
	right = &node[K, V]{keys: slices.Clone(n.keys[h:])}
	if n.kids == nil {
		left.vals, right.vals = slices.Clone(n.vals[:h]), slices.Clone(n.vals[h:])
	} else {
		left.kids, right.kids = slices.Clone(n.kids[:h]), slices.Clone(n.kids[h:])
	}
	return left, right
}

// remove returns a tree without k.
func (t tree[K, V]) remove(k K) tree[K, V] {
	if t.root == nil {
		return t
	}
	root, removed := t.root.remove(k)
	if !removed {
		return t
	}
	for root != nil && len(root.kids) == 1 {
		root = root.kids[0]
	}
	if root != nil && len(root.keys) == 0 {
		root = nil
	}
	return tree[K, V]{root: root, size: t.size - 1}
}

func (n *node[K, V]) remove(k K) (*node[K, V], bool) {
	if n.kids == nil {
		i, found := n.search(k)
		if !found {
			return n, false
		}
		return &node[K, V]{keys: without(n.keys, i), vals: without(n.vals, i)}, true
	}
	i := n.descend(k)
	kid, removed := n.kids[i].remove(k)
	if !removed {
		return n, false
	}
	m := &node[K, V]{keys: slices.Clone(n.keys), kids: slices.Clone(n.kids)}
	m.kids[i] = kid
	if len(kid.keys) < minFill && len(m.kids) > 1 {
		m.join(max(i-1, 0))
	}
	return m, true
}

// join merges the children i and i+1 of a new node, and halves the result when it is too full.
func (n *node[K, V]) join(i int) {
	a, b := n.kids[i], n.kids[i+1]
	whole := &node[K, V]{keys: slices.Concat(a.keys, b.keys)}
	if a.kids == nil {
		whole.vals = slices.Concat(a.vals, b.vals)
	} else {
		whole.kids = slices.Concat(a.kids, b.kids)
	}
	left, right := whole.split()
	// The separators below an inner child may be lower than its first key; taking the child's own keeps them valid.
	n.keys[i], n.kids[i] = left.keys[0], left
	if right != nil {
		n.keys[i+1], n.kids[i+1] = right.keys[0], right
		return
	}
	n.keys, n.kids = without(n.keys, i+1), without(n.kids, i+1)
}

// entry is one key with its value.
type entry[K sortable[K], V any] struct {
	key K
	val V
}

// build makes a tree of any number of entries at once, in place of many puts. Of equal keys the last one stays. The
// order of entries is changed.
func build[K sortable[K], V any](entries []entry[K, V]) tree[K, V] {
	slices.SortStableFunc(entries, func(a, b entry[K, V]) int { return a.key.Compare(b.key) })
	kept := entries[:0]
	for i, e := range entries {
		if i+1 < len(entries) && e.key.Compare(entries[i+1].key) == 0 {
			continue
		}
		kept = append(kept, e)
	}
	if len(kept) == 0 {
		return tree[K, V]{}
	}
	var level []*node[K, V]
	for chunk := range evenly(len(kept)) {
		n := &node[K, V]{keys: make([]K, 0, chunk.n), vals: make([]V, 0, chunk.n)}
		for _, e := range kept[chunk.at : chunk.at+chunk.n] {
			n.keys, n.vals = append(n.keys, e.key), append(n.vals, e.val)
		}
		level = append(level, n)
	}
	for len(level) > 1 {
		var upper []*node[K, V]
		for chunk := range evenly(len(level)) {
			n := &node[K, V]{kids: slices.Clone(level[chunk.at : chunk.at+chunk.n])}
			for _, kid := range n.kids {
				n.keys = append(n.keys, kid.keys[0])
			}
			upper = append(upper, n)
		}
		level = upper
	}
	return tree[K, V]{root: level[0], size: len(kept)}
}

type chunk struct{ at, n int }

// evenly cuts total things into the fewest chunks of at most maxFill, of nearly equal size.
func evenly(total int) func(yield func(chunk) bool) {
	return func(yield func(chunk) bool) {
		parts := (total + maxFill - 1) / maxFill
		for i := range parts {
			at, end := i*total/parts, (i+1)*total/parts
			if !yield(chunk{at, end - at}) {
				return
			}
		}
	}
}

func inserted[T any](s []T, i int, v T) []T {
	out := make([]T, len(s)+1)
	copy(out, s[:i])
	out[i] = v
	copy(out[i+1:], s[i:])
	return out
}

func without[T any](s []T, i int) []T {
	out := make([]T, len(s)-1)
	copy(out, s[:i])
	copy(out[i:], s[i+1:])
	return out
}
