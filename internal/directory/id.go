package directory

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// ID identifies an object: a UUIDv7 (RFC 9562 §5.7), so that identifiers sort by the time they were made. The zero
// value is no identifier.
type ID [16]byte

// NewID makes an identifier. Identifiers made by one process grow strictly.
func NewID() ID {
	id, err := uuid.NewV7()
	if err != nil {
		// Only the system's random source can fail, and crypto/rand ends the program when it does.
		panic("directory: no randomness: " + err.Error())
	}
	return ID(id)
}

var errID = errors.New("not an identifier (a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057)")

// ParseID reads the 36-character form.
func ParseID(s string) (ID, error) {
	if len(s) != 36 {
		return ID{}, errID
	}
	id, err := uuid.Parse(s)
	if err != nil {
		return ID{}, errID
	}
	return ID(id), nil
}

// IsZero reports whether id is no identifier.
func (id ID) IsZero() bool { return id == ID{} }

// Compare orders identifiers by the time they were made.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// String returns the 36-character form, "" for no identifier.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return uuid.UUID(id).String()
}

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; the empty text is no identifier.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Value implements driver.Valuer: the text form, NULL for no identifier.
func (id ID) Value() (driver.Value, error) {
	if id.IsZero() {
		return nil, nil
	}
	return id.String(), nil
}

// Scan implements sql.Scanner.
func (id *ID) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*id = ID{}
		return nil
	case string:
		return id.UnmarshalText([]byte(v))
	case []byte:
		return id.UnmarshalText(v)
	}
	return fmt.Errorf("scan identifier: %T is not text", src)
}
