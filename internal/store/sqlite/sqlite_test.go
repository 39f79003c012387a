package sqlite

import (
	"testing"

	"dialtone/internal/store"
	"dialtone/internal/store/storetest"
)

func open(t testing.TB, cfg storetest.Config) store.Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: cfg.Dir, Keys: cfg.Keys, Committed: cfg.Committed})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) { storetest.Run(t, open) }
