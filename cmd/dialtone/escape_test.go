package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestJSONCommandsNoTerminal: the names that phones give themselves reach a terminal as escapes, and mean the same.
func TestJSONCommandsNoTerminal(t *testing.T) {
	const agent = "phone \x1b[31m\x07\x7f\u009b31m\u202egnp.exe é <x> 😀"
	var out strings.Builder
	s := session{system: system{stdout: &out}}
	if err := s.printJSON(json.RawMessage(mustJSON(t, agent))); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\x7f\u009b\u202e") || !strings.Contains(out.String(), "é <x> 😀") {
		t.Errorf("printed %q", out.String())
	}
	var back string
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back != agent {
		t.Errorf("read back as %q, %v", back, err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}
