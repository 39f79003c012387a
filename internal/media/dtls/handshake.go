package dtls

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"

	"dialtone/internal/media/srtp"
	"dialtone/internal/sdp"
)

const (
	// recordOverhead is what the library adds to a fragment: headers of record and message, nonce and tag of AES-GCM.
	recordOverhead = 13 + 12 + 8 + 16
	leastFragment  = 128
	// firstRetransmission doubles with each loss. RFC 6347 §4.2.4.1 has one second, and less where delay matters: a caller
	// waits for this.
	firstRetransmission = 250 * time.Millisecond
	// exporter is the label of RFC 5764 §4.2.
	exporter = "EXTRACTOR-dtls_srtp"
)

// Handshake is a DTLS association: first the handshake, then an end that answers retransmissions and close_notify.
type Handshake struct {
	transport *transport
	conn      *pion.Conn
	cancel    context.CancelFunc
	proven    bool // Config.Proven
	closing   sync.Mutex
	ended     chan struct{}
}

// Start begins a handshake, and waits for the peer's first datagram when this side is the server. done is called once,
// from another goroutine, with the keys or with the reason why there are none; it must not call Close. A Handshake must
// be closed whatever came out.
//
// RFC 8842 §3.1: what asks for a new association (another fingerprint, tls-id or role) is a new Handshake, after the
// close of the old one.
func Start(c Config, done func(Keys, error)) (*Handshake, error) {
	set := strongest(c.Fingerprints)
	suites := c.suites()
	switch {
	case c.Identity == nil || c.Send == nil || done == nil:
		return nil, errors.New("start DTLS: identity, Send and done are needed")
	case set == nil:
		return nil, fmt.Errorf("start DTLS: %w: no fingerprint of sha-256 or better", ErrFingerprint)
	case len(suites) == 0:
		return nil, errors.New("start DTLS: no suite that DTLS-SRTP knows")
	}
	if !c.Limiter.enter(c.Source) {
		return nil, ErrBusy
	}
	t := newTransport(c.Send)
	conn, err := c.connect(t, set, suites)
	if err != nil {
		c.Limiter.leave(c.Source)
		return nil, fmt.Errorf("start DTLS: %w", err)
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &Handshake{transport: t, conn: conn, cancel: cancel, proven: c.Proven, ended: make(chan struct{})}
	go h.run(ctx, timeout, c, set, done)
	return h, nil
}

// suites are those of the configuration that DTLS-SRTP has a profile for.
func (c *Config) suites() []*srtp.Suite {
	all := c.Suites
	if all == nil {
		all = srtp.Suites()
	}
	var known []*srtp.Suite
	for _, s := range all {
		if s.DTLS != 0 {
			known = append(known, s)
		}
	}
	return known
}

// connect makes the library's half of the association.
func (c *Config) connect(t *transport, set []sdp.Fingerprint, suites []*srtp.Suite) (*pion.Conn, error) {
	profiles := make([]pion.SRTPProtectionProfile, len(suites))
	for i, s := range suites {
		profiles[i] = pion.SRTPProtectionProfile(s.DTLS)
	}
	mtu := c.MTU
	if mtu == 0 {
		mtu = DefaultMTU
	}
	common := []pion.Option{
		pion.WithCertificates(c.Identity.certificate),
		pion.WithSRTPProtectionProfiles(profiles...),
		// RFC 8827 §6.5: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 MUST be there. Nothing without forward secrecy or AEAD.
		pion.WithCipherSuites(pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, pion.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			pion.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, pion.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
		// RFC 5763 §5: certificates are self-signed; the fingerprint that came by signalling takes the place of a chain.
		pion.WithInsecureSkipVerify(true),
		pion.WithVerifyPeerCertificate(func(certificates [][]byte, _ [][]*x509.Certificate) error {
			if len(certificates) == 0 || !matches(set, certificates[0]) {
				return ErrFingerprint
			}
			return nil
		}),
		pion.WithMTU(max(mtu-recordOverhead, leastFragment)),
		pion.WithFlightInterval(firstRetransmission),
		pion.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}),
	}
	if c.Client {
		options := make([]pion.ClientOption, len(common))
		for i, o := range common {
			options[i] = o
		}
		return pion.ClientWithOptions(t, address{}, options...)
	}
	options := []pion.ServerOption{
		// RFC 5763 §5: "the server MUST request a certificate".
		pion.WithClientAuth(pion.RequireAnyClientCert),
		pion.WithInsecureSkipVerifyHello(c.Proven),
	}
	for _, o := range common {
		options = append(options, o)
	}
	return pion.ServerWithOptions(t, address{}, options...)
}

// run is the life of an association.
func (h *Handshake) run(ctx context.Context, timeout time.Duration, c Config, set []sdp.Fingerprint, done func(Keys, error)) {
	defer close(h.ended)
	defer func() {
		h.closeConn()
		_ = h.transport.Close()
		h.cancel()
	}()
	timed, stop := context.WithTimeout(ctx, timeout)
	err := h.conn.HandshakeContext(timed)
	c.Limiter.leave(c.Source)
	var keys Keys
	switch {
	case err == nil:
		keys, err = h.export(c.Client, set)
	case errors.Is(err, ErrFingerprint):
	case ctx.Err() != nil:
		err = ErrClosed
	case timed.Err() != nil:
		err = ErrTimeout
	default:
		err = fmt.Errorf("dtls: handshake: %w", err)
	}
	stop()
	done(keys, err)
	if err == nil {
		h.drain()
	}
}

// drain throws away application data, of which there is none in DTLS-SRTP, until the association is closed.
func (h *Handshake) drain() {
	b := make([]byte, maxDatagram)
	for {
		if _, err := h.conn.Read(b); errors.Is(err, io.EOF) {
			return
		}
	}
}

// export takes the keys out of a complete handshake.
//
// RFC 5764 §4.2: client key, server key, client salt, server salt; the client sends with the client's.
func (h *Handshake) export(client bool, set []sdp.Fingerprint) (Keys, error) {
	profile, ok := h.conn.SelectedSRTPProtectionProfile()
	suite := srtp.Profile(uint16(profile))
	if !ok || suite == nil {
		return Keys{}, errors.New("dtls: the peer has agreed to no SRTP profile")
	}
	state, ok := h.conn.ConnectionState()
	if !ok {
		return Keys{}, errors.New("dtls: no state to take keys from")
	}
	// Once more, at the gate: whatever path the handshake took, there are no keys without the right certificate.
	if len(state.PeerCertificates) == 0 || !matches(set, state.PeerCertificates[0]) {
		return Keys{}, ErrFingerprint
	}
	k, s := suite.KeyLen, suite.SaltLen
	material, err := state.ExportKeyingMaterial(exporter, nil, 2*(k+s))
	if err != nil {
		return Keys{}, fmt.Errorf("dtls: export keys: %w", err)
	}
	half := func(i int) []byte {
		key := append(make([]byte, 0, k+s), material[i*k:(i+1)*k]...)
		return append(key, material[2*k+i*s:2*k+(i+1)*s]...)
	}
	keys := Keys{suite, half(0), half(1)}
	if !client {
		keys.Local, keys.Remote = keys.Remote, keys.Local
	}
	return keys, nil
}

// Receive takes a datagram from the peer; it copies it, never blocks, and drops it when 64 others wait or when it is no
// DTLS.
func (h *Handshake) Receive(datagram []byte) {
	if isSound(datagram, h.proven) {
		h.transport.receive(datagram)
	}
}

// Ended is closed when the association is over: after a failed handshake, the peer's close_notify, or Close.
func (h *Handshake) Ended() <-chan struct{} { return h.ended }

// Close ends the association, with a close_notify if the handshake was complete, and waits for its goroutine. It may be
// called more than once.
func (h *Handshake) Close() {
	h.cancel()
	h.closeConn()
	<-h.ended
}

// closeConn closes the library's half. Of two that do so at once it keeps the second waiting until the first has sent its
// close_notify, so that the transport is there for it.
func (h *Handshake) closeConn() {
	h.closing.Lock()
	defer h.closing.Unlock()
	_ = h.conn.Close()
}
