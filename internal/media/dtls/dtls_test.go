package dtls

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"go.uber.org/goleak"

	"dialtone/internal/media/srtp"
	"dialtone/internal/sdp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func identity(t testing.TB) *Identity {
	t.Helper()
	i, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// party is one side of a handshake.
type party struct {
	*Handshake
	keys Keys
	err  error
	done chan struct{}
	sent atomic.Int32
}

// begin starts one side.
func begin(t testing.TB, c Config) *party {
	t.Helper()
	p := &party{done: make(chan struct{})}
	send := c.Send
	c.Send = func(b []byte) {
		p.sent.Add(1)
		send(b)
	}
	h, err := Start(c, func(k Keys, err error) {
		p.keys, p.err = k, err
		close(p.done)
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Handshake = h
	return p
}

// link carries datagrams to a party that may come later; pass says which.
type link struct {
	to   atomic.Pointer[Handshake]
	pass func(b []byte) bool
	from atomic.Pointer[netip.AddrPort] // whence the last one came, if from a socket
}

func (l *link) send(b []byte) {
	if h := l.to.Load(); h != nil && (l.pass == nil || l.pass(b)) {
		h.Receive(b)
	}
}

// meet runs a handshake between two sides, the client and the server, as configured; what is missing is filled in.
func meet(t testing.TB, client, server Config, toServer, toClient func(b []byte) bool) (c, s *party) {
	t.Helper()
	a, b := &link{pass: toServer}, &link{pass: toClient}
	for _, side := range []*Config{&client, &server} {
		if side.Identity == nil {
			side.Identity = identity(t)
		}
	}
	if client.Fingerprints == nil {
		client.Fingerprints = []sdp.Fingerprint{server.Identity.Fingerprint()}
	}
	if server.Fingerprints == nil {
		server.Fingerprints = []sdp.Fingerprint{client.Identity.Fingerprint()}
	}
	client.Client, client.Send, server.Send = true, a.send, b.send
	s = begin(t, server)
	a.to.Store(s.Handshake)
	c = begin(t, client)
	b.to.Store(c.Handshake)
	<-c.done
	<-s.done
	t.Cleanup(func() { // for tests that do not close in their bubble
		c.Close()
		s.Close()
	})
	return c, s
}

// agree checks that both sides have each other's keys, with a packet each way.
func agree(t *testing.T, c, s *party) {
	t.Helper()
	if c.err != nil || s.err != nil {
		t.Fatalf("client: %v, server: %v", c.err, s.err)
	}
	if c.keys.Suite != s.keys.Suite || !bytes.Equal(c.keys.Local, s.keys.Remote) || !bytes.Equal(c.keys.Remote, s.keys.Local) || bytes.Equal(c.keys.Local, c.keys.Remote) {
		t.Fatal("keys do not fit")
	}
	packet := []byte{0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 'h', 'i'}
	for _, way := range [][2]*party{{c, s}, {s, c}} {
		sender, err := srtp.NewSender(way[0].keys.Suite, way[0].keys.Local, srtp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		receiver, err := srtp.NewReceiver(way[1].keys.Suite, way[1].keys.Remote, srtp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := sender.Seal(nil, packet)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := receiver.Open(nil, sealed); err != nil || !bytes.Equal(opened, packet) {
			t.Fatalf("%v %x", err, opened)
		}
	}
}

func TestAllSuites(t *testing.T) {
	for _, s := range srtp.Suites() {
		if s.DTLS == 0 {
			continue
		}
		for _, proven := range []bool{false, true} {
			client, server := meet(t, Config{Suites: []*srtp.Suite{s}}, Config{Proven: proven}, nil, nil)
			agree(t, client, server)
			if client.keys.Suite != s {
				t.Errorf("%v, not %v", client.keys.Suite, s)
			}
			client, server = meet(t, Config{}, Config{Suites: []*srtp.Suite{s}, Proven: proven}, nil, nil)
			agree(t, client, server)
			if client.keys.Suite != s {
				t.Errorf("%v, not %v", client.keys.Suite, s)
			}
		}
	}
}

func TestOrderOfSuites(t *testing.T) {
	gcm, cm := srtp.Named("AEAD_AES_256_GCM"), srtp.Named("AES_CM_128_HMAC_SHA1_32")
	_, s := meet(t, Config{Suites: []*srtp.Suite{gcm, cm}}, Config{Suites: []*srtp.Suite{cm, gcm}}, nil, nil)
	if s.err != nil || s.keys.Suite != cm {
		t.Errorf("%v %v: the server chooses", s.err, s.keys.Suite)
	}
	c, s := meet(t, Config{Suites: []*srtp.Suite{gcm}}, Config{Suites: []*srtp.Suite{cm}}, nil, nil)
	if c.err == nil || s.err == nil || c.keys.Local != nil || s.keys.Local != nil {
		t.Errorf("no suite in common: client %v, server %v", c.err, s.err)
	}
}

func TestDatagramsFitTheMTU(t *testing.T) {
	fits := func(b []byte) bool {
		if len(b) > 300 {
			t.Errorf("a datagram of %d bytes", len(b))
		}
		return true
	}
	c, s := meet(t, Config{MTU: 300}, Config{MTU: 300}, fits, fits)
	agree(t, c, s)
}

// TestLoss: each way loses some of its first datagrams, by chance but not for ever, so that an end is certain.
func TestLoss(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			lossy := func(way uint64) func([]byte) bool {
				var mu sync.Mutex
				random, lost := rand.New(rand.NewPCG(seed, way)), 0
				return func([]byte) bool {
					mu.Lock()
					defer mu.Unlock()
					if lost < 6 && random.IntN(100) < 40 {
						lost++
						return false
					}
					return true
				}
			}
			// Twelve losses in a row would be 250 ms * 2^12.
			c, s := meet(t, Config{Timeout: 20 * time.Minute}, Config{Timeout: 20 * time.Minute}, lossy(1), lossy(2))
			agree(t, c, s)
			c.Close()
			s.Close()
		})
	}
}

// TestLastFlightIsSentAgain: the server is done and its last flight is lost; the client asks again.
func TestLastFlightIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := 0
		c, s := meet(t, Config{}, Config{}, nil, func(b []byte) bool {
			if b[0] == 20 && lost < 3 { // change_cipher_spec stands before its Finished
				lost++
				return false
			}
			return true
		})
		agree(t, c, s)
		if lost != 3 {
			t.Errorf("%d flights were lost", lost)
		}
		c.Close()
		s.Close()
	})
}

func TestWrongFingerprint(t *testing.T) {
	other := identity(t).Fingerprint()
	for i := range 4 {
		wrongClient, proven := i&1 == 0, i&2 == 0
		client, server := Config{Proven: proven}, Config{Proven: proven}
		if wrongClient {
			server.Fingerprints = []sdp.Fingerprint{other}
		} else {
			client.Fingerprints = []sdp.Fingerprint{other}
		}
		synctest.Test(t, func(t *testing.T) {
			c, s := meet(t, client, server, nil, nil)
			suspicious, refused := c, s
			if wrongClient {
				suspicious, refused = s, c
			}
			if !errors.Is(suspicious.err, ErrFingerprint) {
				t.Errorf("%v", suspicious.err)
			}
			told := refused.err != nil && strings.Contains(refused.err.Error(), "BadCertificate")
			if proven && !told || !proven && !errors.Is(refused.err, ErrTimeout) {
				t.Errorf("address proven %v, the other side: %v", proven, refused.err)
			}
			if c.keys.Local != nil || s.keys.Local != nil {
				t.Error("keys all the same")
			}
			c.Close()
			s.Close()
		})
	}
}

// TestHandshakesBesideEachOther: strangers begin handshakes with their own certificates before the peer does; each address
// has its own, and only that of the peer ends with keys.
func TestHandshakesBesideEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peers := identity(t), identity(t)
		prints := []sdp.Fingerprint{peers.Fingerprint()}
		var strangers []*party
		for range 5 {
			_, s := meet(t, Config{}, Config{Identity: ours, Fingerprints: prints}, nil, nil)
			strangers = append(strangers, s)
		}
		c, s := meet(t, Config{Identity: peers}, Config{Identity: ours, Fingerprints: prints}, nil, nil)
		agree(t, c, s)
		for _, stranger := range strangers {
			if !errors.Is(stranger.err, ErrFingerprint) || stranger.keys.Local != nil {
				t.Errorf("a stranger: %v", stranger.err)
			}
		}
		c.Close()
		s.Close()
	})
}

func TestFingerprints(t *testing.T) {
	i := identity(t)
	der := i.certificate.Certificate[0]
	weak, strong := sha1.Sum(der), sha512.Sum512(der)
	sha1Print := sdp.Fingerprint{Hash: "sha-1", Sum: weak[:]}
	sha512Print := sdp.Fingerprint{Hash: "sha-512", Sum: strong[:]}
	wrong := identity(t).Fingerprint()
	for _, tt := range []struct {
		name string
		set  []sdp.Fingerprint
		ok   bool
	}{
		{"sha-512", []sdp.Fingerprint{sha1Print, sha512Print}, true},
		{"one of several", []sdp.Fingerprint{wrong, i.Fingerprint()}, true},
		{"weaker does not help", []sdp.Fingerprint{{Hash: "sha-512", Sum: make([]byte, 64)}, i.Fingerprint()}, false},
	} {
		c, s := meet(t, Config{Fingerprints: tt.set}, Config{Identity: i}, nil, nil)
		if (c.err == nil) != tt.ok || (s.err == nil) != tt.ok {
			t.Errorf("%s: %v, %v", tt.name, c.err, s.err)
		}
	}
	for _, set := range [][]sdp.Fingerprint{nil, {sha1Print}, {{Hash: "md5", Sum: make([]byte, 16)}}} {
		if _, err := Start(Config{Identity: i, Send: func([]byte) {}, Fingerprints: set}, func(Keys, error) {}); !errors.Is(err, ErrFingerprint) {
			t.Errorf("%v: %v", set, err)
		}
	}
	for _, c := range []Config{{}, {Identity: i, Fingerprints: []sdp.Fingerprint{wrong}}, {Identity: i, Send: func([]byte) {}, Fingerprints: []sdp.Fingerprint{wrong}, Suites: []*srtp.Suite{srtp.Named("AES_256_CM_HMAC_SHA1_80")}}} {
		if _, err := Start(c, func(Keys, error) {}); err == nil {
			t.Error("started without what it needs")
		}
	}
}

// TestPeerWithoutCertificate: a client that shows none gets no keys.
func TestPeerWithoutCertificate(t *testing.T) {
	toServer := &link{}
	client := newTransport(toServer.send)
	server := begin(t, Config{Identity: identity(t), Fingerprints: []sdp.Fingerprint{identity(t).Fingerprint()}, Send: client.receive})
	toServer.to.Store(server.Handshake)
	conn, err := pion.ClientWithOptions(client, address{}, pion.WithInsecureSkipVerify(true), pion.WithSRTPProtectionProfiles(1),
		pion.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard}))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.HandshakeContext(context.Background()); err == nil {
		t.Error("the client without a certificate is done")
	}
	<-server.done
	if server.err == nil || server.keys.Local != nil {
		t.Error("the server has keys with a client that showed no certificate")
	}
	_ = conn.Close()
	server.Close()
}

// garbage are datagrams that anybody can make.
func garbage(random *rand.Rand) []byte {
	b := make([]byte, random.IntN(200))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	if len(b) > recordHeader && random.IntN(2) == 0 {
		// A record that is sound on the outside, with random content, of an epoch to come.
		b[0], b[1], b[2] = 20+byte(random.IntN(4)), 254, 253
		copy(b[3:], []byte{0, 1 + byte(random.IntN(3))})
		binary.BigEndian.PutUint16(b[11:], uint16(len(b)-recordHeader))
	}
	return b
}

func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(7, 7))
		var c, s *party
		a, b := &link{}, &link{}
		ours, theirs := identity(t), identity(t)
		var mu sync.Mutex
		flood := func(l *link) func([]byte) {
			return func(datagram []byte) {
				mu.Lock()
				defer mu.Unlock()
				for range 20 {
					l.send(garbage(random))
				}
				l.send([]byte{23, 254, 253, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 0})     // application data without protection
				l.send([]byte{21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 8, 0, 2, 2, 40}) // handshake_failure that anybody can write
				l.send([]byte{21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0})  // and close_notify
				l.send(datagram)
			}
		}
		s = begin(t, Config{Identity: theirs, Fingerprints: []sdp.Fingerprint{ours.Fingerprint()}, Send: flood(b)})
		a.to.Store(s.Handshake)
		c = begin(t, Config{Identity: ours, Fingerprints: []sdp.Fingerprint{theirs.Fingerprint()}, Send: flood(a), Client: true})
		b.to.Store(c.Handshake)
		<-c.done
		<-s.done
		agree(t, c, s)
		for range 5000 {
			s.Receive(garbage(random))
			c.Receive(garbage(random))
		}
		synctest.Wait()
		for _, p := range []*party{c, s} {
			select {
			case <-p.Ended():
				t.Error("garbage has ended an association")
			default:
			}
		}
		c.Close()
		s.Close()
	})
}

// TestClientHellosAfterwards: an association that is complete is not disturbed by handshakes that others begin, and
// answers them with less than they bring.
func TestClientHellosAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hello []byte
		c, s := meet(t, Config{}, Config{}, func(b []byte) bool {
			if hello == nil {
				hello = bytes.Clone(b)
			}
			return true
		}, nil)
		agree(t, c, s)
		if !IsDTLS(hello) || !IsClientHello(hello) {
			t.Fatalf("%x is no ClientHello", hello)
		}
		before := s.sent.Load()
		for i := range uint64(3000) {
			binary.BigEndian.PutUint16(hello[9:], uint16(i+100)) // sequence number
			s.Receive(hello)
		}
		synctest.Wait()
		if sent := s.sent.Load() - before; sent > 300 {
			t.Errorf("%d datagrams in answer", sent)
		}
		select {
		case <-s.Ended():
			t.Error("a ClientHello has ended the association")
		default:
		}
		c.Close()
		s.Close()
	})
}

func TestNewAssociation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := meet(t, Config{}, Config{}, nil, nil)
		agree(t, c, s)
		old := c.keys
		c.Close()
		<-s.Ended() // by the close_notify
		s.Close()
		c, s = meet(t, Config{}, Config{}, nil, nil)
		agree(t, c, s)
		if bytes.Equal(old.Local, c.keys.Local) {
			t.Error("the same keys again")
		}
		s.Close()
		<-c.Ended()
		c.Close()
		c.Close()
		c.Receive([]byte{22, 254, 253}) // to nobody
	})
}

func TestTimeout(t *testing.T) {
	for _, client := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			p := begin(t, Config{Identity: identity(t), Client: client, Fingerprints: []sdp.Fingerprint{identity(t).Fingerprint()}, Send: func([]byte) {}, Timeout: 15 * time.Second})
			<-p.done
			if p.err != ErrTimeout || time.Since(start) != 15*time.Second {
				t.Errorf("%v after %v", p.err, time.Since(start))
			}
			if n := p.sent.Load(); client != (n > 0) || n > 10 {
				t.Errorf("%d datagrams sent", n)
			}
			<-p.Ended()
			p.Close()
		})
	}
}

func TestCloseBeforeTheEnd(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := begin(t, Config{Identity: identity(t), Client: true, Fingerprints: []sdp.Fingerprint{identity(t).Fingerprint()}, Send: func([]byte) {}})
			if wait > 0 {
				<-time.After(wait)
			}
			p.Close()
			<-p.done
			if p.err == nil {
				t.Error("closed and complete")
			}
		})
	}
}

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(2 * shares)
		c := Config{Identity: identity(t), Fingerprints: []sdp.Fingerprint{identity(t).Fingerprint()}, Send: func([]byte) {}, Limiter: l,
			Source: netip.MustParseAddr("2001:db8::1")}
		a, b := begin(t, c), begin(t, c)
		near := c
		near.Source = netip.MustParseAddr("2001:db8::2") // of the same /64
		if _, err := Start(near, func(Keys, error) {}); err != ErrBusy || l.Running() != 2 {
			t.Errorf("%v with %d running", err, l.Running())
		}
		// The share of one host is used up; others go on until all are.
		var others []*party
		for i := range 2*shares - 2 {
			far := c
			far.Source = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
			others = append(others, begin(t, far))
		}
		far := c
		far.Source = netip.MustParseAddr("198.51.100.1")
		if _, err := Start(far, func(Keys, error) {}); err != ErrBusy || l.Running() != 2*shares {
			t.Errorf("%v with %d running", err, l.Running())
		}
		for _, o := range others {
			o.Close()
		}
		a.Close()
		if l.Running() != 1 {
			t.Errorf("%d running", l.Running())
		}
		d := begin(t, c)
		b.Close()
		d.Close()
		x, y := meet(t, Config{Limiter: l}, Config{Limiter: l}, nil, nil)
		agree(t, x, y)
		if l.Running() != 0 || len(l.sources) != 0 {
			t.Errorf("%d running after their ends, of %d hosts", l.Running(), len(l.sources))
		}
		x.Close()
		y.Close()
	})
}

func TestReceiveNeverBlocks(t *testing.T) {
	tr := newTransport(func([]byte) {})
	for range 10 * queueLength {
		tr.receive([]byte("datagram"))
	}
	tr.receive(make([]byte, maxDatagram+1))
	if len(tr.queue) != queueLength {
		t.Errorf("%d wait", len(tr.queue))
	}
}

func TestIdentity(t *testing.T) {
	i := identity(t)
	certificate, key, err := i.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadIdentity(certificate, key)
	if err != nil || !again.Fingerprint().Equal(i.Fingerprint()) {
		t.Errorf("%v: %v, not %v", err, again.Fingerprint(), i.Fingerprint())
	}
	if _, err := LoadIdentity(certificate, nil); err == nil {
		t.Error("an identity without a key")
	}
	if _, err := newIdentity(tls.Certificate{}); err == nil {
		t.Error("an identity without anything")
	}
	if f, err := sdp.ParseFingerprint(i.Fingerprint().String()); err != nil || !f.Equal(i.Fingerprint()) {
		t.Error(err)
	}
	var log bytes.Buffer
	keys := Keys{srtp.Suites()[0], []byte("topsecret"), []byte("topsecret")}
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "keys", keys, "identity", i)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&log, verb+verb+verb, keys, &keys, i)
	}
	for _, secret := range []string{"topsecret", "746f70", "116 111", "PrivateKey"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is shown: %s", secret, log.String())
		}
	}
}

// FuzzReceive: whatever comes before a handshake, it neither panics nor gives keys away.
func FuzzReceive(f *testing.F) {
	ours, theirs := identity(f), identity(f)
	var mu sync.Mutex
	var flights [][]byte
	c, s := meet(f, Config{}, Config{}, func(b []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		flights = append(flights, bytes.Clone(b))
		return true
	}, nil)
	c.Close()
	s.Close()
	for _, b := range flights {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			for _, client := range []bool{true, false} {
				p := begin(t, Config{Identity: ours, Client: client, Fingerprints: []sdp.Fingerprint{theirs.Fingerprint()}, Send: func([]byte) {}, Timeout: time.Second, Proven: true})
				p.Receive(b)
				p.Receive(b)
				<-p.done
				if p.err == nil || p.keys.Local != nil {
					t.Fatal("keys without a handshake")
				}
				p.Close()
			}
		})
	})
}

func BenchmarkHandshake(b *testing.B) {
	ours, theirs := identity(b), identity(b)
	for b.Loop() {
		c, s := meet(b, Config{Identity: ours}, Config{Identity: theirs, Proven: true}, nil, nil)
		if c.err != nil || s.err != nil {
			b.Fatal(c.err, s.err)
		}
		c.Close()
		s.Close()
	}
}
