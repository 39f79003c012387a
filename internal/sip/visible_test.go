package sip

import (
	"strings"
	"testing"
)

// TestVisible: what a display would obey is left out of names, and nothing else is.
func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"Sara":                      "Sara",
		"\x1b[31mred\x1b[0m":        "[31mred[0m",
		"bell\x07 nul\x00 del\x7f":  "bell nul del",
		"tab\tcr\rlf\n":             "tabcrlf",
		"\u009b31m nel\u0085":       "31m nel",
		"\x9b31m \xff\xfe broken":   "31m  broken",
		"\u202egnp.exe\u2066\u2069": "gnp.exe",
		"line\u2028para\u2029":      "linepara",
		"\ufeffmark":                "mark",
		"می\u200cخواهم":             "می\u200cخواهم", // the joiner belongs to the word
		"\u200fשלום \u200e101":      "\u200fשלום \u200e101",
		"陳小姐 😀":                     "陳小姐 😀",
		"\ufffd":                    "\ufffd",
		"\u00a0é":                   "\u00a0é",
	} {
		if got := string(AppendVisible(nil, in)); got != want {
			t.Errorf("AppendVisible(%q) = %q, want %q", in, got, want)
		}
		if got := Unquote(AppendQuoted(nil, in)); got != want {
			t.Errorf("AppendQuoted(%q) says %q, want %q", in, got, want)
		}
		address, err := ParseAddress([]byte(`"` + in + `" <sip:a@b>`))
		if err != nil {
			continue // a line break cannot stand in a header
		}
		if got := address.DisplayName(); got != want {
			t.Errorf("DisplayName of %q = %q, want %q", in, got, want)
		}
	}
	if got := string(AppendQuoted(nil, `a"b\c`)); got != `"a\"b\\c"` {
		t.Errorf("escapes: %s", got)
	}
}

// TestLongDisplayName: a name of a size that no display shows is cut between characters.
func TestLongDisplayName(t *testing.T) {
	a := Address{Display: []byte("x" + strings.Repeat("é", 2000))}
	if got, want := a.DisplayName(), "x"+strings.Repeat("é", 127); got != want {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
