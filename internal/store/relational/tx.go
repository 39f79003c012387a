package relational

import (
	"context"
	"database/sql"
	"errors"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// tx is one transaction on the directory.
type tx struct {
	store    *Store
	sql      *sql.Tx
	readOnly bool
	prepared map[string]*sql.Stmt // closed with the transaction

	actor   store.Actor
	now     int64 // Unix milliseconds
	head    auditHead
	realms  map[directory.ID]string
	changes []directory.Change
	spoiled error                         // the first change that failed: the transaction cannot be kept
	checks  []func(context.Context) error // what can only be said at the end
	rehash  []*directory.Line             // lines whose passwords are to be hashed for the tenant's new realm
}

func (s *Store) newTx(sqlTx *sql.Tx) *tx {
	return &tx{store: s, sql: sqlTx, prepared: map[string]*sql.Stmt{}, realms: map[directory.ID]string{}}
}

// Tenants implements store.Tx.
func (t *tx) Tenants() store.Table[directory.Tenant] {
	return &table[directory.Tenant, *directory.Tenant]{t, &t.store.tenants}
}

// Sites implements store.Tx.
func (t *tx) Sites() store.Table[directory.Site] {
	return &table[directory.Site, *directory.Site]{t, &t.store.sites}
}

// Users implements store.Tx.
func (t *tx) Users() store.Table[directory.User] {
	return &table[directory.User, *directory.User]{t, &t.store.users}
}

// Lines implements store.Tx.
func (t *tx) Lines() store.Table[directory.Line] {
	return &table[directory.Line, *directory.Line]{t, &t.store.lines}
}

// Numbers implements store.Tx.
func (t *tx) Numbers() store.Table[directory.Number] {
	return &table[directory.Number, *directory.Number]{t, &t.store.numbers}
}

// NextHops implements store.Tx.
func (t *tx) NextHops() store.Table[directory.NextHop] {
	return &table[directory.NextHop, *directory.NextHop]{t, &t.store.hops}
}

// Rooms implements store.Tx.
func (t *tx) Rooms() store.Table[directory.Room] {
	return &table[directory.Room, *directory.Room]{t, &t.store.rooms}
}

// stmt prepares a statement once in a transaction.
func (t *tx) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := t.prepared[query]; ok {
		return s, nil
	}
	s, err := t.sql.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	t.prepared[query] = s
	return s, nil
}

// exec runs a statement and returns the number of rows it touched.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := t.stmt(ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t *tx) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := t.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// first reads the first row of a query into dest; false when there is none.
func (t *tx) first(ctx context.Context, query string, args []any, dest ...any) (bool, error) {
	s, err := t.stmt(ctx, query)
	if err != nil {
		return false, err
	}
	err = s.QueryRowContext(ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// realm returns the tenant's realm as it is in this transaction.
func (t *tx) realm(ctx context.Context, tenant directory.ID) (string, error) {
	if r, ok := t.realms[tenant]; ok {
		return r, nil
	}
	var r string
	found, err := t.first(ctx, `SELECT realm FROM tenants WHERE id = $1`, []any{tenant}, &r)
	if err != nil {
		return "", err
	}
	if !found {
		return "", fault("tenant", directory.CodeUnknown, "does not exist")
	}
	t.realms[tenant] = r
	return r, nil
}

// spoil remembers that a change failed, maybe half done.
func (t *tx) spoil(err error) error {
	if t.spoiled == nil {
		t.spoiled = err
	}
	return err
}

// finish makes the final checks. All of them are made, so that a file with several mistakes shows all.
func (t *tx) finish(ctx context.Context) error {
	if t.spoiled != nil {
		return t.spoiled
	}
	var errs []error
	for _, check := range t.checks {
		if err := check(ctx); err != nil {
			var about *store.ObjectError
			if !errors.As(err, &about) {
				return err
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// expect registers a final check: the query must (want true) or must not (want false) find a row.
func (t *tx) expect(o directory.Object, want bool, field, code, reason, query string, args ...any) {
	kind, key := o.ObjectKind(), o.Key()
	t.checks = append(t.checks, func(ctx context.Context) error {
		var who string
		found, err := t.first(ctx, query, args, &who)
		if err != nil || found == want {
			return err
		}
		if found {
			reason += " " + who
		}
		return &store.ObjectError{Kind: kind, Key: key, Err: fault(field, code, reason)}
	})
}

func fault(field, code, reason string) error {
	return directory.Errors{{Field: field, Code: code, Reason: reason}}
}
