package location

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Saver keeps a copy of the table for the next start.
type Saver interface {
	// SaveBindings keeps a batch: all of it or, with an error, nothing; then what it had comes again. It keeps no reference
	// to it. again asks for all bindings once more, whole, with the batches that follow, so that what was kept before can
	// go: Batch.Complete tells when all have come.
	SaveBindings(ctx context.Context, b *Batch) (again bool, err error)
}

// Batch is what has changed since the last one.
type Batch struct {
	Rows     []Row
	Live     int  // bindings in the table
	Complete bool // since the Saver asked for all bindings, all have come
}

// Row is a binding as it is kept. With neither Body nor Refresh it is the end of one. An identifier names one binding
// from its first row, which has a Body, to its last, and none again.
type Row struct {
	ID        uint64
	ExpiresMS int64  // Unix milliseconds
	Body      []byte // the binding, whole
	Refresh   []byte // what its latest refresh has changed since the Body
}

const (
	saveEvery   = 100 * time.Millisecond
	saveRows    = 4096 // rows of a batch, more or less
	saveBytes   = 1 << 20
	saveAtOnce  = 128              // rows collected under one hold of a lock
	againRows   = 1024             // bindings that are given again with one batch
	saveTimeout = 10 * time.Second // of one call, and of the last one when the table ends
	retryMost   = 5 * time.Second  // longest pause after a failure
)

// saving is what the goroutine that saves knows.
type saving struct {
	mu      sync.Mutex // held while the Saver works
	batch   Batch
	from    []origin     // where the rows of the batch come from
	bytes   []byte       // holds what they consist of
	waiting atomic.Int64 // len(from), for those who do not hold mu
	failing atomic.Pointer[error]
	// again: all bindings are given once more; next is where to go on.
	again     bool
	nextShard int
	nextRef   ref
}

// origin is where a row comes from; ref 0: what it was is gone.
type origin struct {
	shard int
	ref   ref
}

// Unsaved is the number of changes that the Saver has not taken yet, at most one for each binding and one for each that
// has gone.
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

// SaveError is why the last batch was not saved; nil when it was. What waits is tried again by and by.
func (t *Table) SaveError() error {
	if err := t.save.failing.Load(); err != nil {
		return *err
	}
	return nil
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
	v := &t.save
	v.mu.Lock()
	defer v.mu.Unlock()
	c := t.clock(now)
	for i := range t.shards {
		for more := true; more; {
			more = t.collect(i, c)
			if v.isFull() {
				if err := t.flushBatch(ctx); err != nil {
					return err
				}
			}
		}
	}
	if v.again {
		t.collectAgain(c)
	}
	if len(v.batch.Rows) == 0 && !v.batch.Complete {
		return nil
	}
	return t.flushBatch(ctx)
}

func (v *saving) isFull() bool { return len(v.batch.Rows) >= saveRows || len(v.bytes) >= saveBytes }

// collect adds changes of a shard to the batch. more tells that there are others.
func (t *Table) collect(i int, c clock) (more bool) {
	v, s := &t.save, &t.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ; len(s.removed) > 0 && n < saveAtOnce; n++ {
		last := len(s.removed) - 1
		v.batch.Rows = append(v.batch.Rows, Row{ID: s.removed[last]})
		v.from = append(v.from, origin{shard: i})
		s.removed = s.removed[:last]
	}
	for ; len(s.dirty) > 0 && n < saveAtOnce; n++ {
		last := len(s.dirty) - 1
		r := s.dirty[last]
		s.dirty = s.dirty[:last]
		// Meanwhile it may be no binding any more, or another one that stands here twice.
		if rec := s.record(r); rec.marks&dirty != 0 {
			v.add(i, s, r, c, rec.marks&whole != 0)
		}
	}
	v.waiting.Store(int64(len(v.from)))
	return len(s.dirty)+len(s.removed) > 0
}

// add adds a record to the batch. Its shard is locked.
func (v *saving) add(i int, s *shard, r ref, c clock, all bool) {
	rec := s.record(r)
	row := Row{ID: rec.id, ExpiresMS: c.ms(rec.expires)} // by the clock of now: it may have been set since it was bound
	start := len(v.bytes)
	if all {
		v.bytes = appendBody(v.bytes, rec, *s.text(r), c)
		row.Body = v.bytes[start:]
	} else {
		v.bytes = appendRefresh(v.bytes, rec, c)
		row.Refresh = v.bytes[start:]
	}
	rec.marks = rec.marks&^(dirty|whole) | saved
	v.batch.Rows = append(v.batch.Rows, row)
	v.from = append(v.from, origin{i, r})
}

// collectAgain adds bindings that the Saver wants once more, some of them.
func (t *Table) collectAgain(c clock) {
	v := &t.save
	for n := 0; n < againRows && !v.isFull(); {
		if v.nextShard == shardCount {
			v.batch.Complete = true
			return
		}
		s := &t.shards[v.nextShard]
		s.mu.Lock()
		for end := min(v.nextRef+saveAtOnce, s.used); v.nextRef < end; {
			v.nextRef++
			if s.record(v.nextRef).id != 0 {
				v.add(v.nextShard, s, v.nextRef, c, true)
				n++
			}
		}
		done := v.nextRef >= s.used
		s.mu.Unlock()
		if done {
			v.nextShard, v.nextRef = v.nextShard+1, 0
		}
	}
}

// flushBatch gives the batch to the Saver.
func (t *Table) flushBatch(ctx context.Context) error {
	v := &t.save
	v.batch.Live = t.Count()
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	again, err := t.saver.SaveBindings(ctx, &v.batch)
	if err != nil {
		t.restore()
	} else if v.batch.Complete {
		v.again = false
	}
	if err == nil && again && !v.again {
		v.again, v.nextShard, v.nextRef = true, 0, 0
	}
	waiting := len(v.from)
	v.empty()
	if err != nil {
		if v.failing.Swap(&err) == nil {
			t.log.Error("cannot save registrations; they stay in memory", "error", err, "waiting", waiting)
		}
		return fmt.Errorf("save bindings: %w", err)
	}
	if v.failing.Swap(nil) != nil {
		t.log.Info("registrations are saved again")
	}
	return nil
}

// restore takes back a batch that was not saved.
func (t *Table) restore() {
	v := &t.save
	for n, from := range v.from {
		s := &t.shards[from.shard]
		id := v.batch.Rows[n].ID
		s.mu.Lock()
		switch {
		case from.ref == 0:
			s.removed = append(s.removed, id)
		case s.record(from.ref).id == id:
			rec := s.record(from.ref)
			rec.marks |= whole
			if rec.marks&dirty == 0 {
				rec.marks |= dirty
				s.dirty = append(s.dirty, from.ref)
			}
		}
		s.mu.Unlock()
	}
}

// empty makes room for the next batch; what an unusually large one has taken is given back.
func (v *saving) empty() {
	clear(v.batch.Rows)
	v.batch.Rows, v.from, v.bytes = v.batch.Rows[:0], v.from[:0], v.bytes[:0]
	v.batch.Complete = false
	if cap(v.bytes) > 4*saveBytes {
		v.bytes = nil
	}
	v.waiting.Store(0)
}
