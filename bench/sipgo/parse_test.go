// Package sipgo compares the parser of a well-known public SIP library with ours, on the same messages and in one
// program. It is a module of its own, so that the library is no dependency of the product, and has tests only.
//
// The library decodes the usual headers while it parses; ours decodes a header when it is asked for it. So ours is
// measured twice: the parse alone, which is what a registrar or proxy needs of most messages, and with the same headers
// decoded.
package sipgo

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	library "github.com/emiago/sipgo/sip"

	"dialtone/internal/sip"
)

// messages are the files in testdata, with the line ends of the wire.
func messages(tb testing.TB) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.sip")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no messages: %v", err)
	}
	out := map[string][]byte{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(name), ".sip")] = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	return out
}

// decode looks at the headers that the library decodes while it parses.
func decode(m *sip.Message) error {
	if m.IsRequest() {
		if _, err := m.URI(); err != nil {
			return err
		}
	}
	for e := m.Elements(sip.HVia); e.Next(); {
		if _, err := e.Via(); err != nil {
			return err
		}
	}
	for _, id := range [...]sip.HeaderID{sip.HFrom, sip.HTo, sip.HContact, sip.HRoute, sip.HRecordRoute} {
		for e := m.Elements(id); e.Next(); {
			if _, err := e.Address(); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestBothUnderstand: a comparison is worth something only when both parsers take the messages, and see the same.
func TestBothUnderstand(t *testing.T) {
	for name, text := range messages(t) {
		var ours sip.Message
		if err := ours.Parse(text); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := decode(&ours); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		theirs, err := library.ParseMessage(text)
		if err != nil {
			t.Errorf("%s: the library: %v", name, err)
			continue
		}
		if a, b := string(ours.CallID()), theirs.CallID().Value(); a != b {
			t.Errorf("%s: Call-ID %q and %q", name, a, b)
		}
		if a, b := string(ours.Body()), string(theirs.Body()); a != b {
			t.Errorf("%s: bodies %q and %q", name, a, b)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	all := messages(b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text := all[name]
		b.Run(name+"/dialtone", func(b *testing.B) {
			b.ReportAllocs()
			var m sip.Message
			for b.Loop() {
				if err := m.Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/dialtone-decoded", func(b *testing.B) {
			b.ReportAllocs()
			var m sip.Message
			for b.Loop() {
				if err := m.Parse(text); err != nil {
					b.Fatal(err)
				}
				if err := decode(&m); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/sipgo", func(b *testing.B) {
			b.ReportAllocs()
			p := library.NewParser()
			for b.Loop() {
				if _, err := p.ParseSIP(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
