package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRecordings(t *testing.T) {
	const one = `{"id":"r1","call_id":"c1","start":"2026-11-22T08:00:00.000Z","from":"101","to":"102","length_ms":61000,"state":"complete","hold":true}`
	f := newFake(t, map[string]answer{
		"GET /recordings?call=c1&limit=1000": {body: `{"items":[` + one + `],"next":""}`},
		"GET /recordings?limit=1000":         {body: `{"items":[],"next":""}`},
		"GET /recordings/r1":                 {body: one},
		"GET /recordings/r1/audio":           {body: "RIFF"},
		"GET /recordings/r9/audio":           {status: 404, body: `{"detail":"there is no recording r9"}`},
		"PATCH /recordings/r1":               {body: one},
		"DELETE /recordings/r1":              {status: 204},
		"POST /calls/c1/record":              {body: one},
	})
	if got := f.command("recordings"); got != (outcome{0, "no recordings\n", ""}) {
		t.Errorf("none: %+v", got)
	}
	if got := f.command("recordings", "--json", "--call", "c1"); got != (outcome{0, one + "\n", ""}) {
		t.Errorf("as JSON: %+v", got)
	}
	if got := f.command("recordings", "list", "--call", "c1"); got.status != 0 || !containsAll(got.out, "r1", "101", "1m01s", "held") {
		t.Errorf("list: %+v", got)
	}
	for _, c := range []struct {
		args       []string
		line, body string
	}{
		{[]string{"recordings", "hold", "r1"}, "PATCH /recordings/r1", `{"hold":true}`},
		{[]string{"recordings", "free", "r1"}, "PATCH /recordings/r1", `{"hold":false}`},
		{[]string{"recordings", "rm", "r1"}, "DELETE /recordings/r1", ""},
		{[]string{"calls", "record", "c1", "pause"}, "POST /calls/c1/record", `{"action":"pause"}`},
	} {
		got := f.command(c.args...)
		if a := f.last(); got.status != 0 || a.line != c.line || a.body != c.body {
			t.Errorf("%v: %+v, sent %s %s", c.args, got, a.line, a.body)
		}
	}
	if got := f.command("calls", "record", "c1", "sing"); got.status != 2 {
		t.Errorf("an unknown action: %+v", got)
	}
	file := filepath.Join(t.TempDir(), "a.wav")
	if got := f.command("recordings", "get", "r1", file); got.status != 0 {
		t.Errorf("get: %+v", got)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "RIFF" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if got := f.command("recordings", "get", "r1", file); got.status != 1 {
		t.Errorf("over a file that is there: %+v", got)
	}
	other := filepath.Join(t.TempDir(), "b.wav")
	if got := f.command("recordings", "get", "r9", other); got.status != 1 {
		t.Errorf("get of none: %+v", got)
	}
	if _, err := os.Stat(other); !os.IsNotExist(err) {
		t.Errorf("a file of nothing is left: %v", err)
	}
}

// containsAll tells whether a text has all of these.
func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
}
