package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dialtone/internal/store"
)

// PutRecording implements store.Recordings.
func (s *Store) PutRecording(ctx context.Context, r store.RecordingRow) error {
	_, err := s.changeRecording(ctx, `INSERT INTO recordings (id, tenant_id, call_id, start_ms, end_ms, state, held, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (id) DO UPDATE SET end_ms = excluded.end_ms, body = excluded.body,
		state = CASE WHEN recordings.state = 'condemned' THEN recordings.state ELSE excluded.state END`,
		r.ID, r.Tenant.String(), r.CallID, r.StartMS, r.EndMS, r.State, truth(r.Hold), bytesColumn(r.Body))
	if err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	return nil
}

// Recordings implements store.Recordings.
func (s *Store) Recordings(ctx context.Context, q store.RecordingQuery) ([]store.RecordingRow, error) {
	w := newWhere(`SELECT id, tenant_id, call_id, start_ms, end_ms, state, held, body FROM recordings`)
	if q.ID != "" {
		w.and("id =", q.ID)
	}
	if q.CallID != "" {
		w.and("call_id =", q.CallID)
	}
	if !q.Tenant.IsZero() {
		w.and("tenant_id =", q.Tenant)
	}
	if q.State != "" {
		w.and("state =", q.State)
	} else {
		w.and("state <>", store.RecordingCondemned)
	}
	if q.SinceMS != 0 {
		w.and("start_ms >=", q.SinceMS)
	}
	if q.UntilMS != 0 {
		w.and("start_ms <", q.UntilMS)
	}
	if q.EndedBeforeMS != 0 {
		w.and("end_ms >", 0)
		w.and("end_ms <", q.EndedBeforeMS)
	}
	if q.Unheld {
		w.and("held =", 0)
	}
	if q.After != (store.RecordCursor{}) {
		w.raw("(start_ms, id) < (" + w.mark(q.After.StartMS) + ", " + w.mark(q.After.CallID) + ")")
	}
	text, args := w.end(" ORDER BY start_ms DESC, id DESC", limited(q.Limit, 100, 10_000))
	rows, err := s.cfg.Traffic.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("read recordings: %w", err)
	}
	defer rows.Close()
	var out []store.RecordingRow
	for rows.Next() {
		var r store.RecordingRow
		var held int64
		if err := rows.Scan(&r.ID, &r.Tenant, &r.CallID, &r.StartMS, &r.EndMS, &r.State, &held, &r.Body); err != nil {
			return nil, fmt.Errorf("read recordings: %w", err)
		}
		r.Hold = held != 0
		out = append(out, r)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// HoldRecording implements store.Recordings.
func (s *Store) HoldRecording(ctx context.Context, id string, hold bool) error {
	n, err := s.changeRecording(ctx, `UPDATE recordings SET held = $2 WHERE id = $1 AND state <> 'condemned'`, id, truth(hold))
	switch {
	case err != nil:
		return fmt.Errorf("hold recording: %w", err)
	case n == 0:
		return fmt.Errorf("recording %s: %w", id, store.ErrNotFound)
	}
	return nil
}

// CondemnRecording implements store.Recordings.
func (s *Store) CondemnRecording(ctx context.Context, id string) error {
	n, err := s.changeRecording(ctx, `UPDATE recordings SET state = 'condemned' WHERE id = $1 AND held = 0`, id)
	if err != nil {
		return fmt.Errorf("condemn recording: %w", err)
	}
	if n > 0 {
		return nil
	}
	rows, err := s.Recordings(ctx, store.RecordingQuery{ID: id, Limit: 1})
	switch {
	case err != nil:
		return err
	case len(rows) == 0:
		return fmt.Errorf("recording %s: %w", id, store.ErrNotFound)
	}
	return fmt.Errorf("recording %s: %w", id, store.ErrHeld)
}

// RemoveRecording implements store.Recordings.
func (s *Store) RemoveRecording(ctx context.Context, id string) error {
	n, err := s.changeRecording(ctx, `DELETE FROM recordings WHERE id = $1 AND state = 'condemned'`, id)
	switch {
	case err != nil:
		return fmt.Errorf("remove recording: %w", err)
	case n == 0:
		return fmt.Errorf("recording %s: %w", id, store.ErrNotFound)
	}
	return nil
}

// changeRecording runs one statement and returns how many rows it has changed.
func (s *Store) changeRecording(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = transact(ctx, s.cfg.Traffic.Write, nil, func(sqlTx *sql.Tx) error {
		result, err := sqlTx.ExecContext(ctx, query, args...)
		if err == nil {
			n, err = result.RowsAffected()
		}
		return err
	})
	return n, err
}

// truth is a yes or no as a column has it.
func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
