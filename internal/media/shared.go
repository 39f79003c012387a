package media

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"dialtone/internal/network"
)

// sharedPair is one port for the RTP of many streams, and the next one for the RTCP of those whose parties do not send both
// to one port (RFC 5761). All workers serve both.
type sharedPair struct{ rtp, control *sharedPort }

// sharedPort is a socket for each worker, all bound to one address, and the roll that tells whose packets come in there. To
// the streams on it it is their network.PacketWriter.
type sharedPort struct {
	engine  *Engine
	roll    *roll
	lanes   []*lane
	sockets []network.PacketWriter
	foreign atomic.Uint64 // dropped: nobody's
}

// lane is one worker's part of a shared port.
type lane struct {
	port   *sharedPort
	busy   sync.Mutex      // held while a batch is handled
	outbox *network.Outbox // nil before the first batch
	owners [64]*port
}

// openShared opens the pair; the port at addr must be even.
func (e *Engine) openShared(addr netip.AddrPort) (*sharedPair, error) {
	if addr.Port() == 0 || addr.Port()&1 != 0 {
		return nil, fmt.Errorf("the shared port is %d: RTP needs an even one, and RTCP the next", addr.Port())
	}
	sharer, ok := e.poller.(network.Sharer)
	if !ok {
		return nil, fmt.Errorf("share port %d: %w", addr.Port(), errors.ErrUnsupported)
	}
	var pair sharedPair
	for i, at := range []**sharedPort{&pair.rtp, &pair.control} {
		p := &sharedPort{engine: e, roll: newRoll()}
		var err error
		p.sockets, err = sharer.OpenShared(netip.AddrPortFrom(addr.Addr(), addr.Port()+uint16(i)), func(int) network.PacketHandler {
			l := &lane{port: p}
			p.lanes = append(p.lanes, l)
			return l
		})
		if err != nil {
			return nil, fmt.Errorf("open shared port %d: %w", int(addr.Port())+i, err)
		}
		for _, socket := range p.sockets {
			if m, ok := socket.(network.Marker); ok {
				_ = m.Mark(dscp("audio")) // a refusal costs quality, not the calls
			}
		}
		*at = p
	}
	return &pair, nil
}

// HandlePackets implements network.PacketHandler.
func (l *lane) HandlePackets(w network.PacketWriter, ps []network.Packet) {
	l.busy.Lock()
	defer l.busy.Unlock()
	if l.outbox == nil {
		l.outbox = network.NewOutbox(l.port, w)
	}
	now := l.port.engine.now()
	for len(ps) > 0 {
		n := min(len(ps), len(l.owners))
		l.handle(ps[:n], now)
		ps = ps[n:]
	}
}

func (l *lane) handle(ps []network.Packet, now int64) {
	owners := l.owners[:len(ps)]
	l.port.roll.find(owners, ps, now)
	for i := 0; i < len(ps); {
		n := 1
		for i+n < len(ps) && owners[i+n] == owners[i] {
			n++
		}
		if p := owners[i]; p != nil {
			for k := range ps[i : i+n] {
				ps[i+k].Outbox = l.outbox
			}
			p.handle(ps[i:i+n], now)
		} else {
			l.port.foreign.Add(uint64(n))
		}
		i += n
	}
	l.outbox.Flush()
	clear(owners) // a session that has gone must not be kept
}

// rest returns when no lane is with a packet any more that it had found before.
func (p *sharedPort) rest() {
	for _, l := range p.lanes {
		l.busy.Lock()
		l.busy.Unlock() //nolint:staticcheck // to have waited is the purpose
	}
}

// LocalAddr implements network.PacketWriter.
func (p *sharedPort) LocalAddr() netip.AddrPort { return p.sockets[0].LocalAddr() }

// WriteTo implements network.PacketWriter.
func (p *sharedPort) WriteTo(b []byte, to netip.AddrPort) error { return p.socket(to).WriteTo(b, to) }

// WriteBatch implements network.PacketWriter.
func (p *sharedPort) WriteBatch(ps []network.Packet) (int, error) {
	if len(ps) == 0 {
		return 0, nil
	}
	return p.socket(ps[0].Addr).WriteBatch(ps)
}

// socket spreads the receivers over the sockets, so that senders do not wait for each other, and keeps each to one.
func (p *sharedPort) socket(to netip.AddrPort) network.PacketWriter {
	return p.sockets[int(to.Port())%len(p.sockets)]
}

// Close implements network.PacketWriter. A stream does not close what others use: the poller does, in the end.
func (p *sharedPort) Close() error { return nil }

// CloseLater implements network.PacketWriter.
func (p *sharedPort) CloseLater() {}

// serves reports whether a port that is bound to this address takes packets of a stream that would be bound to host.
func (p *sharedPort) serves(host netip.Addr) bool {
	at := p.LocalAddr().Addr()
	return at.Is4() == host.Is4() || at.IsUnspecified() && at.Is6()
}

// share puts the stream onto the shared ports, if there are any and its packets will be told from those of all others there.
// Else it needs ports of its own. checked tells that the party proves by ICE where it is, which leaves no doubt.
func (st *Stream) share(host netip.Addr, checked bool) bool {
	pair := st.engine.shared
	if pair == nil || !pair.rtp.serves(host) {
		return false
	}
	if !st.rtp.join(pair.rtp, !checked) {
		return false
	}
	if !st.control.join(pair.control, !checked) {
		st.rtp.leave()
		return false
	}
	st.session.adopt(st)
	return true
}

// rejoin puts a restored stream onto the shared port that it had.
func (st *Stream) rejoin(port uint16) error {
	pair := st.engine.shared
	if pair == nil || pair.rtp.LocalAddr().Port() != port {
		return fmt.Errorf("port %d is not shared", port)
	}
	st.rtp.join(pair.rtp, false)
	st.control.join(pair.control, false)
	st.session.adopt(st)
	return nil
}

// join enters the port in the roll; with care only if nobody else is there who could be taken for it.
func (p *port) join(on *sharedPort, care bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shared, p.writer = on, on
	c := p.claims()
	if !on.roll.enter(c, care) {
		p.shared, p.writer = nil, nil
		return false
	}
	p.claim = c
	return true
}

// leave takes the port off the roll; what still comes for it is nobody's.
func (p *port) leave() {
	p.mu.Lock()
	on, c := p.shared, p.claim
	p.claim = nil
	p.mu.Unlock()
	if on == nil || c == nil {
		return
	}
	on.roll.leave(c, p.stream.engine.now())
	on.rest()
}

// enroll tells the roll what has changed. The caller holds p.mu.
func (p *port) enroll() {
	if p.claim == nil {
		return // it has ports of its own, or has left
	}
	c := p.claims()
	p.shared.roll.replace(p.claim, c)
	p.claim = c
}

// claims are the marks of the packets that may be the party's. The caller holds p.mu.
func (p *port) claims() *claim {
	l := &p.latch
	c := &claim{port: p, encrypted: p.encrypted.Load(), ssrc: l.ssrc, voiced: l.rtp, at: l.lastAt}
	if p.checks != nil {
		// RFC 8445 §12.2: addresses count once a check has come from them.
		ours, _ := p.checks.Credentials()
		c.ufrags = append(c.ufrags, ours)
		if p.earlier != "" && p.earlier != ours {
			c.ufrags = append(c.ufrags, p.earlier)
		}
		for _, at := range p.proven {
			c.sources = append(c.sources, place{at, true})
		}
		return c
	}
	if l.source.IsValid() {
		c.sources = append(c.sources, place{l.source, true})
	}
	home := l.named.IsValid() && l.named.Addr() == l.signalled
	if l.named.IsValid() && l.named != l.source {
		c.sources = append(c.sources, place{l.named, home})
	}
	if l.policy == Latch || !l.named.IsValid() {
		c.hosts = append(c.hosts, l.signalled)
	}
	if l.named.IsValid() && !home {
		c.hosts = append(c.hosts, l.named.Addr())
	}
	switch heard := l.source.IsValid(); {
	case l.policy == Pin && l.named.IsValid():
	case !heard && !l.named.IsValid():
		c.waits = unsaid
	case !heard && !home:
		c.waits = anywhere
	case !heard || l.fresh:
		c.waits = elsewhere
	}
	return c
}
