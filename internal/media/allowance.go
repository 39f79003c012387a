package media

import (
	"net/netip"
	"sync/atomic"
	"time"

	"dialtone/internal/network"
)

// What an address may get that only a description has named. RFC 3264 lets a party name any, and RFC 7362 §5 says what that is
// good for: sending media to somebody who never asked for it.
const (
	// UnprovenTime is how long a host gets packets that has sent none and is not the one that signals. It is as long as consent
	// lasts in RFC 7675 §5.1, and time for early media before a phone behind a NAT has spoken.
	UnprovenTime = 30 * time.Second
	// unprovenAgain is how long after its beginning one such time may be followed by another one on the same port.
	unprovenAgain = 5 * time.Minute
	// UnprovenRate is how many packets a second go to such a host, and to ports of our own: enough for speech, for a picture
	// of a modest size, and not for a flood, or for packets that two colluding parties let run in circles through us.
	UnprovenRate = 500
)

// allowance bounds what goes to an address. Whoever sends uses it.
type allowance struct {
	until int64        // engine time after which nothing goes there, unless the host has been heard; 0: no such time
	next  atomic.Int64 // engine time at which the next packet is due at the rate; some may go earlier
}

// cut leaves of some packets those that may go to a host now.
func (a *allowance) cut(ps []network.Packet, heard *netip.Addr, to netip.Addr, now int64) []network.Packet {
	if a.until != 0 && now > a.until && (heard == nil || *heard != to) {
		return nil
	}
	const every, burst = int64(time.Second / UnprovenRate), int64(time.Second / 5)
	for {
		old := a.next.Load()
		due := max(old, now)
		n := min(int64(len(ps)), max(0, (now+burst-due)/every))
		if a.next.CompareAndSwap(old, due+n*every) {
			return ps[:n]
		}
	}
}

// allow is what may be sent to an address that packets for the party are to go to; nil where nothing bounds it. The caller holds p.mu.
func (p *port) allow(to netip.AddrPort) *allowance {
	host := to.Addr().WithZone("")
	st := p.stream
	switch {
	case p.checks != nil, !to.IsValid(), p.latch.policy == Pin:
		return nil // it consents, or is somebody whom the administrator has named
	case st.session.engine.covers(to.Port()) && st.session.engine.owns(host):
		return p.renewed(to, 0) // a call that comes back to us, or packets in circles
	case host == p.latch.signalled, to == p.latch.source:
		return nil
	}
	now := st.session.engine.now()
	if p.unproven == 0 || now-p.unproven > int64(unprovenAgain) {
		p.unproven = now
	}
	return p.renewed(to, p.unproven+int64(UnprovenTime))
}

// renewed is the allowance in force where nothing has changed, so that a description that is repeated gives no new burst.
func (p *port) renewed(to netip.AddrPort, until int64) *allowance {
	old, at := p.allowance.Load(), p.target.Load()
	if old != nil && at != nil && *at == to && old.until == until {
		return old
	}
	return &allowance{until: until}
}

// covers reports whether a port is one of those of media.
func (e *Engine) covers(port uint16) bool {
	return e.ports.covers(port) || e.shared != nil && port&^1 == e.shared.rtp.LocalAddr().Port()
}

// owns reports whether an address is one of this machine.
func (e *Engine) owns(a netip.Addr) bool {
	near, err := e.network.LocalAddrFor(a)
	return err == nil && near.WithZone("") == a
}
