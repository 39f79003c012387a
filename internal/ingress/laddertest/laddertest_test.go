package laddertest

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	lines, err := parse("# comment\n\nalice -> INVITE 102 (offer)\n    Require: 100rel\n\tTo: -\nwait 5s\n")
	want := []line{{3, "alice -> INVITE 102 (offer)", []header{{"Require", "100rel"}, {"To", "-"}}}, {6, "wait 5s", nil}}
	if err != nil || !reflect.DeepEqual(lines, want) {
		t.Errorf("%+v, %v", lines, err)
	}
	for _, bad := range []string{"  To: x", "alice -> BYE\n  nonsense"} {
		if lines, err := parse(bad); err == nil {
			t.Errorf("%q: %+v", bad, lines)
		}
	}
}

func TestParseMove(t *testing.T) {
	p := &Player{}
	for text, want := range map[string]move{
		"a -> INVITE 102 (offer pcma)":       {method: "INVITE", target: "102", hasBody: true, body: "offer pcma", times: 1, within: patience},
		"a -> INVITE sip:x auth":             {method: "INVITE", target: "sip:x", auth: true, times: 1, within: patience},
		"a -> 200 INVITE (answer) as x":      {status: 200, method: "INVITE", hasBody: true, body: "answer", tag: "x", times: 1, within: patience},
		"a <- 200 again x3":                  {status: 200, again: true, times: 3, within: patience},
		"a  <- nothing":                      {method: "nothing", nothing: true, times: 1, within: patience},
		"a <- BYE within 2ms":                {method: "BYE", times: 1, within: 2e6},
		"a -> INVITE again merged":           {method: "INVITE", again: true, merged: true, times: 1, within: patience},
		"a -> MESSAGE 102 (text a (b) c) x2": {method: "MESSAGE", target: "102", hasBody: true, body: "text a (b) c", times: 2, within: patience},
	} {
		if m, err := p.parseMove(&line{text: text}); err != nil || !reflect.DeepEqual(*m, want) {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
	for _, bad := range []string{"a -> ", "a -> INVITE (offer", "a -> 200 lower", "a -> INVITE 1 2", "a <- BYE within long"} {
		if m, err := p.parseMove(&line{text: bad}); err == nil {
			t.Errorf("%s: %+v", bad, m)
		}
	}
}

func TestMatches(t *testing.T) {
	p := &Player{vars: map[string]string{"x": "captured"}}
	for _, tt := range []struct {
		pattern, value string
		want           bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"*", "", true}, {"*", "abc", true}, {"a*", "abc", true}, {"a*", "bc", false}, {"*c", "abc", true},
		{"*b*", "abc", true}, {"*x*", "abc", false}, {"a*a", "a", false}, {"a*b*c", "a1b2c", true}, {"a*b*c", "acb", false},
		{"{x}", "captured", true}, {"{x}", "other", false}, {"<{x}>*", "<captured>;y", true}, {"{new}", "v", true}, {"{new}", "w", false},
	} {
		if p.matches(tt.pattern, tt.value) != tt.want {
			t.Errorf("%q and %q: %v", tt.pattern, tt.value, !tt.want)
		}
	}
}
