package media

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"dialtone/internal/media/dtls"
	"dialtone/internal/network"
)

// Config is what an Engine needs.
type Config struct {
	Network network.Network
	Workers int       // polling workers; 0 means one per processor that Go may use
	Ports   PortRange // where RTP and RTCP ports come from
	// Shared is the address of a port that all streams share whose packets can be told apart there, and even; RTCP of parties
	// that send it elsewhere has the port above. The zero value gives every stream ports of its own.
	Shared netip.AddrPort
	// Advertise is the address told to a party whose signalling or media is at peer, where that is not the local
	// address from which peer is reached: the public address in front of a NAT. It returns the zero Addr to say
	// "the local one". May be nil.
	Advertise func(peer netip.Addr) netip.Addr
	// Identity is the certificate of DTLS-SRTP handshakes; nil makes one.
	Identity *dtls.Identity
}

// Engine runs the media plane: workers, ports, clock and totals. Its methods are safe for concurrent use.
type Engine struct {
	network    network.Network
	poller     network.Poller
	ports      *allocator
	shared     *sharedPair // nil: there is none
	advertise  func(peer netip.Addr) netip.Addr
	epoch      time.Time
	clock      *clock
	identity   *dtls.Identity
	handshakes *dtls.Limiter
	occupied   chan struct{} // holds one: a session was opened where there was none
	quit       chan struct{}
	attended   chan struct{} // closed when the watcher has ended

	shaken, unshaken atomic.Uint64 // DTLS handshakes

	mu       sync.Mutex
	sessions map[*Session]struct{}
	past     Counters // of sessions that are closed
	closed   bool
}

// ErrClosed is returned by an engine or a session that was closed.
var ErrClosed = errors.New("media is closed")

// MaxHandshakes is how many DTLS handshakes may be under way at once, a quarter of them with one host; each costs a millisecond
// of a processor.
const MaxHandshakes = 256

// past is how far the engine's clock begins before the engine: what a restored session has last heard of its party lies
// back that far at most.
const past = 24 * time.Hour

// New starts an engine: its workers and its clock run until Close.
func New(c Config) (*Engine, error) {
	ports, err := newAllocator(c.Ports, rand.IntN)
	if err != nil {
		return nil, err
	}
	identity := c.Identity
	if identity == nil {
		if identity, err = dtls.NewIdentity(); err != nil {
			return nil, err
		}
	}
	workers := c.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	poller, err := c.Network.NewPoller(workers)
	if err != nil {
		return nil, fmt.Errorf("start media workers: %w", err)
	}
	e := &Engine{
		network:    c.Network,
		poller:     poller,
		ports:      ports,
		advertise:  c.Advertise,
		epoch:      time.Now().Add(-past),
		sessions:   make(map[*Session]struct{}),
		identity:   identity,
		handshakes: dtls.NewLimiter(MaxHandshakes),
		occupied:   make(chan struct{}, 1),
		quit:       make(chan struct{}),
		attended:   make(chan struct{}),
	}
	if c.Shared.IsValid() {
		if e.shared, err = e.openShared(c.Shared); err != nil {
			poller.Close()
			return nil, err
		}
	}
	e.clock = newClock(e.epoch)
	go e.clock.run()
	go e.attend()
	return e, nil
}

// Close ends all sessions, the clock and the workers.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	open := make([]*Session, 0, len(e.sessions))
	for s := range e.sessions {
		open = append(open, s)
	}
	e.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
	close(e.quit)
	<-e.attended
	e.clock.stop()
	if err := e.poller.Close(); err != nil {
		return fmt.Errorf("close media workers: %w", err)
	}
	return nil
}

// now is the time on the engine's monotonic clock, in nanoseconds since its epoch.
func (e *Engine) now() int64 { return int64(time.Since(e.epoch)) }

// wall is a moment of the engine's clock as time of day.
func (e *Engine) wall(at int64) time.Time { return e.epoch.Add(time.Duration(at)) }

// admit registers a session, unless the engine is closed.
func (e *Engine) admit(s *Session) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.sessions[s] = struct{}{}
	if len(e.sessions) == 1 {
		select {
		case e.occupied <- struct{}{}:
		default:
		}
	}
	return nil
}

// forget takes a closed session out and keeps its totals.
func (e *Engine) forget(s *Session) {
	counters := s.counters()
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.sessions[s]; ok {
		delete(e.sessions, s)
		e.past.add(counters)
	}
}

// Counters are totals since the engine was started, for metrics.
type Counters struct {
	PacketsIn, PacketsOut uint64 // RTP, and what passes as bytes
	BytesIn, BytesOut     uint64 // of those, UDP payload
	ControlIn, ControlOut uint64 // RTCP packets
	Lost                  uint64 // RTP packets that did not arrive here
	Foreign               uint64 // dropped: from a source that is not the party's
	Malformed             uint64 // dropped: no packet of the protocol that was agreed
	Unauthentic           uint64 // dropped: encrypted with another key, altered or replayed
	Unsent                uint64 // dropped: no address to send to yet, or the system refused
	ConsentLost           uint64 // times that a party stopped checking where its media goes (RFC 7675)
	Handshakes            uint64 // of DTLS-SRTP, that have given keys
	HandshakesFailed      uint64

	Sessions              int // open now; so are the next four
	Conversions           int // streams whose voice is converted
	SDES, DTLS            int // encrypted streams, by how their keys came about
	ICE                   int // streams whose party proves where it is
	PortsUsed, PortsTotal int // pairs
}

func (c *Counters) add(d Counters) {
	c.PacketsIn += d.PacketsIn
	c.PacketsOut += d.PacketsOut
	c.BytesIn += d.BytesIn
	c.BytesOut += d.BytesOut
	c.ControlIn += d.ControlIn
	c.ControlOut += d.ControlOut
	c.Lost += d.Lost
	c.Foreign += d.Foreign
	c.Malformed += d.Malformed
	c.Unauthentic += d.Unauthentic
	c.Unsent += d.Unsent
	c.ConsentLost += d.ConsentLost
}

// Counters sums up all sessions, past and present.
func (e *Engine) Counters() Counters {
	e.mu.Lock()
	total := e.past
	open := make([]*Session, 0, len(e.sessions))
	for s := range e.sessions {
		open = append(open, s)
	}
	e.mu.Unlock()
	for _, s := range open {
		total.add(s.counters())
		s.addLive(&total)
	}
	total.Handshakes, total.HandshakesFailed = e.shaken.Load(), e.unshaken.Load()
	if e.shared != nil {
		total.Foreign += e.shared.rtp.foreign.Load() + e.shared.control.foreign.Load()
	}
	total.Sessions = len(open)
	total.PortsUsed, total.PortsTotal = e.ports.counts()
	return total
}

// bindAttempts is how many port pairs are tried when other programs sit in our range.
const bindAttempts = 16

// bind opens the socket pair of a stream on the wildcard address of the family. port 0 takes any pair of the range.
func (e *Engine) bind(host netip.Addr, port uint16, rtp, control network.PacketHandler) (a, b network.PacketWriter, err error) {
	if port != 0 {
		if err := e.ports.claim(port); err != nil {
			return nil, nil, err
		}
		if a, b, err = e.open(host, port, rtp, control); err != nil {
			e.ports.give(port)
		}
		return a, b, err
	}
	for range bindAttempts {
		if port, err = e.ports.take(); err != nil {
			return nil, nil, err
		}
		if a, b, err = e.open(host, port, rtp, control); err == nil {
			return a, b, nil
		}
		e.ports.give(port)
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			break
		}
	}
	return nil, nil, err
}

func (e *Engine) open(host netip.Addr, port uint16, rtp, control network.PacketHandler) (a, b network.PacketWriter, err error) {
	a, err = e.poller.Open(netip.AddrPortFrom(host, port), rtp)
	if err != nil {
		return nil, nil, fmt.Errorf("open RTP port %d: %w", port, err)
	}
	b, err = e.poller.Open(netip.AddrPortFrom(host, port+1), control)
	if err != nil {
		_ = a.Close()
		return nil, nil, fmt.Errorf("open RTCP port %d: %w", port+1, err)
	}
	return a, b, nil
}
