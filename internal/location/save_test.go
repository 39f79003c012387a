package location

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/directory"
)

// shelf is a Saver and Loader in memory. It keeps every row, as a file would, and what it leads to.
type shelf struct {
	mu       sync.Mutex
	rows     []Row
	kept     map[uint64]Row // the newest state: Body of the whole row, Refresh and expiry of the last one
	calls    int
	complete int
	again    bool // ask for all bindings with the next batch
	fail     error
}

func (s *shelf) SaveBindings(_ context.Context, b *Batch) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		return false, s.fail
	}
	if s.kept == nil {
		s.kept = map[uint64]Row{}
	}
	for _, r := range b.Rows {
		r.Body, r.Refresh = slices.Clone(r.Body), slices.Clone(r.Refresh) // the batch is used again
		s.rows = append(s.rows, r)
		switch old, known := s.kept[r.ID]; {
		case r.Body != nil:
			s.kept[r.ID] = r
		case r.Refresh != nil && known:
			r.Body = old.Body
			s.kept[r.ID] = r
		case r.Refresh != nil:
			return false, fmt.Errorf("%d is refreshed before it was given whole", r.ID)
		default:
			delete(s.kept, r.ID)
		}
	}
	if b.Complete {
		s.complete++
	}
	again := s.again
	s.again = false
	return again, nil
}

func (s *shelf) LoadBindings(_ context.Context, add func(Row) error) error {
	for _, r := range s.rows {
		if err := add(r); err != nil {
			return err
		}
	}
	return s.fail
}

func flush(t testing.TB, tb *Table, now time.Time) {
	t.Helper()
	if err := tb.Flush(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

// loaded is a table with what a shelf has.
func loaded(t testing.TB, s *shelf, now time.Time) *Table {
	t.Helper()
	tb := New(Config{Saver: s}, now)
	if err := tb.Load(t.Context(), s, now); err != nil {
		t.Fatal(err)
	}
	return tb
}

func TestSaveAndLoad(t *testing.T) {
	s := &shelf{}
	tb := New(Config{Saver: s}, epoch)
	full := bound("101", "sip:101@192.0.2.7;pn-prid=x", epoch, time.Hour)
	full.Params, full.Path, full.Instance, full.RegID, full.Q, full.CSeq = ";video", "<sip:p;lr>", "urn:uuid:1", 3, 500, 77
	full.Flow.Transport, full.Flow.ID = directory.TLS, 5
	full.Flow.Remote = netip.MustParseAddrPort("[2001:db8::7]:4000")
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
	flush(t, tb, epoch)
	if len(s.kept) != 3 || tb.Unsaved() != 0 {
		t.Fatalf("%d rows, %d unsaved", len(s.kept), tb.Unsaved())
	}
	full.Updated, full.Expires, full.CSeq = epoch.Add(time.Second), epoch.Add(61*time.Minute), 78
	add(tb, line(1, 1), full.Updated, full)
	flush(t, tb, full.Updated)
	if last := s.rows[len(s.rows)-1]; len(s.rows) != 4 || last.Body != nil || len(last.Refresh) > 10 {
		t.Errorf("%d rows, the refresh is %+v", len(s.rows), last)
	}

	later := epoch.Add(2 * time.Minute)
	again := loaded(t, s, later)
	got := again.Lookup(nil, line(1, 1), later)
	want := full
	want.Flow.ID = 0 // the connection did not survive
	if len(got) != 1 || got[0] != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if again.Count() != 1 {
		t.Errorf("count %d", again.Count())
	}
	// What it did not take over is forgotten, and what it did when it ends.
	flush(t, again, later)
	if len(s.kept) != 1 {
		t.Errorf("%d are kept", len(s.kept))
	}
	again.Expire(epoch.Add(61*time.Minute + 2*time.Second))
	wantEmpty(t, again)
	flush(t, again, later)
	if len(s.kept) != 0 {
		t.Errorf("%v is still kept after its end", s.kept)
	}
	// Identifiers go on where they ended.
	add(again, line(1, 1), later, full)
	flush(t, again, later)
	seen := s.rows[:len(s.rows)-1]
	if id := s.rows[len(s.rows)-1].ID; slices.ContainsFunc(seen, func(r Row) bool { return r.ID == id }) {
		t.Errorf("%d names a second binding", id)
	}
}

// TestTimesAreKeptToTheMillisecond: whatever the fractions of the moments at which a binding is refreshed, saved and
// loaded, also when it is refreshed after the clock was read for saving.
func TestTimesAreKeptToTheMillisecond(t *testing.T) {
	for refresh := time.Duration(0); refresh < 4*time.Millisecond; refresh += 300 * time.Microsecond {
		for save := time.Duration(0); save < 4*time.Millisecond; save += 700 * time.Microsecond {
			s := &shelf{}
			tb := New(Config{Saver: s}, epoch)
			at := epoch.Add(time.Second + refresh)
			b := bound("a", "sip:a@h", at, time.Minute)
			add(tb, line(1, 1), at, b)
			flush(t, tb, epoch.Add(time.Second+save))
			now := epoch.Add(10*time.Second + refresh*3 + save)
			got := loaded(t, s, now).Lookup(nil, line(1, 1), now)
			if len(got) != 1 || !got[0].Updated.Equal(at.Truncate(time.Millisecond)) || !got[0].Expires.Equal(b.Expires.Truncate(time.Millisecond)) {
				t.Fatalf("refreshed %v, saved %v: %+v", refresh, save, got)
			}
		}
	}
}

func TestRefreshIsSavedOnce(t *testing.T) {
	s := &shelf{}
	tb := New(Config{Saver: s}, epoch)
	for i := range 10 {
		now := epoch.Add(time.Duration(i) * time.Second)
		add(tb, line(1, 1), now, bound("a", "sip:a@h", now, time.Minute))
	}
	if tb.Unsaved() != 1 {
		t.Errorf("%d wait", tb.Unsaved())
	}
	flush(t, tb, epoch.Add(9*time.Second))
	for _, r := range s.kept {
		if want := epoch.Add(69 * time.Second).UnixMilli(); r.ExpiresMS != want {
			t.Errorf("expires %d, want %d", r.ExpiresMS, want)
		}
	}
	if flush(t, tb, epoch); s.calls != 1 {
		t.Errorf("%d calls", s.calls)
	}
}

// TestStoreAway: the store fails for a while; nothing blocks, nothing is lost, the newest state arrives.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{fail: errors.New("away")}
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
		if n := tb.Unsaved(); n < 10 || n > 30 || tb.SaveError() == nil {
			t.Errorf("%d wait for ten bindings, because of %v", n, tb.SaveError())
		}
		s.mu.Lock()
		if s.calls < 4 || s.calls > 20 {
			t.Errorf("%d tries in ten seconds", s.calls)
		}
		s.fail = nil
		s.mu.Unlock()
		time.Sleep(6 * time.Second)
		s.mu.Lock()
		if len(s.kept) != 9 || tb.SaveError() != nil {
			t.Errorf("%d rows, %v", len(s.kept), tb.SaveError())
		}
		s.mu.Unlock()
		// The last changes are saved when it ends.
		add(tb, line(9, 9), time.Now(), bound("z", "sip:z@h", time.Now(), time.Hour))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(s.kept) != 10 {
			t.Errorf("%d rows at the end", len(s.kept))
		}
	})
}

// TestSavedAgainstModel: a saver that fails now and then, and asks for everything now and then, always leads to the
// table that there is; so does what came since it last had all of them.
func TestSavedAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := &shelf{}
	tb := New(Config{Saver: s}, epoch)
	now := epoch
	completed, beginning, asked := 0, 0, false
	for step := range 3000 {
		now = now.Add(time.Duration(random.IntN(1000)) * time.Millisecond)
		aor := line(1, uint64(random.IntN(300)))
		b := bound(fmt.Sprint("d", random.IntN(2)), fmt.Sprintf("sip:%d@h", random.IntN(2)), now, time.Duration(1+random.IntN(300))*time.Second)
		b.CSeq, b.CallID = uint32(step), fmt.Sprint(random.IntN(2))
		add(tb, aor, now, b)
		switch random.IntN(10) {
		case 0:
			tb.Remove(aor, "d0")
		case 1:
			tb.Expire(now)
		case 2:
			s.fail = errors.New("away")
		case 3:
			if !asked {
				s.again, beginning = true, len(s.rows)
			}
		}
		wanted := s.again
		err := tb.Flush(t.Context(), now)
		asked = asked || wanted && !s.again
		if s.complete > completed { // everything that came before may go
			completed, asked = s.complete, false
			s.rows = s.rows[beginning:]
		}
		s.again = false
		if s.fail = nil; err != nil {
			continue
		}
		if step%20 != 0 {
			continue
		}
		back := loaded(t, s, now)
		for n := range uint64(300) {
			got, want := back.Lookup(nil, line(1, n), now), tb.Lookup(nil, line(1, n), now)
			for _, list := range [][]Binding{got, want} {
				for i := range list { // saved in milliseconds
					list[i].Created, list[i].Updated = list[i].Created.Truncate(time.Millisecond), list[i].Updated.Truncate(time.Millisecond)
				}
				slices.SortFunc(list, func(a, b Binding) int {
					return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Contact, b.Contact))
				})
			}
			if !slices.Equal(got, want) {
				t.Fatalf("step %d, line %d:\n%+v\nwant\n%+v", step, n, got, want)
			}
		}
	}
	if completed < 5 {
		t.Errorf("all bindings were given %d times", completed)
	}
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
	s := &shelf{}
	tb := New(Config{Saver: s}, epoch)
	add(tb, line(1, 1), epoch, bound("a", "sip:a@h", epoch, time.Hour))
	flush(t, tb, epoch)
	row := s.rows[0]
	for _, body := range [][]byte{{}, {9}, row.Body[:len(row.Body)-1], append(slices.Clone(row.Body), 0)} {
		s.rows = append(s.rows, Row{ID: 100, ExpiresMS: row.ExpiresMS, Body: body})
	}
	other := slices.Clone(row.Body)
	other[20]++ // of another line, under the same identifier
	s.rows = append(s.rows,
		Row{ID: row.ID, ExpiresMS: row.ExpiresMS, Refresh: []byte{1}},
		Row{ID: 101, ExpiresMS: row.ExpiresMS, Refresh: []byte{1, 1}}, Row{ID: 102}, Row{ExpiresMS: row.ExpiresMS, Body: row.Body},
		Row{ID: row.ID, ExpiresMS: row.ExpiresMS, Body: other}, Row{ID: row.ID, ExpiresMS: row.ExpiresMS, Body: row.Body})
	again := loaded(t, s, epoch)
	if got := again.Lookup(nil, line(1, 1), epoch); again.Count() != 1 || len(got) != 1 || got[0].CSeq != 1 {
		t.Errorf("%d, %+v", again.Count(), got)
	}
	s.fail = errors.New("away")
	if err := New(Config{}, epoch).Load(t.Context(), s, epoch); !errors.Is(err, s.fail) {
		t.Errorf("got %v", err)
	}
}

// TestLoadForgetsTheUnreachable: what has expired, also by a refresh, and WebSockets.
func TestLoadForgetsTheUnreachable(t *testing.T) {
	s := &shelf{}
	tb := New(Config{Saver: s}, epoch)
	web := bound("w", "sip:w@a.invalid", epoch, time.Hour)
	web.Flow.Transport = directory.WS
	early := bound("e", "sip:e@h", epoch, time.Hour)
	late := bound("l", "sip:l@h", epoch, time.Minute)
	add(tb, line(1, 1), epoch, web, early, late)
	flush(t, tb, epoch)
	early.Expires, late.Expires = epoch.Add(time.Minute), epoch.Add(time.Hour)
	add(tb, line(1, 1), epoch, early, late)
	flush(t, tb, epoch)
	now := epoch.Add(2 * time.Minute)
	back := loaded(t, s, now)
	if got := contacts(back.Lookup(nil, line(1, 1), now)); back.Count() != 1 || !slices.Equal(got, []string{"sip:l@h"}) {
		t.Errorf("%d: %q", back.Count(), got)
	}
}

func FuzzParseBody(f *testing.F) {
	tb := New(Config{}, epoch)
	b := bound("101", "sip:101@192.0.2.7", epoch, time.Hour)
	add(tb, line(1, 1), epoch, b)
	s, hash := tb.shard(line(1, 1))
	_, r := s.first(line(1, 1), hash)
	f.Add(appendBody(nil, s.record(r), *s.text(r), tb.clock(epoch)))
	f.Add([]byte{bodyVersion})
	c := clock{at: int64(time.Hour), unix: epoch.UnixNano()}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, text, err := parseBody(body, c)
		if err != nil {
			return
		}
		// Printed and parsed again it is the same binding.
		again, textAgain, err := parseBody(appendBody(nil, &r, text, c), c)
		if err != nil {
			t.Fatal(err)
		}
		if again != r || textAgain != text {
			t.Fatalf("%+v %q became %+v %q", r, text, again, textAgain)
		}
		b := r.binding(text, epoch)
		rebuilt := record{aor: r.aor}
		if _, text = rebuilt.take(&b, "", epoch); text != textAgain || rebuilt.binding(text, epoch) != b {
			t.Fatalf("%+v became %+v", b, rebuilt.binding(text, epoch))
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
	s := &shelf{}
	tb := New(Config{Saver: s}, epoch)
	fill(tb, epoch)
	flush(b, tb, epoch)
	for b.Loop() {
		again := New(Config{}, epoch)
		if err := again.Load(b.Context(), s, epoch); err != nil || again.Count() != many {
			b.Fatal(again.Count(), err)
		}
	}
}

// A contact that its own URI leads to, rather than the way of its REGISTER, is that after a restart, too.
func TestContactThatItsURILeadsToIsKept(t *testing.T) {
	s := &shelf{}
	tb := New(Config{Saver: s}, epoch)
	b := bound("101", "sip:101@192.0.2.7:5070", epoch, time.Hour)
	b.Flow.Local = netip.AddrPort{}
	add(tb, line(1, 1), epoch, b)
	if got := tb.Lookup(nil, line(1, 1), epoch); len(got) != 1 || got[0] != b || got[0].Flow.Leads() {
		t.Errorf("got %+v", got)
	}
	if !tb.HasFlow(line(1, 1).Tenant, line(1, 1).Line, b.Flow.Remote, epoch) {
		t.Error("who has registered it is not known by his address")
	}
	flush(t, tb, epoch)
	if got := loaded(t, s, epoch).Lookup(nil, line(1, 1), epoch); len(got) != 1 || got[0] != b || got[0].Flow.Leads() {
		t.Errorf("after the restart %+v", got)
	}
}
