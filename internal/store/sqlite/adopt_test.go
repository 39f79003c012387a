package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"dialtone/internal/location"
	"dialtone/internal/store/relational"
)

// heir takes over bindings.
type heir struct {
	rows map[uint64]string
	fail error
}

func (h *heir) SaveBindings(_ context.Context, b *location.Batch) (bool, error) {
	for _, r := range b.Rows {
		h.rows[r.ID] = fmt.Sprintf("%s %d", r.Body, r.ExpiresMS)
	}
	return false, h.fail
}

// TestBindingsAreTakenOver: a database of the version that had bindings in it hands them over once, and only when they
// have been taken are they gone from it.
func TestBindingsAreTakenOver(t *testing.T) {
	s, dir, keys := fresh(t)
	closed(t, s)
	path := filepath.Join(dir, TrafficFile)
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	files, err := relational.TrafficMigrations()
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), relational.TrafficWithBindings); err != nil {
		t.Fatal(err)
	}
	const many = 10_000
	for i := range many {
		if _, err := db.Exec(`INSERT INTO bindings (aor, contact, tenant_id, expires_ms, body) VALUES ($1, 'c', '', $2, $3)`,
			fmt.Sprintf("%06d", i), i, fmt.Appendf(nil, "body %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	h := &heir{rows: map[uint64]string{}, fail: errors.New("no room")}
	if _, err := Open(t.Context(), Config{Dir: dir, Keys: keys, Bindings: h}); !errors.Is(err, h.fail) {
		t.Errorf("error %v, want that of who was to take them", err)
	}
	h.fail = nil
	for range 2 { // the second start finds none
		s, err = Open(t.Context(), Config{Dir: dir, Keys: keys, Bindings: h})
		if err != nil {
			t.Fatal(err)
		}
		closed(t, s)
		if len(h.rows) != many {
			t.Errorf("%d bindings, want %d", len(h.rows), many)
		}
		for i := range many {
			if got, want := h.rows[uint64(i+1)], fmt.Sprintf("body %d %d", i, i); got != want {
				t.Fatalf("binding %d is %q, want %q", i+1, got, want)
			}
		}
	}
	var tables int
	if err := raw(t, path).QueryRow(`SELECT count(*) FROM sqlite_master WHERE name = 'bindings'`).Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables of bindings, %v", tables, err)
	}
}
