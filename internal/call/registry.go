package call

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/media"
)

// Config is what all calls of a Registry share.
type Config struct {
	Observer     Observer      // nil: nobody is told
	MediaTimeout time.Duration // of silence in an answered call until it is ended; 0 = never
	MaxDuration  time.Duration // of an answered call; 0 = no limit
	Music        Music         // played to whoever is held; nil: what the holder sends
	Log          *slog.Logger  // nil discards
}

// Music is what is played to a party that waits.
type Music interface {
	// Music begins to listen at a rate of 8000 or 16000 samples a second, or the one above; it must not block.
	Music(rate int) media.Source
}

// Registry holds the live calls and owns their goroutines, one per call; Drain ends them all and waits. Whoever
// starts calls stops doing so first. All methods may be called from any goroutine.
type Registry struct {
	config    Config
	observer  Observer
	log       *slog.Logger
	started   atomic.Uint64
	panics    atomic.Uint64
	overflows atomic.Uint64

	mu    sync.Mutex
	calls map[string]*Call
	idle  chan struct{} // closed when the last call ends; nil while nobody waits
}

// Counters are totals since the start.
type Counters struct {
	Started   uint64
	Panics    uint64 // calls that a fault of ours has ended
	Overflows uint64 // calls that were ended because their mailbox was full
}

// NewRegistry makes an empty registry.
func NewRegistry(config Config) *Registry {
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Registry{config: config, observer: config.Observer, log: log, calls: make(map[string]*Call)}
}

// Start makes a call of an inbound leg and runs its service in a goroutine of its own.
func (r *Registry) Start(s Setup, serve Service) *Call {
	c := newCall(r, s, time.Now())
	r.launch(c, serve)
	return c
}

func (r *Registry) launch(c *Call, serve Service) {
	c.publish() // whoever finds the call can read it
	r.mu.Lock()
	r.calls[c.ID()] = c
	r.mu.Unlock()
	r.started.Add(1)
	go func() {
		defer r.remove(c)
		c.run(context.Background(), serve)
	}()
}

func (r *Registry) remove(c *Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, c.ID())
	if len(r.calls) == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// Call finds a live call.
func (r *Registry) Call(id string) (*Call, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.calls[id]
	return c, ok
}

// Len is how many calls are live.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.calls)
}

// Records are the facts of all live calls, the oldest first.
func (r *Registry) Records() []*Record {
	calls := r.all()
	records := make([]*Record, len(calls))
	for i, c := range calls {
		records[i] = c.Record()
	}
	slices.SortFunc(records, func(a, b *Record) int { return strings.Compare(a.ID, b.ID) })
	return records
}

// Hangup ends a live call and reports whether there was one. It does not wait for the end.
func (r *Registry) Hangup(id string, why cause.Cause) bool {
	c, ok := r.Call(id)
	if ok {
		c.Hangup(why)
	}
	return ok
}

// Counters are the totals.
func (r *Registry) Counters() Counters {
	return Counters{Started: r.started.Load(), Panics: r.panics.Load(), Overflows: r.overflows.Load()}
}

// Drain waits for the running calls. When ctx ends first, it hangs them all up and waits for their goroutines, which
// is a matter of moments. It returns how many were hung up.
func (r *Registry) Drain(ctx context.Context) int {
	cut := 0
	for {
		idle := r.quiet()
		if idle == nil {
			return cut
		}
		select {
		case <-idle:
			return cut
		case <-ctx.Done():
		}
		for _, c := range r.all() {
			c.Hangup(cause.Draining())
			cut++
		}
		<-idle
	}
}

// quiet returns a channel that is closed when the last call ends; nil when there is none.
func (r *Registry) quiet() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) == 0 {
		return nil
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	return r.idle
}

func (r *Registry) all() []*Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := make([]*Call, 0, len(r.calls))
	for _, c := range r.calls {
		calls = append(calls, c)
	}
	return calls
}
