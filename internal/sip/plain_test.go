package sip

import "testing"

// TestPlainAddress: what is taken for plain without a closer look is found to be good by the closer look.
func TestPlainAddress(t *testing.T) {
	plain := map[string]bool{
		"<sip:101@pbx.example>":           true,
		"<sip:pbx.example>;tag=a1-_.~":    true,
		"<sip:101@192.0.2.1:5060>;tag=1":  true,
		"<sip:101@192.0.2.1:65535>":       true,
		"<sip:101@192.0.2.1:65536>":       false,
		"<sip:101@192.0.2.1:>":            false,
		"<sip:@192.0.2.1>":                false,
		"<sip:101@>":                      false,
		"<sip:>":                          false,
		"<sip:101@h>;tag=":                false,
		"<sip:101@h>;tag=a b":             false,
		"<sip:101@h>;tag=a;x=1":           false,
		"<sip:101@h;lr>":                  false,
		"<sip:1%3001@h>":                  false,
		"<sips:101@h>":                    false,
		"\"A\" <sip:101@h>":               false,
		"<sip:101@h":                      false,
		"<sip:101@[2001:db8::1]>":         false,
		"<sip:101@h> ;tag=1":              false,
		"sip:101@h":                       false,
		"<sip:101@h@i>":                   false,
		"<sip:101@h:5060:5061>;tag=token": false,
	}
	for text, want := range plain {
		if got := isPlainAddress([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// FuzzPlainAddress: a plain address parses, and has at most a tag.
func FuzzPlainAddress(f *testing.F) {
	for _, s := range []string{"<sip:101@h:5060>;tag=a", "<sip:h>", "<sip:a@b:1>;tag=", "<sip:a:b@c>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !isPlainAddress(b) {
			return
		}
		a, err := ParseAddress(b)
		if err != nil || a.Params.check() != nil || a.URI.Scheme != SchemeSIP || len(a.URI.Params) > 0 || a.URI.Headers != nil {
			t.Fatalf("%q: %v", b, err)
		}
	})
}
