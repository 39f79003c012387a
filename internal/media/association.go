package media

import (
	"errors"
	"net/netip"
	"slices"

	"dialtone/internal/media/dtls"
	"dialtone/internal/media/srtp"
	"dialtone/internal/network"
	"dialtone/internal/sdp"
)

// association is the DTLS association of a port (RFC 5763). Its port's lock guards it.
type association struct {
	agreed       bool
	client       bool // we begin
	fingerprints []sdp.Fingerprint
	suites       []*srtp.Suite
	shaken       bool            // another process has done it
	running      *dtls.Handshake // nil before it has begun
	heard        netip.AddrPort  // where the party's last datagram came from
}

// role is ours in the association that was agreed; NoSetup when none was.
func (p *port) role() sdp.Setup {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.association.agreed:
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
	a := &p.association
	if a.agreed && a.client == client && slices.EqualFunc(a.fingerprints, fingerprints, sdp.Fingerprint.Equal) {
		p.mu.Unlock()
		p.begin()
		return
	}
	old := a.running
	*a = association{agreed: true, client: client, fingerprints: fingerprints, suites: suites}
	p.cipher.Store(nil)
	p.mu.Unlock()
	if old != nil {
		old.Close()
	}
	p.begin()
}

// begin starts the handshake where we are the client and know where the party is.
func (p *port) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &p.association
	if !a.agreed || !a.client || a.shaken || a.running != nil || p.target.Load() == nil {
		return
	}
	p.start()
}

// start makes the association. The caller holds p.mu.
func (p *port) start() {
	a := &p.association
	s := p.stream.session
	running, err := dtls.Start(dtls.Config{
		Identity: s.engine.identity, Client: a.client, Fingerprints: a.fingerprints, Suites: a.suites,
		Limiter: s.engine.handshakes, Proven: p.checks != nil, Send: p.say,
	}, p.shaken)
	if err != nil {
		s.fail(err) // too many at once: the party repeats its flight, and we try again then
		return
	}
	a.running = running
}

// say sends a datagram of the association.
func (p *port) say(b []byte) {
	to := p.target.Load()
	if to == nil {
		// Interop: Chromium begins before it has nominated an address; the one that it begins from has been checked.
		p.mu.Lock()
		heard := p.association.heard
		p.mu.Unlock()
		if to = &heard; !heard.IsValid() {
			return
		}
	}
	_ = p.writer.WriteTo(b, *to) // the handshake repeats itself
}

// shake takes datagrams of the association. A stranger's never reach it: with ICE the source has been checked, without it
// must be a host that the party's signalling has named.
func (p *port) shake(run []network.Packet, now int64) {
	for i := range run {
		p.mu.Lock()
		a := &p.association
		if !a.agreed {
			p.mu.Unlock()
			p.malformed.Add(1)
			continue
		}
		if !p.judge(sighting{from: run[i].Addr, at: now}) {
			p.mu.Unlock()
			continue
		}
		a.heard = run[i].Addr
		if a.running == nil && !a.client && !a.shaken && dtls.IsClientHello(run[i].Data) {
			p.start()
		}
		running := a.running
		p.mu.Unlock()
		p.last.Store(now)
		if running != nil {
			running.Receive(run[i].Data)
		}
	}
}

// shaken takes the keys, on the goroutine of the handshake.
func (p *port) shaken(keys dtls.Keys, err error) {
	if err == nil {
		var c *cipher
		if c, err = newCipher(secret{suite: keys.Suite, key: keys.Local}, secret{suite: keys.Suite, key: keys.Remote}, nil); err == nil {
			p.cipher.Store(c)
			p.stream.session.engine.shaken.Add(1)
			return
		}
	}
	if !errors.Is(err, dtls.ErrClosed) {
		p.stream.session.engine.unshaken.Add(1)
		p.stream.session.fail(err)
	}
}

// dissociate ends the association and waits for its goroutines.
func (p *port) dissociate() {
	p.mu.Lock()
	running := p.association.running
	p.association = association{}
	p.mu.Unlock()
	if running != nil {
		running.Close()
	}
}
