package cdr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// database is a Saver with the rules of the real one, and faults on demand.
type database struct {
	mu      sync.Mutex
	journal map[string]store.JournalRow
	records map[string]store.RecordRow
	calls   int
	down    bool
	delay   time.Duration
	refuse  map[string]bool // calls whose rows it never takes
}

var errDown = errors.New("database is down")

func newDatabase() *database {
	return &database{journal: map[string]store.JournalRow{}, records: map[string]store.RecordRow{}, refuse: map[string]bool{}}
}

// enter is what each method starts with: the delay and the faults.
func (d *database) enter(ctx context.Context) error {
	d.mu.Lock()
	delay := d.delay
	d.calls++
	d.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return errDown
	}
	return nil
}

func (d *database) PutJournal(ctx context.Context, rows []store.JournalRow) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rows {
		if d.refuse[r.CallID] {
			return fmt.Errorf("call %s is refused", r.CallID)
		}
	}
	for _, r := range rows {
		if _, ended := d.records[r.CallID]; !ended {
			d.journal[r.CallID] = r
		}
	}
	return nil
}

func (d *database) TouchJournal(ctx context.Context, touches []store.JournalTouch) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, touch := range touches {
		if r, there := d.journal[touch.CallID]; there {
			r.MediaMS = touch.MediaMS
			d.journal[touch.CallID] = r
		}
	}
	return nil
}

func (d *database) FinishCalls(ctx context.Context, rows []store.RecordRow) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rows {
		if d.refuse[r.CallID] {
			return fmt.Errorf("call %s is refused", r.CallID)
		}
	}
	for _, r := range rows {
		if _, there := d.records[r.CallID]; !there {
			d.records[r.CallID] = r
		}
		delete(d.journal, r.CallID)
	}
	return nil
}

func (d *database) set(f func(*database)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

func (d *database) counts() (journal, records int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.journal), len(d.records)
}

func openWriter(t *testing.T, dir string, s Saver) *Writer {
	t.Helper()
	w, err := Open(Config{Dir: dir, Saver: s, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func closeWriter(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if n := w.Stats().Lost; n != 0 {
		t.Errorf("%d rows lost", n)
	}
}

func wantCounts(t *testing.T, d *database, journal, records int) {
	t.Helper()
	if j, r := d.counts(); j != journal || r != records {
		t.Errorf("database has %d journal rows and %d records, want %d and %d", j, r, journal, records)
	}
}

func answer(w *Writer, id string)      { journal(w, store.JournalRow{CallID: id, AnsweredMS: 1}) }
func finish(w *Writer, id string)      { _ = w.Finish(Record{CallID: id}) }
func name(prefix string, i int) string { return fmt.Sprint(prefix, i) }

func journal(w *Writer, row store.JournalRow) {
	w.Answered(row.CallID, func() (store.JournalRow, error) { return row, nil })
}

func spillSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "cdr.spill"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// after lets virtual time pass and then waits until all goroutines rest.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestRecordIsSavedWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, dir := newDatabase(), t.TempDir()
		w := openWriter(t, dir, d)
		answer(w, "a")
		answer(w, "b")
		after(2 * tick)
		wantCounts(t, d, 2, 0)
		finish(w, "a")
		after(2 * tick)
		wantCounts(t, d, 1, 1)
		if spillSize(t, dir) != 0 {
			t.Error("the spill was used though the database was well")
		}
		closeWriter(t, w)
	})
}

func TestCloseFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		w := openWriter(t, t.TempDir(), d)
		const calls = 3*batchRows + 5
		for i := range calls {
			finish(w, name("c", i))
		}
		closeWriter(t, w)
		closeWriter(t, w)
		wantCounts(t, d, 0, calls)
		answer(w, "late")
		if w.Stats().Lost != 1 {
			t.Error("a row after Close is not counted as lost")
		}
	})
}

func TestDatabaseDownLosesAndDoublesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, dir := newDatabase(), t.TempDir()
		w := openWriter(t, dir, d)
		d.set(func(d *database) { d.down = true })
		const calls = 1000
		for i := range calls {
			answer(w, name("c", i))
			if i%100 == 99 {
				after(300 * time.Millisecond)
			}
		}
		for i := range calls / 2 {
			finish(w, name("c", i))
		}
		after(time.Second)
		wantCounts(t, d, 0, 0)
		if s := w.Stats(); s.Queued != 0 || s.Spilled != calls+calls/2 {
			t.Errorf("after a second %+v, want all %d rows on disk", s, calls+calls/2)
		}
		d.set(func(d *database) { d.down = false })
		after(time.Minute)
		wantCounts(t, d, calls/2, calls/2)
		if n := spillSize(t, dir); n != 0 {
			t.Errorf("%d bytes are left in the spill", n)
		}
		closeWriter(t, w)
	})
}

func TestSlowDatabaseGetsRowsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, dir := newDatabase(), t.TempDir()
		w := openWriter(t, dir, d)
		d.set(func(d *database) { d.delay = 5 * time.Second })
		for i := range 20 {
			answer(w, name("c", i))
			after(tick)
			finish(w, name("c", i))
			after(patience + 2*tick) // durable by now
			if s := w.Stats(); s.Spilled < 2*i {
				t.Fatalf("call %d: %+v", i, s)
			}
		}
		after(2 * time.Minute)
		// Had a journal row overtaken its record, it would be here.
		wantCounts(t, d, 0, 20)
		closeWriter(t, w)
	})
}

func TestSpillOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, dir := newDatabase(), t.TempDir()
		d.down = true
		w := openWriter(t, dir, d)
		answer(w, "ended")
		answer(w, "cut")
		after(time.Second)
		finish(w, "ended")
		after(time.Second)
		closeWriter(t, w)
		wantCounts(t, d, 0, 0)

		// Someone pulled the plug in the middle of a write.
		f, err := os.OpenFile(filepath.Join(dir, "cdr.spill"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte{9, 0, 0, 0, 1, 2, 3, 4, '{'}); err != nil {
			t.Fatal(err)
		}
		f.Close()

		w = openWriter(t, dir, d)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := w.Replayed(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("replayed with the database down: %v", err)
		}
		d.set(func(d *database) { d.down = false })
		if err := w.Replayed(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, d, 1, 1)
		if _, there := d.journal["cut"]; !there {
			t.Error("the call that was cut is not in the journal")
		}
		closeWriter(t, w)
	})
}

func TestStuckDatabaseDoesNotHoldUpClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, dir := newDatabase(), t.TempDir()
		d.delay = time.Hour
		w := openWriter(t, dir, d)
		for i := range 600 {
			finish(w, name("c", i))
		}
		began := time.Now()
		closeWriter(t, w)
		if took := time.Since(began); took > closeTimeout+time.Second {
			t.Errorf("Close took %s", took)
		}
		d.delay = 0
		closeWriter(t, openWriter(t, dir, d))
		wantCounts(t, d, 0, 600)
	})
}

func TestRefusedRowIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, dir := newDatabase(), t.TempDir()
		d.refuse["bad"] = true
		w := openWriter(t, dir, d)
		for i := range 50 {
			finish(w, name("before", i))
		}
		finish(w, "bad")
		for i := range 50 {
			finish(w, name("after", i))
		}
		after(time.Minute)
		wantCounts(t, d, 0, 100)
		if s := w.Stats(); s.Refused != 1 {
			t.Errorf("%+v, want one row refused", s)
		}
		finish(w, "more")
		after(time.Second)
		wantCounts(t, d, 0, 101)
		closeWriter(t, w)
		b, err := os.ReadFile(filepath.Join(dir, "cdr.rejected"))
		if err != nil {
			t.Fatal(err)
		}
		it, n, err := readFrame(bytes.NewReader(b))
		if err != nil || n != int64(len(b)) || it.Record.CallID != "bad" {
			t.Errorf("set aside: %+v, %d of %d bytes, %v", it, n, len(b), err)
		}
	})
}

func TestRefreshOnlyTouchesRunningCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		w := openWriter(t, t.TempDir(), d)
		answer(w, "on")
		answer(w, "over")
		finish(w, "over")
		w.Refresh([]store.JournalTouch{{CallID: "on", MediaMS: 77}, {CallID: "over", MediaMS: 77}, {CallID: "never", MediaMS: 77}})
		after(2 * tick)
		wantCounts(t, d, 1, 1)
		if got := d.journal["on"].MediaMS; got != 77 {
			t.Errorf("media was last seen at %d, want 77", got)
		}
		closeWriter(t, w)
	})
}

func TestFullDiskKeepsRowsInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, dir := newDatabase(), t.TempDir()
		d.down = true
		s, err := openSpill(filepath.Join(dir, "cdr.spill"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.close(); err != nil { // every write fails from here on, as on a full disk
			t.Fatal(err)
		}
		w := &Writer{
			saver: d, log: slog.New(slog.DiscardHandler), dir: dir,
			wake: make(chan struct{}, 1), fresh: make(chan struct{}), closing: make(chan struct{}),
			work: make(chan batch), results: make(chan result, 1),
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.cancel = cancel
		w.group.Go(func() { w.save(ctx) })
		w.group.Go(func() { w.err = (&collector{Writer: w, spill: s}).run() })
		answer(w, "a")
		finish(w, "a")
		after(5 * time.Second)
		d.set(func(d *database) { d.down = false })
		after(retryMost + time.Second)
		wantCounts(t, d, 0, 1)
		if err := w.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
}

func TestConcurrentCalls(t *testing.T) {
	d, dir := newDatabase(), t.TempDir()
	w := openWriter(t, dir, d)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 250 {
				id := fmt.Sprint(g, ".", i)
				answer(w, id)
				w.Refresh([]store.JournalTouch{{CallID: id}})
				finish(w, id)
			}
		})
	}
	wg.Wait()
	closeWriter(t, w)
	wantCounts(t, d, 0, 2000)
}

func TestRowCarriesTheRecord(t *testing.T) {
	tenant := directory.NewID()
	r := Build(Facts{CallID: "c", TenantID: tenant, From: "101", To: "102", Start: day, End: day.Add(time.Second),
		Cause: cause.Busy()})
	row, err := r.Row()
	if err != nil {
		t.Fatal(err)
	}
	var back Record
	if err := json.Unmarshal(row.Body, &back); err != nil {
		t.Fatal(err)
	}
	if row.CallID != "c" || row.Tenant != tenant || back.Tenant != tenant.String() || row.From != "101" || row.To != "102" ||
		row.Cause != cause.Busy().Words || row.EndMS-row.StartMS != 1000 || *back.From != "101" {
		t.Errorf("%+v", row)
	}
}

func FuzzSpill(f *testing.F) {
	whole, _ := appendFrame(nil, item{Journal: &store.JournalRow{CallID: "c", Body: []byte("{}")}})
	whole, _ = appendFrame(whole, item{Record: &store.RecordRow{CallID: "c", Body: []byte(`{"a":1}`)}})
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "cdr.spill")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSpill(name)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		before, length, err := s.next(1 << 20)
		if err != nil || length != s.size {
			t.Fatalf("%d of %d bytes, %v", length, s.size, err)
		}
		// A row that is appended to whatever was there comes back as the last one.
		if err := s.append([]item{{Record: &store.RecordRow{CallID: "new"}}}); err != nil {
			t.Fatal(err)
		}
		items, length, err := s.next(1 << 20)
		if err != nil || len(items) != len(before)+1 || items[len(before)].Record.CallID != "new" {
			t.Fatalf("%d rows after %d and one more, %v", len(items), len(before), err)
		}
		if err := s.done(length); err != nil || !s.empty() || spillSize(t, filepath.Dir(name)) != 0 {
			t.Fatalf("not empty after all was done: %v", err)
		}
		if _, _, err := readFrame(io.NewSectionReader(s.file, 0, 100)); err != io.EOF {
			t.Fatalf("read of the empty file: %v", err)
		}
	})
}
