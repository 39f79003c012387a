package media

import (
	"net/netip"
	"sync/atomic"
	"time"

	"dialtone/internal/network"
)

// tie gives the RTP socket of a stream its party as the only peer (network.Connector) while the party keeps to one address: to
// send costs less then, and what strangers send is thrown away by the system before it costs anything, though nobody
// counts it any more. What the latch would learn from another source it cannot learn meanwhile. So a stream is tied only
// where the latch would not listen to another source for the time being, and is let go long before it would
// (relatchAfter), and at once when a description may move the party.
//
// The engine's watcher owns all but changes.
type tie struct {
	source  *netip.AddrPort // at the look before; nil when nobody could be tied to
	changes atomic.Uint32   // counts when a description let the peer go
	seen    uint16          // bond.seen at the look before
	tied    bool            // to source
}

// looseAfter is how long a party may be silent before its port hears everybody again. With the time between two looks it is
// less than relatchAfter.
const looseAfter = time.Second

// bond is what is known of a port when it is looked at.
type bond struct {
	source *netip.AddrPort // where packets come from and go to; nil when nothing comes, or the latch might take another source
	seen   uint16          // counts packets of others and changes by descriptions
}

// decide tells whether the port should have its source as the peer until the next look: when it was the same the last time,
// with nobody else in between. Who fights over a port is left to the latch.
func (t *tie) decide(b bond) bool {
	steady := b.source != nil && b == bond{t.source, t.seen}
	t.source, t.seen = b.source, b.seen
	return steady
}

// fasten ties the RTP port to the party, or lets it go.
func (st *Stream) fasten(now int64) {
	p, t := st.rtp, &st.tie
	c, ok := p.writer.(network.Connector)
	if !ok {
		return
	}
	changes := t.changes.Load()
	b := bond{source: p.target.Load(), seen: uint16(uint32(p.foreign.Load()) + changes)}
	p.mu.Lock()
	// With ICE, other candidates must be heard.
	if b.source != nil && (p.checks != nil || !p.latch.settled(*b.source) || now-p.latch.lastAt >= int64(looseAfter)) {
		b.source = nil
	}
	p.mu.Unlock()
	switch want := t.decide(b); {
	case want == t.tied:
	case want && st.session.engine.reaches(b.source.Addr(), st.session.peer) && c.Connect(*b.source) == nil:
		t.tied = true
		if t.changes.Load() == changes {
			return
		}
		fallthrough // a description that came in between must not find the port deaf
	default:
		_ = c.Disconnect() // fails where the socket is closed
		t.tied = false
	}
}

// loosen lets the RTP port hear everybody, because the party may move.
func (st *Stream) loosen() {
	st.tie.changes.Add(1)
	if c, ok := st.rtp.writer.(network.Connector); ok {
		_ = c.Disconnect() // fails where the socket is closed
	}
}

// settled reports whether this is the latched source and no other one may replace it while its packets keep coming.
func (l *latch) settled(source netip.AddrPort) bool {
	return source == l.source && !l.fresh && (source == l.named || source.Addr().WithZone("") != l.named.Addr())
}

// reaches reports whether a party sends to the very address from which the system itself would send to it. A socket with a
// peer hears nothing else, and on a machine with several addresses, or one that is advertised, the party may have been
// told another one.
func (e *Engine) reaches(source, peer netip.Addr) bool {
	near, err := e.network.LocalAddrFor(source)
	if err != nil {
		return false
	}
	if e.advertise != nil {
		if public := e.advertise(peer); public.IsValid() && public.Unmap() != near {
			return false
		}
	}
	if peer.Is4() != source.Is4() {
		return true // the party was told the address for its media
	}
	told, err := e.network.LocalAddrFor(peer)
	return err == nil && told == near
}
