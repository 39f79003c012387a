package directory

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// text is a simple key.
type text string

func (a text) Compare(b text) int { return strings.Compare(string(a), string(b)) }

// check walks a tree and holds its form and content against a map.
func check(t *testing.T, tr tree[text, int], want map[string]int) {
	t.Helper()
	if tr.size != len(want) {
		t.Fatalf("size %d, want %d", tr.size, len(want))
	}
	keys := slices.Sorted(maps.Keys(want))
	i := 0
	tr.ascend("", func(k text, v int) bool {
		if i >= len(keys) || string(k) != keys[i] || v != want[keys[i]] {
			t.Fatalf("entry %d is %s=%d", i, k, v)
		}
		i++
		return true
	})
	if i != len(keys) {
		t.Fatalf("walked over %d entries, want %d", i, len(keys))
	}
	for k, v := range want {
		if got, ok := tr.get(text(k)); !ok || got != v {
			t.Fatalf("get %s: %d, %v", k, got, ok)
		}
	}
	if tr.root != nil {
		depth(t, tr.root, true)
	}
}

// depth checks the fill and the order of nodes and returns their height.
func depth(t *testing.T, n *node[text, int], root bool) int {
	t.Helper()
	if len(n.keys) > maxFill || !root && len(n.keys) < minFill {
		t.Fatalf("node with %d keys", len(n.keys))
	}
	if !slices.IsSorted(n.keys) {
		t.Fatal("keys out of order")
	}
	if n.kids == nil {
		if len(n.vals) != len(n.keys) {
			t.Fatal("keys and values differ in number")
		}
		return 1
	}
	if len(n.kids) != len(n.keys) {
		t.Fatal("keys and children differ in number")
	}
	height := depth(t, n.kids[0], false)
	for i, kid := range n.kids {
		if depth(t, kid, false) != height {
			t.Fatal("leaves at different depths")
		}
		if kid.keys[0] < n.keys[i] || i+1 < len(n.keys) && kid.keys[len(kid.keys)-1] >= n.keys[i+1] {
			t.Fatal("child out of its range")
		}
	}
	return height + 1
}

// TestTree puts and removes at random, and looks at old trees again: they must not have changed.
func TestTree(t *testing.T) {
	for _, span := range []int{10, 100, 3000} {
		t.Run(fmt.Sprint(span), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			var tr tree[text, int]
			want := map[string]int{}
			type moment struct {
				tr   tree[text, int]
				want map[string]int
			}
			var past []moment
			for i := range 20 * span {
				k := fmt.Sprint(r.IntN(span))
				if grow := i/(4*span)%2 == 0; r.IntN(10) < 7 == grow { // grows and shrinks in turns
					tr, want[k] = tr.put(text(k), i), i
				} else {
					tr = tr.remove(text(k))
					delete(want, k)
				}
				if i%span == 0 {
					past = append(past, moment{tr, maps.Clone(want)})
				}
			}
			check(t, tr, want)
			for _, m := range past {
				check(t, m.tr, m.want)
			}
			for k := range want {
				tr = tr.remove(text(k))
			}
			check(t, tr, nil)
		})
	}
}

// TestBuild: a tree that was built at once is as good as one that grew.
func TestBuild(t *testing.T) {
	for _, n := range []int{0, 1, 2, maxFill - 1, maxFill, maxFill + 1, 2*maxFill + 1, maxFill * maxFill, maxFill*maxFill + 1, 5000} {
		var entries []entry[text, int]
		want := map[string]int{}
		for i := range n {
			for range 2 { // the last of equal keys stays
				k := fmt.Sprint(i)
				want[k] = len(entries)
				entries = append(entries, entry[text, int]{text(k), len(entries)})
			}
		}
		tr := build(entries)
		check(t, tr, want)
		for i := range n {
			k := fmt.Sprint(i)
			if i%3 == 0 {
				tr, want[k+"x"] = tr.put(text(k+"x"), i), i
			} else {
				tr = tr.remove(text(k))
				delete(want, k)
			}
		}
		check(t, tr, want)
	}
}

// FuzzTree runs any sequence of puts and removals and compares with a map.
func FuzzTree(f *testing.F) {
	f.Add([]byte{1, 2, 3, 0x81, 0x82})
	f.Add([]byte(strings.Repeat("\x01\x42\x7f\x11\x93", 60)))
	f.Fuzz(func(t *testing.T, steps []byte) {
		var tr tree[text, int]
		want := map[string]int{}
		for i, step := range steps {
			k := string([]byte{step & 0x7f, byte(i % 5)})
			if step < 0x80 {
				tr, want[k] = tr.put(text(k), i), i
			} else {
				tr = tr.remove(text(k))
				delete(want, k)
			}
		}
		check(t, tr, want)
		for _, k := range []string{"", "\x40", "\x40\x02", "\xff"} { // ceil is the first key that is not less
			keys := slices.Sorted(maps.Keys(want))
			i, _ := slices.BinarySearch(keys, k)
			got, _, ok := tr.ceil(text(k))
			if ok != (i < len(keys)) || ok && string(got) != keys[i] {
				t.Fatalf("ceil %q is %q, %v", k, got, ok)
			}
		}
	})
}
