package relational

import (
	"bytes"
	"context"
	"database/sql"

	"dialtone/internal/directory"
	"dialtone/internal/store/seal"
)

// pinPlace is what sealed PINs are bound to, so that nothing else that was sealed opens as one.
const pinPlace = "room pin"

func defineRooms(keys *seal.Keyring) definition[directory.Room, *directory.Room] {
	return definition[directory.Room, *directory.Room]{
		kind: directory.KindRoom, table: "rooms",
		extra:  []string{"number", "pin"},
		value:  func(r *directory.Room) []any { return []any{r.Number, bytesColumn(r.Sealed)} },
		from:   func(r *directory.Room) []any { return []any{&r.Number, &pinColumn{keys, r}} },
		hidden: func(r *directory.Room) []byte { return r.Sealed },
		prepare: func(_ context.Context, t *tx, before, after *directory.Room) error {
			return preparePIN(keys, before, after)
		},
		taken: func(ctx context.Context, t *tx, r *directory.Room) (string, error) {
			if field, err := t.takenName(ctx, "rooms", "name", r); err != nil || field != "" {
				return field, err
			}
			var id directory.ID
			found, err := t.first(ctx, `SELECT id FROM rooms WHERE tenant_id = $1 AND number = $2 AND id <> $3`, []any{r.Tenant, r.Number, r.ID}, &id)
			if err != nil || !found {
				return "", err
			}
			return "number", nil
		},
		check: checkRoom,
	}.statements()
}

// preparePIN seals a PIN that is new, and opens one that comes sealed.
func preparePIN(keys *seal.Keyring, before, after *directory.Room) error {
	switch {
	case after.PIN == "" && len(after.Sealed) == 0:
	case after.PIN == "":
		pin, err := keys.Open([]byte(pinPlace), after.Sealed)
		if err != nil {
			return fault("sealed", directory.CodeInvalid, err.Error())
		}
		after.PIN = directory.Secret(pin)
		if err := after.Validate(); err != nil {
			return err
		}
	case before != nil && before.PIN == after.PIN:
		after.Sealed = before.Sealed
	default:
		after.Sealed = keys.Seal([]byte(pinPlace), []byte(after.PIN.Reveal()))
	}
	if before != nil && before.PIN == after.PIN && after.PIN != "" {
		after.Sealed = before.Sealed // sealed twice, the same PIN looks different
	}
	return nil
}

// checkRoom keeps numbers of rooms and lines apart.
func checkRoom(t *tx, before, after *directory.Room) {
	if before != nil && (after == nil || before.Name != after.Name) {
		t.expect(before, false, "name", directory.CodeInUse, "is the destination of number",
			`SELECT n.name FROM numbers n WHERE n.tenant_id = $1 AND n.to_kind = 'room' AND n.to_name = $2
			AND NOT EXISTS (SELECT 1 FROM rooms r WHERE r.tenant_id = $1 AND r.name = $2) LIMIT 1`,
			before.Tenant, before.Name)
	}
	if after != nil && (before == nil || before.Number != after.Number) {
		t.expect(after, false, "number", directory.CodeDuplicate, "is the number of line",
			`SELECT name FROM lines WHERE tenant_id = $1 AND name = $2`, after.Tenant, after.Number)
	}
}

// pinColumn reads a sealed PIN. One that does not open is kept as it is: nobody gets into the room until it has a new one.
type pinColumn struct {
	keys *seal.Keyring
	room *directory.Room
}

// Scan implements sql.Scanner.
func (c *pinColumn) Scan(src any) error {
	var raw sql.RawBytes
	switch v := src.(type) {
	case []byte:
		raw = v
	case string:
		raw = sql.RawBytes(v)
	}
	if len(raw) == 0 {
		return nil
	}
	c.room.Sealed = bytes.Clone(raw)
	if pin, err := c.keys.Open([]byte(pinPlace), raw); err == nil {
		c.room.PIN = directory.Secret(pin)
	}
	return nil
}
