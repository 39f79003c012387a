package ng

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func FuzzParseFields(f *testing.F) {
	for _, s := range []string{
		"de", "d7:command4:pinge", "d5:flagsl4:trust3:abce3:key5:valuee", "d1:ai-12e1:bd1:c0:ee", "d1:a99999999999999999999:e",
		"d1:a" + strings.Repeat("l", 100) + strings.Repeat("e", 101), "d1:a5:abce", "d1:ae", "l1:ae", "d1:a1:bex",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := ParseFields(b)
		if err != nil {
			return
		}
		var list []string
		size := 0
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			list = append(list, key, fields[key])
			size += len(key) + len(fields[key])
		}
		if size > len(b) {
			t.Fatalf("%d bytes out of %d", size, len(b))
		}
		again, err := ParseFields(AppendFields(nil, list...))
		if err != nil || !maps.Equal(fields, again) {
			t.Fatalf("%q became %q, %v", fields, again, err)
		}
	})
}

func TestParseFieldsRefuses(t *testing.T) {
	for _, s := range []string{"", "d", "i1e", "d1:ae", "d1:a2:be", "d1:a1:b", "d1:a1:bex", "d-1:ae", "d1:al1:be",
		"d1:a" + strings.Repeat("l", 9) + strings.Repeat("e", 10), "d1:a18446744073709551617:be"} {
		if got, err := ParseFields([]byte(s)); err == nil {
			t.Errorf("%q was read as %q", s, got)
		}
	}
}
