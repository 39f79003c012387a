package store

import (
	"context"
	"errors"

	"dialtone/internal/directory"
)

// ErrHeld is returned when a recording is to be removed that a legal hold keeps.
var ErrHeld = errors.New("kept by a legal hold")

// Recordings keeps what is known of the recordings of calls. The sound is kept in files that it knows nothing of.
type Recordings interface {
	// PutRecording keeps a row, new or in place of the one with the same ID. The hold of a row that is there stays, and one
	// that is condemned stays so.
	PutRecording(ctx context.Context, row RecordingRow) error
	// Recordings returns rows by start and ID, the newest first, without those that are condemned unless they are asked for.
	Recordings(ctx context.Context, q RecordingQuery) ([]RecordingRow, error)
	// HoldRecording begins or ends a legal hold, or returns ErrNotFound.
	HoldRecording(ctx context.Context, id string, hold bool) error
	// CondemnRecording begins the end of a recording: whoever calls it removes the file and then the row. It returns ErrHeld
	// or ErrNotFound.
	CondemnRecording(ctx context.Context, id string) error
	// RemoveRecording removes a row that is condemned, or returns ErrNotFound.
	RemoveRecording(ctx context.Context, id string) error
}

// RecordingCondemned is the state of a row whose file is being removed.
const RecordingCondemned = "condemned"

// RecordingRow is one recording. Body is what whoever records knows of it; the other fields are what rows are searched by.
type RecordingRow struct {
	ID      string // UUIDv7
	Tenant  directory.ID
	CallID  string
	StartMS int64  // Unix milliseconds
	EndMS   int64  // 0: it runs, or a crash has ended it
	State   string // a word of whoever records, or RecordingCondemned
	Hold    bool   // it may not be removed
	Body    []byte // JSON
}

// RecordingQuery selects recordings.
type RecordingQuery struct {
	Tenant        directory.ID // zero: all tenants
	ID            string       // "": all
	CallID        string       // "": of all calls
	State         string       // "": all but condemned ones
	SinceMS       int64        // those that began at or after; 0: all
	UntilMS       int64        // those that began before; 0: all
	EndedBeforeMS int64        // those that have ended before; 0: all
	Unheld        bool         // without those that a legal hold keeps
	After         RecordCursor // continue after this one, whose CallID is the ID of a recording; zero: from the beginning
	Limit         int          // 1 to 10000; 0: 100
}

// Cursor is the place of the recording in the order of Recordings.
func (r *RecordingRow) Cursor() RecordCursor { return RecordCursor{r.StartMS, r.ID} }
