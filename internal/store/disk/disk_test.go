package disk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dialtone/internal/store"
)

func blobs(t *testing.T) (*Blobs, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "objects")
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, dir
}

// content reads an object.
func content(t *testing.T, b *Blobs, name string) string {
	t.Helper()
	r, err := b.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// files lists what is on disk.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
			if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v (%v)", path, info.Mode(), err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestObject(t *testing.T) {
	b, dir := blobs(t)
	ctx := t.Context()
	const name = "recordings/2026/01890a5d.wav"
	for _, text := range []string{"first", "the second one", ""} {
		if n, err := b.Put(ctx, name, strings.NewReader(text)); err != nil || n != int64(len(text)) {
			t.Fatalf("put: %d, %v", n, err)
		}
		if got := content(t, b, name); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("files %v", got)
	}
	if err := b.Remove(ctx, name); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(ctx, name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("open after remove: %v", err)
	}
	if err := b.Remove(ctx, name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("remove twice: %v", err)
	}
}

// TestFailedPut: the old object stays, and nothing else.
func TestFailedPut(t *testing.T) {
	b, dir := blobs(t)
	if _, err := b.Put(t.Context(), "a", strings.NewReader("old")); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	if _, err := b.Put(t.Context(), "a", io.MultiReader(strings.NewReader("new"), failing{boom})); !errors.Is(err, boom) {
		t.Errorf("put: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Put(ended, "a", strings.NewReader("new")); !errors.Is(err, context.Canceled) {
		t.Errorf("put with an ended context: %v", err)
	}
	if got := content(t, b, "a"); got != "old" {
		t.Errorf("got %q", got)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("files %v", got)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestTraversal: no name leads out of the directory, nor to anything that is not an object.
func TestTraversal(t *testing.T) {
	b, dir := blobs(t)
	outside := filepath.Join(filepath.Dir(dir), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link": outside, "up": "..", "root": "/"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"", ".", "..", "/", "../outside", "a/../../outside", "/etc/passwd", "a//b", "a/", "./a", ".hidden", "a/.hidden",
		"..;/outside", "%2e%2e%2foutside", `..\outside`, "a\x00b", "a b", "C:", "é", strings.Repeat("a", 300),
		"link", "up/outside", "root/etc/passwd", "directory",
	} {
		if r, err := b.Open(t.Context(), name); err == nil {
			_ = r.Close()
			t.Errorf("open %q worked", name)
		}
		if err := b.Remove(t.Context(), name); err == nil {
			t.Errorf("remove %q worked", name)
		}
		if name == "link" { // may be replaced by an object; what it points to may not
			continue
		}
		if _, err := b.Put(t.Context(), name, strings.NewReader("x")); err == nil {
			t.Errorf("put %q worked", name)
		}
	}
	if _, err := b.Put(t.Context(), "link", strings.NewReader("x")); err != nil {
		t.Errorf("put over a link: %v", err)
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "secret" {
		t.Errorf("the file outside is %q, %v", data, err)
	}
}

// FuzzName: a name that is accepted stays inside, and is its own clean form.
func FuzzName(f *testing.F) {
	for _, name := range []string{"a", "a/b.wav", "../a", "a/./b", ".a"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if check(name) == nil && (!filepath.IsLocal(name) || filepath.Clean(name) != name) {
			t.Errorf("%q is accepted", name)
		}
	})
}
