package media

import (
	"sync"

	"dialtone/internal/codec"
)

// Pump moves frames from a source to a sink, one every 20 ms, on the clock of everything that is played. It is how
// something is heard that nobody's stream pulls: a recorder, a program behind a WebSocket.
type Pump struct {
	clock  *clock
	source Source
	sink   Sink
	rate   int
	slot   int64 // the clock's lock guards it

	mu   sync.Mutex
	over bool
	done chan struct{}
	err  error
}

// Pump starts one. Neither source nor sink may block, nor stop it.
func (e *Engine) Pump(source Source, sink Sink) (*Pump, error) {
	p := &Pump{clock: e.clock, source: source, sink: sink, rate: rateOf(source), done: make(chan struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	e.clock.add(p)
	return p, nil
}

// Done is closed when the source has ended or the pump was stopped.
func (p *Pump) Done() <-chan struct{} { return p.done }

// Err says how it ended, once Done is closed: io.EOF when the source had no more, ErrStopped, or the source's own error.
func (p *Pump) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop ends it. Neither source nor sink is called once Stop has returned.
func (p *Pump) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(ErrStopped)
}

// place implements paced.
func (p *Pump) place() *int64 { return &p.slot }

// tick implements paced.
func (p *Pump) tick(_ int64, s *scratch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	frame := codec.Frame(s.frame[:p.rate/framesPerSecond])
	if err := p.source.ReadFrame(frame); err != nil {
		p.end(err)
		return
	}
	p.sink.WriteFrame(frame)
}

// end takes it off the clock. The caller holds p.mu.
func (p *Pump) end(err error) {
	if p.over {
		return
	}
	p.over, p.err = true, err
	p.clock.remove(p)
	close(p.done)
}
