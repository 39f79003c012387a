package relational

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// pointer is *T of an object.
type pointer[T any] interface {
	*T
	directory.Object
}

// definition says how a kind of object is kept: the columns all kinds have (id, tenant_id, name, version, body) and
// what is its own.
type definition[T any, P pointer[T]] struct {
	kind  directory.Kind
	table string
	extra []string                            // further columns
	value func(P) []any                       // their values
	from  func(P) []any                       // where they are read to; nil: they are not read
	slim  func(P) P                           // the object without what is kept in other tables; nil: nothing is
	fill  func(context.Context, *tx, P) error // reads what is kept in other tables; nil: nothing is
	// prepare completes an object that is about to be written (before is nil for a new one): what needs the database
	// or the keys. nil: nothing does.
	prepare func(ctx context.Context, t *tx, before, after P) error
	// spread writes what is kept in other tables (after is nil when the object goes, before when it is new).
	spread func(ctx context.Context, t *tx, before, after P) error
	// taken names the field that keeps an object out.
	taken func(ctx context.Context, t *tx, o P) (string, error)
	// check registers the final checks of a change.
	check func(t *tx, before, after P)
	// hidden is what JSON does not show and a change is noticed by nevertheless.
	hidden func(P) []byte

	get, find, list, insert, update, remove string
}

// statements writes the definition's SQL.
func (d definition[T, P]) statements() definition[T, P] {
	read := "id, tenant_id, version, body"
	if d.from != nil {
		read += ", " + strings.Join(d.extra, ", ")
	}
	columns := append([]string{"tenant_id", "name", "version", "body"}, d.extra...)
	var marks, sets []string
	for i, c := range columns {
		marks = append(marks, fmt.Sprintf("$%d", i+2))
		sets = append(sets, fmt.Sprintf("%s = $%d", c, i+2))
	}
	d.get = "SELECT " + read + " FROM " + d.table + " WHERE id = $1"
	d.find = "SELECT " + read + " FROM " + d.table + " WHERE tenant_id = $1 AND name = $2"
	d.list = "SELECT " + read + " FROM " + d.table + " WHERE tenant_id = $1 AND name > $2 ORDER BY name LIMIT $3"
	if d.kind == directory.KindTenant { // names of tenants are unique everywhere
		d.find = "SELECT " + read + " FROM " + d.table + " WHERE CAST($1 AS TEXT) IS NULL AND name = $2"
		d.list = "SELECT " + read + " FROM " + d.table + " WHERE CAST($1 AS TEXT) IS NULL AND name > $2 ORDER BY name LIMIT $3"
	}
	d.insert = "INSERT INTO " + d.table + " (id, " + strings.Join(columns, ", ") + ") VALUES ($1, " +
		strings.Join(marks, ", ") + ") ON CONFLICT DO NOTHING"
	d.update = "UPDATE " + d.table + " SET " + strings.Join(sets, ", ") + " WHERE id = $1"
	d.remove = "DELETE FROM " + d.table + " WHERE id = $1"
	return d
}

// table implements store.Table.
type table[T any, P pointer[T]] struct {
	tx  *tx
	def *definition[T, P]
}

type scanner interface{ Scan(dest ...any) error }

// scan reads one row.
func (d *definition[T, P]) scan(row scanner) (P, error) {
	var head directory.Meta
	var body []byte
	object := P(new(T))
	dest := []any{&head.ID, &head.Tenant, &head.Version, &body}
	if d.from != nil {
		dest = append(dest, d.from(object)...)
	}
	if err := row.Scan(dest...); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, object); err != nil {
		return nil, fmt.Errorf("read %s %s: %w", d.kind, head.ID, err)
	}
	*object.Head() = head
	return object, nil
}

// read runs a query and returns whole objects.
func (b *table[T, P]) read(ctx context.Context, query string, args ...any) ([]*T, error) {
	rows, err := b.tx.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*T
	for rows.Next() {
		object, err := b.def.scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, object)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	if b.def.fill != nil {
		for _, object := range out {
			if err := b.def.fill(ctx, b.tx, object); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (b *table[T, P]) one(ctx context.Context, what, query string, args ...any) (*T, error) {
	found, err := b.read(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", b.def.kind, what, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s %s: %w", b.def.kind, what, store.ErrNotFound)
	}
	return found[0], nil
}

// Get implements store.Table.
func (b *table[T, P]) Get(ctx context.Context, id directory.ID) (*T, error) {
	return b.one(ctx, id.String(), b.def.get, id)
}

// Find implements store.Table.
func (b *table[T, P]) Find(ctx context.Context, tenant directory.ID, key string) (*T, error) {
	return b.one(ctx, key, b.def.find, tenant, key)
}

// List implements store.Table.
func (b *table[T, P]) List(ctx context.Context, tenant directory.ID, after string, limit int) ([]*T, error) {
	if limit <= 0 {
		return nil, nil
	}
	found, err := b.read(ctx, b.def.list, tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list %ss: %w", b.def.kind, err)
	}
	return found, nil
}

// Put implements store.Table.
func (b *table[T, P]) Put(ctx context.Context, object *T) (bool, error) {
	if b.tx.readOnly {
		return false, store.ErrReadOnly
	}
	changed, err := b.put(ctx, P(object))
	return changed, b.tx.spoil(err)
}

func (b *table[T, P]) put(ctx context.Context, after P) (bool, error) {
	before, err := b.before(ctx, after)
	if err != nil {
		return false, err
	}
	head := after.Head()
	if head.ID.IsZero() {
		head.ID = directory.NewID()
	}
	after.SetDefaults()
	if err := after.Validate(); err != nil {
		return false, err
	}
	if head.Tenant.IsZero() {
		return false, fault("tenant", directory.CodeRequired, "is required")
	}
	if before != nil && before.Head().Tenant != head.Tenant {
		return false, fault("tenant", directory.CodeConflict, "cannot be changed")
	}
	if b.def.kind != directory.KindTenant {
		if _, err := b.tx.realm(ctx, head.Tenant); err != nil { // the tenant exists
			return false, err
		}
	}
	if b.def.prepare != nil {
		if err := b.def.prepare(ctx, b.tx, before, after); err != nil {
			return false, err
		}
	}
	was, became, err := b.texts(before, after)
	if err != nil {
		return false, err
	}
	secret := before != nil && !bytes.Equal(b.hidden(before), b.hidden(after))
	if before != nil && !secret && bytes.Equal(was, became) {
		return false, nil
	}
	head.Version++
	if became, err = json.Marshal(after); err != nil {
		return false, err
	}
	if err := b.write(ctx, before, after, became); err != nil {
		head.Version--
		return false, err
	}
	if secret {
		became = append(became[:len(became)-1], `,"secret":"changed"}`...)
	}
	if err := b.tx.note(ctx, orNone(before), copied(after), was, became); err != nil {
		return true, err
	}
	return true, b.tx.hashAgain(ctx)
}

// before finds what an object is going to replace; nil: it is new.
func (b *table[T, P]) before(ctx context.Context, after P) (P, error) {
	head := after.Head()
	if head.ID.IsZero() {
		if head.Version != 0 {
			return nil, fmt.Errorf("%s %s: %w", b.def.kind, after.Key(), store.ErrNotFound)
		}
		return nil, nil
	}
	before, err := b.Get(ctx, head.ID)
	switch {
	case errors.Is(err, store.ErrNotFound) && head.Version == 0:
		return nil, nil
	case err != nil:
		return nil, err
	case P(before).Head().Version != head.Version:
		return nil, fmt.Errorf("%s %s: %w", b.def.kind, after.Key(), store.ErrConflict)
	}
	return before, nil
}

// texts returns both states as JSON; of equal objects they are equal.
func (b *table[T, P]) texts(before, after P) (was, became []byte, err error) {
	if before != nil {
		if was, err = json.Marshal(before); err != nil {
			return nil, nil, err
		}
	}
	became, err = json.Marshal(after)
	return was, became, err
}

func (b *table[T, P]) hidden(o P) []byte {
	if b.def.hidden == nil {
		return nil
	}
	return b.def.hidden(o)
}

// write inserts or updates the row of an object and what belongs to it.
func (b *table[T, P]) write(ctx context.Context, before, after P, body []byte) error {
	head := after.Head()
	if b.def.slim != nil {
		var err error
		if body, err = json.Marshal(b.def.slim(after)); err != nil {
			return err
		}
	}
	args := []any{head.ID, head.Tenant, after.Key(), head.Version, string(body)}
	if b.def.value != nil {
		args = append(args, b.def.value(after)...)
	}
	query := b.def.insert
	if before != nil {
		query = b.def.update
		// An update that broke a unique index would end the transaction on some engines: look first.
		if field, err := b.conflict(ctx, after); err != nil || field != "" {
			return taken(field, err)
		}
	}
	n, err := b.tx.exec(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("write %s %s: %w", b.def.kind, after.Key(), err)
	}
	if n == 0 {
		field, err := b.conflict(ctx, after)
		if field == "" {
			field = "id"
		}
		return taken(field, err)
	}
	if b.def.spread != nil {
		if err := b.def.spread(ctx, b.tx, before, after); err != nil {
			return err
		}
	}
	if b.def.check != nil {
		b.def.check(b.tx, before, after)
	}
	return nil
}

// conflict names the field of an object whose value another object has, "" when there is none.
func (b *table[T, P]) conflict(ctx context.Context, o P) (string, error) {
	if b.def.taken != nil {
		return b.def.taken(ctx, b.tx, o)
	}
	return b.tx.takenName(ctx, b.def.table, "name", o)
}

// takenName reports field when another object of the tenant has the key of o.
func (t *tx) takenName(ctx context.Context, table, field string, o directory.Object) (string, error) {
	var id directory.ID
	found, err := t.first(ctx, "SELECT id FROM "+table+" WHERE tenant_id = $1 AND name = $2 AND id <> $3",
		[]any{o.Head().Tenant, o.Key(), o.Head().ID}, &id)
	if err != nil || !found {
		return "", err
	}
	return field, nil
}

func taken(field string, err error) error {
	if err != nil {
		return err
	}
	return fault(field, directory.CodeDuplicate, "is taken")
}

// Delete implements store.Table.
func (b *table[T, P]) Delete(ctx context.Context, id directory.ID, version int64) error {
	if b.tx.readOnly {
		return store.ErrReadOnly
	}
	return b.tx.spoil(b.delete(ctx, id, version))
}

func (b *table[T, P]) delete(ctx context.Context, id directory.ID, version int64) error {
	object, err := b.Get(ctx, id)
	if err != nil {
		return err
	}
	before := P(object)
	if version != 0 && before.Head().Version != version {
		return fmt.Errorf("%s %s: %w", b.def.kind, before.Key(), store.ErrConflict)
	}
	was, err := json.Marshal(before)
	if err != nil {
		return err
	}
	if b.def.spread != nil {
		if err := b.def.spread(ctx, b.tx, before, nil); err != nil {
			return err
		}
	}
	if _, err := b.tx.exec(ctx, b.def.remove, id); err != nil {
		return fmt.Errorf("delete %s %s: %w", b.def.kind, before.Key(), err)
	}
	if b.def.check != nil {
		b.def.check(b.tx, before, nil)
	}
	return b.tx.note(ctx, before, nil, was, nil)
}

// orNone avoids a nil pointer in an interface that is not nil.
// copied is an object as it is now: the caller of Put goes on using its own.
func copied[T any, P pointer[T]](o P) P {
	v := *o
	P(&v).SetDefaults() // clones what is shared
	return &v
}

func orNone[T any, P pointer[T]](p P) directory.Object {
	if p == nil {
		return nil
	}
	return p
}
