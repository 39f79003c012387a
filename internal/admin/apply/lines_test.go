package apply

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestLinesAreTheSameFile: an export as JSON has a tenant a line, and applying each line changes nothing.
func TestLinesAreTheSameFile(t *testing.T) {
	s := open(t, t.TempDir())
	must(t, s, whole(t), Options{})
	var out bytes.Buffer
	if err := WriteLines(&out, strings.NewReader(export(t, s))); err != nil {
		t.Fatal(err)
	}
	unchanged := 0
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Fatalf("not JSON: %s", line)
		}
		r := must(t, s, line, Options{Prune: true})
		if len(r.Changes) != 0 {
			t.Errorf("changed %v by %s", r.Changes, line)
		}
		unchanged += r.Unchanged
	}
	if unchanged != 15 {
		t.Errorf("%d objects in\n%s", unchanged, out.String())
	}
}

func TestLines(t *testing.T) {
	for _, c := range []struct{ file, want, fault string }{
		{"", "", ""},
		{"---\n---\ntenant: a\n", "null\n{\"tenant\":\"a\"}\n", ""},
		{"b: [1, \"1\", true, off, null]\na: {x: 1.5}\n", "{\"b\":[1,\"1\",true,\"off\",null],\"a\":{\"x\":1.5}}\n", ""},
		{"a: &x 1\nb: *x\n", "", "line 2: anchors and aliases"},
		{"a: [", "", "yaml: line"},
	} {
		var out bytes.Buffer
		err := WriteLines(&out, strings.NewReader(c.file))
		if c.fault == "" && (err != nil || out.String() != c.want) {
			t.Errorf("%q: %q, %v", c.file, out.String(), err)
		}
		if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%q: error %v, want %s", c.file, err, c.fault)
		}
	}
}
