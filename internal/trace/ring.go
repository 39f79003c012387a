package trace

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	flushEvery   = 100 * time.Millisecond
	defaultBytes = 64 << 20
	segments     = 16      // files of the ring; the oldest goes when a new one is begun
	minSegment   = 4 << 10 // of tests
	shards       = 4       // buffers that Tap spreads its messages over
	shardBytes   = 1 << 20 // of one buffer: what may be tapped between two writes
	maxCallID    = 1024
	maxMessage   = 128 << 10
	spare        = 200 // messages between two writes that no call needs
)

// Config is what a Ring needs.
type Config struct {
	// Dir holds the segments; it is made when absent.
	Dir string
	// Bytes is the size of the ring; 0 = 64 MiB.
	Bytes int64
	Log   *slog.Logger // nil = slog.Default()
}

// Ring keeps the latest messages.
type Ring struct {
	log     *slog.Logger
	shard   [shards]shard
	seq     atomic.Uint64
	dropped atomic.Uint64
	spared  atomic.Int64 // of Spare, since the last write

	disk    disk // has its own lock
	closing chan struct{}
	group   sync.WaitGroup
	once    sync.Once
	err     error
}

// shard is one buffer of messages that are not on disk yet.
type shard struct {
	mu    sync.Mutex
	buf   []byte // frames without CRC
	spare []byte // the other buffer, while it is not being written
	_     [64]byte
}

// Open takes up the ring in a directory, with what earlier processes have left there, and starts writing.
func Open(c Config) (*Ring, error) {
	if c.Bytes <= 0 {
		c.Bytes = defaultBytes
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	r := &Ring{log: c.Log, closing: make(chan struct{})}
	last, err := r.disk.open(c.Dir, c.Bytes)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	r.seq.Store(last)
	for i := range r.shard {
		r.shard[i].buf = make([]byte, 0, shardBytes)
		r.shard[i].spare = make([]byte, 0, shardBytes)
	}
	r.group.Go(r.run)
	return r, nil
}

// Tap keeps a copy of a message that came from or went to remote. kind is the transport ("udp"). It may be called by
// any goroutine, does not allocate and does not block on the disk; the arguments are free when it returns.
func (r *Ring) Tap(d Direction, kind string, local, remote netip.AddrPort, sipCallID []byte, at time.Time, msg []byte) {
	s, n := r.begin(len(kind), len(sipCallID), len(msg))
	if s == nil {
		return
	}
	defer s.mu.Unlock()
	b := s.buf
	start := len(b)
	b = appendHead(b, typeMessage, d, r.seq.Add(1), at.UnixNano(), local, remote, len(kind), len(sipCallID), n)
	b = append(b, kind...)
	b = append(b, sipCallID...)
	b = append(b, msg...)
	mask(b[start+n-len(msg):])
	s.buf = b
}

// Join tells that a SIP Call-ID is one of the legs of our call. It may come before or after the leg's messages.
func (r *Ring) Join(callID, sipCallID string) {
	s, n := r.begin(0, len(sipCallID), len(callID))
	if s == nil {
		return
	}
	defer s.mu.Unlock()
	none := netip.AddrPort{}
	b := appendHead(s.buf, typeJoin, In, r.seq.Add(1), time.Now().UnixNano(), none, none, 0, len(sipCallID), n)
	b = append(b, sipCallID...)
	s.buf = append(b, callID...)
}

// begin locks a shard that has room for a frame of n bytes, or counts the message as dropped and returns nil.
func (r *Ring) begin(kind, callID, msg int) (s *shard, n int) {
	n = frameLength(kind, callID, msg)
	if kind > 255 || callID > maxCallID || msg > maxMessage {
		r.dropped.Add(1)
		return nil, 0
	}
	s = &r.shard[rand.Uint32()%shards]
	s.mu.Lock()
	if len(s.buf)+n > cap(s.buf) {
		s.mu.Unlock()
		r.dropped.Add(1)
		return nil, 0
	}
	return s, n
}

// Spare asks for leave to tap a message that belongs to no call of this exchange: a registration, or what is only passed
// on. Two thousand of them a second are kept; a flood of them costs next to nothing and does not push the ladders of
// calls out of the ring.
func (r *Ring) Spare() bool {
	return r.spared.Load() < spare && r.spared.Add(1) <= spare
}

// Dropped is how many messages were left out: too large, or too many for the disk.
func (r *Ring) Dropped() uint64 { return r.dropped.Load() }

// Close writes what is in memory and ends the goroutine.
func (r *Ring) Close() error {
	r.once.Do(func() {
		close(r.closing)
		r.group.Wait()
		r.err = errors.Join(r.flush(), r.disk.close())
	})
	return r.err
}

// run writes ten times a second. A disk that takes nothing is reported once, until it takes something again.
func (r *Ring) run() {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	failing := false
	for {
		select {
		case <-t.C:
		case <-r.closing:
			return
		}
		r.spared.Store(0)
		err := r.flush()
		if err != nil && !failing {
			r.log.Error("call ladders are not written", "error", err)
		}
		failing = err != nil
	}
}

// flush writes the buffers to the current segment. The disk's lock is held throughout, the shards' only to swap
// buffers, so that Tap goes on meanwhile.
func (r *Ring) flush() error {
	r.disk.mu.Lock()
	defer r.disk.mu.Unlock()
	var errs error
	for i := range r.shard {
		s := &r.shard[i]
		s.mu.Lock()
		full := s.buf
		s.buf, s.spare = s.spare[:0], nil
		s.mu.Unlock()
		if len(full) > 0 {
			seal(full)
			errs = errors.Join(errs, r.disk.write(full))
		}
		s.mu.Lock()
		s.spare = full[:0]
		s.mu.Unlock()
	}
	return errs
}
