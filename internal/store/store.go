// Package store says what is kept on disk and what whoever keeps it promises: the directory's objects with their audit
// trail, the bindings of registered devices, the journal of running calls and the records of ended ones, what is known
// of recordings, and large objects.
//
// It owns the interfaces, the rows that pass through them and their errors. It does not own a database: store/sqlite
// opens one, store/relational holds the statements that every SQL engine runs, store/bindinglog keeps bindings in files
// of its own, store/disk keeps large objects, store/seal encrypts secrets, and store/storetest is the suite that any
// implementation has to pass. It does not look
// into the bodies of bindings, journals, records and recordings: these belong to location, cdr and recording.
//
// Goroutines: none. All methods may be called by many goroutines at once and block until the work is done or the
// context ends; nothing on the path of a call waits for them.
//
// Ordering: updates of the directory are serial, and Committed hears of them in the order they became durable. Traffic
// (journal, records) never waits for an update of the directory, however long it is. A method that returned
// nil has been handed to the operating system: it survives the death of the process, and everything older than a moment
// survives that of the machine.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"dialtone/internal/directory"
	"dialtone/internal/location"
)

// Store keeps everything but large objects and bindings.
type Store interface {
	Objects
	Trail
	Calls
	Recordings
	// Close ends all use of the store; it waits for what is running.
	Close() error
}

// Errors that callers tell apart. What is wrong with an object's fields is directory.Errors.
var (
	ErrNotFound = errors.New("not found")
	// ErrConflict is returned when an object was changed by somebody else since it was read.
	ErrConflict = errors.New("changed by somebody else meanwhile")
	// ErrReadOnly is returned by Put and Delete inside View.
	ErrReadOnly = errors.New("nothing can be changed here")
)

// ObjectError tells which object an error is about. Update returns several of them, joined, when its final checks fail.
type ObjectError struct {
	Kind directory.Kind
	Key  string
	Err  error // directory.Errors, mostly
}

// Error implements error.
func (e *ObjectError) Error() string { return fmt.Sprintf("%s %s: %v", e.Kind, e.Key, e.Err) }

// Unwrap gives the error about the object.
func (e *ObjectError) Unwrap() error { return e.Err }

// Actor is who makes a change.
type Actor struct {
	Name string `json:"name"`           // "local owner", "sara@default", "token shop"
	From string `json:"from,omitempty"` // address, "" for this machine
}

// Objects keeps the directory. It is the directory's Loader.
type Objects interface {
	directory.Loader
	// Update runs fn in a transaction. It keeps all of fn's changes with an audit row for each, or, when fn, any of its
	// changes (even if fn goes on after the error, to find more), a final check (references between objects) or the
	// commit fails, none. It returns what was changed.
	Update(ctx context.Context, actor Actor, fn func(Tx) error) ([]directory.Change, error)
	// Plan runs fn as Update does, with all checks, and keeps nothing.
	Plan(ctx context.Context, actor Actor, fn func(Tx) error) ([]directory.Change, error)
	// View runs fn on one state of the directory; changes are refused.
	View(ctx context.Context, fn func(Tx) error) error
	// Reseal encrypts with the current key whatever was encrypted with an older one, and returns how many secrets that
	// were.
	Reseal(ctx context.Context) (int, error)
}

// Tx gives access to the objects inside a transaction, one goroutine at a time. It ends with the function it was given
// to.
type Tx interface {
	Tenants() Table[directory.Tenant]
	Sites() Table[directory.Site]
	Users() Table[directory.User]
	Lines() Table[directory.Line]
	Numbers() Table[directory.Number]
	NextHops() Table[directory.NextHop]
	Rooms() Table[directory.Room]
}

// Table is the objects of one kind.
type Table[T any] interface {
	// Get returns the object or ErrNotFound. Devices come with sealed credentials, users with their password
	// hash, rooms with their PIN.
	Get(ctx context.Context, id directory.ID) (*T, error)
	// Find returns the tenant's object with that key (name or number) or ErrNotFound. Tenants are found with the zero ID.
	Find(ctx context.Context, tenant directory.ID, key string) (*T, error)
	// List returns the tenant's objects by key in byte order, those after the given key, at most limit. Tenants are
	// listed with the zero ID.
	List(ctx context.Context, tenant directory.ID, after string, limit int) ([]*T, error)
	// Put keeps the object: a new one when its Version is 0 (an ID is given to it unless it has one), else in place of
	// that Version (ErrConflict when it is not the one kept). Defaults are filled in, fields are validated, passwords
	// hashed and sealed; the object given is completed in place. Putting what is kept already changes nothing and
	// returns false: no version, no audit row.
	//
	// Credentials of a line's devices: see directory.Credential. A device without ID that has the username of one of
	// the line's devices is that device. Names that are taken are directory.Errors at once; what other objects have to
	// say (the user of a line, the destination of a number) is checked when the transaction ends, so that the order of
	// changes does not matter.
	Put(ctx context.Context, object *T) (changed bool, err error)
	// Delete removes the object. version 0 is any. What still refers to it is found when the transaction ends; a
	// tenant goes only when it is empty.
	Delete(ctx context.Context, id directory.ID, version int64) error
}

// Trail is the audit trail: one row for each change of each object, chained by hashes.
type Trail interface {
	// Audit returns rows, the newest first.
	Audit(ctx context.Context, q AuditQuery) ([]AuditRow, error)
	// Note adds a row for an act.
	Note(ctx context.Context, actor Actor, act Act) error
	// VerifyAudit reads the whole trail and returns an error that names the first row that was altered, added or
	// removed, and the number of rows that are sound. Rows cut off at the newest end cannot be noticed.
	VerifyAudit(ctx context.Context) (rows int64, err error)
}

// Act is something that was done to what is not kept, such as the ban of an address, for the audit trail alone.
type Act struct {
	Tenant        directory.ID    // what is about the whole system belongs to the default one
	Kind          string          // of the thing: "ban"
	Key           string          // its name
	Before, After json.RawMessage // without secrets; empty: the thing is new, or gone
}

// AuditRow is one change.
type AuditRow struct {
	Seq    int64           `json:"seq"`     // from 1, without gaps
	TimeMS int64           `json:"time_ms"` // Unix milliseconds
	Actor  Actor           `json:"actor"`
	Tenant directory.ID    `json:"tenant"`
	Kind   directory.Kind  `json:"kind"`
	Object directory.ID    `json:"object"`
	Key    string          `json:"key"`
	Before json.RawMessage `json:"before,omitempty"` // without secrets; empty: the object is new
	After  json.RawMessage `json:"after,omitempty"`  // without secrets; empty: the object was removed
	Hash   []byte          `json:"hash"`             // SHA-256 of the previous row's hash and this row
}

// AuditQuery selects audit rows.
type AuditQuery struct {
	Tenant directory.ID // zero: all tenants
	Object directory.ID // zero: all objects
	Before int64        // rows with a smaller Seq only: the cursor; 0: from the newest
	Limit  int          // 1 to 1000; 0: 100
}

// Bindings keeps what location holds in memory, for the next start.
type Bindings interface {
	location.Saver
	location.Loader
	// Close ends all use of it; everything that was saved is on the disk.
	Close() error
}

// Calls keeps running and ended calls.
type Calls interface {
	// PutJournal keeps the rows of answered calls, in place of older rows of the same calls. A call that has its record
	// already gets no row again.
	PutJournal(ctx context.Context, rows []JournalRow) error
	// TouchJournal sets when media was last seen in running calls; calls without a row are passed over.
	TouchJournal(ctx context.Context, touches []JournalTouch) error
	// LoadJournal gives add the row of each call that has no record yet. add keeps no reference to Body and State.
	LoadJournal(ctx context.Context, add func(JournalRow) error) error
	// FinishCalls keeps the records of ended calls and removes their journal rows, all in one transaction. A call that
	// has a record keeps that one.
	FinishCalls(ctx context.Context, records []RecordRow) error
	// Records returns records by start and call ID.
	Records(ctx context.Context, q RecordQuery) ([]RecordRow, error)
}

// JournalRow is an answered call that has not ended.
type JournalRow struct {
	CallID     string // UUIDv7
	Tenant     directory.ID
	AnsweredMS int64  // Unix milliseconds
	MediaMS    int64  // when media was last seen, Unix milliseconds
	Body       []byte // what its record needs
	State      []byte // what taking the call up again needs; may be nil
}

// JournalTouch says when media was last seen in a call.
type JournalTouch struct {
	CallID  string
	MediaMS int64
}

// RecordRow is an ended call. Body is the record; the other fields are what records are searched by.
type RecordRow struct {
	CallID    string // UUIDv7
	Tenant    directory.ID
	StartMS   int64 // Unix milliseconds
	EndMS     int64
	Direction string
	From, To  string
	Cause     string
	Body      []byte // JSON
}

// RecordQuery selects call records.
type RecordQuery struct {
	Tenant  directory.ID // zero: all tenants
	CallID  string       // "": all calls
	SinceMS int64        // calls that started at or after; 0: all
	UntilMS int64        // calls that started before; 0: all
	Oldest  bool         // the oldest first, not the newest
	After   RecordCursor // continue after this one; zero: from the beginning
	Limit   int          // 1 to 10000; 0: 100
}

// RecordCursor is the place of a record in the order.
type RecordCursor struct {
	StartMS int64
	CallID  string
}

// Cursor is the place of the record in the order of Records.
func (r *RecordRow) Cursor() RecordCursor { return RecordCursor{r.StartMS, r.CallID} }

// Blobs keeps large objects under names such as "recordings/2026/01890a5d.wav": parts of letters, digits and ._- that
// do not begin with a dot, separated by slashes.
type Blobs interface {
	// Put keeps what r gives, in place of what had the name; on failure the old object stays. It returns its size.
	Put(ctx context.Context, name string, r io.Reader) (int64, error)
	// Open reads an object, or returns ErrNotFound.
	Open(ctx context.Context, name string) (io.ReadSeekCloser, error)
	// Remove deletes an object, or returns ErrNotFound.
	Remove(ctx context.Context, name string) error
}
