package conventions

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dialtone/tools/rfcindex/index"
)

// documents are the Markdown files of the project, by name relative to the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && ignored(d.Name()):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".md"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		texts[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// paths returns the paths that a document names: targets of links to files, and words in backquotes that begin with a
// directory of the project. They are relative to the root. Patterns and places of what is made later are left out.
func paths(document, text string) (named []string) {
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
		target, _, _ := strings.Cut(m[1], "#")
		if target == "" || strings.Contains(target, ":") { // a place in the same file, or a URL
			continue
		}
		named = append(named, path.Join(path.Dir(document), target))
	}
	words := regexp.MustCompile("`((?:\\./)?(?:cmd|internal|docs|tools|web|interop|examples)/[^`\\s]*)`")
	for _, m := range words.FindAllStringSubmatch(text, -1) {
		if name := strings.TrimPrefix(m[1], "./"); !strings.ContainsAny(name, "*{<|…") && !strings.Contains(name, "NNNN") {
			named = append(named, path.Clean(name))
		}
	}
	return named
}

func TestPathsInDocumentsExist(t *testing.T) {
	for document, text := range documents(t) {
		for _, name := range paths(document, text) {
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s names %s, which does not exist", document, name)
			}
		}
	}
}

func TestPaths(t *testing.T) {
	const text = "See [the call](../internal/call/leg.go#L3), `internal/sip`, `./tools/x.go`, [web](https://x.y/z), [top](#top),\n" +
		"`docs/adr/NNNN-title.md`, `internal/*/x.go`, `go test ./internal/sip`, and `make test`."
	got := strings.Join(paths("docs/a.md", text), " ")
	if want := "internal/call/leg.go internal/sip tools/x.go"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRFCIndexIsUpToDate(t *testing.T) {
	want, err := index.Render(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(index.Page)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says: run `go run ./tools/rfcindex`", index.Page)
	}
}
