package sqlite

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/seal"
)

// writerDir names the environment variable that makes TestKilledWriter the process that is going to be killed.
const writerDir = "DIALTONE_TEST_WRITER_DIR"

// TestKilled kills a process that writes, and expects all that it had been told was kept.
func TestKilled(t *testing.T) {
	root := t.TempDir()
	writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWriter$")
	writer.Env = append(os.Environ(), writerDir+"="+root)
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for lines := bufio.NewScanner(out); kept < 50 && lines.Scan(); kept++ {
	}
	if err := writer.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = writer.Wait() // says that it was killed
	if kept < 50 {
		t.Fatalf("the writer ended by itself after %d rounds", kept)
	}
	keys, err := seal.Load(filepath.Join(root, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Dir: root, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	d := directory.New()
	if err := d.Load(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if n := d.Snapshot().Counts().Lines; n < kept {
		t.Errorf("%d lines of at least %d", n, kept)
	}
	if _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	records, err := s.Records(t.Context(), store.RecordQuery{Limit: 10000})
	if err != nil || len(records) < kept {
		t.Errorf("%d records of at least %d, %v", len(records), kept, err)
	}
	journal := 0
	if err := s.LoadJournal(t.Context(), func(store.JournalRow) error { journal++; return nil }); err != nil || journal > 1 {
		t.Errorf("%d calls in the journal, want the one that was running at most (%v)", journal, err)
	}
}

// TestKilledWriter writes for ever when TestKilled starts it, and does nothing otherwise.
func TestKilledWriter(t *testing.T) {
	root := os.Getenv(writerDir)
	if root == "" {
		return
	}
	keys, err := seal.LoadOrCreate(filepath.Join(root, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Dir: root, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	tenant := fill(t, s, 0)
	ctx := t.Context()
	for i := 0; ; i++ {
		id := fmt.Sprint("call-", i)
		_, err := s.Update(ctx, actor, func(tx store.Tx) error {
			_, err := tx.Lines().Put(ctx, line(tenant.ID, 1000+i))
			return err
		})
		if err == nil {
			err = s.PutJournal(ctx, []store.JournalRow{{CallID: id}})
		}
		if err == nil {
			err = s.FinishCalls(ctx, []store.RecordRow{{CallID: id}})
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(i)
	}
}
