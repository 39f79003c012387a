package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/sip"
)

var (
	serverIP = netip.MustParseAddr("192.0.2.1")
	clientIP = netip.MustParseAddr("198.51.100.7")
	otherIP  = netip.MustParseAddr("203.0.113.9")
	anyIP    = netip.IPv6Unspecified()
)

// options is a request with the given Via and body length.
func options(via string, callID string, body int) []byte {
	return fmt.Appendf(nil, "OPTIONS sip:x@example.com SIP/2.0\r\nVia: %s;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"+
		"To: <sip:x@example.com>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: %d\r\n\r\n%s",
		via, callID, body, strings.Repeat("b", body))
}

// seen is what a recorder was told.
type seen struct {
	flow    *Flow
	msg     *sip.Message // a clone; nil for a closed flow
	err     error
	summary string
}

// recorder keeps what arrives and answers requests with 200, and malformed ones with their status.
type recorder struct {
	mu     sync.Mutex
	all    []seen
	news   chan seen
	panics atomic.Bool
}

func newRecorder() *recorder { return &recorder{news: make(chan seen, 1000)} }

func (r *recorder) add(s seen) {
	r.mu.Lock()
	r.all = append(r.all, s)
	r.mu.Unlock()
	r.news <- s
}

// list is everything so far.
func (r *recorder) list() []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

func (r *recorder) HandleMessage(f *Flow, m *sip.Message) {
	if r.panics.Load() {
		panic("boom")
	}
	r.add(seen{flow: f, msg: m.Clone(), summary: m.Summary()})
	if m.IsRequest() {
		_ = f.Send(sip.NewResponse(m, 200, "", "t").Append(nil))
	}
}

func (r *recorder) HandleMalformed(f *Flow, _ []byte, m *sip.Message, err error) {
	r.add(seen{flow: f, err: err, summary: "malformed"})
	var p *sip.ParseError
	if m.Answerable() && errors.As(err, &p) {
		_ = f.Send(sip.NewResponse(m, p.Status, p.Reason, "t").Append(nil))
	}
}

func (r *recorder) HandleClosed(f *Flow, err error) {
	r.add(seen{flow: f, err: err, summary: "closed"})
}

// start runs a layer until the test ends.
func start(t *testing.T, c Config) *Layer {
	t.Helper()
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l
}

// world is a server and a bare client host.
type world struct {
	m              *network.Memory
	server, client *network.Host
	h              *recorder
	l              *Layer
}

func newWorld(t *testing.T, adjust func(*Config)) *world {
	t.Helper()
	m := network.NewMemory(network.MemoryConfig{Seed: 3, Test: t, Default: network.Conditions{Delay: time.Millisecond}})
	w := &world{m: m, server: m.Host(serverIP), client: m.Host(clientIP), h: newRecorder()}
	c := Config{Network: w.server, Handler: w.h, Workers: 2, Listeners: []Listener{
		{Kind: UDP, Addr: netip.AddrPortFrom(anyIP, 5060), Role: "exchange"},
		{Kind: TCP, Addr: netip.AddrPortFrom(anyIP, 5060)},
	}}
	if adjust != nil {
		adjust(&c)
	}
	w.l = start(t, c)
	return w
}

func (w *world) socket(t *testing.T, port uint16) network.PacketConn {
	t.Helper()
	c, err := w.client.ListenPacket(netip.AddrPortFrom(anyIP, port), false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := w.client.Dial(t.Context(), netip.AddrPortFrom(serverIP, 5060))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var sipAddr = netip.AddrPortFrom(serverIP, 5060)

// readDatagram reads one datagram, or "" when none comes within a second.
func readDatagram(t *testing.T, c network.PacketConn) (string, netip.AddrPort) {
	t.Helper()
	type result struct {
		s    string
		from netip.AddrPort
	}
	got := make(chan result, 1)
	go func() {
		ps := []network.Packet{{Data: make([]byte, 65535)}}
		if n, err := c.ReadBatch(ps); n == 1 && err == nil {
			got <- result{string(ps[0].Data), ps[0].Addr}
		}
	}()
	select {
	case r := <-got:
		return r.s, r.from
	case <-time.After(time.Second):
		c.Close()
		return "", netip.AddrPort{}
	}
}

func TestUDPAnswersWhereTheRequestCameFrom(t *testing.T) {
	for _, c := range []struct {
		name, via string
		port      uint16 // where the answer is expected
		want      string
	}{
		// RFC 3581 §4 and RFC 3261 §18.2.1, §18.2.2.
		{"rport", "SIP/2.0/UDP 10.0.0.5:5062;rport", 7000, "received=198.51.100.7"},
		{"rport is filled in", "SIP/2.0/UDP 10.0.0.5:5062;rport", 7000, "rport=7000"},
		{"port of Via", "SIP/2.0/UDP 10.0.0.5:5062", 5062, "received=198.51.100.7"},
		{"default port", "SIP/2.0/UDP 10.0.0.5", 5060, "received=198.51.100.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				sender, ear := w.socket(t, 7000), network.PacketConn(nil)
				if c.port == 7000 {
					ear = sender
				} else {
					ear = w.socket(t, c.port)
				}
				sender.WriteTo(options(c.via, "c1", 0), sipAddr)
				got, from := readDatagram(t, ear)
				if !strings.HasPrefix(got, "SIP/2.0 200") || !strings.Contains(got, c.want) || from != sipAddr {
					t.Errorf("from %v: %q", from, got)
				}
				s := <-w.h.news
				if s.msg.Received != (netip.AddrPort{}) && s.msg.Received != netip.AddrPortFrom(clientIP, 7000) {
					t.Errorf("received from %v", s.msg.Received)
				}
				if s.flow.Role() != "exchange" || s.flow.Kind() != UDP || s.flow.Reliable() || s.flow.Secure() {
					t.Errorf("flow %v", s.flow)
				}
				if s.flow.Via() != "SIP/2.0/UDP 192.0.2.1:5060" || s.flow.SentBy() != "192.0.2.1:5060" {
					t.Errorf("named %q, %q", s.flow.Via(), s.flow.SentBy())
				}
			})
		})
	}
}

func TestUDPBatchKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.socket(t, 7000)
		const n = 200
		var ps []network.Packet
		for i := range n {
			ps = append(ps, network.Packet{Data: options("SIP/2.0/UDP 198.51.100.7:7000;rport", label(i), i), Addr: sipAddr})
		}
		c.WriteBatch(ps)
		for i := range n {
			if got, _ := readDatagram(t, c); !strings.Contains(got, "Call-ID: "+label(i)+"\r\n") {
				t.Fatalf("answer %d: %q", i, got)
			}
		}
		if len(w.h.list()) != n {
			t.Errorf("%d arrived", len(w.h.list()))
		}
		for i, s := range w.h.list() {
			if string(s.msg.CallID()) != label(i) {
				t.Fatalf("message %d is %s", i, s.msg.CallID())
			}
		}
	})
}

func label(i int) string { return fmt.Sprintf("call-%04d", i) }

func TestUDPNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.socket(t, 7000)
		for _, b := range []string{"", "\r\n", "\r\n\r\n", "\x00\x00\x00\x00", "\x00", "\r\n\r\n\r\n\r\n"} {
			c.WriteTo([]byte(b), sipAddr)
			<-time.After(10 * time.Millisecond)
		}
		if got := w.l.Stats.KeepAlives.Load(); got != 6 {
			t.Errorf("%d keep-alives", got)
		}
		c.WriteTo([]byte("GET / HTTP/1.1\r\n\r\n"), sipAddr)
		if s := <-w.h.news; s.summary != "malformed" {
			t.Errorf("junk came up as %q", s.summary)
		}
		bad := strings.Replace(string(options("SIP/2.0/UDP a;rport", "c", 0)), "CSeq: 1", "CSeq: x", 1)
		c.WriteTo([]byte(bad), sipAddr)
		if got, _ := readDatagram(t, c); !strings.HasPrefix(got, "SIP/2.0 400") {
			t.Errorf("answer to a bad CSeq: %q", got)
		}
	})
}

func TestSTUNBinding(t *testing.T) {
	// The transaction and the mapped address of RFC 5769 §2.2: 192.0.2.1 port 32853.
	request := "\x00\x01\x00\x00\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
	want := "\x01\x01\x00\x0c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"
	if !isSTUN([]byte(request)) {
		t.Fatal("not taken for STUN")
	}
	got := answerSTUN([]byte(request), netip.MustParseAddrPort("192.0.2.1:32853"))
	if string(got) != want {
		t.Errorf("IPv4: % x", got)
	}
	// RFC 5769 §2.3.
	want6 := "\x01\x01\x00\x18\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"
	got = answerSTUN([]byte(request), netip.MustParseAddrPort("[2001:db8:1234:5678:11:2233:4455:6677]:32853"))
	if string(got) != want6 {
		t.Errorf("IPv6: % x", got)
	}
	for name, b := range map[string]string{
		"response":           "\x01\x01" + request[2:],
		"must understand":    "\x00\x01\x00\x04" + request[4:] + "\x00\x06\x00\x00",
		"attribute too long": "\x00\x01\x00\x04" + request[4:] + "\x80\x22\x00\x09",
	} {
		if !isSTUN([]byte(b)) {
			t.Errorf("%s: not taken for STUN", name)
		}
		if got := answerSTUN([]byte(b), sipAddr); got != nil {
			t.Errorf("%s: answered % x", name, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.socket(t, 7000)
		c.WriteTo([]byte(request), sipAddr)
		if got, _ := readDatagram(t, c); len(got) != len(want) || got[:2] != "\x01\x01" {
			t.Errorf("answer % x", got)
		}
		if len(w.h.list()) != 0 {
			t.Error("it came up")
		}
	})
}

func TestAdmitComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) {
			c.Admit = func(src netip.AddrPort, _ time.Time) bool { return src.Addr() != clientIP }
		})
		w.socket(t, 7000).WriteTo(options("SIP/2.0/UDP a;rport", "c", 0), sipAddr)
		c := w.dial(t)
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("a stream was accepted: %d, %v", n, err)
		}
		if len(w.h.list()) != 0 || w.l.Stats.Refused.Load() != 2 {
			t.Errorf("%d came up, %d refused", len(w.h.list()), w.l.Stats.Refused.Load())
		}
	})
}

func TestPanicCostsOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.h.panics.Store(true)
		c := w.socket(t, 7000)
		c.WriteTo(options("SIP/2.0/UDP a;rport", "c", 0), sipAddr)
		<-time.After(time.Second)
		w.h.panics.Store(false)
		c.WriteTo(options("SIP/2.0/UDP a;rport", "c", 0), sipAddr)
		if got, _ := readDatagram(t, c); !strings.HasPrefix(got, "SIP/2.0 200") {
			t.Errorf("afterwards: %q", got)
		}
		if w.l.Stats.Panics.Load() != 1 {
			t.Errorf("%d panics", w.l.Stats.Panics.Load())
		}
	})
}

func TestTapSeesBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		w := newWorld(t, func(c *Config) {
			c.Tap = func(f *Flow, d Direction, b []byte) {
				mu.Lock()
				defer mu.Unlock()
				first, _, _ := strings.Cut(string(b), "\r\n")
				got = append(got, fmt.Sprint(d, " ", f, " ", first))
			}
		})
		c := w.socket(t, 7000)
		c.WriteTo(options("SIP/2.0/UDP a;rport", "c", 0), sipAddr)
		readDatagram(t, c)
		want := "0 udp 198.51.100.7:7000 OPTIONS sip:x@example.com SIP/2.0|1 udp 198.51.100.7:7000 SIP/2.0 200 OK"
		if s := strings.Join(got, "|"); s != want {
			t.Errorf("seen %q", s)
		}
	})
}

func TestAdvertise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) {
			c.Advertise = func(remote netip.Addr) string {
				if remote == otherIP {
					return "pbx.example.com"
				}
				return ""
			}
		})
		for remote, want := range map[netip.Addr]string{
			otherIP:                          "SIP/2.0/UDP pbx.example.com:5060",
			clientIP:                         "SIP/2.0/UDP 192.0.2.1:5060",
			netip.MustParseAddr("127.0.0.1"): "SIP/2.0/UDP 127.0.0.1:5060",
		} {
			f, err := w.l.Connect(Target{Kind: UDP, Addr: netip.AddrPortFrom(remote, 5060)})
			if err != nil || f.Via() != want {
				t.Errorf("%v: %v, %v", remote, f.Via(), err)
			}
		}
	})
}

func TestConnectPicksTheListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loop, v6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1")
		m := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})
		l := start(t, Config{Network: m.Host(serverIP, v6), Handler: newRecorder(), Workers: 1, Listeners: []Listener{
			{Kind: UDP, Addr: netip.AddrPortFrom(loop, 5060), Role: "loop"},
			{Kind: UDP, Addr: netip.AddrPortFrom(serverIP, 5060), Role: "exchange"},
			{Kind: UDP, Addr: netip.AddrPortFrom(serverIP, 5070), Role: "proxy"},
			{Kind: UDP, Addr: netip.AddrPortFrom(v6, 5060), Role: "six"},
		}})
		for _, c := range []struct {
			remote string
			role   string
			want   string
		}{
			{"127.0.0.1:9", "", "127.0.0.1:5060"},
			{"127.0.0.1:9", "proxy", "127.0.0.1:5060"},
			{"203.0.113.9:9", "", "192.0.2.1:5060"},
			{"203.0.113.9:9", "proxy", "192.0.2.1:5070"},
			{"[2001:db8::9]:9", "proxy", "[2001:db8::1]:5060"},
			{"[::ffff:203.0.113.9]:9", "", "192.0.2.1:5060"},
		} {
			f, err := l.Connect(Target{Kind: UDP, Addr: netip.MustParseAddrPort(c.remote), Role: c.role})
			if err != nil || f.SentBy() != c.want || f.Local().String() != c.want {
				t.Errorf("to %s as %s: %v, %v", c.remote, c.role, f.SentBy(), err)
			}
		}
		if _, err := l.Connect(Target{Kind: UDP}); err == nil {
			t.Error("no address, no error")
		}
	})
	// A leg in each network: the system's choice of address goes before the role, and the role before the order.
	synctest.Test(t, func(t *testing.T) {
		m := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})
		l := start(t, Config{Network: m.Host(clientIP, serverIP), Handler: newRecorder(), Workers: 1, Listeners: []Listener{
			{Kind: UDP, Addr: netip.AddrPortFrom(serverIP, 5060), Role: "outside"},
			{Kind: UDP, Addr: netip.AddrPortFrom(serverIP, 5070), Role: "outside too"},
			{Kind: UDP, Addr: netip.AddrPortFrom(clientIP, 5060), Role: "inside"}, // from which the system sends
			{Kind: UDP, Addr: netip.AddrPortFrom(clientIP, 5070), Role: "inside too"},
		}})
		for role, want := range map[string]string{"outside": "198.51.100.7:5060", "inside too": "198.51.100.7:5070", "": "198.51.100.7:5060"} {
			f, err := l.Connect(Target{Kind: UDP, Addr: netip.AddrPortFrom(otherIP, 9), Role: role})
			if err != nil || f.SentBy() != want {
				t.Errorf("as %q: %v, %v, want %s", role, f, err, want)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) { // no leg is the system's choice, as with addresses that wander between hosts
		m := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})
		l := start(t, Config{Network: m.Host(clientIP, serverIP), Handler: newRecorder(), Workers: 1, Listeners: []Listener{
			{Kind: UDP, Addr: netip.AddrPortFrom(serverIP, 5060), Role: "exchange"},
			{Kind: UDP, Addr: netip.AddrPortFrom(serverIP, 5070), Role: "proxy"},
		}})
		f, err := l.Connect(Target{Kind: UDP, Addr: netip.AddrPortFrom(otherIP, 9), Role: "proxy"})
		if err != nil || f.SentBy() != "192.0.2.1:5070" {
			t.Errorf("as proxy: %v, %v", f, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})
		l := start(t, Config{Network: m.Host(serverIP), Handler: newRecorder(), Listeners: []Listener{
			{Kind: UDP, Addr: netip.AddrPortFrom(serverIP, 5060)}}})
		_, err := l.Connect(Target{Kind: UDP, Addr: netip.MustParseAddrPort("[2001:db8::9]:5060")})
		if !errors.Is(err, ErrNoListener) {
			t.Errorf("IPv6 from an IPv4 listener: %v", err)
		}
	})
}

func TestFlowTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.socket(t, 7000).WriteTo(options("SIP/2.0/UDP a;rport", "c", 0), sipAddr)
		udp := (<-w.h.news).flow
		c := w.dial(t)
		c.Write(options("SIP/2.0/TCP a", "c", 0))
		tcp := (<-w.h.news).flow
		for _, f := range []*Flow{udp, tcp} {
			got, err := w.l.Flow(f.AppendToken(nil))
			if err != nil || !got.Same(f) || got.ID() != f.ID() {
				t.Errorf("%v: %v, %v", f, got, err)
			}
			if got := w.l.Find(f.Kind(), f.ID(), f.Remote()); !got.Same(f) {
				t.Errorf("%v: found %v", f, got)
			}
			if got := w.l.Find(f.Kind(), f.ID(), sipAddr); got != nil {
				t.Errorf("%v: found with another address: %v", f, got)
			}
		}
		if udp.Same(tcp) || udp.Same(nil) {
			t.Error("different flows are the same")
		}
		// After a restart the numbers are others; the port still tells the listener.
		stale := udp.AppendToken(nil)
		stale[3] ^= 1
		if got, err := w.l.Flow(stale); err != nil || got.Remote() != udp.Remote() {
			t.Errorf("token of an earlier process: %v, %v", got, err)
		}
		token := tcp.AppendToken(nil)
		c.Close()
		<-time.After(time.Second)
		if f, err := w.l.Flow(token); err == nil {
			t.Errorf("a closed stream was found: %v", f)
		}
		for _, bad := range [][]byte{nil, []byte("x"), make([]byte, tokenLength), append(udp.AppendToken(nil), 0)} {
			if f, err := w.l.Flow(bad); err == nil {
				t.Errorf("token % x gave %v", bad, f)
			}
		}
	})
}

func TestRunReportsPortTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		_, err := New(Config{Network: w.server, Handler: w.h, Workers: 1, Listeners: []Listener{
			{Kind: TCP, Addr: netip.AddrPortFrom(anyIP, 5060)}}})
		if err == nil || !strings.Contains(err.Error(), "5060") {
			t.Errorf("%v", err)
		}
		if _, err := New(Config{Network: w.server, Handler: w.h, Listeners: []Listener{
			{Kind: TLS, Addr: netip.AddrPortFrom(anyIP, 5061)}}}); err == nil {
			t.Error("TLS without a certificate")
		}
	})
}
