package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dialtone/internal/store"
)

// SaveBindings implements store.Bindings.
func (s *Store) SaveBindings(ctx context.Context, put []store.BindingRow, remove []store.BindingKey) error {
	if len(put) == 0 && len(remove) == 0 {
		return nil
	}
	err := transact(ctx, s.cfg.Traffic.Write, nil, func(sqlTx *sql.Tx) error {
		if err := eachRow(ctx, sqlTx, `DELETE FROM bindings WHERE aor = $1 AND contact = $2`, remove,
			func(k *store.BindingKey) []any { return []any{k.AOR, k.Contact} }); err != nil {
			return err
		}
		return eachRow(ctx, sqlTx, `INSERT INTO bindings (aor, contact, tenant_id, expires_ms, body) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (aor, contact) DO UPDATE SET
			tenant_id = excluded.tenant_id, expires_ms = excluded.expires_ms, body = excluded.body`, put,
			func(r *store.BindingRow) []any {
				return []any{r.AOR, r.Contact, r.Tenant.String(), r.ExpiresMS, bytesColumn(r.Body)}
			})
	})
	if err != nil {
		return fmt.Errorf("save bindings: %w", err)
	}
	return nil
}

// LoadBindings implements store.Bindings.
func (s *Store) LoadBindings(ctx context.Context, nowMS int64, add func(store.BindingRow) error) error {
	if _, err := s.cfg.Traffic.Write.ExecContext(ctx, `DELETE FROM bindings WHERE expires_ms <= $1`, nowMS); err != nil {
		return fmt.Errorf("forget bindings: %w", err)
	}
	rows, err := s.cfg.Traffic.Read.QueryContext(ctx, `SELECT aor, contact, tenant_id, expires_ms, body FROM bindings`)
	if err != nil {
		return fmt.Errorf("load bindings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r store.BindingRow
		if err := rows.Scan(&r.AOR, &r.Contact, &r.Tenant, &r.ExpiresMS, (*sql.RawBytes)(&r.Body)); err != nil {
			return fmt.Errorf("load bindings: %w", err)
		}
		if err := add(r); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// eachRow runs one statement for each of the rows.
func eachRow[T any](ctx context.Context, sqlTx *sql.Tx, query string, rows []T, args func(*T) []any) error {
	if len(rows) == 0 {
		return nil
	}
	stmt, err := sqlTx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range rows {
		if _, err := stmt.ExecContext(ctx, args(&rows[i])...); err != nil {
			return err
		}
	}
	return nil
}

// bytesColumn keeps an empty value from becoming NULL.
func bytesColumn(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
