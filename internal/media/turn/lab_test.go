package turn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/turn/v5"

	"dialtone/internal/media"
	"dialtone/internal/network"
)

var (
	ourselves  = netip.MustParseAddr("203.0.113.1")
	ourselves6 = netip.MustParseAddr("2001:db8::1")
	browser    = netip.MustParseAddr("198.51.100.7")
	browser6   = netip.MustParseAddr("2001:db8::7")
	stranger   = netip.MustParseAddr("192.0.2.99")
)

const (
	realm    = "pbx.example"
	rtpFirst = 10000
	rtpLast  = 10099
)

// lab is a network in virtual time with a server on it.
type lab struct {
	t      *testing.T
	net    *network.Memory
	host   *network.Host
	client *network.Host
	s      *Server
	stop   func()
	relays []net.PacketConn
}

func inLab(t *testing.T, change func(*Config), f func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := network.NewMemory(network.MemoryConfig{Test: t})
		l := &lab{t: t, net: m, host: m.Host(ourselves, ourselves6), client: m.Host(browser, browser6)}
		c := Config{
			Network: l.host, Realm: realm, Secret: []byte("0123456789abcdef"), Ports: media.PortRange{Min: 20000, Max: 20031},
			Listeners: []Listener{{Transport: UDP, Addr: netip.MustParseAddrPort("0.0.0.0:3478")}, {Transport: TCP, Addr: netip.MustParseAddrPort("0.0.0.0:3478")}},
			Policy: Policy{
				Local: func(a netip.Addr) bool { return a == ourselves || a == ourselves6 || a.IsLoopback() },
				Media: func(a netip.AddrPort) bool {
					return a.Addr() == ourselves && (a.Port() == 0 || a.Port() >= rtpFirst && a.Port() <= rtpLast)
				},
			},
		}
		if change != nil {
			change(&c)
		}
		var err error
		if l.s, err = New(c); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.s.Run(ctx) }()
		l.stop = func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
			done <- nil
		}
		synctest.Wait()
		f(t, l)
		for _, relay := range l.relays {
			_ = relay.Close() // some are closed already
		}
		wait(time.Minute) // streams whose clients have gone
		l.stop()
		if n := l.s.Stats(); n.Allocations != 0 || n.Streams != 0 {
			t.Errorf("left behind: %+v", n)
		}
		m.Close() // ends the clients as well
		wait(time.Hour)
	})
}

func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// udpPipe is a client's datagram socket as Pion wants it.
type udpPipe struct{ *packetConn }

func (p udpPipe) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.read(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

func (p udpPipe) WriteTo(b []byte, to net.Addr) (int, error) {
	return len(b), p.conn.WriteTo(b, addrPort(to))
}

// dial makes a client of Pion with its own socket.
func (l *lab) dial(kind Transport, c Credentials) *pion.Client {
	l.t.Helper()
	server := netip.AddrPortFrom(ourselves, 3478)
	var conn net.PacketConn
	if kind == UDP {
		u, err := l.client.ListenPacket(netip.AddrPortFrom(browser, 0), false)
		if err != nil {
			l.t.Fatal(err)
		}
		conn = udpPipe{newPacketConn(u, 4)}
	} else {
		if kind == TLS {
			server = netip.AddrPortFrom(ourselves, 5349)
		}
		s, err := l.client.Dial(l.t.Context(), server)
		if err != nil {
			l.t.Fatal(err)
		}
		if kind == TLS {
			c := tls.Client(s, &tls.Config{InsecureSkipVerify: true}) // the certificate of the test names nobody
			// Now: of two goroutines one would wait for the other on a lock, and virtual time for both.
			if err := c.HandshakeContext(l.t.Context()); err != nil {
				l.t.Fatal(err)
			}
			s = c
		}
		conn = pion.NewSTUNConn(s)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	x, err := pion.NewClient(&pion.ClientConfig{TURNServerAddr: server.String(), STUNServerAddr: server.String(), Conn: conn,
		Username: c.Username, Password: c.Password, Realm: realm, LoggerFactory: quiet{}})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := x.Listen(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(x.Close)
	return x
}

// allocate asks for an allocation, which ends with the test.
func (l *lab) allocate(c *pion.Client) (net.PacketConn, error) {
	relay, err := c.Allocate()
	if err == nil {
		l.relays = append(l.relays, relay)
	}
	return relay, err
}

// secure adds a TLS listener.
func secure(t *testing.T) func(*Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) {
		c.Listeners = append(c.Listeners, Listener{Transport: TLS, Addr: netip.MustParseAddrPort("0.0.0.0:5349"),
			TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}})
	}
}

// good are credentials that hold.
func (l *lab) good() Credentials { return l.s.Credentials("alice", time.Now()) }

// socket opens a datagram socket of a host.
func (l *lab) socket(h *network.Host, at netip.AddrPort) network.PacketConn {
	l.t.Helper()
	c, err := h.ListenPacket(at, false)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

// receive waits for one datagram; nothing within a second is "".
func receive(c network.PacketConn) (string, netip.AddrPort) {
	type got struct {
		text string
		from netip.AddrPort
	}
	ch := make(chan got, 1)
	go func() {
		ps := []network.Packet{{Data: make([]byte, 2000)}}
		if n, err := c.ReadBatch(ps); err == nil && n == 1 {
			ch <- got{string(ps[0].Data), ps[0].Addr}
		}
	}()
	select {
	case g := <-ch:
		return g.text, g.from
	case <-time.After(time.Second):
		return "", netip.AddrPort{}
	}
}

// hear reads one datagram from an allocation; nothing within a second is "".
func hear(c net.PacketConn) (string, netip.AddrPort) {
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	b := make([]byte, 2000)
	n, from, err := c.ReadFrom(b)
	if err != nil {
		return "", netip.AddrPort{}
	}
	return string(b[:n]), addrPort(from)
}

// refused is how often something was refused for a reason.
func (l *lab) refused(r reason) uint64 { return l.s.Stats().Refused[r.String()] }

func udpAddr(text string) *net.UDPAddr {
	return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(text))
}

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }
