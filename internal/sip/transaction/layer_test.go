package transaction

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/sip"
)

// wire joins two layers: what one side sends reaches the other after a delay, unless it is lost.
type wire struct {
	name     string
	reliable bool
	loss     float64
	delay    time.Duration
	rng      *rand.Rand
	mu       sync.Mutex
	sent     []string // first lines
	at       []time.Duration
	start    time.Time
	peer     *Layer
	back     *wire
	broken   bool
}

func (w *wire) Send(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return errors.New("wire cut")
	}
	line, _, _ := strings.Cut(string(b), "\r\n")
	w.sent = append(w.sent, line)
	w.at = append(w.at, time.Since(w.start).Round(10*time.Millisecond))
	if w.rng.Float64() < w.loss {
		return nil
	}
	raw := append([]byte(nil), b...)
	// A microsecond more for each message keeps their order in virtual time.
	time.AfterFunc(w.delay+time.Duration(len(w.sent))*time.Microsecond, func() {
		var m sip.Message
		if err := m.Parse(raw); err != nil {
			panic(fmt.Sprintf("%v in %q", err, raw))
		}
		m.Received = netip.MustParseAddrPort("192.0.2.1:5060")
		if w.peer != nil {
			w.peer.HandleMessage(w.back, &m)
		}
	})
	return nil
}

func (w *wire) Reliable() bool { return w.reliable }

func (w *wire) Via() string {
	if w.reliable {
		return "SIP/2.0/TCP " + w.name
	}
	return "SIP/2.0/UDP " + w.name
}

func (w *wire) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.sent...)
}

// core is a user and a handler that notes what it is told.
type core struct {
	mu       sync.Mutex
	requests []string
	cancels  int
	stray    int
	answer   func(tx *Server, m *sip.Message)
	unacked  int
	statuses []int
	errs     []error
	onFinal  func(c *Client, m *sip.Message)
}

func (c *core) HandleRequest(tx *Server, _ Flow, m *sip.Message) {
	c.mu.Lock()
	c.requests = append(c.requests, string(m.MethodName()))
	if tx == nil {
		c.stray++
	}
	answer := c.answer
	c.mu.Unlock()
	if answer != nil {
		answer(tx, m)
	}
}

func (c *core) HandleCancel(tx *Server, m *sip.Message) {
	c.mu.Lock()
	c.cancels++
	c.mu.Unlock()
}

func (c *core) HandleUnacknowledged(*Server) {
	c.mu.Lock()
	c.unacked++
	c.mu.Unlock()
}

func (c *core) HandleResponse(tx *Client, m *sip.Message) {
	c.mu.Lock()
	c.statuses = append(c.statuses, m.Status())
	f := c.onFinal
	c.mu.Unlock()
	if f != nil && m.Status() >= 200 {
		f(tx, m)
	}
}

func (c *core) HandleFailure(_ *Client, err error) {
	c.mu.Lock()
	c.errs = append(c.errs, err)
	c.mu.Unlock()
}

// pair is two layers and the wires between them, in a bubble of virtual time.
type pair struct {
	client, server *Layer
	up, down       *wire // what the client, the server sends
	uac, uas       *core
}

func newPair(t *testing.T, reliable bool, loss float64, seed uint64) *pair {
	p := &pair{uac: &core{}, uas: &core{}}
	p.client, p.server = New(Config{User: p.uac}), New(Config{User: p.uas})
	mk := func(name string) *wire {
		seed++
		return &wire{name: name, reliable: reliable, loss: loss, delay: 10 * time.Millisecond, rng: rand.New(rand.NewPCG(seed, 1)), start: time.Now()}
	}
	p.up, p.down = mk("192.0.2.1:5060"), mk("192.0.2.2:5060")
	p.up.peer, p.up.back = p.server, p.down
	p.down.peer, p.down.back = p.client, p.up
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, l := range []*Layer{p.client, p.server} {
		wg.Go(func() { l.Run(ctx) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

func request(method sip.Method, n int) *sip.Builder {
	return sip.NewRequest(method, "sip:bob@192.0.2.2").Add(sip.HFrom, "<sip:alice@192.0.2.1>;tag=a").Add(sip.HTo, "<sip:bob@192.0.2.2>").
		Add(sip.HCallID, fmt.Sprintf("call-%d", n)).CSeq(1).Add(sip.HMaxForwards, "70").Add(sip.HContact, "<sip:alice@192.0.2.1>")
}

func answer(status int) func(*Server, *sip.Message) {
	return func(tx *Server, m *sip.Message) {
		if tx != nil {
			tx.Respond(sip.NewResponse(m, status, "", "b"))
		}
	}
}

func (p *pair) gone(t *testing.T) {
	t.Helper()
	if n, m := p.client.Len(), p.server.Len(); n+m != 0 {
		t.Errorf("%d client and %d server transactions are left", n, m)
	}
}

func TestNobodyAnswers(t *testing.T) {
	for _, c := range []struct {
		method sip.Method
		want   string // times of the transmissions: timers A and E
	}{
		{sip.INVITE, "[0s 500ms 1.5s 3.5s 7.5s 15.5s 31.5s]"},
		{sip.OPTIONS, "[0s 500ms 1.5s 3.5s 7.5s 11.5s 15.5s 19.5s 23.5s 27.5s 31.5s]"},
	} {
		t.Run(c.method.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, false, 0, 1)
				p.up.peer = nil
				if _, err := p.client.Request(request(c.method, 1), p.up, p.uac); err != nil {
					t.Fatal(err)
				}
				time.Sleep(40 * time.Second)
				synctest.Wait()
				if got := roundTicks(p.up.at); got != c.want {
					t.Errorf("sent at %s, want %s", got, c.want)
				}
				if len(p.uac.errs) != 1 || !errors.Is(p.uac.errs[0], ErrTimeout) {
					t.Errorf("errors %v, want one timeout", p.uac.errs)
				}
				p.gone(t)
			})
		})
	}
}

// roundTicks takes away what the ticks of the wheel add.
func roundTicks(at []time.Duration) string {
	out := make([]time.Duration, len(at))
	for i, d := range at {
		out[i] = d.Truncate(500 * time.Millisecond)
	}
	return fmt.Sprint(out)
}

func TestInviteRefused(t *testing.T) {
	for _, reliable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, reliable, 0, 1)
			p.uas.answer = answer(486)
			p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
			time.Sleep(time.Second)
			synctest.Wait()
			if fmt.Sprint(p.uac.statuses) != "[486]" || len(p.up.lines()) != 2 || !strings.HasPrefix(p.up.lines()[1], "ACK ") {
				t.Errorf("statuses %v, sent %q", p.uac.statuses, p.up.lines())
			}
			if p.uas.stray != 0 || len(p.down.lines()) != 1 {
				t.Errorf("the ACK reached the user, or the 486 was repeated: %q", p.down.lines())
			}
			time.Sleep(time.Minute)
			p.gone(t)
		})
	}
}

// TestSuccessIsRepeated: RFC 3261 §13.3.1.4 and RFC 6026: the 2xx is repeated until the user has seen the ACK; each
// reaches the client's user; after 64*T1 without one the server's user is told.
func TestSuccessIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		p.uas.answer = func(tx *Server, m *sip.Message) {
			tx.SetHandler(p.uas)
			answer(200)(tx, m)
		}
		p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if n := len(p.down.lines()); n != 11 { // 0, .5, 1.5, 3.5, 7.5 ... every 4 s up to 32 s
			t.Errorf("2xx sent %d times: %v", n, p.down.at)
		}
		if len(p.uac.statuses) != 11 || p.uas.unacked != 1 {
			t.Errorf("%d 2xx reached the client, %d reports of a missing ACK", len(p.uac.statuses), p.uas.unacked)
		}
		p.gone(t)
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		p.uas.answer = func(tx *Server, m *sip.Message) {
			tx.SetHandler(p.uas)
			answer(200)(tx, m)
			time.AfterFunc(2*time.Second, tx.Acknowledged)
		}
		p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if n := len(p.down.lines()); n != 3 || p.uas.unacked != 0 {
			t.Errorf("2xx sent %d times, want 3 before the ACK; %d reports", n, p.uas.unacked)
		}
		p.gone(t)
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		var invite *Server
		var req *sip.Message
		p.uas.answer = func(tx *Server, m *sip.Message) {
			if tx != nil && m.Method() == sip.INVITE {
				invite, req = tx, m.Clone()
				tx.Respond(sip.NewResponse(m, 180, "", "b"))
			}
		}
		c, _ := p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		c.Cancel("SIP;cause=200") // before any response: held back (RFC 3261 §9.1)
		if n := len(p.up.lines()); n != 1 {
			t.Errorf("CANCEL left before a provisional response: %q", p.up.lines())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if p.uas.cancels != 1 {
			t.Fatalf("%d cancels reached the user", p.uas.cancels)
		}
		invite.Respond(sip.NewResponse(req, 487, "", "b"))
		time.Sleep(time.Second)
		synctest.Wait()
		if fmt.Sprint(p.uac.statuses) != "[180 487]" {
			t.Errorf("statuses %v", p.uac.statuses)
		}
		// A CANCEL that matches nothing: 481.
		p.client.Send(request(sip.CANCEL, 9), p.up)
		time.Sleep(time.Second)
		synctest.Wait()
		if lines := p.down.lines(); !strings.HasPrefix(lines[len(lines)-1], "SIP/2.0 481") {
			t.Errorf("CANCEL without INVITE was answered %q", lines[len(lines)-1])
		}
		time.Sleep(time.Minute)
		p.gone(t)
	})
}

// TestCancelRace: a 2xx that was quicker than the CANCEL reaches the client.
func TestCancelRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		p.uas.answer = func(tx *Server, m *sip.Message) {
			if tx != nil && m.Method() == sip.INVITE {
				tx.Respond(sip.NewResponse(m, 180, "", "b"))
				tx.Respond(sip.NewResponse(m, 200, "", "b"))
				tx.Acknowledged()
			}
		}
		c, _ := p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		c.Cancel("")
		time.Sleep(time.Minute)
		synctest.Wait()
		if fmt.Sprint(p.uac.statuses) != "[180 200]" || p.uas.cancels != 0 {
			t.Errorf("statuses %v, %d cancels", p.uac.statuses, p.uas.cancels)
		}
		p.gone(t)
	})
}

// TestMerged: RFC 3261 §8.2.2.2: the same request by another path.
func TestMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		// The refusal is not remembered, so its ACK belongs to nobody.
		if fmt.Sprint(p.uac.statuses) != "[482]" || fmt.Sprint(p.uas.requests) != "[INVITE ACK]" || p.uas.stray != 1 {
			t.Errorf("statuses %v, requests %v", p.uac.statuses, p.uas.requests)
		}
	})
}

// TestReliableProvisional: RFC 3262 §3.
func TestReliableProvisional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		p.uas.answer = func(tx *Server, m *sip.Message) {
			tx.SetHandler(p.uas)
			tx.RespondReliably(sip.NewResponse(m, 183, "", "b").Add(sip.HRequire, "100rel").Add(sip.HRSeq, "1"))
			time.AfterFunc(5*time.Second, tx.Pracked)
		}
		p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(p.down.lines()); n != 4 { // 0, .5, 1.5, 3.5
			t.Errorf("183 sent %d times: %v", n, p.down.at)
		}
		if p.uas.unacked != 0 {
			t.Error("a PRACK was there, and its absence reported")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		p.uas.answer = func(tx *Server, m *sip.Message) {
			tx.SetHandler(p.uas)
			tx.RespondReliably(sip.NewResponse(m, 183, "", "b").Add(sip.HRequire, "100rel").Add(sip.HRSeq, "1"))
		}
		p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		time.Sleep(70 * time.Second)
		synctest.Wait()
		if p.uas.unacked != 1 {
			t.Errorf("%d reports of a missing PRACK, want 1", p.uas.unacked)
		}
	})
}

// TestNonInvite: RFC 4320: no 408, no provisional response but 100.
func TestNonInvite(t *testing.T) {
	for status, want := range map[int]string{200: "[200]", 404: "[404]", 408: "[]", 180: "[]"} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, true, 0, 1)
			p.uas.answer = answer(status)
			p.client.Request(request(sip.OPTIONS, 1), p.up, p.uac)
			time.Sleep(time.Second)
			synctest.Wait()
			if got := fmt.Sprint(p.uac.statuses); got != want {
				t.Errorf("%d: client saw %s, want %s", status, got, want)
			}
			time.Sleep(15 * time.Minute)
			p.gone(t)
		})
	}
}

func TestBrokenWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		p.up.broken = true
		if _, err := p.client.Request(request(sip.OPTIONS, 1), p.up, p.uac); !errors.Is(err, ErrTransport) {
			t.Errorf("error %v, want %v", err, ErrTransport)
		}
		p.gone(t)
		p.up.broken = false
		p.up.peer = nil
		p.client.Request(request(sip.OPTIONS, 2), p.up, p.uac)
		p.up.mu.Lock()
		p.up.broken = true
		p.up.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(p.uac.errs) != 1 || !errors.Is(p.uac.errs[0], ErrTransport) {
			t.Errorf("errors %v", p.uac.errs)
		}
		p.gone(t)
	})
}

// TestLoss: with 10 % lost each way, every one of 1,000 INVITEs and OPTIONS gets its final response, each request reaches
// the user once, and nothing is left over.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		p := newPair(t, false, 0.10, seed)
		p.uas.answer = func(tx *Server, m *sip.Message) {
			if tx == nil {
				return
			}
			if m.Method() == sip.INVITE {
				tx.Respond(sip.NewResponse(m, 486, "", "b"))
				return
			}
			tx.Respond(sip.NewResponse(m, 200, "", "b"))
		}
		const n = 1000
		for i := range n {
			method := sip.INVITE
			if i%2 == 1 {
				method = sip.OPTIONS
			}
			if _, err := p.client.Request(request(method, i), p.up, p.uac); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(p.uac.statuses) != n || len(p.uac.errs) != 0 || len(p.uas.requests) != n {
			t.Errorf("seed %d: %d responses, %d errors, %d requests seen, want %d, 0, %d", seed, len(p.uac.statuses), len(p.uac.errs), len(p.uas.requests), n, n)
		}
		p.gone(t)
	})
}

// TestOrder: 1,000 requests back to back reach the user in the order in which they arrived.
func TestOrder(t *testing.T) {
	l := New(Config{})
	var seen []uint32
	l.SetUser(userFunc(func(tx *Server, m *sip.Message) {
		seen = append(seen, m.CSeq())
		tx.Respond(sip.NewResponse(m, 200, "", ""))
	}))
	w := &wire{name: "h", rng: rand.New(rand.NewPCG(1, 1)), start: time.Now()}
	w.loss = 1 // answers go nowhere
	var m sip.Message
	for i := range uint32(1000) {
		b := sip.NewRequest(sip.INFO, "sip:b@h").Via(fmt.Sprintf("SIP/2.0/UDP h;branch=z9hG4bK%d", i)).Add(sip.HFrom, "<sip:a@h>;tag=a").
			Add(sip.HTo, "<sip:b@h>;tag=b").Add(sip.HCallID, "c").CSeq(i + 1)
		if err := m.Parse(b.Append(nil)); err != nil {
			t.Fatal(err)
		}
		l.HandleMessage(w, &m)
	}
	if len(seen) != 1000 {
		t.Fatalf("%d requests delivered", len(seen))
	}
	for i, n := range seen {
		if n != uint32(i+1) {
			t.Fatalf("request %d was delivered at place %d", n, i)
		}
	}
}

type userFunc func(*Server, *sip.Message)

func (f userFunc) HandleRequest(tx *Server, _ Flow, m *sip.Message) { f(tx, m) }
func (f userFunc) HandleCancel(*Server, *sip.Message)               {}

// sink takes everything.
type sink struct{}

func (sink) Send([]byte) error { return nil }
func (sink) Reliable() bool    { return false }
func (sink) Via() string       { return "SIP/2.0/UDP 192.0.2.1:5060" }

// BenchmarkServer: one OPTIONS in, one 200 out, the transaction kept.
func BenchmarkServer(b *testing.B) {
	var w sip.Builder
	l := New(Config{User: userFunc(func(tx *Server, m *sip.Message) { tx.Respond(w.Response(m, 200, "", "t")) })})
	var m sip.Message
	raw := make([]byte, 0, 1024)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		raw = fmt.Appendf(raw[:0], "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK%d\r\nFrom: <sip:a@h>;tag=%d\r\nTo: <sip:h>\r\nCall-ID: %d\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", n, n, n)
		if err := m.Parse(raw); err != nil {
			b.Fatal(err)
		}
		l.HandleMessage(sink{}, &m)
		if n%1000 == 0 {
			forgetAll(l)
		}
	}
}

// forgetAll plays timer J for every transaction.
func forgetAll(l *Layer) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		due := s.wheel.advance(s.wheel.tick+40*50, nil)
		s.mu.Unlock()
		for _, t := range due {
			t.owner.expire(t.which, 1<<60)
		}
	}
}
