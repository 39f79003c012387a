package location

import (
	"context"
	"fmt"
	"time"
)

// Loader reads back what a Saver has kept.
type Loader interface {
	// LoadBindings gives add rows that lead to the state that was kept: of one identifier in the order in which they were
	// saved, one with a Body before those without. It may leave out what later rows make useless. add keeps no reference
	// to a row.
	LoadBindings(ctx context.Context, add func(Row) error) error
}

// loading is the work of Load.
type loading struct {
	t          *Table
	clock      clock
	places     map[uint64]place // of the bindings so far, by identifier
	unreadable int
}

type place struct {
	shard *shard
	ref   ref
}

// Load fills the table with what was saved, before anything else uses it. Bindings over WebSockets are left behind:
// nobody can reach them any more. A row that cannot be read is passed over and logged.
func (t *Table) Load(ctx context.Context, l Loader, now time.Time) error {
	w := loading{t: t, clock: t.clock(now), places: map[uint64]place{}}
	err := l.LoadBindings(ctx, w.add)
	if w.unreadable > 0 {
		t.log.Warn("saved registrations that cannot be read were passed over", "count", w.unreadable)
	}
	if err != nil {
		return fmt.Errorf("load bindings: %w", err)
	}
	for i := range t.shards {
		s := &t.shards[i]
		for r := ref(1); r <= s.used; r++ {
			if s.record(r).id != 0 {
				w.finish(s, r)
			}
		}
	}
	return nil
}

func (w *loading) add(row Row) error {
	if row.ID > w.t.lastID.Load() {
		w.t.lastID.Store(row.ID)
	}
	p, known := w.places[row.ID]
	switch {
	case row.Body != nil:
		r, text, err := parseBody(row.Body, w.clock)
		if err != nil || row.ID == 0 {
			w.unreadable++
			return nil
		}
		if known && p.shard.record(p.ref).aor != r.aor {
			w.remove(row.ID, p) // damaged, for an identifier has one binding
			known = false
		}
		if !known {
			p = w.place(&r)
			w.places[row.ID] = p
		}
		rec := p.shard.record(p.ref)
		r.id, r.sibling, r.marks = row.ID, rec.sibling, saved
		r.expires = w.clock.since(row.ExpiresMS)
		*rec, *p.shard.text(p.ref) = r, text
	case !known:
		// Its first row was damaged, or it has come to its end.
	case row.Refresh != nil:
		rec := p.shard.record(p.ref)
		if parseRefresh(row.Refresh, rec, w.clock) != nil {
			w.unreadable++
			return nil
		}
		rec.expires = w.clock.since(row.ExpiresMS)
	default:
		w.remove(row.ID, p)
	}
	return nil
}

// place puts a binding in its list.
func (w *loading) place(r *record) place {
	s, hash := w.t.shard(r.aor)
	n := s.take()
	s.record(n).aor = r.aor
	s.link(n, hash)
	w.t.count.Add(1)
	return place{s, n}
}

func (w *loading) remove(id uint64, p place) {
	p.shard.unlink(p.ref, w.t.hash(p.shard.record(p.ref).aor))
	p.shard.give(p.ref)
	w.t.count.Add(-1)
	delete(w.places, id)
}

// finish takes a binding into use, or forgets it.
func (w *loading) finish(s *shard, r ref) {
	rec := s.record(r)
	if rec.expires > w.clock.at && !isWebSocket(rec.kind) {
		s.schedule(r)
		return
	}
	s.unlink(r, w.t.hash(rec.aor))
	if w.t.saver != nil {
		s.removed = append(s.removed, rec.id)
	}
	s.give(r)
	w.t.count.Add(-1)
}
