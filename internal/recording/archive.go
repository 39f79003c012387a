// Package recording keeps the recordings of calls: which calls are recorded, the takes that are under way, the files and
// what is known of them, how long they stay, and what becomes of them after a crash.
//
// It owns the archive: the policy of lines (always, on demand, off), the directory of files, the rows in the store,
// retention and legal holds, the events of recordings. It does not own the way from a packet to a file (media,
// media/recorder), who may ask for what (admin), nor calls: it hears of them as an observer and reaches their media on
// their own goroutines.
//
// Goroutines: Run runs the writer of media/recorder, repairs what a crash has left, and sweeps once an hour. Each take has
// one that waits for its end; Run waits for all of them. Nothing of a call waits for a disk.
//
// Ordering: the row of a take is written before its first sound and completed after its file is closed. A recording is
// removed in three steps (condemned, file, row), so that a crash in between leaves nothing behind.
package recording

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/directory"
	"dialtone/internal/event"
	"dialtone/internal/media"
	"dialtone/internal/media/recorder"
	"dialtone/internal/store"
)

// Errors of those who ask for a recording.
var (
	ErrNoCall      = errors.New("no such call")
	ErrUnconnected = errors.New("the call does not connect two parties")
	ErrOff         = errors.New("calls of this line are not recorded")
	ErrAlways      = errors.New("calls of this line are always recorded")
	ErrActive      = errors.New("the call is being recorded")
	ErrIdle        = errors.New("the call is not being recorded")
	// ErrFailed wraps what went wrong when a recording could not begin.
	ErrFailed = errors.New("recording failed")
)

// Store keeps the rows, and the trail of what retention has removed.
type Store interface {
	store.Recordings
	Note(ctx context.Context, actor store.Actor, act store.Act) error
}

// Directory is where the policy of lines is read.
type Directory interface {
	Snapshot() *directory.Snapshot
}

// Publisher publishes events.
type Publisher interface {
	Publish(tenant, object string, data event.Data) event.Event
}

// Config is what an archive works with. All of it is needed but Encrypt, Keep, Beep, Log and Open.
type Config struct {
	Store     Store
	Directory Directory
	Events    Publisher
	Media     *media.Engine
	Calls     func(id string) (*call.Call, bool) // the live ones
	Dir       string                             // of the files; made when it is missing
	Format    Format
	Keys      recorder.Keyring
	Encrypt   bool          // what is recorded from now on
	Keep      time.Duration // 0: for ever
	Beep      time.Duration // how often both parties hear a beep; 0: never
	Log       *slog.Logger
	// Open opens the file of a recording; nil: a file of the disk that must not exist.
	Open func(path string) (recorder.File, error)
}

// Archive is all recordings of a server.
type Archive struct {
	config  Config
	log     *slog.Logger
	writer  *recorder.Engine
	started time.Time
	failed  atomic.Int64
	bytes   atomic.Int64
	takes   sync.WaitGroup

	mu     sync.Mutex
	active map[string]*take // by call
	closed bool
}

// New makes an archive. Recordings begin once Run runs.
func New(c Config) (*Archive, error) {
	if c.Store == nil || c.Directory == nil || c.Events == nil || c.Media == nil || c.Calls == nil || c.Keys == nil || c.Dir == "" {
		return nil, errors.New("recording: store, directory, events, media, calls, keys and a place for files are required")
	}
	f, ok := formats()[c.Format]
	if !ok {
		return nil, errors.New("recording: unknown format " + string(c.Format))
	}
	if err := recorder.Encodes(f.encoding); err != nil {
		return nil, fmt.Errorf("recording.format = %q: %w", c.Format, err)
	}
	a := &Archive{config: c, log: c.Log, writer: recorder.New(), started: time.Now(), active: map[string]*take{}}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a, nil
}

// Stats are figures for metrics.
type Stats struct {
	Active int   // takes under way
	Failed int64 // that could not begin or were cut short, since the start
	Bytes  int64 // written to files, since the start
}

// Stats returns the figures.
func (a *Archive) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{Active: len(a.active), Failed: a.failed.Load(), Bytes: a.bytes.Load()}
}

// sweepEvery is how often what has been kept long enough is removed.
const sweepEvery = time.Hour

// Run writes recordings and looks after the archive until ctx ends; then it ends all takes and completes their rows.
func (a *Archive) Run(ctx context.Context) error {
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var writer sync.WaitGroup
	writer.Go(func() { _ = a.writer.Run(writing) }) // it returns nil
	a.recover(ctx)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		a.Sweep(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	stop() // the writer ends all takes
	writer.Wait()
	a.takes.Wait()
	return nil
}

// Observe implements call.Observer: it begins what is always recorded, and ends what is recorded with its call.
func (a *Archive) Observe(n call.Notice) {
	switch n := n.(type) {
	case call.CallAnswered:
		if len(n.Record.Legs) > 1 && a.policy(n.Record) == directory.RecordAlways {
			a.beginLater(n.Record)
		}
	case call.CallEnded:
		a.mu.Lock()
		t := a.active[n.Record.ID]
		a.mu.Unlock()
		if t != nil {
			t.end()
		}
	}
}

// Resumed goes on with a call that was taken up after a crash, if it was being recorded.
func (a *Archive) Resumed(c *call.Call) {
	if r := c.Record(); len(r.Recordings) > 0 {
		a.beginLater(r)
	}
}

// beginLater begins without waiting for the disk.
func (a *Archive) beginLater(r *call.Record) {
	t, err := a.claim(r, byPolicy)
	if err != nil {
		return // there is one, or the archive is closing
	}
	go func() {
		if err := t.begin(context.Background()); err != nil {
			a.log.Error("call is not recorded", "call", r.ID, "error", err)
		}
	}()
}

// byPolicy is who begins what is always recorded.
const byPolicy = "policy"

// policy is what the lines of a call want.
func (a *Archive) policy(r *call.Record) directory.Recording {
	s := a.config.Directory.Snapshot()
	policy := directory.RecordOnDemand
	for _, number := range [...]string{r.From.Line, r.To.Line} {
		line := s.Line(r.Tenant, number)
		switch {
		case number == "" || line == nil:
		case line.Record == directory.RecordOff:
			return directory.RecordOff
		case line.Record == directory.RecordAlways:
			policy = directory.RecordAlways
		}
	}
	return policy
}
