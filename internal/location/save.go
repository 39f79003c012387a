package location

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/directory"
)

// Saver keeps a copy of the table for the next start.
type Saver interface {
	// SaveBindings keeps the rows of put, in place of older ones with the same key, and forgets those of remove; no key is
	// in both. All of it happens or, with an error, none; then it is tried again.
	SaveBindings(ctx context.Context, put []Row, remove []RowKey) error
}

// Loader reads back what a Saver has kept.
type Loader interface {
	// LoadBindings gives add each row that expires after nowMS (Unix milliseconds), in no order.
	LoadBindings(ctx context.Context, nowMS int64, add func(Row) error) error
}

// RowKey tells saved bindings apart.
type RowKey struct {
	AOR     string // tenant and line
	Contact string // device, and instance with reg-id or contact
}

// Row is a binding as it is kept.
type Row struct {
	RowKey
	Tenant    directory.ID
	ExpiresMS int64 // Unix milliseconds
	Body      []byte
}

const (
	saveEvery   = 50 * time.Millisecond
	saveRows    = 5000             // rows in one call of the Saver
	saveTimeout = 10 * time.Second // of one call, and of the last one when the table ends
	retryMost   = 5 * time.Second  // longest pause after a failure
)

// saving is what the goroutine that saves knows.
type saving struct {
	mu      sync.Mutex      // held while the Saver works
	pending map[RowKey]*Row // taken from the shards and not saved yet; nil: to be removed
	waiting atomic.Int64    // len(pending), for those who do not hold mu
	failing bool
}

// key names the record for the Saver.
func (r *record) key() RowKey {
	var b strings.Builder
	b.WriteString(r.at(textDevice))
	if r.regID != 0 {
		b.WriteString(" ")
		b.WriteString(strconv.FormatUint(uint64(r.regID), 10))
		b.WriteString(" ")
		b.WriteString(r.at(textInstance))
	} else {
		b.WriteString(" ")
		b.WriteString(r.at(textContact))
	}
	return RowKey{AOR: r.aor.Tenant.String() + "/" + r.aor.Line.String(), Contact: b.String()}
}

// Unsaved is the number of changes that the Saver has not taken yet; it grows while the store is away, up to a few for
// each binding.
func (t *Table) Unsaved() int {
	n := int(t.save.waiting.Load())
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.dirty) + len(s.removed)
		s.mu.Unlock()
	}
	return n
}

// saveLoop saves what has changed until ctx ends, and then once more.
func (t *Table) saveLoop(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	pause := saveEvery
	for {
		select {
		case <-tick.C:
			if err := t.Flush(ctx, time.Now()); err != nil {
				pause = min(2*pause, retryMost)
				tick.Reset(pause)
			} else if pause != saveEvery {
				pause = saveEvery
				tick.Reset(pause)
			}
		case <-ctx.Done():
			_ = t.Flush(context.WithoutCancel(ctx), time.Now()) // has been logged
			return
		}
	}
}

// Flush saves what has changed since the last call. What cannot be saved is kept for the next one, the newest state of
// each binding only.
func (t *Table) Flush(ctx context.Context, now time.Time) error {
	if t.saver == nil {
		return nil
	}
	t.save.mu.Lock()
	defer t.save.mu.Unlock()
	if t.save.pending == nil {
		t.save.pending = map[RowKey]*Row{}
	}
	for i := range t.shards {
		t.collect(&t.shards[i], now)
	}
	defer func() { t.save.waiting.Store(int64(len(t.save.pending))) }()
	t.save.waiting.Store(int64(len(t.save.pending)))
	for len(t.save.pending) > 0 {
		if err := t.flushSome(ctx); err != nil {
			if !t.save.failing {
				t.log.Error("cannot save registrations; they stay in memory", "error", err, "waiting", len(t.save.pending))
			}
			t.save.failing = true
			return fmt.Errorf("save bindings: %w", err)
		}
	}
	if t.save.failing {
		t.log.Info("registrations are saved again")
		t.save.failing = false
	}
	return nil
}

// collect moves the changes of a shard to the pending ones.
func (t *Table) collect(s *shard, now time.Time) {
	at := t.since(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.removed {
		t.save.pending[k] = nil
	}
	// A contact may have gone and come back: what is in the table counts.
	for _, r := range s.dirty {
		r.dirty = false
		if r.dead {
			continue
		}
		k := r.key()
		t.save.pending[k] = &Row{
			RowKey: k, Tenant: r.aor.Tenant, Body: appendBody(nil, r, now, at),
			// The wall clock of now: it may have been set since the binding was made.
			ExpiresMS: now.UnixMilli() + (r.expires-at)/int64(time.Millisecond),
		}
	}
	clear(s.dirty)
	s.dirty, s.removed = s.dirty[:0], s.removed[:0]
	if cap(s.removed) > saveRows {
		s.removed = nil
	}
}

// flushSome saves as much as one call of the Saver takes.
func (t *Table) flushSome(ctx context.Context) error {
	var put []Row
	var remove []RowKey
	for k, row := range t.save.pending {
		if len(put)+len(remove) == saveRows {
			break
		}
		if row == nil {
			remove = append(remove, k)
		} else {
			put = append(put, *row)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := t.saver.SaveBindings(ctx, put, remove); err != nil {
		return err
	}
	for i := range put {
		delete(t.save.pending, put[i].RowKey)
	}
	for _, k := range remove {
		delete(t.save.pending, k)
	}
	return nil
}

// Load fills the table with what was saved, before anything else uses it. Bindings over WebSockets are left behind:
// nobody can reach them any more. A row that cannot be read is passed over and logged.
func (t *Table) Load(ctx context.Context, l Loader, now time.Time) error {
	nowMS := now.UnixMilli()
	unreadable := 0
	err := l.LoadBindings(ctx, nowMS, func(row Row) error {
		if row.ExpiresMS <= nowMS {
			return nil
		}
		r, times, err := parseBody(row.Body)
		if err != nil {
			unreadable++
			return nil
		}
		if isWebSocket(r.kind) {
			return nil
		}
		at := t.since(now)
		r.expires = at + (row.ExpiresMS-nowMS)*int64(time.Millisecond)
		r.created = at - max(0, nowMS-times.created)*int64(time.Millisecond)
		r.updated = at - max(0, nowMS-times.updated)*int64(time.Millisecond)
		s := t.shard(r.aor)
		s.mu.Lock()
		defer s.mu.Unlock()
		r.sibling = s.aors[r.aor]
		s.aors[r.aor] = r
		s.schedule(r)
		t.count.Add(1)
		return nil
	})
	if unreadable > 0 {
		t.log.Warn("saved registrations that cannot be read were passed over", "count", unreadable)
	}
	if err != nil {
		return fmt.Errorf("load bindings: %w", err)
	}
	return nil
}
