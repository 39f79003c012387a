package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// table prints rows with aligned columns.
type table struct{ w *tabwriter.Writer }

// newTable begins a table, with a head when there are columns.
func newTable(w io.Writer, columns ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	if len(columns) > 0 {
		t.row(columns...)
	}
	return t
}

// row prints one row. Cells come from callers and phones too: what a terminal would obey is not passed on.
func (t *table) row(cells ...string) {
	clean := make([]string, len(cells))
	for i, c := range cells {
		clean[i] = plain(c)
		if clean[i] == "" {
			clean[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(clean, "\t"), "\t")) // the writer keeps errors until flush
}

func (t *table) flush() error { return t.w.Flush() }

// plain replaces what is not visible: control characters move the cursor, direction marks reorder the line.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '?'
		}
		return r
	}, s)
}

// span writes a length of time as people read it: 7s, 3m05s, 2h03m, 4d02h.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// moment writes a time in the zone of the reader.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") } // for a person at a terminal
