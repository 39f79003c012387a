// Package number reads what people dial: it takes away visual separators, turns Persian and Arabic digits into ASCII,
// recognises feature codes and emergency numbers. Number plans are data. It does not decide where a number leads: that
// is the dial plan. Pure functions, no goroutines, no state.
//
// RFC 3966 §3 (visual separators), ITU-T E.164 (digits), RFC 5031 (emergency services).
package number

import "strings"

// Normalise returns a dialled string in the form in which numbers are stored: ASCII digits, '*', '#' and a leading
// '+'. Visual separators and spaces go, Persian (۰-۹), Arabic (٠-٩) and full-width digits become ASCII, "tel:" and
// direction marks are dropped. A string that is not a number ("sara", "101;x") comes back unchanged: a SIP user part
// may be any name.
func Normalise(dialled string) string {
	if isPlain(dialled) {
		return dialled
	}
	s := strings.TrimSpace(dialled)
	if len(s) >= 4 && strings.EqualFold(s[:4], "tel:") {
		s = s[4:]
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		d, ok := digit(r)
		switch {
		case ok:
			b.WriteByte(d)
		case r == '*' || r == '#':
			b.WriteRune(r)
		case r == '+' && b.Len() == 0:
			b.WriteByte('+')
		case isSeparator(r):
		default:
			return dialled
		}
	}
	if b.Len() == 0 || b.String() == "+" {
		return dialled
	}
	return b.String()
}

// isPlain reports whether s is in the stored form already: the common case, which costs nothing.
func isPlain(s string) bool {
	for i := range len(s) {
		b := s[i]
		if (b < '0' || b > '9') && b != '*' && b != '#' && (b != '+' || i > 0) {
			return false
		}
	}
	return s != "" && s != "+"
}

func digit(r rune) (byte, bool) {
	for _, zero := range [...]rune{'0', '٠', '۰', '０'} { // ASCII, Arabic-Indic, Persian, full-width
		if r >= zero && r <= zero+9 {
			return byte('0' + r - zero), true
		}
	}
	return 0, false
}

// RFC 3966 §3: visual-separator = "-" / "." / "(" / ")". People paste more than that.
func isSeparator(r rune) bool {
	switch r {
	case '-', '.', '(', ')', ' ', '/', '\t', '\u00a0', '\u2009', '\u202f', // spaces, also no-break and thin ones
		'\u2010', '\u2011', '\u2012', '\u2013', '\u2212', // hyphens, dashes, minus
		'\u200e', '\u200f', '\u061c', '\u202a', '\u202b', '\u202c', '\u2066', '\u2067', '\u2068', '\u2069': // direction marks
		return true
	}
	return false
}
