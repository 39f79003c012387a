package location

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// TestIndexAgainstModel: keys whose hashes collide in part or wholly are found, and nothing else, through growth and
// shrinking.
func TestIndexAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var x index
	keys := map[uint64]ref{} // the key stands for the hash as well
	hash := func(key uint64) uint64 { return key % 97 * (1<<32 + 1) << 3 }
	var of [5000]uint64 // key of a record
	free := ref(1)
	for step := range 40_000 {
		key := random.Uint64N(3000)
		is := func(r ref) bool { return of[r] == key }
		place, r := x.find(hash(key), is)
		if r != keys[key] {
			t.Fatalf("step %d: key %d is record %d, want %d", step, key, r, keys[key])
		}
		growing := step/10_000%2 == 0
		switch {
		case r == 0 && (growing || step%3 == 0) && int(free) < len(of):
			of[free] = key
			x.add(hash(key), free)
			keys[key] = free
			free++
		case r != 0 && step%5 == 0 && int(free) < len(of):
			of[free] = key
			x.set(place, free)
			keys[key] = free
			free++
		case r != 0 && !growing:
			x.remove(place)
			delete(keys, key)
		}
		if int(free) == len(of) { // begin the records anew
			free = 1
			var again index
			for key := range keys {
				of[free] = key
				again.add(hash(key), free)
				keys[key] = free
				free++
			}
			x = again
		}
		if x.count != len(keys) {
			t.Fatalf("step %d: %d keys, want %d", step, x.count, len(keys))
		}
	}
	for key := range uint64(3000) {
		if _, r := x.find(hash(key), func(r ref) bool { return of[r] == key }); r != keys[key] {
			t.Errorf("key %d is record %d, want %d", key, r, keys[key])
		}
	}
}

// TestRecordsAreUsedAgain: what comes and goes does not make the table grow.
func TestRecordsAreUsedAgain(t *testing.T) {
	tb := New(Config{}, epoch)
	for i := range 5000 {
		now := epoch.Add(time.Duration(i) * time.Millisecond)
		add(tb, line(1, uint64(i)), now, bound("a", fmt.Sprint("sip:", i, "@h"), now, time.Hour))
		if i >= 100 {
			tb.Remove(line(1, uint64(i-100)), "")
		}
	}
	used := 0
	for i := range tb.shards {
		used += int(tb.shards[i].used)
	}
	if used > 500 || tb.Count() != 100 {
		t.Errorf("%d records for %d bindings", used, tb.Count())
	}
}

// TestZonesAreKept: link-local addresses of two interfaces are two places.
func TestZonesAreKept(t *testing.T) {
	tb := New(Config{}, epoch)
	b := bound("a", "sip:a@h", epoch, time.Hour)
	b.Flow.Local, b.Flow.Remote = netip.MustParseAddrPort("[fe80::1%eth0]:5060"), netip.MustParseAddrPort("[fe80::2%eth1]:5062")
	aor := line(1, 1)
	add(tb, aor, epoch, b)
	if got := tb.Lookup(nil, aor, epoch); len(got) != 1 || got[0] != b {
		t.Errorf("got %+v", got)
	}
	if !tb.HasFlow(aor.Tenant, aor.Line, b.Flow.Remote, epoch) {
		t.Error("its own address is not known")
	}
	for _, other := range []string{"[fe80::2]:5062", "[fe80::2%eth0]:5062"} {
		if tb.HasFlow(aor.Tenant, aor.Line, netip.MustParseAddrPort(other), epoch) {
			t.Errorf("%s is taken for it", other)
		}
	}
	mapped := bound("m", "sip:m@h", epoch, time.Hour)
	mapped.Flow.Remote = netip.MustParseAddrPort("[::ffff:192.0.2.1]:5060")
	add(tb, aor, epoch, mapped)
	if tb.HasFlow(aor.Tenant, aor.Line, netip.MustParseAddrPort("192.0.2.1:5060"), epoch) {
		t.Error("a mapped address is taken for the one that it stands for")
	}
}

// TestExpiryIsCutUp: however many bindings expire in one second, each hold of a lock drops a few, and what comes between
// is not hindered by the rest.
func TestExpiryIsCutUp(t *testing.T) {
	tb := New(Config{}, epoch)
	const count = 20_000
	for i := range uint64(count) {
		add(tb, line(1, i), epoch, bound("a", "sip:a@h", epoch, time.Minute))
	}
	now := epoch.Add(2 * time.Minute)
	last := uint32(tb.since(now) / int64(time.Second))
	holds := 0
	for i := range tb.shards {
		for done := false; !done; holds++ {
			var n int
			if n, done = tb.expireSome(&tb.shards[i], last); n > expireAtOnce {
				t.Fatalf("%d under one lock", n)
			}
			aor := line(2, uint64(holds))
			add(tb, aor, now, bound("b", "sip:b@h", now, time.Minute))
			if len(tb.Lookup(nil, aor, now)) != 1 || len(tb.Lookup(nil, line(1, count-1), now)) != 0 {
				t.Fatal("what has expired is found, or what has not is not")
			}
		}
	}
	if holds < count/expireAtOnce || tb.Count() != holds {
		t.Errorf("%d bindings after %d holds", tb.Count(), holds)
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	tb := New(Config{}, epoch)
	aor := line(1, 1)
	b := bound("a", "sip:a@h", epoch, time.Hour)
	add(tb, aor, epoch, b, bound("b", "sip:b@h", epoch, time.Hour))
	dst := make([]Binding, 0, 4)
	if n := testing.AllocsPerRun(100, func() {
		dst = tb.Lookup(dst[:0], aor, epoch)
		if len(dst) != 2 || !tb.HasFlow(aor.Tenant, aor.Line, b.Flow.Remote, epoch) {
			t.Fatal("not found")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestFlushAllocatesNothing: what is saved each moment does not make garbage.
func TestFlushAllocatesNothing(t *testing.T) {
	tb := New(Config{Saver: nowhere{}}, epoch)
	now := epoch
	step := func() {
		now = now.Add(time.Second)
		for i := range uint64(1000) {
			tb.Update(line(1, i), now, func(current []Binding) ([]Binding, bool) {
				if len(current) == 0 {
					current = append(current, bound("a", "sip:a@h", now, time.Hour))
				}
				current[0].Updated, current[0].Expires = now, now.Add(time.Hour)
				return current, true
			})
		}
		flush(t, tb, now)
	}
	for range 10 {
		step()
	}
	if n := testing.AllocsPerRun(20, step); n > 20 {
		t.Errorf("%v allocations for 1000 refreshes", n)
	}
}
