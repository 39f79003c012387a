package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dialtone/internal/store"
)

// PutJournal implements store.Calls.
func (s *Store) PutJournal(ctx context.Context, rows []store.JournalRow) error {
	if len(rows) == 0 {
		return nil
	}
	err := transact(ctx, s.cfg.Traffic.Write, nil, func(sqlTx *sql.Tx) error {
		err := eachRow(ctx, sqlTx, `INSERT INTO journal (call_id, tenant_id, answered_ms, media_ms, body, state)
			VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (call_id) DO UPDATE SET tenant_id = excluded.tenant_id, answered_ms = excluded.answered_ms,
			media_ms = excluded.media_ms, body = excluded.body, state = excluded.state`, rows,
			func(r *store.JournalRow) []any {
				return []any{r.CallID, r.Tenant.String(), r.AnsweredMS, r.MediaMS, bytesColumn(r.Body), r.State}
			})
		if err != nil {
			return err
		}
		// A row that comes after its call's record.
		return eachRow(ctx, sqlTx, `DELETE FROM journal WHERE call_id = $1 AND EXISTS (SELECT 1 FROM records WHERE call_id = $1)`, rows,
			func(r *store.JournalRow) []any { return []any{r.CallID} })
	})
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// TouchJournal implements store.Calls.
func (s *Store) TouchJournal(ctx context.Context, touches []store.JournalTouch) error {
	if len(touches) == 0 {
		return nil
	}
	err := transact(ctx, s.cfg.Traffic.Write, nil, func(sqlTx *sql.Tx) error {
		return eachRow(ctx, sqlTx, `UPDATE journal SET media_ms = $2 WHERE call_id = $1`, touches,
			func(r *store.JournalTouch) []any { return []any{r.CallID, r.MediaMS} })
	})
	if err != nil {
		return fmt.Errorf("touch journal: %w", err)
	}
	return nil
}

// LoadJournal implements store.Calls.
func (s *Store) LoadJournal(ctx context.Context, add func(store.JournalRow) error) error {
	rows, err := s.cfg.Traffic.Read.QueryContext(ctx,
		`SELECT call_id, tenant_id, answered_ms, media_ms, body, state FROM journal ORDER BY call_id`)
	if err != nil {
		return fmt.Errorf("load journal: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r store.JournalRow
		if err := rows.Scan(&r.CallID, &r.Tenant, &r.AnsweredMS, &r.MediaMS, (*sql.RawBytes)(&r.Body), (*sql.RawBytes)(&r.State)); err != nil {
			return fmt.Errorf("load journal: %w", err)
		}
		if err := add(r); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// FinishCalls implements store.Calls.
func (s *Store) FinishCalls(ctx context.Context, records []store.RecordRow) error {
	if len(records) == 0 {
		return nil
	}
	err := transact(ctx, s.cfg.Traffic.Write, nil, func(sqlTx *sql.Tx) error {
		err := eachRow(ctx, sqlTx, `INSERT INTO records (call_id, tenant_id, start_ms, end_ms, direction, caller, callee, cause, body)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (call_id) DO NOTHING`, records,
			func(r *store.RecordRow) []any {
				return []any{r.CallID, r.Tenant.String(), r.StartMS, r.EndMS, r.Direction, r.From, r.To, r.Cause, bytesColumn(r.Body)}
			})
		if err != nil {
			return err
		}
		return eachRow(ctx, sqlTx, `DELETE FROM journal WHERE call_id = $1`, records,
			func(r *store.RecordRow) []any { return []any{r.CallID} })
	})
	if err != nil {
		return fmt.Errorf("write call records: %w", err)
	}
	return nil
}

// Records implements store.Calls.
func (s *Store) Records(ctx context.Context, q store.RecordQuery) ([]store.RecordRow, error) {
	w := newWhere(`SELECT call_id, tenant_id, start_ms, end_ms, direction, caller, callee, cause, body FROM records`)
	if q.CallID != "" {
		w.and("call_id =", q.CallID)
	}
	if !q.Tenant.IsZero() {
		w.and("tenant_id =", q.Tenant)
	}
	if q.SinceMS != 0 {
		w.and("start_ms >=", q.SinceMS)
	}
	if q.UntilMS != 0 {
		w.and("start_ms <", q.UntilMS)
	}
	order, beyond := "DESC", "<"
	if q.Oldest {
		order, beyond = "ASC", ">"
	}
	if q.After != (store.RecordCursor{}) {
		w.raw("(start_ms, call_id) " + beyond + " (" + w.mark(q.After.StartMS) + ", " + w.mark(q.After.CallID) + ")")
	}
	text, args := w.end(" ORDER BY start_ms "+order+", call_id "+order, limited(q.Limit, 100, 10_000))
	rows, err := s.cfg.Traffic.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("read call records: %w", err)
	}
	defer rows.Close()
	var out []store.RecordRow
	for rows.Next() {
		var r store.RecordRow
		if err := rows.Scan(&r.CallID, &r.Tenant, &r.StartMS, &r.EndMS, &r.Direction, &r.From, &r.To, &r.Cause, &r.Body); err != nil {
			return nil, fmt.Errorf("read call records: %w", err)
		}
		out = append(out, r)
	}
	return out, errors.Join(rows.Err(), rows.Close())
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
