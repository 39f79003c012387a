// Package bindinglog keeps the bindings of registered devices in a log of its own: files to which the changes of some
// 100 ms are appended at a time, in one write. A refresh is some 20 bytes of it.
//
// It owns the directory of the log, the form of its files and when they are written anew; it does not look into the
// bodies of bindings (location does), and keeps nothing of them in memory.
//
// A file begins with a name for what it is; then come frames: length and checksum (CRC-32C) of the rest, which is rows.
// A frame that a crash has cut or damaged ends its file: what is behind it is not read. A log begins a new file with
// each start of the program, and whenever it has become more than twice what is alive: then it asks for all bindings
// again (location.Saver), which come by and by with the changes, and when all are there the older files go. Nothing
// waits for that, and a crash in the middle of it finds both.
//
// Durability: a batch that was saved has been handed to the operating system, in whole; it survives the death of the
// process. Every five seconds the files are synced, so that the death of the machine takes what is younger than that,
// and nothing else. When the disk is full a batch is taken back, and the location table keeps what it has.
//
// Goroutines: one, which syncs and removes files; Close ends it. Methods may be called by any goroutine, and take
// turns.
package bindinglog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/store"
)

// Config is what a Log needs.
type Config struct {
	Dir string       // of its files alone; made (mode 0700) when it is missing
	Log *slog.Logger // nil is silent

	create func(path string) (file, error) // nil: of the system
}

// Log implements store.Bindings.
type Log struct {
	cfg  Config
	stop chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	buf      []byte
	segments []*segment // the oldest first; the last one is written to when it is open
	size     int64      // bytes of all segments
	wholes   mean       // bytes of a whole row
	// rewriting is the first segment of those that will hold everything once all bindings have come again; 0: they have
	// not been asked for. Segments before obsolete can go as soon as the others are on the disk.
	rewriting, obsolete int
}

var _ store.Bindings = (*Log)(nil)

// segment is one file.
type segment struct {
	number   int
	size     int64
	f        file // nil: of an earlier start
	unsynced bool
}

// file is what a segment needs of a file.
type file interface {
	WriteAt(b []byte, at int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// mean is an average that follows what it is given.
type mean struct {
	sum, n float64
}

func (m *mean) add(v int) {
	m.sum += float64(v)
	if m.n++; m.n > 10_000 {
		m.sum, m.n = m.sum/2, m.n/2
	}
}

func (m *mean) value() float64 { return m.sum / max(1, m.n) }

const (
	suffix    = ".log"
	syncEvery = 5 * time.Second
	// slack is how large a log may be without being written anew, however little of it is alive.
	slack = 4 << 20
	// mostSegments is after how many starts it is written anew all the same.
	mostSegments = 16
)

// Open takes a log into use, with the files that there are.
func Open(cfg Config) (*Log, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.create == nil {
		cfg.create = func(path string) (file, error) { return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) }
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open binding log: %w", err)
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open binding log: %w", err)
	}
	l := &Log{cfg: cfg, stop: make(chan struct{})}
	for _, e := range entries {
		name, found := strings.CutSuffix(e.Name(), suffix)
		number, err := strconv.Atoi(name)
		if !found || err != nil || number <= 0 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("open binding log: %w", err)
		}
		l.segments = append(l.segments, &segment{number: number, size: info.Size()})
		l.size += info.Size()
	}
	slices.SortFunc(l.segments, func(a, b *segment) int { return a.number - b.number })
	l.done.Go(l.syncLoop)
	return l, nil
}

func (l *Log) path(number int) string {
	return filepath.Join(l.cfg.Dir, fmt.Sprintf("%08d%s", number, suffix))
}

// SaveBindings implements location.Saver.
func (l *Log) SaveBindings(_ context.Context, b *location.Batch) (again bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false, fmt.Errorf("save bindings: %w", fs.ErrClosed)
	}
	if len(b.Rows) > 0 {
		if err := l.append(b.Rows); err != nil {
			return false, fmt.Errorf("save bindings: %w", err)
		}
	}
	if b.Complete && l.rewriting != 0 {
		l.obsolete, l.rewriting = l.rewriting, 0
	}
	if l.rewriting == 0 && l.obsolete == 0 && l.isLarge(b.Live) {
		// What comes from now on stands in a file of its own.
		if err := l.begin(); err != nil {
			return false, nil //nolint:nilerr // the batch is kept; next time
		}
		l.rewriting = l.last().number
		return true, nil
	}
	return false, nil
}

// isLarge reports whether it is time to write the log anew, when so many bindings are alive.
func (l *Log) isLarge(live int) bool {
	return float64(l.size) > slack+2*float64(live)*l.wholes.value() || len(l.segments) > mostSegments
}

func (l *Log) last() *segment { return l.segments[len(l.segments)-1] }

// begin makes a new file.
func (l *Log) begin() error {
	number := 1
	if len(l.segments) > 0 {
		number = l.last().number + 1
	}
	f, err := l.cfg.create(l.path(number))
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(magic), 0); err != nil {
		return errors.Join(err, f.Close(), os.Remove(l.path(number)))
	}
	l.segments = append(l.segments, &segment{number: number, size: int64(len(magic)), f: f, unsynced: true})
	l.size += int64(len(magic))
	return nil
}

// append writes rows behind the others: all of them, or none.
func (l *Log) append(rows []location.Row) error {
	if len(l.segments) == 0 || l.last().f == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	l.buf = l.buf[:0]
	for len(rows) > 0 {
		rows = l.frame(rows)
	}
	s := l.last()
	if _, err := s.f.WriteAt(l.buf, s.size); err != nil {
		// What is left of it would be overwritten by the next batch; without it the file ends where it is sound.
		return errors.Join(err, s.f.Truncate(s.size))
	}
	s.size += int64(len(l.buf))
	l.size += int64(len(l.buf))
	s.unsynced = true
	if cap(l.buf) > 8*frameBytes {
		l.buf = nil
	}
	return nil
}

// frame puts rows into one frame, as many as it holds, and returns the others.
func (l *Log) frame(rows []location.Row) []location.Row {
	start := len(l.buf)
	l.buf = append(l.buf, make([]byte, frameHead)...)
	for len(rows) > 0 && len(l.buf)-start < frameBytes {
		before := len(l.buf)
		l.buf = appendRow(l.buf, &rows[0])
		if rows[0].Body != nil {
			l.wholes.add(len(l.buf) - before)
		}
		rows = rows[1:]
	}
	seal(l.buf[start:])
	return rows
}

// LoadBindings implements location.Loader.
func (l *Log) LoadBindings(ctx context.Context, add func(location.Row) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("load bindings: %w", fs.ErrClosed)
	}
	for i, s := range l.segments {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("load bindings: %w", err)
		}
		if err := l.load(s, i == len(l.segments)-1, add); err != nil {
			return fmt.Errorf("load bindings: %s: %w", l.path(s.number), err)
		}
	}
	return nil
}

func (l *Log) load(s *segment, last bool, add func(location.Row) error) error {
	f, err := os.Open(l.path(s.number))
	if err != nil {
		return err
	}
	defer f.Close()
	sound, err := read(f, func(r location.Row, size int) error {
		if r.Body != nil {
			l.wholes.add(size)
		}
		return add(r)
	})
	if err != nil {
		return err
	}
	switch {
	case sound == s.size:
	case last:
		l.cfg.Log.Info("the log of registrations was cut by the end of the last run", "file", l.path(s.number), "bytes", s.size-sound)
	default:
		l.cfg.Log.Warn("a log of registrations is damaged; the rest of it was passed over", "file", l.path(s.number), "bytes", s.size-sound)
	}
	return nil
}

// Close syncs what was written and ends the use of the log.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	close(l.stop)
	l.done.Wait()
	err := l.sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if s.f != nil {
			err = errors.Join(err, s.f.Close())
			s.f = nil
		}
	}
	if err != nil {
		return fmt.Errorf("close binding log: %w", err)
	}
	return nil
}

// syncLoop syncs until Close.
func (l *Log) syncLoop() {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		err := l.sync()
		if err != nil && !failing {
			l.cfg.Log.Error("cannot sync registrations to the disk", "error", err)
		}
		failing = err != nil
	}
}

// sync makes the files durable, and then removes those that are obsolete.
func (l *Log) sync() error {
	l.mu.Lock()
	obsolete := l.obsolete
	var unsynced []*segment
	for _, s := range l.segments {
		if s.unsynced {
			s.unsynced = false
			unsynced = append(unsynced, s)
		}
	}
	l.mu.Unlock()
	// Writing goes on meanwhile.
	var errs []error
	for _, s := range unsynced {
		if err := s.f.Sync(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, s := range unsynced {
			s.unsynced = true
		}
		return err
	}
	if obsolete == 0 {
		return nil
	}
	if err := l.syncDir(); err != nil {
		return err
	}
	return l.remove(obsolete)
}

// syncDir makes the names of new files durable.
func (l *Log) syncDir() error {
	d, err := os.Open(l.cfg.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// remove removes the files before a number. It is called by whoever syncs, one after another.
func (l *Log) remove(before int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.segments) > 0 && l.segments[0].number < before {
		s := l.segments[0]
		if s.f != nil {
			if err := s.f.Close(); err != nil {
				return err
			}
			s.f = nil
		}
		if err := os.Remove(l.path(s.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.size -= s.size
		l.segments = l.segments[1:]
	}
	l.obsolete = 0
	return nil
}
