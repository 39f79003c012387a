// Package cdr makes the call record: one row for each call, whatever happened to it, durable within a second of its
// end and neither lost nor doubled when the database is slow, down, or the process is killed.
//
// It owns the record's shape (Record, the public contract), how it is built from the facts of a call (Build, a pure
// function), how it leaves as CSV, and its way to the store (Writer). It does not own the facts, which the call
// collects, nor the tables: it hands opaque rows to a Saver.
//
// Life of a record: when a call is answered its facts so far go into the journal (Writer.Answered); the journal is
// refreshed while the call runs (Recorder.Run); at the end the record replaces the journal row (Writer.Finish). Rows
// that a crash left in the journal become records with the cause "recovered" (Recover).
//
// Goroutines: a Writer has two (collecting, saving), started by Open and ended by Close; Recorder.Run is one of its
// caller's. Handing a row to the Writer never blocks on the database or the disk.
// Ordering: rows reach the Saver in the order in which they were handed over, across failures and restarts. After a
// failure rows may reach it twice, which the Saver makes harmless: the call identifier is an idempotent key.
package cdr

import (
	"encoding/json"
	"fmt"
	"time"

	"dialtone/internal/event"
)

// Time is a moment as the contract prints it: RFC 3339, UTC, milliseconds.
type Time struct{ time.Time }

// String prints the moment.
func (t Time) String() string { return t.UTC().Format(event.TimeLayout) }

// MarshalJSON prints the moment as a string.
func (t Time) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads what MarshalJSON prints, and any other RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("parse time: %w", err)
	}
	parsed, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("parse time: %w", err)
	}
	t.Time = parsed.UTC()
	return nil
}
