package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/relational"
	"dialtone/internal/store/seal"
)

// fresh opens a store in a new directory that the test closes.
func fresh(t testing.TB) (*relational.Store, string, *seal.Keyring) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "with blank & ?#%41")
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Dir: dir, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir, keys
}

func closed(t testing.TB, s *relational.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// raw opens a database file beside the store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", address(path, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

var actor = store.Actor{Name: "tester"}

// fill adds a tenant with n lines in one update.
func fill(t testing.TB, s store.Store, n int) *directory.Tenant {
	t.Helper()
	ctx := t.Context()
	tenant := &directory.Tenant{Name: "acme", Domains: []string{"acme.example"}}
	_, err := s.Update(ctx, actor, func(tx store.Tx) error {
		if _, err := tx.Tenants().Put(ctx, tenant); err != nil {
			return err
		}
		for i := range n {
			if _, err := tx.Lines().Put(ctx, line(tenant.ID, 100000+i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func line(tenant directory.ID, number int) *directory.Line {
	name := fmt.Sprint(number)
	return &directory.Line{
		Meta: directory.Meta{Tenant: tenant}, Number: name, Name: "Line " + name,
		Devices: []directory.Device{{
			Username: name, Credentials: []directory.Credential{{Secret: directory.Secret("s3cret-" + name)}},
		}},
	}
}

// TestFiles: nobody else may read what is kept, and a file with an odd name is that file.
func TestFiles(t *testing.T) {
	s, dir, _ := fresh(t)
	fill(t, s, 1)
	if err := s.FinishCalls(t.Context(), []store.RecordRow{{CallID: "a"}}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.Name()] = true
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", e.Name(), info.Mode(), err)
		}
	}
	if !seen[DirectoryFile] || !seen[TrafficFile] {
		t.Errorf("files %v", seen)
	}
	closed(t, s)
}

// TestCrash copies the files in the middle of a transaction, as a process that dies leaves them, and cuts the log off
// anywhere, as a machine that stops leaves it: each transaction is there whole or not at all.
func TestCrash(t *testing.T) {
	s, dir, keys := fresh(t)
	ctx, tenant := t.Context(), fill(t, s, 0)
	const pairs = 20
	var crashed string
	for i := range pairs + 1 {
		_, err := s.Update(ctx, actor, func(tx store.Tx) error {
			for _, n := range []int{2 * i, 2*i + 1} {
				if _, err := tx.Lines().Put(ctx, line(tenant.ID, 1000+n)); err != nil {
					return err
				}
				if n == 2*pairs { // the last pair is half done
					crashed = copyFiles(t, dir)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.FinishCalls(ctx, []store.RecordRow{{CallID: fmt.Sprint(i, "a")}, {CallID: fmt.Sprint(i, "b")}}); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	if lines, records := verifyCopy(t, keys, crashed); lines != 2*pairs || records != 2*pairs {
		t.Errorf("after a crash: %d lines and %d records, want %d of each", lines, records, 2*pairs)
	}
	whole := 0
	for part := range 10 {
		cut := copyFiles(t, crashed)
		for _, name := range []string{DirectoryFile, TrafficFile} {
			wal := filepath.Join(cut, name+"-wal")
			info, err := os.Stat(wal)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(wal, info.Size()*int64(part)/10); err != nil {
				t.Fatal(err)
			}
		}
		lines, records := verifyCopy(t, keys, cut)
		if lines%2 != 0 || records%2 != 0 {
			t.Errorf("log cut at %d/10: %d lines, %d records: half a transaction", part, lines, records)
		}
		whole += lines
	}
	if whole == 0 {
		t.Error("no cut left anything: the log is not where the test looks for it")
	}
}

// copyFiles copies the files of a store.
func copyFiles(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{DirectoryFile, DirectoryFile + "-wal", TrafficFile, TrafficFile + "-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(name, "-wal")) {
			t.Fatal(err)
		}
	}
	return to
}

// verifyCopy opens a store as after a crash and counts what is there. A log that was cut off may end before the schema:
// then there is nothing.
func verifyCopy(t *testing.T, keys *seal.Keyring, from string) (lines, records int) {
	t.Helper()
	dir := copyFiles(t, from)
	s, err := Open(t.Context(), Config{Dir: dir, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	d := directory.New()
	if err := d.Load(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	c := d.Snapshot().Counts()
	if n, err := s.VerifyAudit(t.Context()); err != nil || int(n) != c.Tenants+c.Lines {
		t.Errorf("%d audit rows for %d lines, %v", n, c.Lines, err)
	}
	rows, err := s.Records(t.Context(), store.RecordQuery{Limit: 10000})
	if err != nil {
		t.Fatal(err)
	}
	return c.Lines, len(rows)
}

// TestNewerSchema: a database that a later version of the program wrote is left alone.
func TestNewerSchema(t *testing.T) {
	s, dir, keys := fresh(t)
	closed(t, s)
	db := raw(t, filepath.Join(dir, DirectoryFile))
	if _, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir, Keys: keys}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("open: %v", err)
	}
}

// TestNotADatabase: the error names the file.
func TestNotADatabase(t *testing.T) {
	s, dir, keys := fresh(t)
	closed(t, s)
	path := filepath.Join(dir, TrafficFile)
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir, Keys: keys}); err == nil || !strings.Contains(err.Error(), TrafficFile) {
		t.Errorf("open: %v", err)
	}
}

// TestAuditTampered: each way to change the trail is noticed, and where.
func TestAuditTampered(t *testing.T) {
	for name, c := range map[string]struct{ statement, want string }{
		"actor":     {`UPDATE audit SET actor = 'nobody' WHERE seq = 3`, "row 3 was altered"},
		"content":   {`UPDATE audit SET became = replace(became, 'Line', 'Lime') WHERE seq = 2`, "row 2 was altered"},
		"moved":     {`UPDATE audit SET actor = actor || 'x', actor_from = '' WHERE seq = 4`, "row 4 was altered"},
		"removed":   {`DELETE FROM audit WHERE seq = 3`, "row 3 is missing"},
		"first":     {`DELETE FROM audit WHERE seq = 1`, "row 1 is missing"},
		"added":     {`INSERT INTO audit SELECT 9, time_ms, actor, actor_from, tenant_id, kind, object_id, name, was, became, hash FROM audit WHERE seq = 5`, "row 7 is missing"},
		"exchanged": {`UPDATE audit SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE seq IN (2, 3); UPDATE audit SET seq = -seq WHERE seq < 0`, "row 2 was altered"},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir, _ := fresh(t)
			fill(t, s, 5)
			if n, err := s.VerifyAudit(t.Context()); err != nil || n != 6 {
				t.Fatalf("%d rows, %v", n, err)
			}
			if _, err := raw(t, filepath.Join(dir, DirectoryFile)).Exec(c.statement); err != nil {
				t.Fatal(err)
			}
			if _, err := s.VerifyAudit(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("verify: %v, want %s", err, c.want)
			}
			closed(t, s)
		})
	}
}

// TestSealedMoved: who can write to the database cannot give one account the password of another.
func TestSealedMoved(t *testing.T) {
	s, dir, _ := fresh(t)
	tenant := fill(t, s, 3)
	db := raw(t, filepath.Join(dir, DirectoryFile))
	if _, err := db.Exec(`UPDATE devices SET credentials = (SELECT credentials FROM devices WHERE username = '100001') WHERE username = '100000'`); err != nil {
		t.Fatal(err)
	}
	d := directory.New()
	if err := d.Load(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for username, want := range map[string]int{"100000": 0, "100001": 1, "100002": 1} {
		if a, ok := d.Snapshot().Device(tenant.ID, username); !ok || len(a.Device.Credentials) != want {
			t.Errorf("device %s has %d credentials, want %d", username, len(a.Device.Credentials), want)
		}
	}
	closed(t, s)
}

// TestLongUpdate: calls are recorded while an update of the directory takes its time.
func TestLongUpdate(t *testing.T) {
	s, _, _ := fresh(t)
	ctx := t.Context()
	_, err := s.Update(ctx, actor, func(tx store.Tx) error {
		if _, err := tx.Tenants().Put(ctx, &directory.Tenant{Name: "acme"}); err != nil {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, 5*time.Second) // busy_timeout is longer
		defer cancel()
		return s.FinishCalls(soon, []store.RecordRow{{CallID: "a"}})
	})
	if err != nil {
		t.Error(err)
	}
	closed(t, s)
}
