package sqlite

import (
	"bytes"
	"fmt"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

const many = 100_000

// BenchmarkPutLines is what applying a file costs the store, per line.
func BenchmarkPutLines(b *testing.B) {
	s, _, _ := fresh(b)
	defer closed(b, s)
	b.ResetTimer()
	fill(b, s, b.N)
}

// BenchmarkApplyAgain is what applying a file that changes nothing costs, per line.
func BenchmarkApplyAgain(b *testing.B) {
	s, _, _ := fresh(b)
	defer closed(b, s)
	tenant := fill(b, s, b.N)
	ctx := b.Context()
	b.ResetTimer()
	changes, err := s.Update(ctx, actor, func(tx store.Tx) error {
		for i := range b.N {
			want := line(tenant.ID, 100000+i)
			kept, err := tx.Lines().Find(ctx, tenant.ID, want.Number)
			if err != nil {
				return err
			}
			want.Meta = kept.Meta
			if _, err := tx.Lines().Put(ctx, want); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(changes) != 0 {
		b.Fatalf("%d changes, %v", len(changes), err)
	}
}

// BenchmarkEditLine is one change as the web page makes it, with 10,000 lines.
func BenchmarkEditLine(b *testing.B) {
	s, _, _ := fresh(b)
	defer closed(b, s)
	tenant := fill(b, s, 10_000)
	ctx := b.Context()
	i := 0
	for b.Loop() {
		i++
		if _, err := s.Update(ctx, actor, func(tx store.Tx) error {
			l, err := tx.Lines().Find(ctx, tenant.ID, "100500")
			if err != nil {
				return err
			}
			l.Name = fmt.Sprint(i)
			_, err = tx.Lines().Put(ctx, l)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadLines loads the directory with 100,000 lines.
func BenchmarkLoadLines(b *testing.B) {
	s, _, _ := fresh(b)
	defer closed(b, s)
	fill(b, s, many)
	for b.Loop() {
		if err := directory.New().Load(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFinishCalls is a batch of 256 ended calls, journal row and record.
func BenchmarkFinishCalls(b *testing.B) {
	s, _, _ := fresh(b)
	defer closed(b, s)
	tenant, body := directory.NewID(), bytes.Repeat([]byte("x"), 1500)
	const batch = 256
	for b.Loop() {
		journal, records := make([]store.JournalRow, batch), make([]store.RecordRow, batch)
		for i := range batch {
			id := directory.NewID().String()
			journal[i] = store.JournalRow{CallID: id, Tenant: tenant, Body: body[:500], State: body}
			records[i] = store.RecordRow{CallID: id, Tenant: tenant, StartMS: int64(i), Body: body}
		}
		if err := s.PutJournal(b.Context(), journal); err != nil {
			b.Fatal(err)
		}
		if err := s.FinishCalls(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/batch, "us/call")
}
