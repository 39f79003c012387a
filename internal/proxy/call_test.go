package proxy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/network"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// party is a user agent with transactions: it repeats what is lost.
type party struct {
	w            *world
	addr         netip.Addr
	transactions *transaction.Layer
	transport    *transport.Layer

	mu       sync.Mutex
	ended    map[string]bool // Call-IDs of calls whose BYE has come, or was answered
	answered map[string]bool // of calls that were answered
	invites  map[string]*transaction.Server
	rung     map[string]bool
	routes   map[string][]string
}

func (w *world) party(addr string) *party {
	w.t.Helper()
	p := &party{w: w, addr: netip.MustParseAddr(addr), ended: map[string]bool{}, answered: map[string]bool{}, rung: map[string]bool{},
		invites: map[string]*transaction.Server{}, routes: map[string][]string{}}
	p.transactions = transaction.New(transaction.Config{User: p})
	var err error
	p.transport, err = transport.New(transport.Config{Network: w.net.Host(p.addr), Handler: p, Workers: 1,
		Listeners: []transport.Listener{{Kind: transport.UDP, Addr: netip.AddrPortFrom(p.addr, 5060)}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.parties = append(w.parties, p)
	w.wg.Go(func() { _ = p.transport.Run(w.ctx) })
	w.wg.Go(func() { _ = p.transactions.Run(w.ctx) })
	return p
}

func (p *party) HandleMessage(f *transport.Flow, m *sip.Message) { p.transactions.HandleMessage(f, m) }
func (p *party) HandleMalformed(_ *transport.Flow, raw []byte, _ *sip.Message, err error) {
	p.w.t.Errorf("%v: %v\n%s", p.addr, err, raw)
}
func (p *party) HandleClosed(*transport.Flow, error)                 {}
func (p *party) HandleCancel(tx *transaction.Server, _ *sip.Message) {}
func (p *party) HandleFailure(c *transaction.Client, err error) {
	p.w.t.Errorf("%v: %v\n%s", p.addr, err, c.Request())
}
func (p *party) HandleUnacknowledged(tx *transaction.Server) { p.w.t.Errorf("%v: no ACK", p.addr) }

// HandleRequest plays the callee.
func (p *party) HandleRequest(tx *transaction.Server, _ transaction.Flow, m *sip.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := string(m.CallID())
	contact := "<sip:" + p.addr.String() + ">"
	switch m.Method() {
	case sip.INVITE:
		p.invites[id] = tx
		p.routes[id] = list(m, sip.HRecordRoute)
		tx.SetHandler(p)
		for _, status := range []int{180, 200} {
			_ = tx.Respond(sip.NewResponse(m, status, "", "callee").Copy(m, sip.HRecordRoute).Add(sip.HContact, contact))
		}
	case sip.ACK:
		if invite := p.invites[id]; invite != nil {
			invite.Acknowledged()
		}
	case sip.BYE:
		p.ended[id] = true
		_ = tx.Respond(sip.NewResponse(m, 200, "", ""))
	}
}

// HandleResponse plays the caller.
func (p *party) HandleResponse(c *transaction.Client, m *sip.Message) {
	id := string(m.CallID())
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case m.Status() == 180:
		p.rung[id] = true
	case m.Status() < 200:
	case m.Status() != 200:
		p.w.t.Errorf("%s: %s", id, startLine(m))
	case c.Method() == sip.BYE:
		p.ended[id] = true
	default:
		first := !p.answered[id]
		p.answered[id] = true
		p.routes[id] = routesOf(m, true)
		_, _ = p.transactions.Send(p.inside("ACK", m, 1), c.Flow())
		if first {
			flow := c.Flow()
			bye := p.inside("BYE", m, 2)
			p.w.wg.Go(func() {
				<-time.After(2 * time.Second)
				if _, err := p.transactions.Request(bye, flow, p); err != nil {
					p.w.t.Error(err)
				}
			})
		}
	}
}

// inside is a request inside the dialog that a 200 has made.
func (p *party) inside(method string, ok *sip.Message, cseq uint32) *sip.Builder {
	a, _ := sip.ParseAddress([]byte(header(ok, sip.HContact)))
	b := &sip.Builder{}
	b.Request(method, a.URI.String())
	for _, r := range routesOf(ok, true) {
		b.Add(sip.HRoute, strings.TrimPrefix(r, "Route: "))
	}
	return b.Copy(ok, sip.HFrom, sip.HTo, sip.HCallID).CSeq(cseq).Add(sip.HMaxForwards, "70")
}

// callThroughTwoProxies plays n calls of RFC 3665 §3.2: alice of atlanta by her proxy and that of biloxi to bob.
func callThroughTwoProxies(t *testing.T, mode string, c network.Conditions, n int) {
	inWorld(t, c, func(w *world) {
		const one, two = "192.0.2.111", "192.0.2.222"
		w.node(setup{addr: one, domain: "atlanta.example.com", mode: mode, hops: map[string]string{"biloxi.example.com": "sip:" + two}})
		biloxi := w.node(setup{addr: two, domain: "biloxi.example.com", mode: mode, lines: []string{"bob"}})
		alice, bob := w.party("192.0.2.101"), w.party("192.0.2.201")
		biloxi.bind("bob", location.Binding{Contact: "sip:bob@192.0.2.201"})
		flow, err := alice.transport.Connect(transport.Target{Kind: transport.UDP, Addr: at(one)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			b := sip.NewRequest(sip.INVITE, "sip:bob@biloxi.example.com").Add(sip.HRoute, "<sip:"+one+";lr>").
				Add(sip.HFrom, "<sip:alice@atlanta.example.com>;tag=alice").Add(sip.HTo, "<sip:bob@biloxi.example.com>").
				Add(sip.HCallID, fmt.Sprintf("call-%d", i)).CSeq(1).Add(sip.HMaxForwards, "70").Add(sip.HContact, "<sip:alice@192.0.2.101>")
			if _, err := alice.transactions.Request(b, flow, alice); err != nil {
				t.Fatal(err)
			}
			<-time.After(20 * time.Millisecond)
		}
		<-time.After(time.Minute)
		alice.mu.Lock()
		bob.mu.Lock()
		defer alice.mu.Unlock()
		defer bob.mu.Unlock()
		if len(alice.answered) != n || len(alice.ended) != n || len(bob.ended) != n {
			t.Errorf("%d of %d answered, %d and %d ended", len(alice.answered), n, len(alice.ended), len(bob.ended))
		}
		for id, routes := range bob.routes {
			if len(routes) != 2 || !strings.Contains(routes[0], "@"+two) || !strings.Contains(routes[1], "@"+one) {
				t.Fatalf("%s: Record-Route %q", id, routes)
			}
		}
		if c.Loss == 0 && len(alice.rung) != n {
			t.Error("no 180")
		}
	})
}
