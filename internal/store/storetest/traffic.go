package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// journal reads the journal as text.
func (b *bench) journal() []string {
	b.t.Helper()
	var got []string
	if err := b.LoadJournal(b.t.Context(), func(r store.JournalRow) error {
		got = append(got, fmt.Sprintf("%s %d %d %s %s", r.CallID, r.AnsweredMS, r.MediaMS, r.Body, r.State))
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return got
}

// testJournal: a call is in the journal from its answer until it has a record, and never again.
func testJournal(t *testing.T, open Opener) {
	b := start(t, open)
	ctx := t.Context()
	steps := func(errs ...error) {
		t.Helper()
		for i, err := range errs {
			if err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
	}
	rows := []store.JournalRow{
		{CallID: "a", AnsweredMS: 1, MediaMS: 1, Body: []byte("body"), State: []byte("state")},
		{CallID: "b", AnsweredMS: 2, MediaMS: 2, Body: []byte("body")},
	}
	steps(
		b.PutJournal(ctx, nil),
		b.PutJournal(ctx, rows),
		b.TouchJournal(ctx, []store.JournalTouch{{CallID: "a", MediaMS: 9}, {CallID: "unknown", MediaMS: 9}}),
	)
	if got, want := b.journal(), []string{"a 1 9 body state", "b 2 2 body "}; !slices.Equal(got, want) {
		t.Errorf("journal %q, want %q", got, want)
	}
	record := store.RecordRow{CallID: "a", StartMS: 1, EndMS: 5, Cause: "busy", Body: []byte(`{"n":1}`)}
	again := record
	again.Cause, again.Body = "another", []byte(`{"n":2}`)
	steps(
		b.FinishCalls(ctx, []store.RecordRow{record}),
		b.FinishCalls(ctx, []store.RecordRow{again, {CallID: "never answered", StartMS: 2}}),
		b.PutJournal(ctx, rows), // late
	)
	if got, want := b.journal(), []string{"b 2 2 body "}; !slices.Equal(got, want) {
		t.Errorf("journal %q, want %q", got, want)
	}
	got, err := b.Records(ctx, store.RecordQuery{CallID: "a"})
	if err != nil || len(got) != 1 || got[0].Cause != "busy" || string(got[0].Body) != `{"n":1}` {
		t.Errorf("records %v, %v", got, err)
	}
}

// testRecords: records are found by what they are asked for, page by page.
func testRecords(t *testing.T, open Opener) {
	b := start(t, open)
	ctx := t.Context()
	tenants := []directory.ID{directory.NewID(), directory.NewID(), {}}
	var rows []store.RecordRow
	for i := range 60 {
		rows = append(rows, store.RecordRow{
			CallID: fmt.Sprintf("call-%02d", i), Tenant: tenants[i%3], StartMS: int64(1000 + i/4), EndMS: 2000,
			Direction: "internal", From: "101", To: "102", Cause: "normal", Body: []byte("{}"),
		})
	}
	if err := b.FinishCalls(ctx, rows); err != nil {
		t.Fatal(err)
	}
	ids := func(q store.RecordQuery) string {
		t.Helper()
		var got []string
		for {
			page, err := b.Records(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				got = append(got, r.CallID)
				q.After = r.Cursor()
			}
			if len(page) == 0 || q.Limit == 0 {
				return strings.Join(got, " ")
			}
		}
	}
	expect := func(keep func(store.RecordRow) bool) (oldest, newest string) {
		var list []string
		for _, r := range rows {
			if keep(r) {
				list = append(list, r.CallID)
			}
		}
		oldest = strings.Join(list, " ")
		slices.Reverse(list)
		return oldest, strings.Join(list, " ")
	}
	for name, c := range map[string]struct {
		q    store.RecordQuery
		keep func(store.RecordRow) bool
	}{
		"all":           {store.RecordQuery{}, func(store.RecordRow) bool { return true }},
		"one":           {store.RecordQuery{CallID: "call-17"}, func(r store.RecordRow) bool { return r.CallID == "call-17" }},
		"a tenant's":    {store.RecordQuery{Tenant: tenants[1]}, func(r store.RecordRow) bool { return r.Tenant == tenants[1] }},
		"since":         {store.RecordQuery{SinceMS: 1005}, func(r store.RecordRow) bool { return r.StartMS >= 1005 }},
		"since, until":  {store.RecordQuery{SinceMS: 1005, UntilMS: 1009}, func(r store.RecordRow) bool { return r.StartMS >= 1005 && r.StartMS < 1009 }},
		"tenant, until": {store.RecordQuery{Tenant: tenants[0], UntilMS: 1009}, func(r store.RecordRow) bool { return r.Tenant == tenants[0] && r.StartMS < 1009 }},
		"none":          {store.RecordQuery{CallID: "'; DROP TABLE records; --"}, func(store.RecordRow) bool { return false }},
	} {
		oldest, newest := expect(c.keep)
		for _, limit := range []int{0, 3, 7} {
			c.q.Limit, c.q.Oldest = limit, false
			if got := ids(c.q); got != newest {
				t.Errorf("%s, limit %d: %s, want %s", name, limit, got, newest)
			}
			c.q.Oldest = true
			if got := ids(c.q); got != oldest {
				t.Errorf("%s, limit %d, oldest first: %s, want %s", name, limit, got, oldest)
			}
		}
	}
	got, err := b.Records(ctx, store.RecordQuery{CallID: "call-04"})
	if err != nil || len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(rows[4]) {
		t.Errorf("record came back as %v, want %v (%v)", got, rows[4], err)
	}
}
