package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const before = `goos: linux
pkg: dialtone/internal/sip
BenchmarkParse-2   	 1000	 850 ns/op	 0 B/op	 0 allocs/op
BenchmarkParse-2   	 1000	 870 ns/op	 0 B/op	 0 allocs/op
BenchmarkPrint-2   	 1000	 100 ns/op	 8 B/op	 1 allocs/op
PASS
`

const now = `pkg: dialtone/internal/sip
BenchmarkParse-2   	 1000	 425 ns/op	 64 B/op	 0 allocs/op
BenchmarkParse-2   	 1000	 435 ns/op	 64 B/op	 0 allocs/op
BenchmarkPrint-2   	 1000	 101 ns/op	 8 B/op	 1 allocs/op
BenchmarkPrint-2   	 1000	 99 ns/op	 8 B/op	 1 allocs/op
BenchmarkCall/held-16 	 10	 2000000 ns/op	 3 B/op	 1 allocs/op	 12.5 KB/call
`

func TestTable(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for name, text := range map[string]string{a: before, b: now} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if err := run([]string{a, b}, &out); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"package benchmark time B/op allocs more",
		"internal/sip Parse 430 ns -50% 64 + 0 =",
		"internal/sip Print 100 ns = 8 = 1 =",
		"internal/sip Call/held 2 ms new 3 new 1 new 12.5 KB/call",
	}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if got := strings.Join(strings.Fields(line), " "); i >= len(want) || got != want[i] {
			t.Errorf("line %d is %q", i, got)
		}
	}

	out.Reset()
	if err := run([]string{filepath.Join(dir, "absent"), b}, &out); err != nil || strings.Contains(out.String(), "new") {
		t.Errorf("without a run before: %v\n%s", err, &out)
	}
	if run([]string{b, filepath.Join(dir, "absent")}, &out) == nil {
		t.Error("a run that does not exist was taken")
	}
	if run(nil, &out) == nil {
		t.Error("no file was taken")
	}
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		before, now []float64
		want        string
	}{
		{nil, []float64{1}, "new"},
		{[]float64{2}, []float64{2}, "="},
		{[]float64{0}, []float64{3}, "+"},
		{[]float64{10, 12}, []float64{11, 14}, "~"},
		{[]float64{10, 12}, []float64{22, 22}, "+100%"},
	} {
		if got := compare(c.before, c.now); got != c.want {
			t.Errorf("compare(%v, %v) = %s, want %s", c.before, c.now, got, c.want)
		}
	}
}
