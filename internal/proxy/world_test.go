package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dialtone/internal/directory"
	"dialtone/internal/event"
	"dialtone/internal/location"
	"dialtone/internal/network"
	"dialtone/internal/nexthop"
	"dialtone/internal/proxy"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// TestMain fails when a goroutine outlives its test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a network in memory with proxies and user agents that speak in raw messages.
type world struct {
	t       *testing.T
	net     *network.Memory
	names   names
	nodes   []*node
	parties []*party
	ctx     context.Context
	wg      sync.WaitGroup
	bus     *event.Bus
}

// names are what the DNS knows.
type names map[string][]netip.Addr

func (n names) Lookup(_ context.Context, name string, t transport.RecordType) (transport.Answer, error) {
	if a, ok := n[strings.TrimSuffix(name, ".")]; ok && t == transport.Addresses {
		return transport.Answer{Addrs: a}, nil
	}
	return transport.Answer{}, nil
}

// inWorld plays act in virtual time and checks that nothing of it remains.
func inWorld(t *testing.T, c network.Conditions, act func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if c.Delay == 0 {
			c.Delay = time.Millisecond
		}
		ctx, stop := context.WithCancel(context.Background())
		w := &world{t: t, names: names{}, ctx: ctx, bus: event.NewBus(event.Config{}), net: network.NewMemory(network.MemoryConfig{Seed: 7, Default: c})}
		defer func() {
			stop()
			for _, p := range w.parties {
				p.transport.Close()
			}
			for _, n := range w.nodes {
				n.transport.Close()
				n.proxy.Close()
				n.resolver.Close()
			}
			_ = w.net.Close()
			w.wg.Wait()
		}()
		act(w)
		if t.Failed() {
			return
		}
		for _, n := range w.nodes {
			n.stopHops()
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		for _, n := range w.nodes {
			if left := n.transactions.Len(); left != 0 {
				t.Errorf("%v: %d transactions are left", n.addr, left)
			}
		}
	})
}

// node is one proxy.
type node struct {
	w            *world
	addr         netip.Addr
	mode         map[string]string // by role
	transactions *transaction.Layer
	transport    *transport.Layer
	resolver     *transport.Resolver
	locations    *location.Table
	directory    *directory.Directory
	proxy        *proxy.Proxy
	known        bool // what the door says
	doubts       bool // the door vouches for nobody
	hops         *nexthop.Hops
	stopHops     context.CancelFunc
	asked        int
}

var (
	_ transport.Handler     = (*node)(nil)
	_ transaction.User      = (*node)(nil)
	_ transaction.Forwarder = (*node)(nil)
)

// setup of a node.
type setup struct {
	addr   string
	domain string
	mode   string // "proxy", "stateless" or "redirect"
	timerC time.Duration
	lines  []string
	static map[string]string // line to address
	hops   map[string]string // domain to server, without health checks
	sets   []*directory.NextHop
	kinds  []transport.Kind // UDP and TCP when nil
}

func (w *world) node(s setup) *node {
	w.t.Helper()
	n := &node{w: w, addr: netip.MustParseAddr(s.addr), known: true}
	host := w.net.Host(n.addr)
	n.directory = directory.New()
	n.directory.Apply(lines(w.t, s))
	n.locations = location.New(location.Config{}, time.Now())
	n.transactions = transaction.New(transaction.Config{User: n})
	n.resolver = transport.NewResolver(transport.ResolverConfig{DNS: w.names})
	if s.kinds == nil {
		s.kinds = []transport.Kind{transport.UDP, transport.TCP}
	}
	var listeners []transport.Listener
	for _, k := range s.kinds {
		listeners = append(listeners, transport.Listener{Kind: k, Addr: netip.AddrPortFrom(n.addr, 5060), Role: s.mode + "/" + k.Name()})
	}
	var err error
	n.transport, err = transport.New(transport.Config{Network: host, Handler: n, Workers: 1, Listeners: listeners})
	if err != nil {
		w.t.Fatal(err)
	}
	own := func(host []byte, port uint16) bool {
		return string(host) == n.addr.String() && (port == 0 || port == 5060)
	}
	n.hops = nexthop.New(nexthop.Config{Own: own, Publisher: w.bus, Checker: &nexthop.Options{
		Transactions: n.transactions, Network: n.transport, Resolver: n.resolver, Role: s.mode + "/udp", UserAgent: "Dialtone",
	}})
	n.hops.Update(n.directory.Snapshot())
	n.proxy = proxy.New(proxy.Config{
		Transactions: n.transactions, Network: n.transport, Resolver: n.resolver, Directory: n.directory, Locations: n.locations,
		Door: n, NextHops: n.hops, Key: proxy.Key{1: n.addr.As4()[3]}, TimerC: s.timerC, UserAgent: "Dialtone",
		Own: own, Forwards: func(role string) bool { return strings.HasPrefix(role, s.mode+"/") },
		Local: func(a netip.Addr) bool { return a == n.addr },
	})
	w.wg.Go(func() { _ = n.transport.Run(w.ctx) })
	w.wg.Go(func() { _ = n.transactions.Run(w.ctx) })
	hopsCtx, stopHops := context.WithCancel(w.ctx)
	n.stopHops = stopHops
	w.wg.Go(func() { _ = n.hops.Run(hopsCtx) })
	w.nodes = append(w.nodes, n)
	return n
}

func lines(t testing.TB, s setup) (changes []directory.Change) {
	tenant := directory.NewID()
	add := func(obj directory.Object) {
		h := obj.Head()
		h.ID = directory.NewID()
		if obj.ObjectKind() == directory.KindTenant {
			h.ID = tenant
		}
		h.Tenant = tenant
		obj.SetDefaults()
		if err := obj.Validate(); err != nil {
			t.Fatal(err)
		}
		changes = append(changes, directory.Change{After: obj})
	}
	add(&directory.Tenant{Name: "default", Domains: []string{s.domain}})
	for _, number := range s.lines {
		d := directory.Device{Username: number, Auth: directory.AuthPassword}
		if a := s.static[number]; a != "" {
			d.Auth, d.Address, d.From = directory.AuthStatic, a, []netip.Prefix{netip.MustParsePrefix("198.51.100.1/32")}
		}
		var c directory.Credential
		c.MD5, c.SHA256 = directory.HA1(number, s.domain, directory.Secret("secret-"+number))
		if !d.Static() {
			d.Credentials = []directory.Credential{c}
		}
		add(&directory.Line{Number: number, Devices: []directory.Device{d}})
	}
	for domain, uri := range s.hops {
		add(&directory.NextHop{Name: domain, Domain: domain, Health: directory.HealthNone, Targets: []directory.HopTarget{{URI: uri}}})
	}
	for _, set := range s.sets {
		add(set)
	}
	return changes
}

func (n *node) HandleMessage(f *transport.Flow, m *sip.Message) {
	if !m.IsRequest() && proxy.TakesResponse(m) {
		n.proxy.HandleResponse(f, m)
		return
	}
	if m.IsRequest() {
		switch mode, _, _ := strings.Cut(f.Role(), "/"); mode {
		case "stateless":
			n.proxy.HandleStateless(f, m)
			return
		case "redirect":
			n.proxy.HandleRedirect(f, m)
			return
		}
	}
	n.transactions.HandleMessage(f, m)
}

func (n *node) HandleMalformed(f *transport.Flow, raw []byte, _ *sip.Message, err error) {
	n.w.t.Errorf("%v: %v from %v:\n%s", n.addr, err, f, raw)
}
func (n *node) HandleClosed(f *transport.Flow, _ error) { n.transactions.HandleClosed(f) }
func (n *node) HandleRequest(tx *transaction.Server, f transaction.Flow, m *sip.Message) {
	n.proxy.HandleRequest(tx, f.(*transport.Flow), m)
}
func (n *node) HandleCancel(tx *transaction.Server, m *sip.Message) { n.proxy.HandleCancel(tx, m) }
func (n *node) Forwards(transaction.Flow) bool                      { return true }
func (n *node) Identify(tx *transaction.Server, _ *transport.Flow, m *sip.Message) bool {
	n.asked++
	if !n.known {
		b := sip.NewResponse(m, 407, "", "door").Add(sip.HProxyAuthenticate, `Digest realm="r", nonce="n"`)
		_ = tx.Respond(b)
	}
	return n.known
}
func (n *node) Knows(*transport.Flow, *sip.Message) bool   { return n.known }
func (n *node) Vouches(*transport.Flow, *sip.Message) bool { return !n.doubts }
func (n *node) Trim(_ *transport.Flow, _ *sip.Message, res []byte) []byte {
	return bytes.Replace(res, []byte("Server: Dialtone\r\n"), nil, 1)
}

// bind registers a contact as the registrar would.
func (n *node) bind(number string, b location.Binding) {
	s := n.directory.Snapshot()
	tenant := s.TenantByName("default")
	l := s.Line(tenant.ID, number)
	if b.Q == 0 {
		b.Q = 1000
	}
	now := time.Now()
	b.Device, b.Created, b.Updated, b.Expires = number, now, now, now.Add(time.Hour)
	if b.Flow.Transport == "" {
		u, _ := sip.ParseURI([]byte(b.Contact))
		a, ok := u.HostAddr()
		if !ok {
			n.w.t.Fatalf("contact %s", b.Contact)
		}
		port := u.Port
		if port == 0 {
			port = 5060
		}
		b.Flow = location.Flow{Transport: directory.UDP, Local: netip.AddrPortFrom(n.addr, 5060), Remote: netip.AddrPortFrom(a, port)}
	}
	n.locations.Update(location.AOR{Tenant: tenant.ID, Line: l.ID}, now, func(current []location.Binding) ([]location.Binding, bool) {
		return append(current, b), true
	})
}

// ua is a user agent that speaks UDP.
type ua struct {
	w    *world
	name string
	addr netip.AddrPort
	pc   network.PacketConn
	in   chan *sip.Message
	auto func(m *sip.Message) // handles everything when set
	mu   sync.Mutex
	got  []string // start lines, in order
	last string   // the request that was expected last
}

func (w *world) ua(addr string) *ua {
	w.t.Helper()
	u := &ua{w: w, name: addr, addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 5060), in: make(chan *sip.Message, 1000)}
	var err error
	if u.pc, err = w.net.Host(u.addr.Addr()).ListenPacket(u.addr, false); err != nil {
		w.t.Fatal(err)
	}
	w.wg.Go(u.read)
	return u
}

func (u *ua) read() {
	ps := make([]network.Packet, 8)
	for {
		for i := range ps {
			ps[i].Data = make([]byte, 65536)
		}
		n, err := u.pc.ReadBatch(ps)
		if err != nil {
			return
		}
		for _, p := range ps[:n] {
			m := &sip.Message{}
			if err := m.Parse(bytes.Clone(p.Data)); err != nil {
				u.w.t.Errorf("%s got %v:\n%s", u.name, err, p.Data)
				continue
			}
			m.Received = p.Addr
			u.mu.Lock()
			u.got = append(u.got, startLine(m))
			auto := u.auto
			u.mu.Unlock()
			if auto != nil {
				auto(m)
				continue
			}
			u.in <- m
		}
	}
}

func startLine(m *sip.Message) string {
	line, _, _ := strings.Cut(string(m.Bytes()), "\r\n")
	return line
}

// answers lets f handle everything that comes.
func (u *ua) answers(f func(m *sip.Message)) {
	u.mu.Lock()
	u.auto = f
	u.mu.Unlock()
}

func (u *ua) send(to netip.AddrPort, text string) {
	if err := u.pc.WriteTo([]byte(strings.ReplaceAll(text, "\n", "\r\n")), to); err != nil {
		u.w.t.Errorf("%s: %v", u.name, err)
	}
}

// request is a request with the usual headers; more are header lines.
func (u *ua) request(method, uri, branch string, more ...string) string {
	from, to := "<sip:caller@elsewhere.example>;tag=from1", "<"+uri+">"
	callID := "call-" + u.name
	lines := []string{"Via: SIP/2.0/UDP " + u.addr.String() + ";branch=z9hG4bK" + branch + ";rport"}
	cseq := "1 " + method
	contact := "<sip:caller@" + u.addr.String() + ">"
	rest := []string{}
	for _, l := range more {
		name, value, _ := strings.Cut(l, ": ")
		switch name {
		case "From":
			from = value
		case "To":
			to = value
		case "Call-ID":
			callID = value
		case "CSeq":
			cseq = value
		case "Contact":
			contact = value
		default:
			rest = append(rest, l)
		}
	}
	lines = append(lines, "Max-Forwards: 70", "From: "+from, "To: "+to, "Call-ID: "+callID, "CSeq: "+cseq, "Contact: "+contact)
	for _, l := range rest {
		if strings.HasPrefix(l, "Max-Forwards:") {
			lines[1] = l
			continue
		}
		lines = append(lines, l)
	}
	return method + " " + uri + " SIP/2.0\n" + strings.Join(lines, "\n") + "\nContent-Length: 0\n\n"
}

// next waits for a message.
func (u *ua) next(d time.Duration) *sip.Message {
	select {
	case m := <-u.in:
		return m
	case <-time.After(d):
		return nil
	}
}

// expect waits for a message whose start line holds text, passing over repetitions of what came last.
func (u *ua) expect(text string) *sip.Message {
	u.w.t.Helper()
	deadline := time.After(40 * time.Second)
	for {
		select {
		case m := <-u.in:
			if strings.Contains(startLine(m), text) {
				if m.IsRequest() {
					u.last = string(m.Bytes())
				}
				return m
			}
			if m.Status() == 100 || u.last != "" && u.last == string(m.Bytes()) {
				continue // a repetition of what this test has seen
			}
			u.w.t.Fatalf("%s got %q while it waited for %q", u.name, startLine(m), text)
		case <-deadline:
			u.w.t.Fatalf("%s waited for %q in vain; it got %q", u.name, text, u.all())
		}
	}
}

// silent expects nothing for d.
func (u *ua) silent(d time.Duration) {
	u.w.t.Helper()
	if m := u.next(d); m != nil {
		u.w.t.Fatalf("%s got %q", u.name, startLine(m))
	}
}

func (u *ua) all() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.got...)
}

func (u *ua) count(text string) (n int) {
	for _, l := range u.all() {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// reply answers a request; lines are added.
func (u *ua) reply(m *sip.Message, status int, more ...string) {
	b := sip.NewResponse(m, status, "", "tag-"+u.name)
	if status > 100 && m.Method() != sip.CANCEL {
		b.Copy(m, sip.HRecordRoute)
		b.Add(sip.HContact, "<sip:"+u.addr.String()+">")
	}
	for _, l := range more {
		name, value, _ := strings.Cut(l, ": ")
		b.AddNamed(name, value)
	}
	if err := u.pc.WriteTo(b.Append(nil), m.Received); err != nil {
		u.w.t.Errorf("%s: %v", u.name, err)
	}
}

// ack acknowledges a final response to the INVITE of that branch: hop by hop, or for a 2xx along the routes.
func (u *ua) ack(res *sip.Message, uri, branch string, to netip.AddrPort) {
	toHeader, _ := res.Header(sip.HTo)
	callID := string(res.CallID())
	more := []string{"To: " + string(toHeader), "Call-ID: " + callID}
	from, _ := res.Header(sip.HFrom)
	more = append(more, "From: "+string(from))
	if res.Status()/100 == 2 {
		more = append(more, routesOf(res, true)...)
		c, _ := res.Header(sip.HContact)
		a, _ := sip.ParseAddress(c)
		uri, branch = a.URI.String(), branch+"-ack"
	}
	u.send(to, u.request("ACK", uri, branch, more...))
}

// routesOf is the route set that the Record-Route lines of a message make, reversed for the client.
func routesOf(m *sip.Message, client bool) (out []string) {
	for e := m.Elements(sip.HRecordRoute); e.Next(); {
		line := "Route: " + string(e.Value())
		if client {
			out = append([]string{line}, out...)
		} else {
			out = append(out, line)
		}
	}
	return out
}

func header(m *sip.Message, id sip.HeaderID) string {
	v, _ := m.Header(id)
	return string(v)
}

func list(m *sip.Message, id sip.HeaderID) (out []string) {
	for e := m.Elements(id); e.Next(); {
		out = append(out, string(e.Value()))
	}
	return out
}

func contact(u *ua) string { return fmt.Sprintf("sip:%s", u.addr) }

func at(addr string) netip.AddrPort { return netip.MustParseAddrPort(addr + ":5060") }
