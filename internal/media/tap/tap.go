// Package tap lets others hear what is said in a call, and many hear one source.
//
// It owns copies: of both directions of a call to listeners (Tap), of these mixed for one who monitors (Monitor), as
// messages for a program behind a WebSocket (Framer), and of one source to many talkers (Fanout). It does not own the
// door that sends the messages, nor who may listen.
//
// It has no goroutines. What a listener does runs on the goroutine of the party that speaks, so it copies and returns; the
// queues of Monitor and Framer are bounded and drop their oldest sound, which is counted. All types may be used from any
// goroutine, a Source as always by one at a time. RFC 3551 §4.5.11 (L16).
package tap

import (
	"slices"
	"sync"
	"sync/atomic"

	"dialtone/internal/codec"
)

// Source gives 20 ms of PCM a call, io.EOF when there is no more.
type Source interface {
	ReadFrame(frame codec.Frame) error
}

// Sink takes PCM, which is valid until it returns.
type Sink interface {
	WriteFrame(frame codec.Frame)
}

// Direction tells who spoke, from the party whose stream is tapped.
type Direction uint8

// The two directions.
const (
	Said  Direction = 1 // by the party
	Heard Direction = 2 // by it
)

// Listener gets a copy of both directions. It must not block nor keep the frame, and may be called by two goroutines at
// once, one for each direction.
type Listener interface {
	WriteTap(d Direction, frame codec.Frame)
}

// Tap is put into the stream of a party.
type Tap struct {
	mu        sync.Mutex
	listeners atomic.Pointer[[]Listener] // immutable, replaced as a whole under mu
}

// Add lets a listener hear from now on.
func (t *Tap) Add(l Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := append(slices.Clone(t.list()), l)
	t.listeners.Store(&list)
}

// Remove ends that. A frame that is under way may still reach the listener.
func (t *Tap) Remove(l Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(t.list()), func(x Listener) bool { return x == l })
	t.listeners.Store(&list)
}

// list is who listens.
func (t *Tap) list() []Listener {
	if p := t.listeners.Load(); p != nil {
		return *p
	}
	return nil
}

func (t *Tap) copy(d Direction, frame codec.Frame) {
	for _, l := range t.list() {
		l.WriteTap(d, frame)
	}
}

// Sink is a sink that copies what it gets and passes it on to next, unless that is nil.
func (t *Tap) Sink(d Direction, next Sink) Sink { return tappedSink{t, d, next} }

type tappedSink struct {
	tap  *Tap
	d    Direction
	next Sink
}

// WriteFrame implements Sink.
func (s tappedSink) WriteFrame(frame codec.Frame) {
	s.tap.copy(s.d, frame)
	if s.next != nil {
		s.next.WriteFrame(frame)
	}
}

// Source is a source that copies what in gives.
func (t *Tap) Source(d Direction, in Source) Source { return &tappedSource{t, d, in} }

type tappedSource struct {
	tap *Tap
	d   Direction
	in  Source
}

// ReadFrame implements Source.
func (s *tappedSource) ReadFrame(frame codec.Frame) error {
	err := s.in.ReadFrame(frame)
	if err == nil {
		s.tap.copy(s.d, frame)
	}
	return err
}

// Rate is that of the source, in samples a second.
func (s *tappedSource) Rate() int { return rateOf(s.in) }

func rateOf(in Source) int {
	if r, ok := in.(interface{ Rate() int }); ok {
		return r.Rate()
	}
	return codec.Rate
}
