package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// testRecordings: rows are found by what they are asked for, and one that a legal hold keeps cannot be removed.
func testRecordings(t *testing.T, open Opener) {
	b := start(t, open)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ids := func(q store.RecordingQuery) (got []string) {
		t.Helper()
		for {
			rows, err := b.Recordings(ctx, q)
			must(err)
			for i := range rows {
				got = append(got, rows[i].ID)
				q.After = rows[i].Cursor()
			}
			if len(rows) == 0 || q.Limit == 0 {
				return got
			}
		}
	}
	tenants := [2]directory.ID{directory.NewID(), directory.NewID()}
	var all []string
	for i := range 10 {
		row := store.RecordingRow{ID: fmt.Sprintf("r%d", i), Tenant: tenants[i%2], CallID: fmt.Sprintf("call-%d", i/2),
			StartMS: int64(1000 + i/3), EndMS: int64(i * 100), State: "complete", Body: []byte(`{"n":1}`)}
		must(b.PutRecording(ctx, row))
		all = append(all, row.ID)
	}
	slices.Reverse(all)
	if got := ids(store.RecordingQuery{Limit: 3}); !slices.Equal(got, all) {
		t.Errorf("all page by page: %v", got)
	}
	for name, c := range map[string]struct {
		q    store.RecordingQuery
		want []string
	}{
		"one":          {store.RecordingQuery{ID: "r7"}, []string{"r7"}},
		"a call's":     {store.RecordingQuery{CallID: "call-2"}, []string{"r5", "r4"}},
		"a tenant's":   {store.RecordingQuery{Tenant: tenants[1], Limit: 2}, []string{"r9", "r7", "r5", "r3", "r1"}},
		"of a time":    {store.RecordingQuery{SinceMS: 1001, UntilMS: 1002}, []string{"r5", "r4", "r3"}},
		"ended before": {store.RecordingQuery{EndedBeforeMS: 250}, []string{"r2", "r1"}},
		"none":         {store.RecordingQuery{ID: "'; DROP TABLE recordings; --"}, nil},
	} {
		if got := ids(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	must(b.HoldRecording(ctx, "r1", true))
	must(b.PutRecording(ctx, store.RecordingRow{ID: "r1", Tenant: tenants[1], EndMS: 100, State: "failed", Body: []byte(`{"n":2}`)}))
	rows, err := b.Recordings(ctx, store.RecordingQuery{ID: "r1"})
	must(err)
	if r := rows[0]; !r.Hold || r.State != "failed" || string(r.Body) != `{"n":2}` || r.StartMS != 1000 || r.CallID != "call-0" {
		t.Errorf("a row that was written again is %+v", r)
	}
	if got := ids(store.RecordingQuery{EndedBeforeMS: 250, Unheld: true}); !slices.Equal(got, []string{"r2"}) {
		t.Errorf("without those that are held: %v", got)
	}
	if err := b.CondemnRecording(ctx, "r1"); !errors.Is(err, store.ErrHeld) {
		t.Errorf("a recording that is held was condemned: %v", err)
	}
	if err := b.RemoveRecording(ctx, "r2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a recording that is not condemned was removed: %v", err)
	}
	must(b.CondemnRecording(ctx, "r2"))
	must(b.PutRecording(ctx, store.RecordingRow{ID: "r2", Tenant: tenants[0], EndMS: 200, State: "complete"})) // late
	if got := ids(store.RecordingQuery{State: store.RecordingCondemned}); !slices.Equal(got, []string{"r2"}) {
		t.Errorf("condemned: %v", got)
	}
	for what, err := range map[string]error{
		"hold of a condemned one": b.HoldRecording(ctx, "r2", true), "hold of none": b.HoldRecording(ctx, "x", true),
		"condemning none": b.CondemnRecording(ctx, "x"), "removing none": b.RemoveRecording(ctx, "x"),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(b.RemoveRecording(ctx, "r2"))
	if got := ids(store.RecordingQuery{ID: "r2"}); len(got) != 0 {
		t.Errorf("a recording that was removed is still there: %v", got)
	}
}
