package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dialtone/internal/location"
)

// TrafficWithBindings is the last version of the traffic schema that had a table of bindings.
const TrafficWithBindings = 1

// AdoptBindings gives the bindings of a database of that version to whom they are to be kept by from now on. Given
// again after a crash they are the same.
func AdoptBindings(ctx context.Context, db *sql.DB, to location.Saver) error {
	rows, err := db.QueryContext(ctx, `SELECT expires_ms, body FROM bindings ORDER BY aor, contact`)
	if err != nil {
		return fmt.Errorf("read bindings: %w", err)
	}
	defer rows.Close()
	const many = 4096
	b := location.Batch{}
	for id := uint64(1); rows.Next(); id++ {
		r := location.Row{ID: id}
		if err := rows.Scan(&r.ExpiresMS, &r.Body); err != nil {
			return fmt.Errorf("read bindings: %w", err)
		}
		b.Rows = append(b.Rows, r)
		if len(b.Rows) == many {
			if _, err := to.SaveBindings(ctx, &b); err != nil {
				return err
			}
			b.Rows = b.Rows[:0]
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("read bindings: %w", err)
	}
	_, err = to.SaveBindings(ctx, &b)
	return err
}
