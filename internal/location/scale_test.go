package location

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

// nowhere is a Saver that keeps nothing.
type nowhere struct{}

func (nowhere) SaveBindings(context.Context, *Batch) (bool, error) { return false, nil }

// populate registers n phones, one a line.
func populate(tb *Table, n int, now time.Time, ttl time.Duration) {
	for i := range n {
		b := bound(fmt.Sprint("10", i), fmt.Sprintf("sip:10%d@192.0.%d.%d:5060;transport=udp", i, i>>8&255, i&255), now, ttl)
		b.CallID, b.UserAgent = fmt.Sprintf("%016x%016x@192.0.2.7", i, i*7), "Yealink SIP-T46G 28.72.0.1"
		b.Instance, b.Params = "urn:uuid:00000000-0000-1000-8000-001565000000", `;+sip.instance="<urn:uuid:00000000-0000-1000-8000-001565000000>"`
		add(tb, line(1, uint64(i)), now, b)
	}
}

// BenchmarkScale refreshes bindings in no order, in tables of growing size; the time for each is to stay.
func BenchmarkScale(b *testing.B) {
	for _, size := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			tb := New(Config{Saver: nowhere{}}, epoch)
			populate(tb, size, epoch, 100*time.Hour)
			flush(b, tb, epoch)
			now, i := epoch, uint64(0)
			refresh := func(current []Binding) ([]Binding, bool) {
				current[0].Updated, current[0].Expires = now, now.Add(100*time.Hour)
				current[0].CSeq++
				return current, true
			}
			runtime.GC()
			b.ReportAllocs()
			for b.Loop() {
				i += 611_953
				now = now.Add(25 * time.Microsecond)
				tb.Update(line(1, i%uint64(size)), now, refresh)
				if i%4000 == 0 {
					flush(b, tb, now)
				}
			}
		})
	}
}

// BenchmarkCollect is what the garbage collector does with a table of a million.
func BenchmarkCollect(b *testing.B) {
	tb := New(Config{}, epoch)
	populate(tb, 1_000_000, epoch, time.Hour)
	b.ResetTimer()
	for b.Loop() {
		runtime.GC()
	}
	runtime.KeepAlive(tb)
}

// BenchmarkExpiry drops a million bindings that expire in one second, while somebody looks others up; it reports the
// longest of these lookups and the 999th of a thousand.
func BenchmarkExpiry(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		tb := New(Config{Saver: nowhere{}}, epoch)
		populate(tb, 1_000_000, epoch, time.Minute)
		flush(b, tb, epoch)
		now := epoch.Add(2 * time.Minute)
		done := make(chan struct{})
		waits := make(chan []time.Duration)
		go func() {
			var list []time.Duration
			var dst []Binding
			tick := time.NewTicker(100 * time.Microsecond)
			defer tick.Stop()
			for i := uint64(0); ; i++ {
				select {
				case <-done:
					waits <- list
					return
				case <-tick.C:
				}
				start := time.Now()
				dst = tb.Lookup(dst[:0], line(1, i%1_000_000), now)
				list = append(list, time.Since(start))
			}
		}()
		b.StartTimer()
		tb.Expire(now)
		b.StopTimer()
		close(done)
		list := <-waits
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)-1].Microseconds()), "longest-µs")
		b.ReportMetric(float64(list[len(list)*999/1000].Microseconds()), "p999-µs")
		if tb.Count() != 0 {
			b.Fatal(tb.Count())
		}
		b.StartTimer()
	}
}

// BenchmarkSaveAgain is what it takes to give the Saver all of a million bindings once more, for each of them.
func BenchmarkSaveAgain(b *testing.B) {
	s := &demanding{}
	tb := New(Config{Saver: s}, epoch)
	populate(tb, 1_000_000, epoch, time.Hour)
	for b.Loop() {
		s.again, s.complete = true, false
		add(tb, line(2, 1), epoch, bound("a", fmt.Sprint("sip:", b.N, "@h"), epoch, time.Hour))
		for !s.complete {
			flush(b, tb, epoch)
		}
		tb.Remove(line(2, 1), "")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/binding")
}

// demanding is a Saver that asks for everything again.
type demanding struct{ again, complete bool }

func (d *demanding) SaveBindings(_ context.Context, b *Batch) (again bool, err error) {
	again, d.again = d.again, false
	d.complete = d.complete || b.Complete
	return again, nil
}
