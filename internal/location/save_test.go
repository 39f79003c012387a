package location

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/directory"
)

// shelf is a Saver and Loader in memory.
type shelf struct {
	mu    sync.Mutex
	rows  map[RowKey]Row
	calls int
	fail  error
}

func (s *shelf) SaveBindings(_ context.Context, put []Row, remove []RowKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		return s.fail
	}
	for _, r := range put {
		if slices.Contains(remove, r.RowKey) {
			return fmt.Errorf("%v is both put and removed", r.RowKey)
		}
		s.rows[r.RowKey] = r
	}
	for _, k := range remove {
		delete(s.rows, k)
	}
	return nil
}

func (s *shelf) LoadBindings(_ context.Context, nowMS int64, add func(Row) error) error {
	for _, r := range s.rows {
		if r.ExpiresMS > nowMS {
			if err := add(r); err != nil {
				return err
			}
		}
	}
	return s.fail
}

func TestSaveAndLoad(t *testing.T) {
	s := &shelf{rows: map[RowKey]Row{}}
	tb := New(Config{Saver: s}, epoch)
	full := bound("101", "sip:101@192.0.2.7;pn-prid=x", epoch, time.Hour)
	full.Params, full.Path, full.Instance, full.RegID, full.Q, full.CSeq = ";video", "<sip:p;lr>", "urn:uuid:1", 3, 500, 77
	full.Flow.Transport, full.Flow.ID = directory.TLS, 5
	web := bound("web", "sip:x@a.invalid", epoch, time.Hour)
	web.Flow.Transport = directory.WSS
	short := bound("short", "sip:s@h", epoch, time.Minute)
	gone := bound("gone", "sip:g@h", epoch, time.Hour)
	add(tb, line(1, 1), epoch, full, web)
	add(tb, line(1, 2), epoch, short, gone)
	tb.Remove(line(1, 2), "gone")
	// Away and back again within one batch: it stays.
	tb.Remove(line(1, 2), "short")
	add(tb, line(1, 2), epoch, short)
	if n := tb.Unsaved(); n == 0 {
		t.Error("nothing waits")
	}
	if err := tb.Flush(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
	if len(s.rows) != 3 || tb.Unsaved() != 0 {
		t.Fatalf("%d rows, %d unsaved", len(s.rows), tb.Unsaved())
	}

	later := epoch.Add(2 * time.Minute)
	again := New(Config{Saver: s}, later)
	if err := again.Load(t.Context(), s, later); err != nil {
		t.Fatal(err)
	}
	got := again.Lookup(nil, line(1, 1), later)
	want := full
	want.Flow.ID = 0 // the connection did not survive
	if len(got) != 1 || got[0] != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if again.Count() != 1 {
		t.Errorf("count %d", again.Count())
	}
	again.Expire(epoch.Add(time.Hour + 2*time.Second))
	if again.Count() != 0 {
		t.Error("a restored binding does not expire")
	}
	if err := again.Flush(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	for k := range s.rows {
		if k.Contact == "101 3 urn:uuid:1" {
			t.Errorf("%v is still kept after its end", k)
		}
	}
}

func TestRefreshIsSavedOnce(t *testing.T) {
	s := &shelf{rows: map[RowKey]Row{}}
	tb := New(Config{Saver: s}, epoch)
	for i := range 10 {
		now := epoch.Add(time.Duration(i) * time.Second)
		add(tb, line(1, 1), now, bound("a", "sip:a@h", now, time.Minute))
	}
	if tb.Unsaved() != 1 {
		t.Errorf("%d wait", tb.Unsaved())
	}
	if err := tb.Flush(t.Context(), epoch.Add(9*time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.rows {
		if want := epoch.Add(69 * time.Second).UnixMilli(); r.ExpiresMS != want {
			t.Errorf("expires %d, want %d", r.ExpiresMS, want)
		}
	}
	if err := tb.Flush(t.Context(), epoch); err != nil || s.calls != 1 {
		t.Errorf("%d calls, %v", s.calls, err)
	}
}

// TestStoreAway: the store fails for a while; nothing blocks, nothing is lost, the newest state arrives.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{rows: map[RowKey]Row{}, fail: errors.New("away")}
		tb := New(Config{Saver: s}, time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tb.Run(ctx) }()
		for i := range 100 {
			now := time.Now()
			add(tb, line(1, uint64(i%10)), now, bound("a", "sip:a@h", now, time.Hour))
			if i == 50 {
				tb.Remove(line(1, 3), "")
			}
			time.Sleep(100 * time.Millisecond)
		}
		tb.Remove(line(1, 4), "")
		if n := tb.Unsaved(); n < 10 || n > 30 {
			t.Errorf("%d wait for ten bindings", n)
		}
		s.mu.Lock()
		if s.calls < 4 || s.calls > 20 {
			t.Errorf("%d tries in ten seconds", s.calls)
		}
		s.fail = nil
		s.mu.Unlock()
		time.Sleep(6 * time.Second)
		s.mu.Lock()
		if len(s.rows) != 9 {
			t.Errorf("%d rows", len(s.rows))
		}
		s.mu.Unlock()
		// The last changes are saved when it ends.
		add(tb, line(9, 9), time.Now(), bound("z", "sip:z@h", time.Now(), time.Hour))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(s.rows) != 10 {
			t.Errorf("%d rows at the end", len(s.rows))
		}
	})
}

func TestRunExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := New(Config{}, time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tb.Run(ctx) }()
		add(tb, line(1, 1), time.Now(), bound("a", "sip:a@h", time.Now(), time.Minute))
		time.Sleep(59 * time.Second)
		if tb.Count() != 1 {
			t.Error("expired early")
		}
		time.Sleep(3 * time.Second)
		if tb.Count() != 0 {
			t.Error("not expired")
		}
		cancel()
		<-done
	})
}

func TestLoadPassesOverDamage(t *testing.T) {
	s := &shelf{rows: map[RowKey]Row{}}
	tb := New(Config{Saver: s}, epoch)
	add(tb, line(1, 1), epoch, bound("a", "sip:a@h", epoch, time.Hour))
	if err := tb.Flush(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
	row := slices.Collect(maps.Values(s.rows))[0]
	for i, body := range [][]byte{nil, {}, {9}, row.Body[:len(row.Body)-1], append(slices.Clone(row.Body), 0)} {
		bad := row
		bad.Contact, bad.Body = fmt.Sprint(i), body
		s.rows[bad.RowKey] = bad
	}
	again := New(Config{}, epoch)
	if err := again.Load(t.Context(), s, epoch); err != nil || again.Count() != 1 {
		t.Errorf("%d, %v", again.Count(), err)
	}
	s.fail = errors.New("away")
	if err := New(Config{}, epoch).Load(t.Context(), s, epoch); !errors.Is(err, s.fail) {
		t.Errorf("got %v", err)
	}
}

func FuzzParseBody(f *testing.F) {
	tb := New(Config{}, epoch)
	b := bound("101", "sip:101@192.0.2.7", epoch, time.Hour)
	add(tb, line(1, 1), epoch, b)
	f.Add(appendBody(nil, tb.shard(line(1, 1)).aors[line(1, 1)], epoch, tb.since(epoch)))
	f.Add([]byte{bodyVersion})
	f.Fuzz(func(t *testing.T, body []byte) {
		r, times, err := parseBody(body)
		if err != nil {
			return
		}
		// Printed and parsed again it is the same binding.
		now := time.UnixMilli(1 << 52)
		r.created = (times.created - now.UnixMilli()) * int64(time.Millisecond)
		r.updated = (times.updated - now.UnixMilli()) * int64(time.Millisecond)
		if times.created < 1<<51 || times.updated < 1<<51 {
			r.created, r.updated = 0, 0 // too old to be counted in nanoseconds
		}
		again, _, err := parseBody(appendBody(nil, r, now, 0))
		if err != nil {
			t.Fatal(err)
		}
		again.created, again.updated = r.created, r.updated
		if *again != *r {
			t.Fatalf("%+v became %+v", *r, *again)
		}
	})
}

const many = 100_000

func fill(tb *Table, now time.Time) {
	for i := range many {
		b := bound("1012345678", fmt.Sprintf("sip:1012345678@192.0.%d.%d:5060;transport=udp", i>>8&255, i&255), now, time.Hour)
		b.CallID, b.UserAgent = fmt.Sprintf("%016x%016x@192.0.2.7", i, i*7), "Yealink SIP-T46G 28.72.0.1"
		b.Instance, b.Params = "urn:uuid:00000000-0000-1000-8000-001565000000", `;+sip.instance="<urn:uuid:00000000-0000-1000-8000-001565000000>"`
		add(tb, line(1, uint64(i)), now, b)
	}
}

// TestMemory holds a binding to 1.2 KB, its keys and buckets included.
func TestMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tb := New(Config{}, epoch)
	fill(tb, epoch)
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := (after.HeapAlloc - before.HeapAlloc) / many
	t.Logf("%d bytes a binding", per)
	if per > 1200 {
		t.Errorf("%d bytes a binding", per)
	}
	runtime.KeepAlive(tb)
}

func TestRefreshAllocatesNothing(t *testing.T) {
	tb := New(Config{}, epoch)
	b := bound("a", "sip:a@h", epoch, time.Hour)
	add(tb, line(1, 1), epoch, b)
	now := epoch
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		tb.Update(line(1, 1), now, func(current []Binding) ([]Binding, bool) {
			current[0].Updated, current[0].Expires = now, now.Add(time.Hour)
			current[0].CSeq++
			return current, true
		})
	}); n > 0.5 {
		t.Errorf("%v allocations a refresh", n)
	}
}

func BenchmarkRefresh(b *testing.B) {
	tb := New(Config{}, epoch)
	fill(tb, epoch)
	now := epoch
	b.ReportAllocs()
	var i uint64
	for b.Loop() {
		i++
		now = now.Add(time.Millisecond)
		tb.Update(line(1, i%many), now, func(current []Binding) ([]Binding, bool) {
			current[0].Updated, current[0].Expires = now, now.Add(10*time.Hour)
			current[0].CSeq++
			return current, true
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	tb := New(Config{}, epoch)
	fill(tb, epoch)
	dst := make([]Binding, 0, 4)
	b.ReportAllocs()
	var i uint64
	for b.Loop() {
		i++
		dst = tb.Lookup(dst[:0], line(1, i%many), epoch)
	}
}

// BenchmarkLoad restores 100,000 bindings.
func BenchmarkLoad(b *testing.B) {
	s := &shelf{rows: map[RowKey]Row{}}
	tb := New(Config{Saver: s}, epoch)
	fill(tb, epoch)
	if err := tb.Flush(b.Context(), epoch); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		again := New(Config{}, epoch)
		if err := again.Load(b.Context(), s, epoch); err != nil || again.Count() != many {
			b.Fatal(again.Count(), err)
		}
	}
}
