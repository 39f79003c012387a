// Package conventions holds the code to what the documents say, so that they cannot rot: which package may import
// which (floors), which third-party module belongs where, that every package says what it is for, that paths named in
// documents exist, and a few habits. It has tests only, no goroutines, and reads the source tree it stands in.
package conventions

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the project's directory, seen from this one.
const root = "../.."

// sourceFile is one Go file of the project.
type sourceFile struct {
	name  string // slash-separated, relative to the root
	lines int
	text  []byte
	ast   *ast.File // package clause, imports and comments
}

// test tells whether the file belongs to the tests: its own, or a package that exists for tests.
func (f *sourceFile) test() bool {
	dir := path.Dir(f.name)
	return strings.HasSuffix(f.name, "_test.go") || strings.HasSuffix(dir, "test") || // teltest, call/calltest, store/storetest
		dir == "internal/conventions" || strings.HasPrefix(f.name, "interop/")
}

// tree reads all Go files of the project, by package directory.
func tree(t *testing.T) map[string][]*sourceFile {
	t.Helper()
	packages := map[string][]*sourceFile{}
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && ignored(d.Name()):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(set, name, text, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		packages[path.Dir(rel)] = append(packages[path.Dir(rel)],
			&sourceFile{name: rel, lines: strings.Count(string(text), "\n"), text: text, ast: file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 3 {
		t.Fatalf("only %d packages below %s: is this the root?", len(packages), root)
	}
	return packages
}

// ignored tells which directories hold nothing of ours.
func ignored(dir string) bool {
	return strings.HasPrefix(dir, ".") || slices.Contains([]string{"testdata", "node_modules", "bin", "data", "dist"}, dir)
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for dir, files := range tree(t) {
		documented := ""
		for _, f := range files {
			if f.ast.Doc == nil || strings.HasSuffix(f.ast.Name.Name, "_test") {
				continue
			}
			if documented != "" {
				t.Errorf("%s: the package comment stands in %s and in %s", dir, documented, f.name)
			}
			documented = f.name
			words := strings.TrimSpace(f.ast.Doc.Text())
			want := "Package " + f.ast.Name.Name + " "
			if f.ast.Name.Name == "main" {
				want = "Command "
			}
			if !strings.HasPrefix(words, want) {
				t.Errorf("%s: the package comment does not begin with %q", f.name, want)
			}
		}
		if documented == "" {
			t.Errorf("%s: no file has a package comment", dir)
		}
	}
}

func TestPackageNamesSaySomething(t *testing.T) {
	empty := []string{"common", "util", "utils", "helper", "helpers", "manager", "managers", "base", "misc", "shared", "lib"}
	for dir, files := range tree(t) {
		for _, word := range append(strings.Split(dir, "/"), files[0].ast.Name.Name) {
			if slices.Contains(empty, word) {
				t.Errorf("%s: %q says nothing about what is inside", dir, word)
			}
		}
	}
}

func TestFilesStayReadable(t *testing.T) {
	const most = 500
	for _, files := range tree(t) {
		for _, f := range files {
			generated := len(f.ast.Comments) > 0 && ast.IsGenerated(f.ast)
			if f.lines > most && !generated && !strings.HasSuffix(f.name, "_test.go") {
				t.Errorf("%s has %d lines, more than %d: split it by noun", f.name, f.lines, most)
			}
		}
	}
}

func TestFunctionsFitAScreen(t *testing.T) {
	const most = 80
	functions(t, func(set *token.FileSet, fn *ast.FuncDecl) {
		from, to := set.Position(fn.Pos()), set.Position(fn.End())
		if lines := to.Line - from.Line + 1; lines > most {
			t.Errorf("%s: %s has %d lines, more than %d", from, fn.Name.Name, lines, most)
		}
	})
}

func TestNothingRunsOnImport(t *testing.T) {
	functions(t, func(set *token.FileSet, fn *ast.FuncDecl) {
		if fn.Recv == nil && fn.Name.Name == "init" {
			t.Errorf("%s: init runs unasked; let main or a constructor do it", set.Position(fn.Pos()))
		}
	})
}

// functions calls look for each function of the project that is not for tests.
func functions(t *testing.T, look func(*token.FileSet, *ast.FuncDecl)) {
	t.Helper()
	for _, files := range tree(t) {
		for _, f := range files {
			if f.test() {
				continue
			}
			set, file := f.code(t)
			for _, d := range file.Decls {
				if fn, is := d.(*ast.FuncDecl); is {
					look(set, fn)
				}
			}
		}
	}
}

// code reads the file with its functions.
func (f *sourceFile) code(t *testing.T) (*token.FileSet, *ast.File) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, f.name, f.text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return set, file
}

func TestTestsDoNotSleep(t *testing.T) {
	for dir, files := range tree(t) {
		if strings.HasPrefix(dir, "interop") {
			continue // real peers have no virtual clock
		}
		for _, f := range files {
			if !strings.HasSuffix(f.name, "_test.go") || imports(f, "testing/synctest") {
				continue // in a bubble of synctest a sleep takes no time
			}
			if sleeps(t, f) {
				t.Errorf("%s sleeps: use testing/synctest", f.name)
			}
		}
	}
}

// imports tells whether a file imports a package.
func imports(f *sourceFile, pkg string) bool {
	return slices.ContainsFunc(f.ast.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"`+pkg+`"` })
}

// sleeps tells whether a file calls time.Sleep.
func sleeps(t *testing.T, f *sourceFile) bool {
	t.Helper()
	_, file := f.code(t)
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		if s, is := n.(*ast.SelectorExpr); is && s.Sel.Name == "Sleep" {
			if x, is := s.X.(*ast.Ident); is && x.Name == "time" {
				found = true
			}
		}
		return !found
	})
	return found
}
