package cdr

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/seal"
	"dialtone/internal/store/sqlite"
)

// openStore opens the real thing; the caller closes it.
func openStore(t *testing.T, dir string) store.Store {
	t.Helper()
	keys, err := seal.LoadOrCreate(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func journalOf(t *testing.T, s store.Store) (rows []store.JournalRow) {
	t.Helper()
	err := s.LoadJournal(t.Context(), func(r store.JournalRow) error {
		r.Body = append([]byte(nil), r.Body...)
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func recordsOf(t *testing.T, s store.Store) map[string]Record {
	t.Helper()
	rows, err := s.Records(t.Context(), store.RecordQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]Record{}
	for _, row := range rows {
		var r Record
		if err := json.Unmarshal(row.Body, &r); err != nil {
			t.Fatal(err)
		}
		if _, twice := records[row.CallID]; twice {
			t.Errorf("call %s has two records", row.CallID)
		}
		records[row.CallID] = r
	}
	return records
}

// realCall is an answered call with identifiers as the store wants them.
func realCall(tenant directory.ID) Facts {
	f := answered()
	f.CallID, f.TenantID = directory.NewID().String(), tenant
	return f
}

func begin(t *testing.T, w *Writer, f Facts) {
	t.Helper()
	row, err := Journal(f, at(20_000), nil)
	if err != nil {
		t.Fatal(err)
	}
	journal(w, row)
}

func end(t *testing.T, w *Writer, r Record) {
	t.Helper()
	if err := w.Finish(r); err != nil {
		t.Fatal(err)
	}
}

func TestCutCallsGetTheirRecordsFromTheStore(t *testing.T) {
	t.Parallel()
	dir, tenant := t.TempDir(), directory.NewID()
	s := openStore(t, dir)
	w := openWriter(t, dir, s)
	whole, cut := realCall(tenant), realCall(tenant)
	begin(t, w, whole)
	begin(t, w, cut)
	end(t, w, Build(whole))
	closeWriter(t, w)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// The next process.
	s = openStore(t, dir)
	defer s.Close()
	w = openWriter(t, dir, s)
	if err := w.Replayed(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := journalOf(t, s)
	if len(rows) != 1 || rows[0].CallID != cut.CallID {
		t.Fatalf("journal %v", rows)
	}
	for _, r := range Recover(rows) {
		end(t, w, r)
		end(t, w, r) // as after another crash
	}
	closeWriter(t, w)
	records := recordsOf(t, s)
	if len(records) != 2 || len(journalOf(t, s)) != 0 {
		t.Fatalf("%d records, %d journal rows", len(records), len(journalOf(t, s)))
	}
	if r := records[whole.CallID]; *r.Cause != cause.Normal(cause.Caller) || *r.TalkMS != 60_000 {
		t.Errorf("record of the whole call: %+v", r)
	}
	if r := records[cut.CallID]; r.Cause.Words != "recovered" || r.End.UnixMilli() != at(20_000).UnixMilli() {
		t.Errorf("record of the cut call: ended %s, %+v", r.End, r.Cause)
	}
}

// Somebody holds the database's write lock.
func TestLockedStoreLosesNothing(t *testing.T) {
	t.Parallel()
	dir, tenant := t.TempDir(), directory.NewID()
	s := openStore(t, dir)
	defer s.Close()
	other, err := sql.Open("sqlite", filepath.Join(dir, sqlite.TrafficFile))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	w := openWriter(t, dir, s)
	const n = 300
	for range n {
		f := realCall(tenant)
		began := time.Now()
		begin(t, w, f)
		end(t, w, Build(f))
		if took := time.Since(began); took > time.Second {
			t.Fatalf("a call waited %s for the database", took)
		}
	}
	// All rows are on disk before the store has taken one.
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for began := time.Now(); w.Stats().Spilled < n; <-poll.C { // the journal rows of calls that are over go nowhere
		if time.Since(began) > 5*time.Second {
			t.Fatalf("after five seconds %+v, want %d rows spilled", w.Stats(), n)
		}
	}
	if got := len(recordsOf(t, s)); got != 0 {
		t.Fatalf("%d records passed the lock", got)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	closeWriter(t, w)
	if records, journal := len(recordsOf(t, s)), len(journalOf(t, s)); records != n || journal != 0 {
		t.Errorf("%d records and %d journal rows after the lock, want %d and none", records, journal, n)
	}
	if left := spillSize(t, dir); left != 0 {
		t.Errorf("%d bytes are left in the spill", left)
	}
}
