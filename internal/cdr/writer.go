package cdr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dialtone/internal/store"
)

// Saver is the store, as far as records need it. Its methods are called by one goroutine at a time, may take long, and
// must give up when the context ends. Rows may come again after an error or a restart, in their old order.
type Saver interface {
	// PutJournal inserts or replaces journal rows, in one transaction; a call that has its record gets none.
	PutJournal(context.Context, []store.JournalRow) error
	// TouchJournal sets the media time of rows that are there.
	TouchJournal(context.Context, []store.JournalTouch) error
	// FinishCalls inserts the records and deletes the journal rows of their calls, in one transaction. A record that is
	// there already stays as it is; the journal row of its call goes even then.
	FinishCalls(context.Context, []store.RecordRow) error
}

// The Writer's clockwork. A row is on disk at the latest patience + tick after it was handed over, 0.6 s.
const (
	tick         = 100 * time.Millisecond // rows are collected for this long,
	batchRows    = 256                    // or until there are so many
	patience     = 500 * time.Millisecond // a batch that the store has not taken by then goes to the spill
	saveTimeout  = 30 * time.Second       // of one call to the store
	retryFirst   = time.Second            // pause after a failure; doubles
	retryMost    = 10 * time.Second
	closeTimeout = 5 * time.Second // for the store to take what is left; the spill keeps the rest
	queueRows    = 1 << 17         // rows in memory while neither store nor disk take any
	hopeless     = 8               // rows that fail one after the other mean that the store is down
	rounds       = 3               // in which a row must be refused before it is set aside
)

// Config is what a Writer needs.
type Config struct {
	// Dir holds the spill (cdr.spill) and rows that the store has refused for good (cdr.rejected). It must exist.
	Dir   string
	Saver Saver
	Log   *slog.Logger // nil = slog.Default()
}

// Stats are the Writer's figures since start.
type Stats struct {
	Queued  int // rows in memory
	Lost    int // rows that found the queue full: neither store nor disk took any for a long time
	Spilled int // rows that went through the spill
	Refused int // rows set aside because the store refuses them and takes others
}

// Writer takes journal rows and records to the store. Open makes it.
type Writer struct {
	saver Saver
	log   *slog.Logger
	dir   string

	mu     sync.Mutex
	queue  []item
	stats  Stats
	closed bool

	wake    chan struct{} // the queue has a full batch
	fresh   chan struct{} // closed when the spill of an earlier process has been delivered
	closing chan struct{} // closed by Close
	work    chan batch    // to the saving goroutine
	results chan result   // and back
	cancel  context.CancelFunc
	group   sync.WaitGroup
	err     error // of the collecting goroutine, after it has ended
}

// Open starts a Writer. Rows that an earlier process has left in the spill are delivered first; see Replayed.
func Open(c Config) (*Writer, error) {
	s, err := openSpill(filepath.Join(c.Dir, "cdr.spill"))
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	w := &Writer{
		saver: c.Saver, log: c.Log, dir: c.Dir,
		wake:    make(chan struct{}, 1),
		fresh:   make(chan struct{}),
		closing: make(chan struct{}),
		work:    make(chan batch),
		results: make(chan result, 1),
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.group.Go(func() { w.save(ctx) })
	w.group.Go(func() { w.err = (&collector{Writer: w, spill: s}).run() })
	return w, nil
}

// Replayed waits until the rows of an earlier process have reached the store. Journal rows that are in the store then
// belong to calls that were cut: only now are they ready for Recover.
func (w *Writer) Replayed(ctx context.Context) error {
	select {
	case <-w.fresh:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for spilled call records: %w", context.Cause(ctx))
	}
}

// Answered puts the row of a call that was answered into the journal. It may be called again for the same call, when
// what is to be kept has changed. The row is encoded only when it is about to be saved, on the Writer's goroutine: of a
// call that is over by then, or has a newer row, never.
func (w *Writer) Answered(callID string, encode func() (store.JournalRow, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueue(item{callID: callID, encode: encode})
}

// Finish hands over the record of a call that has ended.
func (w *Writer) Finish(r Record) error {
	row, err := r.Row()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueue(item{Record: &row})
	return nil
}

// Refresh notes when media was last seen in running calls. Calls that are not in the journal are passed over.
func (w *Writer) Refresh(touches []store.JournalTouch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range touches {
		w.enqueue(item{Touch: &touches[i]})
	}
}

// Stats returns the figures of this moment.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Queued = len(w.queue)
	return s
}

// Close delivers what is queued, to the store if it takes it within five seconds and else to the spill, and ends the
// goroutines. Rows handed over later are lost and counted.
func (w *Writer) Close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.closing)
	}
	w.mu.Unlock()
	w.group.Wait()
	w.cancel()
	return w.err
}

// enqueue wants the lock to be held.
func (w *Writer) enqueue(it item) {
	if w.closed || len(w.queue) >= queueRows {
		w.stats.Lost++
		return
	}
	w.queue = append(w.queue, it)
	if len(w.queue) >= batchRows {
		select {
		case w.wake <- struct{}{}:
		default: // it knows
		}
	}
}

// take empties the queue. Journal rows that something newer in it has made void are left out: most calls that last less
// than a tick never reach the journal.
func (w *Writer) take() []item {
	w.mu.Lock()
	items := w.queue
	w.queue = nil
	w.mu.Unlock()
	if len(items) == 0 {
		return nil
	}
	void := make(map[string]bool, len(items))
	kept := len(items) // items[kept:] stay
	for i := len(items) - 1; i >= 0; i-- {
		it := items[i]
		id, journal := it.call()
		if journal && void[id] {
			continue
		}
		if it.Touch == nil {
			void[id] = true
		}
		if it.encode != nil {
			row, err := it.encode()
			if err != nil {
				w.log.Error("call is not in the journal", "call", id, "error", err)
				continue
			}
			it = item{Journal: &row}
		}
		kept--
		items[kept] = it
	}
	clear(items[:kept])
	return items[kept:]
}

func (w *Writer) count(f func(*Stats)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.stats)
}

// batch is what the saving goroutine has in hand.
type batch struct {
	items   []item
	spilled int64     // bytes of the spill that the items are; 0 = they come from the queue
	since   time.Time // when it was handed over
	safe    bool      // also in the spill: no hurry
}

// result tells how a batch has fared.
type result struct {
	err     error  // nothing of the batch, or not all, has reached the store
	refused []item // with err: rows that the store does not take, while it has taken all others of the batch
}

// save takes batches to the store, one after the other.
func (w *Writer) save(ctx context.Context) {
	for b := range w.work {
		ctx, cancel := context.WithTimeout(ctx, saveTimeout)
		w.results <- w.deliver(ctx, b)
		cancel()
	}
}

// deliver saves a batch. Of a batch from the spill that fails, each row is tried alone, to find out whether the store
// is down or certain rows hold up the rest.
func (w *Writer) deliver(ctx context.Context, b batch) result {
	err := w.put(ctx, b.items)
	if err == nil || b.spilled == 0 {
		return result{err: err}
	}
	r := result{err: err}
	var passed []item
	for i := range b.items {
		row := b.items[i : i+1]
		if w.put(ctx, row) == nil {
			passed = row
			continue
		}
		if r.refused = append(r.refused, b.items[i]); passed == nil && len(r.refused) >= hopeless {
			return result{err: err}
		}
	}
	switch {
	case len(r.refused) == 0:
		return result{}
	case passed == nil || w.put(ctx, passed) != nil: // a row that passed before fails now: the store has gone down
		return result{err: err}
	}
	return r
}

// put saves rows: first those of the journal, then their media times, then the records. Rows of one call come in this
// order anyway, and rows of different calls do not touch each other.
func (w *Writer) put(ctx context.Context, items []item) error {
	var journal []store.JournalRow
	var touches []store.JournalTouch
	var records []store.RecordRow
	for _, it := range items {
		switch {
		case it.Journal != nil:
			journal = append(journal, *it.Journal)
		case it.Touch != nil:
			touches = append(touches, *it.Touch)
		default:
			records = append(records, *it.Record)
		}
	}
	if len(journal) > 0 {
		if err := w.saver.PutJournal(ctx, journal); err != nil {
			return fmt.Errorf("save journal of calls: %w", err)
		}
	}
	if len(touches) > 0 {
		if err := w.saver.TouchJournal(ctx, touches); err != nil {
			return fmt.Errorf("refresh journal of calls: %w", err)
		}
	}
	if len(records) > 0 {
		if err := w.saver.FinishCalls(ctx, records); err != nil {
			return fmt.Errorf("save call records: %w", err)
		}
	}
	return nil
}

// reject writes rows that the store refuses into a file of their own, framed as in the spill.
func (w *Writer) reject(items []item) error {
	f, err := os.OpenFile(filepath.Join(w.dir, "cdr.rejected"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("set rows aside: %w", err)
	}
	var b []byte
	for _, it := range items {
		if b, err = appendFrame(b, it); err != nil {
			break
		}
	}
	if err == nil {
		_, err = f.Write(b)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("set rows aside: %w", err)
	}
	w.log.Error("the store refuses call records; they were set aside in cdr.rejected", "rows", len(items))
	w.count(func(s *Stats) { s.Refused += len(items) })
	return nil
}
