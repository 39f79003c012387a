package media

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"

	"dialtone/internal/media/dtls"
	"dialtone/internal/media/srtp"
	"dialtone/internal/network"
	"dialtone/internal/sdp"
)

// maxContenders is how many addresses of the party's host may be in a handshake with a port at once.
const maxContenders = 4

// association is the DTLS association of a port (RFC 5763). Its port's lock guards it.
type association struct {
	client       bool // we begin
	fingerprints []sdp.Fingerprint
	suites       []*srtp.Suite
	shaken       bool  // there are keys, perhaps of another process
	since        int64 // engine time of the agreement
	err          error // why the last handshake that ended gave no keys
	contenders   []*contender
	heard        netip.AddrPort // where the last datagram of a checked address came from
}

// contender is a handshake. Where no check has proved which address is the party's and it is the party that begins, each
// address of its host that does has one of its own: the fingerprint says which is the party's, and whoever sits behind the same NAT
// neither takes its place nor disturbs it. Else there is but one, with no address.
type contender struct {
	from      netip.AddrPort
	handshake *dtls.Handshake
}

// role is ours in the association that was agreed; NoSetup when none was.
func (p *port) role() sdp.Setup {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.association == nil:
		return sdp.NoSetup
	case p.association.client:
		return sdp.Active
	}
	return sdp.Passive
}

// associate agrees on a handshake. The one that is there goes on, unless the party shows another certificate or the roles
// have changed (RFC 8842 §3.1).
func (p *port) associate(client bool, fingerprints []sdp.Fingerprint, suites []*srtp.Suite) {
	p.mu.Lock()
	a := p.association
	if a != nil && a.client == client && slices.EqualFunc(a.fingerprints, fingerprints, sdp.Fingerprint.Equal) {
		p.mu.Unlock()
		p.begin()
		return
	}
	var old []*contender
	if a != nil {
		old = a.contenders
	}
	now := p.stream.session.engine.now()
	p.association = &association{client: client, fingerprints: fingerprints, suites: suites, since: now}
	p.cipher.Store(nil)
	early := p.early
	p.early = nil
	p.mu.Unlock()
	closeAll(old)
	p.begin()
	if early != nil && early.Data != nil && !client {
		p.shake([]network.Packet{*early}, now)
	}
}

// await says that a handshake is offered: the party may begin it before its answer is here.
func (p *port) await() {
	p.mu.Lock()
	if p.association == nil && p.early == nil {
		p.early = new(network.Packet)
	}
	p.mu.Unlock()
}

// maxHello bounds what is kept of a party that has not answered yet.
const maxHello = 2048

// closeAll ends handshakes and waits for their goroutines; p.mu must not be held.
func closeAll(list []*contender) {
	for _, c := range list {
		c.handshake.Close()
	}
}

// begin starts the handshake where we are the client and know where the party is.
func (p *port) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.association
	if to := p.target.Load(); to != nil && a != nil && a.client && !a.shaken && a.err == nil && len(a.contenders) == 0 {
		p.start(netip.AddrPort{}, to.Addr())
	}
}

// start makes a handshake with an address, or with wherever the party is. The caller holds p.mu.
func (p *port) start(from netip.AddrPort, host netip.Addr) *contender {
	a := p.association
	e := p.stream.session.engine
	c := &contender{from: from}
	var err error
	c.handshake, err = dtls.Start(dtls.Config{
		Identity: e.identity, Client: a.client, Fingerprints: a.fingerprints, Suites: a.suites,
		Limiter: e.handshakes, Source: host, Proven: p.checks != nil, Send: func(b []byte) { p.say(from, b) },
	}, func(keys dtls.Keys, err error) { p.shaken(c, keys, err) })
	switch {
	case err == nil:
		a.contenders = append(a.contenders, c)
		return c
	case !errors.Is(err, dtls.ErrBusy): // with too many at once the party repeats its flight, or we do at the next look
		p.stream.session.fail(err)
	}
	return nil
}

// say sends a datagram of a handshake.
func (p *port) say(to netip.AddrPort, b []byte) {
	if !to.IsValid() {
		if target := p.target.Load(); target != nil {
			to = *target
		} else {
			// Interop: Chromium begins before it has nominated an address; the one that it begins from has been checked.
			p.mu.Lock()
			if a := p.association; a != nil {
				to = a.heard
			}
			p.mu.Unlock()
		}
		if !to.IsValid() {
			return
		}
	}
	_ = p.writer.WriteTo(b, to) // the handshake repeats itself
}

// shake takes datagrams of handshakes. A stranger's never reach one: with ICE the source has been checked, without it must be
// a host that the party's signalling has named, and no such datagram teaches the latch anything.
func (p *port) shake(run []network.Packet, now int64) {
	for i := range run {
		p.mu.Lock()
		if p.association == nil {
			if p.early != nil && len(run[i].Data) <= maxHello && dtls.IsClientHello(run[i].Data) {
				// RFC 5763 §5: it may arrive before the answer does; repeated, it would come a second later (RFC 6347 §4.2.4.1).
				// Whether it is the party's is judged when the answer tells who that is.
				p.early.Data, p.early.Addr = bytes.Clone(run[i].Data), run[i].Addr
				p.mu.Unlock()
				continue
			}
			p.mu.Unlock()
			p.malformed.Add(1)
			continue
		}
		c := p.contender(&run[i])
		p.mu.Unlock()
		if c != nil {
			p.last.Store(now)
			c.handshake.Receive(run[i].Data)
		}
	}
}

// contender is the handshake that a datagram belongs to, begun with it when it is a ClientHello; nil when there is none. The caller holds
// p.mu.
func (p *port) contender(packet *network.Packet) *contender {
	a, from := p.association, packet.Addr
	var own netip.AddrPort // that the handshake is with
	switch {
	case p.checks != nil:
		// RFC 5763 §6.7.1
		if !p.checks.Verified(from) {
			p.foreign.Add(1)
			return nil
		}
		a.heard = from
	case a.client:
		// RFC 5764 §5.1.2, RFC 4961: what we begin is answered from where we send to.
		if to := p.target.Load(); to == nil || from != *to {
			p.foreign.Add(1)
			return nil
		}
	default:
		if !p.latch.allows(from.Addr()) {
			p.foreign.Add(1)
			return nil
		}
		own = from
	}
	for _, c := range a.contenders {
		if c.from == own {
			return c
		}
	}
	if a.client || a.shaken || !dtls.IsClientHello(packet.Data) {
		return nil
	}
	// The address that the party has named finds a place also where others of its host have taken all.
	if n := len(a.contenders); n > maxContenders || n == maxContenders && own != p.latch.named {
		p.foreign.Add(1)
		return nil
	}
	return p.start(own, from.Addr())
}

// shaken takes the outcome of a handshake, on its goroutine.
func (p *port) shaken(c *contender, keys dtls.Keys, err error) {
	var keyed *cipher
	if err == nil {
		keyed, err = newCipher(secret{suite: keys.Suite, key: keys.Local}, secret{suite: keys.Suite, key: keys.Remote}, nil)
	}
	p.mu.Lock()
	a, i := p.association, -1
	if a != nil {
		i = slices.Index(a.contenders, c)
	}
	if i < 0 || errors.Is(err, dtls.ErrClosed) {
		p.mu.Unlock()
		return // of an association that is gone
	}
	if err != nil {
		p.stream.session.engine.unshaken.Add(1)
		a.contenders = slices.Delete(a.contenders, i, i+1)
		a.err = err
		// Whoever can send from the party's host, or write its address on packets, can spoil a handshake, and the party repeats its own.
		// The call ends at once where it is the party itself that cannot go on; else when it has had its time (overdue).
		final := p.checks != nil || a.client || c.from == p.latch.named && errors.Is(err, dtls.ErrFingerprint)
		p.mu.Unlock()
		if final {
			p.stream.session.fail(err)
		}
		return
	}
	others := slices.Delete(slices.Clone(a.contenders), i, i+1)
	a.contenders, a.shaken = []*contender{c}, true
	if c.from.IsValid() {
		p.latch.prove(c.from, p.stream.session.engine.now())
		p.learnt(c.from)
	}
	p.cipher.Store(keyed)
	p.stream.session.engine.shaken.Add(1)
	p.mu.Unlock()
	closeAll(others) // they find themselves not in the list, and wait for nobody
}

// overdue looks after an association that has no keys yet: it begins where there was no room for a handshake, and gives up when
// one has failed and no other has come in time.
func (p *port) overdue(now int64) {
	p.begin()
	var err error
	p.mu.Lock()
	if a := p.association; a != nil && !a.shaken && len(a.contenders) == 0 && now-a.since >= int64(dtls.DefaultTimeout) {
		err = a.err
	}
	p.mu.Unlock()
	if err != nil {
		p.stream.session.fail(err)
	}
}

// dissociate ends the association and waits for its goroutines.
func (p *port) dissociate() {
	p.mu.Lock()
	a := p.association
	p.association, p.early = nil, nil
	p.mu.Unlock()
	if a != nil {
		closeAll(a.contenders)
	}
}
