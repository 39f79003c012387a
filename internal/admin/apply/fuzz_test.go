package apply

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dialtone/internal/store"
)

// large is a file with so many lines, each with a device.
func large(lines int) string {
	var b strings.Builder
	b.WriteString("tenant: default\nlines:\n")
	for n := range lines {
		fmt.Fprintf(&b, "  - number: \"%d\"\n    name: Line %d\n    devices:\n      - {username: \"%d\", password: \"secret-of-%d\"}\n", 100000+n, n, 100000+n, n)
	}
	return b.String()
}

// Whatever the file is, reading it ends, and its faults stand on lines that the file has. What is read without faults
// is written and read again without faults and to the same entries.
func FuzzRead(f *testing.F) {
	f.Add([]byte(whole(f)))
	f.Add([]byte("tenant: a\n---\ntenant: b\ntrunks: []\nlines:\n  - {number: 1, devices: [{username: x}]}"))
	f.Add([]byte("sites: &a [*a]\n<<: 1\n? [x]\n: y"))
	f.Add([]byte("lines:\n- name: \"\\u0000\\n\\U0001F600\"\n  number: !!binary x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		documents, faults := read(text)
		// The reader counts lines also at line and paragraph separators and at carriage returns.
		lines := 2 + bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")) +
			bytes.Count(text, []byte("\u2028")) + bytes.Count(text, []byte("\u2029")) + bytes.Count(text, []byte("\u0085"))
		for _, fault := range faults {
			if fault.Line > lines || fault.Reason == "" {
				t.Fatalf("fault %+v in %d lines", fault, lines)
			}
		}
		if len(faults) > 0 {
			return
		}
		for i := range documents {
			for _, e := range documents[i].lines.entries {
				if line := e.line("devices[3].from[1]"); line < 1 || line > lines {
					t.Fatalf("line %d of %d", line, lines)
				}
				written := "lines:\n  - " + flow(reflect.ValueOf(e.form)) + "\n"
				again, faults := read([]byte(written))
				if len(faults) > 0 {
					t.Fatalf("%s\ncannot be read: %v", written, faults)
				}
				if got := flow(reflect.ValueOf(again[0].lines.entries[0].form)); "lines:\n  - "+got+"\n" != written {
					t.Fatalf("%s\nis read as\n%s", written, got)
				}
			}
		}
	})
}

func BenchmarkApply(b *testing.B) {
	const lines = 100_000
	file := large(lines)
	for b.Loop() {
		s := open(b, b.TempDir())
		if r := must(b, s, file, Options{}); r.Created != lines+1 {
			b.Fatalf("created %d", r.Created)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Seconds())/float64(b.N), "s/100k-lines")
}

func BenchmarkApplyAgain(b *testing.B) {
	const lines = 100_000
	file := large(lines)
	s := open(b, b.TempDir())
	must(b, s, file, Options{})
	for b.Loop() {
		if r := must(b, s, file, Options{}); r.Unchanged != lines+1 {
			b.Fatalf("unchanged %d", r.Unchanged)
		}
	}
}

func BenchmarkExport(b *testing.B) {
	s := open(b, b.TempDir())
	must(b, s, large(100_000), Options{})
	for b.Loop() {
		if err := Export(b.Context(), s, discard{}); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

var _ Store = (store.Store)(nil)
