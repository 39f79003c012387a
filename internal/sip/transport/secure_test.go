package transport

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"dialtone/internal/network"
	"dialtone/internal/sip"
)

// certificate is a self-signed one for names and addresses, and the pool that trusts it.
func certificate(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		// Virtual time begins in the year 2000.
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

var loopback = netip.MustParseAddr("127.0.0.1")

// securePair is a server with all stream kinds on this machine's loopback, and a client that trusts its certificate.
func securePair(t *testing.T, names ...string) (server *Layer, h *recorder, client *Layer, ch *recorder) {
	t.Helper()
	cert, pool := certificate(t, names...)
	config := &tls.Config{NextProtos: []string{"h2"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }}
	at := netip.AddrPortFrom(loopback, 0)
	n := network.NewOS(network.OSConfig{})
	h, ch = newRecorder(), newRecorder()
	server = start(t, Config{Network: n, Handler: h, Workers: 1, Listeners: []Listener{
		{Kind: UDP, Addr: at}, {Kind: TCP, Addr: at}, {Kind: TLS, Addr: at, TLS: config, Role: "secure"},
		{Kind: WS, Addr: at}, {Kind: WSS, Addr: at, TLS: config},
	}})
	client = start(t, Config{Network: n, Handler: ch, Workers: 1,
		Listeners: []Listener{{Kind: UDP, Addr: at}},
		ClientTLS: func(Target) *tls.Config { return &tls.Config{RootCAs: pool} },
	})
	return server, h, client, ch
}

func TestAllKindsOnLoopback(t *testing.T) {
	server, h, client, ch := securePair(t, "127.0.0.1")
	for k := UDP; k <= WSS; k++ {
		t.Run(k.String(), func(t *testing.T) {
			f, err := client.Open(t.Context(), Target{Kind: k, Addr: server.Addrs(k)[0]}, 0)
			if err != nil {
				t.Fatal(err)
			}
			const n = 20
			for i := range n {
				if err := f.Send(options(f.Via(), label(i), 100*i)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range n {
				s := <-h.news
				if s.flow.Kind() != k || string(s.msg.CallID()) != label(i) || s.flow.Secure() != k.Secure() {
					t.Fatalf("message %d: %v %s", i, s.flow, s.summary)
				}
				if !strings.HasPrefix(s.flow.Via(), "SIP/2.0/"+k.String()+" 127.0.0.1:") {
					t.Errorf("server is named %s", s.flow.Via())
				}
				if a := <-ch.news; a.msg.Status() != 200 || a.flow.ID() != f.ID() {
					t.Fatalf("answer %d: %s on %v", i, a.summary, a.flow)
				}
			}
			if k == WS || k == WSS {
				if !strings.HasSuffix(f.SentBy(), ".invalid") {
					t.Errorf("a WebSocket client is named %s", f.SentBy())
				}
			}
			if k == UDP {
				return
			}
			f.Close()
			if s := <-h.news; s.summary != "closed" {
				t.Errorf("after the close: %q", s.summary)
			}
			<-ch.news
		})
	}
}

func TestCertificateMustBeForTheTarget(t *testing.T) {
	server, _, client, _ := securePair(t, "pbx.example.com")
	at := server.Addrs(TLS)[0]
	for name, ok := range map[string]bool{"pbx.example.com": true, "": false, "other.example.com": false} {
		_, err := client.Open(t.Context(), Target{Kind: TLS, Addr: at, Name: name}, 0)
		var wrong *tls.CertificateVerificationError
		if (err == nil) != ok || err != nil && !errors.As(err, &wrong) {
			t.Errorf("as %q: %v", name, err)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	server, _, _, _ := securePair(t, "127.0.0.1")
	for version, ok := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		c, err := tls.Dial("tcp", server.Addrs(TLS)[0].String(), &tls.Config{
			MinVersion: tls.VersionTLS10, MaxVersion: version, InsecureSkipVerify: true})
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
	}
}

func TestCertificateIsReplacedWhileRunning(t *testing.T) {
	var current atomic.Pointer[tls.Certificate]
	names := []string{"first.example", "second.example"}
	var pools []*x509.CertPool
	var certs []tls.Certificate
	for _, n := range names {
		c, p := certificate(t, n)
		certs, pools = append(certs, c), append(pools, p)
	}
	l := start(t, Config{Network: network.NewOS(network.OSConfig{}), Handler: newRecorder(), Listeners: []Listener{
		{Kind: TLS, Addr: netip.AddrPortFrom(loopback, 0), TLS: &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }}}}})
	for i, n := range names {
		current.Store(&certs[i])
		c, err := tls.Dial("tcp", l.Addrs(TLS)[0].String(), &tls.Config{RootCAs: pools[i], ServerName: n})
		if err != nil {
			t.Errorf("%s: %v", n, err)
			continue
		}
		c.Close()
	}
}

func TestHandshakeIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, pool := certificate(t, serverIP.String())
		w := newWorld(t, func(c *Config) {
			c.Limits.Handshakes = 2
			c.Listeners = append(c.Listeners, Listener{Kind: TLS, Addr: netip.AddrPortFrom(anyIP, 5061),
				TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
		})
		at := netip.AddrPortFrom(serverIP, 5061)
		// Two who say nothing take both places, for five seconds.
		for range 2 {
			if _, err := w.client.Dial(t.Context(), at); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Second)
		raw, err := w.client.Dial(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		c := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: serverIP.String()})
		if err := c.Handshake(); err != nil {
			t.Fatalf("after the silent ones: %v", err)
		}
		if d := time.Since(start); d < 3*time.Second || d > 5*time.Second {
			t.Errorf("waited %v", d)
		}
		c.Write(options("SIP/2.0/TLS a", "c", 0))
		if got, err := readMessage(bufio.NewReader(c)); !strings.HasPrefix(got, "SIP/2.0 200") {
			t.Errorf("%q, %v", got, err)
		}
		if got := w.l.Stats.Handshakes.Load(); got != 2 {
			t.Errorf("%d handshakes failed", got)
		}
		c.Close()
	})
}

// browser opens a WebSocket the way a browser does.
func browser(t *testing.T, url string, header http.Header, protocols ...string) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: protocols, HTTPHeader: header})
}

func TestWebSocketDoor(t *testing.T) {
	h := newRecorder()
	l := start(t, Config{Network: network.NewOS(network.OSConfig{}), Handler: h,
		Listeners: []Listener{{Kind: WS, Addr: netip.AddrPortFrom(loopback, 0)}},
		Origin:    func(r *http.Request) bool { return r.Header.Get("Origin") != "https://evil.example" },
	})
	url := "ws://" + l.Addrs(WS)[0].String()
	for _, c := range []struct {
		name, path string
		origin     string
		protocols  []string
		status     int
	}{
		{"root", "/", "", []string{"sip"}, 101},
		{"ws", "/ws", "https://pbx.example", []string{"xmpp", "sip"}, 101},
		{"other path", "/chat", "", []string{"sip"}, 404},
		{"no sub-protocol", "/ws", "", nil, 400},
		{"wrong sub-protocol", "/ws", "", []string{"xmpp"}, 400},
		{"wrong origin", "/ws", "https://evil.example", []string{"sip"}, 403},
	} {
		header := http.Header{}
		if c.origin != "" {
			header.Set("Origin", c.origin)
		}
		ws, answer, err := browser(t, url+c.path, header, c.protocols...)
		if answer == nil || answer.StatusCode != c.status {
			t.Errorf("%s: %v, %v", c.name, answer, err)
			continue
		}
		if ws != nil {
			ws.CloseNow()
			<-h.news
		}
	}
}

func TestWebSocketFrames(t *testing.T) {
	h := newRecorder()
	l := start(t, Config{Network: network.NewOS(network.OSConfig{}), Handler: h,
		Listeners: []Listener{{Kind: WS, Addr: netip.AddrPortFrom(loopback, 0)}}})
	open := func() *websocket.Conn {
		ws, _, err := browser(t, "ws://"+l.Addrs(WS)[0].String()+"/ws", nil, "sip")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.CloseNow() })
		return ws
	}
	ws := open()
	via := "SIP/2.0/WS df7jal23ls0d.invalid"
	for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
		ws.Write(t.Context(), kind, options(via, "c", 0))
		got, b, err := ws.Read(t.Context())
		if err != nil || got != websocket.MessageText || !strings.HasPrefix(string(b), "SIP/2.0 200") {
			t.Errorf("answer %v %q, %v", got, b, err)
		}
		s := <-h.news
		// RFC 7118 §5: the address in Via cannot be reached; the flow can.
		again, err := l.Connect(Target{Kind: WS, Addr: s.flow.Remote()})
		if err != nil || again != s.flow {
			t.Errorf("not reached on its own stream: %v", err)
		}
		if err := again.Send(append(options(again.Via(), "bin", 0), 0xff)); err != nil {
			t.Error(err)
		}
		if got, _, err := ws.Read(t.Context()); got != websocket.MessageBinary || err != nil {
			t.Errorf("what is no UTF-8 came as %v, %v", got, err)
		}
	}
	ws.Write(t.Context(), websocket.MessageText, []byte("\r\n\r\n"))
	if _, b, err := ws.Read(t.Context()); string(b) != "\r\n" || err != nil {
		t.Errorf("answer to a ping %q, %v", b, err)
	}
	bad := strings.Replace(string(options(via, "c", 0)), "CSeq: 1", "CSeq: x", 1)
	ws.Write(t.Context(), websocket.MessageText, []byte(bad))
	if _, b, err := ws.Read(t.Context()); !strings.HasPrefix(string(b), "SIP/2.0 400") || err != nil {
		t.Errorf("answer to a bad request %q, %v", b, err)
	}
	<-h.news
	for name, b := range map[string][]byte{"junk": []byte("hello"), "too long": make([]byte, sip.MaxMessage+10)} {
		ws := open()
		ws.Write(t.Context(), websocket.MessageText, b)
		if _, _, err := ws.Read(t.Context()); err == nil {
			t.Errorf("%s: the stream lives", name)
		}
	}
}

func TestWebSocketOnSomebodyElsesServer(t *testing.T) {
	h := newRecorder()
	l := start(t, Config{Network: network.NewOS(network.OSConfig{}), Handler: h})
	mux := http.NewServeMux()
	mux.Handle("/sip", l.WebSocket("phones"))
	door := httptest.NewServer(mux)
	defer door.Close()
	ws, _, err := browser(t, strings.Replace(door.URL, "http", "ws", 1)+"/sip", nil, "sip")
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.Write(t.Context(), websocket.MessageText, options("SIP/2.0/WS x.invalid", "c", 0))
	if _, b, err := ws.Read(t.Context()); !strings.HasPrefix(string(b), "SIP/2.0 200") {
		t.Errorf("answer %q, %v", b, err)
	}
	if s := <-h.news; s.flow.Role() != "phones" || s.flow.Kind() != WS {
		t.Errorf("flow %v as %q", s.flow, s.flow.Role())
	}
}

func TestWebSocketDoorIsImpatient(t *testing.T) {
	for name, said := range map[string]string{
		"nothing": "", "half a request": "GET /ws HTTP/1.1\r\nHost: x\r\n", "no upgrade": "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) {
					c.Listeners = append(c.Listeners, Listener{Kind: WS, Addr: netip.AddrPortFrom(anyIP, 80)})
				})
				c, err := w.client.Dial(t.Context(), netip.AddrPortFrom(serverIP, 80))
				if err != nil {
					t.Fatal(err)
				}
				c.Write([]byte(said))
				if _, after := ends(c); after > 6*time.Second {
					t.Errorf("closed after %v", after)
				}
				c.Close()
				<-time.After(time.Minute)
				w.l.streams.mu.Lock()
				defer w.l.streams.mu.Unlock()
				if w.l.streams.count != 0 {
					t.Errorf("%d are still counted", w.l.streams.count)
				}
			})
		})
	}
}

func TestWebSocketInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) {
			c.Listeners = append(c.Listeners, Listener{Kind: WS, Addr: netip.AddrPortFrom(anyIP, 80)})
		})
		client, ch := far(t, w.client)
		f, err := client.Open(t.Context(), Target{Kind: WS, Addr: netip.AddrPortFrom(serverIP, 80)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Send(options(f.Via(), "c", 0))
		s := <-w.h.news
		if a := <-ch.news; a.msg.Status() != 200 {
			t.Errorf("answer %q", a.summary)
		}
		s.flow.Keep()
		<-time.After(10 * time.Minute) // pings keep it
		if s.flow.Err() != nil || f.Err() != nil {
			t.Fatalf("closed: %v, %v", s.flow.Err(), f.Err())
		}
		// The browser vanishes without a word: the next ping finds out.
		w.m.Between(w.server, w.client, network.Conditions{Down: true})
		start := time.Now()
		if s := <-w.h.news; s.summary != "closed" || time.Since(start) > pingInterval+pingPatience+time.Second {
			t.Errorf("after %v: %q", time.Since(start), s.summary)
		}
	})
}
