package relational

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// auditHead is the newest row of the trail.
type auditHead struct {
	known bool
	seq   int64
	hash  []byte // empty before the first row
}

// note adds the audit row of a change and remembers the change; both objects are its own from then on.
func (t *tx) note(ctx context.Context, before, after directory.Object, was, became []byte) error {
	change := directory.Change{Before: before, After: after}
	object := change.Object()
	row := store.AuditRow{
		Tenant: object.Head().Tenant, Kind: object.ObjectKind(), Object: object.Head().ID, Key: object.Key(),
		Before: was, After: became,
	}
	if err := t.write(ctx, &row); err != nil {
		return err
	}
	t.changes = append(t.changes, change)
	return nil
}

// write adds a row to the trail: its number, time, actor and hash are set here.
func (t *tx) write(ctx context.Context, row *store.AuditRow) error {
	if !t.head.known {
		if _, err := t.first(ctx, `SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1`, nil, &t.head.seq, &t.head.hash); err != nil {
			return err
		}
		t.head.known = true
	}
	row.Seq, row.TimeMS, row.Actor = t.head.seq+1, t.now, t.actor
	row.Hash = auditHash(t.head.hash, row)
	if _, err := t.exec(ctx, `INSERT INTO audit (seq, time_ms, actor, actor_from, tenant_id, kind, object_id, name, was, became, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		row.Seq, row.TimeMS, row.Actor.Name, row.Actor.From, row.Tenant, string(row.Kind), row.Object, row.Key,
		string(row.Before), string(row.After), row.Hash); err != nil {
		return fmt.Errorf("write audit row: %w", err)
	}
	t.head.seq, t.head.hash = row.Seq, row.Hash
	return nil
}

// Note implements store.Trail.
func (s *Store) Note(ctx context.Context, actor store.Actor, act store.Act) error {
	_, err := s.Update(ctx, actor, func(open store.Tx) error {
		t, ok := open.(*tx)
		if !ok {
			return errors.New("audit row: not a transaction of this store")
		}
		return t.write(ctx, &store.AuditRow{Tenant: act.Tenant, Kind: directory.Kind(act.Kind), Object: directory.NewID(), Key: act.Key,
			Before: act.Before, After: act.After})
	})
	return err
}

// auditHash chains a row to the one before it. Each text is preceded by its length, so that no two rows have the same
// bytes.
func auditHash(previous []byte, r *store.AuditRow) []byte {
	h := sha256.New()
	var n [8]byte
	number := func(v int64) {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	text := func(b []byte) {
		number(int64(len(b)))
		h.Write(b)
	}
	text(previous)
	number(r.Seq)
	number(r.TimeMS)
	for _, s := range [...]string{r.Actor.Name, r.Actor.From, r.Tenant.String(), string(r.Kind), r.Object.String(), r.Key} {
		text([]byte(s))
	}
	text(r.Before)
	text(r.After)
	return h.Sum(nil)
}

const auditColumns = `SELECT seq, time_ms, actor, actor_from, tenant_id, kind, object_id, name, was, became, hash FROM audit`

func scanAudit(row scanner) (store.AuditRow, error) {
	var r store.AuditRow
	var was, became []byte
	err := row.Scan(&r.Seq, &r.TimeMS, &r.Actor.Name, &r.Actor.From, &r.Tenant, &r.Kind, &r.Object, &r.Key, &was, &became, &r.Hash)
	if len(was) > 0 {
		r.Before = was
	}
	if len(became) > 0 {
		r.After = became
	}
	return r, err
}

// Audit implements store.Trail.
func (s *Store) Audit(ctx context.Context, q store.AuditQuery) ([]store.AuditRow, error) {
	query, args := newWhere(auditColumns), []any(nil)
	if !q.Tenant.IsZero() {
		query.and("tenant_id =", q.Tenant)
	}
	if !q.Object.IsZero() {
		query.and("object_id =", q.Object)
	}
	if q.Before > 0 {
		query.and("seq <", q.Before)
	}
	text, args := query.end(" ORDER BY seq DESC", limited(q.Limit, 100, 1000))
	rows, err := s.cfg.Directory.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("read audit trail: %w", err)
	}
	defer rows.Close()
	var out []store.AuditRow
	for rows.Next() {
		r, err := scanAudit(rows)
		if err != nil {
			return nil, fmt.Errorf("read audit trail: %w", err)
		}
		out = append(out, r)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// VerifyAudit implements store.Trail.
func (s *Store) VerifyAudit(ctx context.Context) (int64, error) {
	rows, err := s.cfg.Directory.Read.QueryContext(ctx, auditColumns+` ORDER BY seq`)
	if err != nil {
		return 0, fmt.Errorf("verify audit trail: %w", err)
	}
	defer rows.Close()
	var sound int64
	var previous []byte
	for rows.Next() {
		r, err := scanAudit(rows)
		if err != nil {
			return sound, fmt.Errorf("verify audit trail: %w", err)
		}
		if r.Seq != sound+1 {
			return sound, fmt.Errorf("verify audit trail: row %d is missing", sound+1)
		}
		if !bytes.Equal(r.Hash, auditHash(previous, &r)) {
			return sound, fmt.Errorf("verify audit trail: row %d was altered", r.Seq)
		}
		sound, previous = r.Seq, r.Hash
	}
	return sound, errors.Join(rows.Err(), rows.Close())
}
