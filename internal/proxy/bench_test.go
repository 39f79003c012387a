package proxy_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/location"
	"dialtone/internal/network"
	"dialtone/internal/nexthop"
	"dialtone/internal/proxy"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// void is a network that takes everything and remembers the last datagram.
type void struct {
	addr   netip.AddrPort
	closed chan struct{}
	once   sync.Once
	last   []byte
}

func (v *void) ListenPacket(netip.AddrPort, bool) (network.PacketConn, error) { return v, nil }
func (v *void) Listen(netip.AddrPort) (net.Listener, error)                   { return nil, errors.ErrUnsupported }
func (v *void) Dial(context.Context, netip.AddrPort) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}
func (v *void) NewPoller(int) (network.Poller, error)       { return nil, errors.ErrUnsupported }
func (v *void) LocalAddrFor(netip.Addr) (netip.Addr, error) { return v.addr.Addr(), nil }
func (v *void) LocalAddr() netip.AddrPort                   { return v.addr }
func (v *void) WriteBatch(ps []network.Packet) (int, error) { return len(ps), nil }
func (v *void) CloseLater()                                 {}
func (v *void) Close() error                                { v.once.Do(func() { close(v.closed) }); return nil }
func (v *void) WriteTo(b []byte, _ netip.AddrPort) error {
	v.last = append(v.last[:0], b...)
	return nil
}
func (v *void) ReadBatch([]network.Packet) (int, error) { <-v.closed; return 0, net.ErrClosed }

// rig is a proxy in the void with line 101 bound to one phone, and four servers behind.
type rig struct {
	*node
	void *void
	from *transport.Flow // of the caller
	far  *transport.Flow // of the phone
}

func newRig(tb testing.TB, mode string) *rig {
	v := &void{addr: netip.MustParseAddrPort("192.0.2.1:5060"), closed: make(chan struct{})}
	n := &node{addr: v.addr.Addr(), known: true, directory: directory.New(), locations: location.New(location.Config{}, time.Now())}
	n.directory.Apply(lines(tb, setup{domain: domain, lines: []string{"101"}, sets: []*directory.NextHop{
		farm("sip:192.0.2.11", "sip:192.0.2.12", "sip:192.0.2.13", "sip:192.0.2.14"),
	}}))
	n.transactions = transaction.New(transaction.Config{User: n})
	n.resolver = transport.NewResolver(transport.ResolverConfig{DNS: names{}})
	var err error
	n.transport, err = transport.New(transport.Config{Network: v, Handler: n, Workers: 1,
		Listeners: []transport.Listener{{Kind: transport.UDP, Addr: v.addr, Role: mode}}})
	if err != nil {
		tb.Fatal(err)
	}
	n.hops = nexthop.New(nexthop.Config{})
	n.hops.Update(n.directory.Snapshot())
	n.proxy = proxy.New(proxy.Config{NextHops: n.hops, Transactions: n.transactions, Network: n.transport, Resolver: n.resolver, Directory: n.directory,
		Locations: n.locations, Door: n, Key: proxy.Key{1}, UserAgent: "Dialtone",
		Own:   func(host []byte, _ uint16) bool { return string(host) == us },
		Local: func(a netip.Addr) bool { return a == n.addr }})
	n.bind("101", location.Binding{Contact: "sip:101@192.0.2.11"})
	r := &rig{node: n, void: v}
	flow := func(a string) *transport.Flow {
		f, err := n.transport.Connect(transport.Target{Kind: transport.UDP, Addr: at(a)})
		if err != nil {
			tb.Fatal(err)
		}
		return f
	}
	r.from, r.far = flow("192.0.2.100"), flow("192.0.2.11")
	tb.Cleanup(func() { n.proxy.Close(); n.transport.Close(); n.resolver.Close() })
	return r
}

func inviteText(branch, callID string) string {
	return strings.ReplaceAll("INVITE sip:101@"+domain+" SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK"+branch+";rport\nMax-Forwards: 70\n"+
		"From: \"Alice\" <sip:alice@elsewhere.example>;tag=9fxced76sl\nTo: <sip:101@"+domain+">\nCall-ID: "+callID+"\nCSeq: 1 INVITE\n"+
		"Contact: <sip:alice@192.0.2.100>\nUser-Agent: Phone/1.0\nAllow: INVITE, ACK, CANCEL, BYE\nContent-Type: application/sdp\nContent-Length: 130\n\n", "\n", "\r\n") +
		strings.Repeat("v=0 o=- 1 1\r\n", 10)
}

// take parses b into m as a worker does, and hands it up.
func (r *rig) take(tb testing.TB, f *transport.Flow, m *sip.Message, b []byte) {
	if err := m.Parse(b); err != nil {
		tb.Fatal(err)
	}
	m.Received = f.Remote()
	r.HandleMessage(f, m)
}

// toServers is the same message for a line of the servers behind.
func toServers(text string) string { return strings.ReplaceAll(text, "101@"+domain, "101@"+behind) }

func BenchmarkStatelessRequest(b *testing.B) {
	for _, c := range []struct{ name, text, want string }{
		{"line", inviteText("1", "call"), "INVITE sip:101@192.0.2.11 "},
		{"servers", toServers(inviteText("1", "call")), "INVITE sip:101@" + behind + " "},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRig(b, "stateless")
			text, m := []byte(c.text), &sip.Message{}
			b.ReportAllocs()
			for b.Loop() {
				r.take(b, r.from, m, text)
			}
			if !strings.HasPrefix(string(r.void.last), c.want) {
				b.Fatalf("sent %q", r.void.last)
			}
		})
	}
}

func BenchmarkStatelessResponse(b *testing.B) {
	r := newRig(b, "stateless")
	m := &sip.Message{}
	r.take(b, r.from, m, []byte(inviteText("1", "call")))
	if err := m.Parse(append([]byte(nil), r.void.last...)); err != nil {
		b.Fatal(err)
	}
	text := sip.NewResponse(m, 180, "", "callee").Copy(m, sip.HRecordRoute).Append(nil)
	m = &sip.Message{}
	b.ReportAllocs()
	for b.Loop() {
		r.take(b, r.far, m, text)
	}
	if !strings.HasPrefix(string(r.void.last), "SIP/2.0 180 ") || strings.Contains(string(r.void.last), "192.0.2.1:5060;branch") {
		b.Fatalf("sent %q", r.void.last)
	}
}

// BenchmarkStatefulCall is INVITE, 180, 200, ACK, BYE and its 200 through a proxy that stays on the path: six messages
// that come in, and seven that go out.
func BenchmarkStatefulCall(b *testing.B) {
	b.Run("line", func(b *testing.B) { statefulCall(b, func(text string) string { return text }) })
	b.Run("servers", func(b *testing.B) { statefulCall(b, toServers) })
}

func statefulCall(b *testing.B, to func(text string) string) {
	r := newRig(b, "proxy")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.transactions.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	m, in := &sip.Message{}, &sip.Message{}
	answer := func(status int) []byte {
		return sip.NewResponse(in, status, "", "callee").Copy(in, sip.HRecordRoute).Add(sip.HContact, "<sip:101@192.0.2.11>").Append(nil)
	}
	sent := func() {
		if err := in.Parse(append([]byte(nil), r.void.last...)); err != nil {
			b.Fatal(err)
		}
		in.Received = at(us)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		id := strconv.Itoa(n)
		r.take(b, r.from, m, []byte(to(inviteText(id, "call-"+id))))
		sent()
		r.take(b, r.far, m, answer(180))
		ok := answer(200)
		r.take(b, r.far, m, ok)
		for _, method := range []string{"ACK", "BYE"} {
			r.take(b, r.from, m, inside(method, id, in))
		}
		sent()
		r.take(b, r.far, m, sip.NewResponse(in, 200, "", "").Append(nil))
		if !strings.HasPrefix(string(r.void.last), "SIP/2.0 200 ") {
			b.Fatalf("sent %q", r.void.last)
		}
	}
}

// inside is a request inside the dialog of an INVITE as the callee has seen it.
func inside(method, id string, in *sip.Message) []byte {
	return []byte(strings.ReplaceAll(method+" sip:101@192.0.2.11 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK"+method+id+";rport\nMax-Forwards: 70\n"+
		"Route: "+list(in, sip.HRecordRoute)[0]+"\nFrom: \"Alice\" <sip:alice@elsewhere.example>;tag=9fxced76sl\nTo: <sip:101@"+domain+">;tag=callee\n"+
		"Call-ID: call-"+id+"\nCSeq: 2 "+method+"\nContent-Length: 0\n\n", "\n", "\r\n"))
}

// What is forwarded without state allocates nothing.
func TestStatelessAllocations(t *testing.T) {
	r := newRig(t, "stateless")
	for _, text := range []string{inviteText("1", "call"), toServers(inviteText("1", "call"))} {
		b, m := []byte(text), &sip.Message{}
		if n := testing.AllocsPerRun(200, func() { r.take(t, r.from, m, b) }); n > steadyAllocs {
			t.Errorf("a request: %v allocations\n%s", n, text)
		}
	}
}
