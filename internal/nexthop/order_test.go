package nexthop

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/sip"
)

// servers makes candidates with these weights, all of one priority.
func servers(weights ...int) (out []candidate) {
	for i, w := range weights {
		out = append(out, candidate{priority: 1, weight: w, hash: hashText(fmt.Sprintf("sip:10.0.0.%d", i))})
	}
	return out
}

func callKey(n int) uint64 { return hashText(fmt.Sprintf("%d-call@192.0.2.7", n)) }

// chiSquare is the statistic of counts against shares that are in proportion to weights.
func chiSquare(counts []int, weights []int) (x float64) {
	total, sum := 0, 0
	for i := range counts {
		total += counts[i]
		sum += weights[i]
	}
	for i := range counts {
		want := float64(total) * float64(weights[i]) / float64(sum)
		x += (float64(counts[i]) - want) * (float64(counts[i]) - want) / want
	}
	return x
}

// The first choice among 10,000 calls is shared out by weight. 99.9 % of fair draws stay below the limit.
func TestWeightsAreKept(t *testing.T) {
	for _, c := range []struct {
		weights []int
		limit   float64 // of chi-square with len-1 degrees of freedom at 0.999
	}{
		{[]int{1, 1}, 10.83}, {[]int{10, 10, 10}, 13.82}, {[]int{1, 2, 3, 4}, 16.27}, {[]int{1, 100}, 10.83}, {[]int{60000, 30000, 10}, 13.82},
		{[]int{5, 5, 5, 5, 5, 5, 5, 5}, 24.32},
	} {
		counts := make([]int, len(c.weights))
		for n := range 10000 {
			counts[order(nil, servers(c.weights...), callKey(n))[0]]++
		}
		if x := chiSquare(counts, c.weights); x > c.limit {
			t.Errorf("weights %v: calls %v, chi-square %.2f, limit %.2f", c.weights, counts, x, c.limit)
		}
	}
}

// What one target's death moves is shared out by weight, too, and nothing else moves.
func TestOneThatGoesMovesOnlyItsShare(t *testing.T) {
	all := servers(4, 3, 2, 1)
	without := slices.Clone(all)
	without[1].last = true
	counts, moved := make([]int, 4), 0
	for n := range 10000 {
		before, after := order(nil, all, callKey(n)), order(nil, without, callKey(n))
		if before[0] != 1 {
			if after[0] != before[0] {
				t.Fatalf("call %d went to %d and goes to %d, and neither has died", n, before[0], after[0])
			}
			continue
		}
		moved++
		counts[after[0]]++
		if after[0] != before[1] || after[3] != 1 {
			t.Fatalf("call %d: %v, then %v: not the second choice, or the dead one is not last", n, before, after)
		}
	}
	if moved < 2700 || moved > 3300 {
		t.Errorf("%d calls moved, about 3000 were its own", moved)
	}
	left := []int{counts[0], counts[2], counts[3]}
	if x := chiSquare(left, []int{4, 2, 1}); x > 13.82 {
		t.Errorf("its calls went %v, chi-square %.2f", left, x)
	}
}

func TestOrder(t *testing.T) {
	type c = candidate
	for _, tt := range []struct {
		name string
		in   []candidate
		want []uint8
	}{
		{"none", nil, nil},
		{"priorities, the lowest first", []c{{priority: 3, weight: 100}, {priority: 1, weight: 1}, {priority: 2, weight: 50}}, []uint8{1, 2, 0}},
		{"the dead last, in their own order", []c{{priority: 1, weight: 1, last: true}, {priority: 9, weight: 1}, {priority: 2, weight: 1, last: true}}, []uint8{1, 0, 2}},
		{"all dead are tried", []c{{priority: 2, weight: 1, last: true}, {priority: 1, weight: 1, last: true}}, []uint8{1, 0}},
		{"drained ones are not", []c{{priority: 1, weight: 1, out: true}, {priority: 2, weight: 1}, {priority: 3, weight: 1, out: true, last: true}}, []uint8{1}},
		{"all drained", []c{{priority: 1, weight: 1, out: true}}, nil},
	} {
		for i := range tt.in {
			tt.in[i].hash = hashText(fmt.Sprint(i))
		}
		if got := order(nil, tt.in, 7); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	// Equal targets: each call has its own order, always the same.
	seen := map[string]int{}
	for n := range 6000 {
		a, b := order(nil, servers(1, 1, 1), callKey(n)), order(nil, servers(1, 1, 1), callKey(n))
		if !slices.Equal(a, b) {
			t.Fatalf("call %d: %v and %v", n, a, b)
		}
		seen[fmt.Sprint(a)]++
	}
	if len(seen) != 6 {
		t.Errorf("of 6 orders there are %v", seen)
	}
}

// The score has no singularity at the ends of what a hash can be.
func TestScoreIsFinite(t *testing.T) {
	for _, key := range []uint64{0, 1, math.MaxUint64, 0x9e3779b97f4a7c15} {
		for _, weight := range []int{1, 65535} {
			if s := score(key, 0, weight); math.IsNaN(s) || math.IsInf(s, 0) || s <= 0 {
				t.Errorf("score(%x, %d) is %v", key, weight, s)
			}
		}
	}
}

func request(t testing.TB, callID, from string) *sip.Message {
	t.Helper()
	m, err := sip.NewRequest(sip.INVITE, "sip:1@pbx.example").Via("SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1").
		Add(sip.HFrom, "<sip:a@b>;tag=1").Add(sip.HTo, "<sip:1@pbx.example>").Add(sip.HCallID, callID).CSeq(1).Message()
	if err != nil {
		t.Fatal(err)
	}
	m.Received = addrPort(from)
	return m
}

func TestKeys(t *testing.T) {
	a, sameCall, sameHost := request(t, "one", "192.0.2.1:5060"), request(t, "one", "192.0.2.2:5060"), request(t, "two", "192.0.2.1:1234")
	for _, c := range []struct {
		hash             directory.HopHash
		byCall, bySource bool // which requests share a key
	}{{directory.HashCallID, true, false}, {directory.HashSource, false, true}, {directory.HashNone, false, false}} {
		s := &Set{hash: c.hash}
		if got := s.Key(a) == s.Key(sameCall); got != c.byCall {
			t.Errorf("%s: one call has one key: %v", c.hash, got)
		}
		if got := s.Key(a) == s.Key(sameHost); got != c.bySource {
			t.Errorf("%s: one source has one key: %v", c.hash, got)
		}
		if s.SteadyKey(a) != s.SteadyKey(a) {
			t.Errorf("%s: a repetition would go elsewhere", c.hash)
		}
	}
}

// Choosing costs no memory.
func TestOrderAllocatesNothing(t *testing.T) {
	h := New(Config{})
	h.Update(snapshot(t, &directory.NextHop{Name: "a", Domain: "pbx.example", Targets: targets("sip:10.0.0.1", "sip:10.0.0.2", "sip:10.0.0.3")}))
	m, now := request(t, "x", "192.0.2.1:5060"), time.Now()
	domain, user := []byte("pbx.example"), []byte("101")
	var room [8]*Target
	n := testing.AllocsPerRun(1000, func() {
		s := h.ForDomain(domain, user)
		if len(s.Order(room[:0], s.Key(m), false, now)) != 3 {
			t.Error("targets are missing")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOrder(b *testing.B) {
	for _, size := range []int{2, 8, 64} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var uris []string
			for i := range size {
				uris = append(uris, fmt.Sprintf("sip:10.0.0.%d", i+1))
			}
			h := New(Config{})
			h.Update(snapshot(b, &directory.NextHop{Name: "a", Domain: "pbx.example", Targets: targets(uris...)}))
			m, now := request(b, "x", "192.0.2.1:5060"), time.Now()
			s := h.ForDomain([]byte("pbx.example"), nil)
			var room [64]*Target
			b.ReportAllocs()
			for b.Loop() {
				s.Order(room[:0], s.Key(m), false, now)
			}
		})
	}
}
