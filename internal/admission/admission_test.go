package admission

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
)

func line(number string) Line { return Line{Tenant: directory.ID{1}, Number: number} }

func TestTakeAndRelease(t *testing.T) {
	l := NewLines()
	first, ok := l.Take(line("101"), 2)
	if !ok {
		t.Fatal("the first call was refused")
	}
	second, ok := l.Take(line("101"), 2)
	if !ok || l.InUse(line("101")) != 2 {
		t.Fatal("the second call was refused")
	}
	if release, ok := l.Take(line("101"), 2); ok || release != nil {
		t.Error("a third call on two channels")
	}
	if _, ok := l.Take(Line{Tenant: directory.ID{2}, Number: "101"}, 1); !ok {
		t.Error("another tenant's line counts here")
	}
	if _, ok := l.Take(line("102"), 1); !ok {
		t.Error("another line counts here")
	}
	first()
	first() // once is enough
	if n := l.InUse(line("101")); n != 1 {
		t.Errorf("%d calls in use", n)
	}
	if third, ok := l.Take(line("101"), 2); !ok {
		t.Error("the released channel is not free")
	} else {
		third()
	}
	second()
	if l.InUse(line("101")) != 0 || l.Total() != 2 {
		t.Errorf("%d calls in use, %d in all", l.InUse(line("101")), l.Total())
	}
}

func TestTakeWithoutLimit(t *testing.T) {
	l := NewLines()
	for i := range 1000 {
		if _, ok := l.Take(line("101"), 0); !ok {
			t.Fatalf("call %d was refused", i)
		}
	}
	if n := l.InUse(line("101")); n != 1000 {
		t.Errorf("%d calls in use", n)
	}
}

func TestTakeEmergencyAlwaysPasses(t *testing.T) {
	l := NewLines()
	release, _ := l.Take(line("101"), 1)
	emergency := l.TakeEmergency(line("101"))
	if l.InUse(line("101")) != 2 {
		t.Error("an emergency call is not counted")
	}
	release()
	if _, ok := l.Take(line("101"), 1); ok {
		t.Error("the line is free during an emergency call")
	}
	emergency()
	if _, ok := l.Take(line("101"), 1); !ok {
		t.Error("the line is not free after the emergency call")
	}
}

func TestRefusal(t *testing.T) {
	if c := Inbound.Refusal(); c != cause.Busy() || c.SIP != 486 || c.Q850 != 17 {
		t.Errorf("inbound: %v", c)
	}
	if c := Outbound.Refusal(); c != cause.LineInUse() || c.SIP != 403 || c.Q850 != 34 {
		t.Errorf("outbound: %v", c)
	}
}

// However many calls arrive at once, exactly as many pass as there are channels, and nothing is left in the end.
func TestTakeConcurrently(t *testing.T) {
	const limit = 10
	l := NewLines()
	var now, most, passed atomic.Int64
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range 50 {
				release, ok := l.Take(line("101"), limit)
				if !ok {
					continue
				}
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				passed.Add(1)
				other, _ := l.Take(Line{Tenant: directory.ID{byte(r.Uint32())}, Number: "x"}, 0)
				now.Add(-1)
				release()
				other()
			}
		})
	}
	wg.Wait()
	if m := most.Load(); m > limit || m == 0 {
		t.Errorf("%d calls at once on %d channels", m, limit)
	}
	if passed.Load() == 0 || l.Total() != 0 || l.InUse(line("101")) != 0 {
		t.Errorf("%d passed, %d are left", passed.Load(), l.Total())
	}
	for i := range l.shards {
		if n := len(l.shards[i].calls); n != 0 {
			t.Errorf("shard %d still knows %d lines", i, n)
		}
	}
}

func TestExactlyTheLimitPasses(t *testing.T) {
	const limit = 7
	l := NewLines()
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if _, ok := l.Take(line("101"), limit); ok {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if passed.Load() != limit {
		t.Errorf("%d of %d passed", passed.Load(), limit)
	}
}

func BenchmarkTake(b *testing.B) {
	l := NewLines()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		key := Line{Tenant: directory.NewID(), Number: "101"}
		for pb.Next() {
			release, _ := l.Take(key, 2)
			release()
		}
	})
}
