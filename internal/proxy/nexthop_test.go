package proxy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/event"
	"dialtone/internal/network"
	"dialtone/internal/sip"
)

const behind = "pbx.example" // the domain of the servers behind

// farm is a set for that domain without health checks.
func farm(uris ...string) *directory.NextHop {
	n := &directory.NextHop{Name: "inside", Domain: behind, Health: directory.HealthNone}
	for _, u := range uris {
		n.Targets = append(n.Targets, directory.HopTarget{URI: u})
	}
	return n
}

func checked(n *directory.NextHop) *directory.NextHop {
	n.Health = directory.HealthOptions
	return n
}

// withServers is an office whose three user agents are servers behind.
func withServers(t *testing.T, s setup, act func(o *office)) {
	t.Helper()
	if s.sets == nil {
		s.sets = []*directory.NextHop{farm("sip:192.0.2.11", "sip:192.0.2.12", "sip:192.0.2.13")}
	}
	inOffice(t, s, act)
}

// call is a call to the servers behind.
type call struct {
	o      *office
	id     string
	branch string
	uri    string
}

func (o *office) call(id string, more ...string) *call {
	c := &call{o, id, "b" + id, "sip:555@" + behind}
	o.caller.send(at(us), o.caller.request("INVITE", c.uri, c.branch, append(more, "Call-ID: "+id)...))
	return c
}

// order is who is tried for a call, as numbers of the servers.
func (o *office) order(id string) (out []int) {
	m, err := sip.NewRequest(sip.INVITE, "sip:555@"+behind).Via("SIP/2.0/UDP h;branch=z9hG4bK").Add(sip.HFrom, "<sip:a@b>;tag=1").
		Add(sip.HTo, "<sip:555@"+behind+">").Add(sip.HCallID, id).CSeq(1).Message()
	if err != nil {
		o.t.Fatal(err)
	}
	set := o.proxy.hops.ForDomain([]byte(behind), []byte("555"))
	for _, target := range set.Order(nil, set.SteadyKey(m), false, time.Now()) {
		var n int
		if _, err := fmt.Sscanf(target.URI, "sip:192.0.2.1%d", &n); err != nil {
			o.t.Fatal(target.URI)
		}
		out = append(out, n-1)
	}
	return out
}

// callFirst is the identifier of a call for which server i is tried before the others.
func (o *office) callFirst(i int) string {
	for n := range 1000 {
		if id := fmt.Sprintf("%d-%d-%d", i, n, time.Now().UnixMilli()); o.order(id)[0] == i {
			return id
		}
	}
	o.t.Fatal("nobody is tried first")
	return ""
}

// server takes the INVITE of the call; it may be anything but the first that is tried.
func (c *call) at(i int) *sip.Message {
	c.o.t.Helper()
	m := c.o.phones[i].expect("INVITE " + c.uri + " ")
	if string(m.CallID()) != c.id {
		c.o.t.Fatalf("server %d got call %s, not %s", i, m.CallID(), c.id)
	}
	return m
}

// answered lets server i answer, and ends with the ACK.
func (c *call) answered(i int, in *sip.Message) {
	c.o.t.Helper()
	c.o.phones[i].reply(in, 200)
	ok := c.o.caller.expect("200 ")
	if want := "tag-" + c.o.phones[i].name; string(ok.ToTag()) != want {
		c.o.t.Fatalf("the answer is from %s, want %s", ok.ToTag(), want)
	}
	c.o.caller.ack(ok, "", c.branch, at(us))
	c.o.phones[i].expect("ACK sip:" + c.o.phones[i].addr.String())
}

// refused expects a final failure at the caller.
func (c *call) refused(status string) {
	c.o.t.Helper()
	c.o.caller.ack(c.o.caller.expect(status+" "), c.uri, c.branch, at(us))
}

// Calls are spread by weight, each repetition and each request outside its dialog meets the same server, and what a
// server is sent is what the caller has sent.
func TestServersShareTheCalls(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless"} {
		set := farm("sip:192.0.2.11", "sip:192.0.2.12", "sip:192.0.2.13")
		set.Targets[0].Weight = 2
		withServers(t, setup{mode: mode, sets: []*directory.NextHop{set}}, func(o *office) {
			got := map[string]map[int]int{}
			for i, u := range o.phones {
				u.answers(func(m *sip.Message) {
					if m.Method() == sip.OPTIONS || m.Method() == sip.MESSAGE {
						if got[string(m.CallID())] == nil {
							got[string(m.CallID())] = map[int]int{}
						}
						got[string(m.CallID())][i]++
						u.reply(m, 200)
					}
				})
			}
			const n = 400
			for k := range n {
				id := fmt.Sprint("call", k)
				o.caller.send(at(us), o.caller.request("MESSAGE", "sip:555@"+behind, "m"+id, "Call-ID: "+id))
				o.caller.expect("200 ")
				o.caller.send(at(us), o.caller.request("OPTIONS", "sip:"+behind, "o"+id, "Call-ID: "+id, "CSeq: 2 OPTIONS"))
				o.caller.expect("200 ")
			}
			counts := make([]int, 3)
			for id, at := range got {
				if len(at) != 1 {
					t.Errorf("%s: call %s met %v", mode, id, at)
				}
				for i := range at {
					counts[i]++
				}
			}
			// 200, 100 and 100 are expected; five standard deviations are 50, 43 and 43.
			if len(got) != n || counts[0] < 150 || counts[0] > 250 || counts[1] < 57 || counts[1] > 143 || counts[2] < 57 || counts[2] > 143 {
				t.Errorf("%s: %d calls, shared out %v", mode, len(got), counts)
			}
		})
	}
}

func TestFailoverOnRefusal(t *testing.T) {
	for _, status := range []int{503, 408} {
		withServers(t, setup{}, func(o *office) {
			id := "failover"
			first, second := o.order(id)[0], o.order(id)[1]
			c := o.call(id)
			in := c.at(first)
			o.phones[first].reply(in, 100)
			o.phones[first].reply(in, status)
			o.phones[first].ackTo(t)
			in = c.at(second)
			o.phones[second].reply(in, 180)
			o.caller.expect("180 ")
			c.answered(second, in)
			// It is remembered: the next call of the same first choice goes to another one at once, and it is tried last.
			other := o.callFirst(second)
			if order := o.order(other); order[2] != first {
				t.Errorf("after %d the order is %v, %d has failed", status, order, first)
			}
			if n := o.caller.count(fmt.Sprint(status)); n != 0 {
				t.Errorf("the caller has seen %d", status)
			}
			for i, s := range o.proxy.hops.All() {
				if want := map[int][2]uint64{first: {1, 1}, second: {1, 0}}[i]; s.Requests != want[0] || s.Failures != want[1] {
					t.Errorf("%d: server %d has had %d requests and failed %d, want %v", status, i, s.Requests, s.Failures, want)
				}
			}
			<-time.After(31 * time.Second)
			if order := o.order(id); order[0] != first {
				t.Errorf("half a minute later the order is %v", order)
			}
		})
	}
}

// What does not say that the server is out of order goes back, and so does a refusal after it has rung.
func TestNoFailover(t *testing.T) {
	for _, c := range []struct {
		ring, status int
		want         string
	}{{0, 486, "486"}, {0, 500, "500"}, {0, 404, "404"}, {180, 503, "500"}} {
		withServers(t, setup{}, func(o *office) {
			first := o.order("x")[0]
			call := o.call("x")
			in := call.at(first)
			if c.ring > 0 {
				o.phones[first].reply(in, c.ring)
				o.caller.expect(fmt.Sprint(c.ring))
			}
			o.phones[first].reply(in, c.status)
			o.phones[first].ackTo(t)
			call.refused(c.want)
			if order := o.order("x"); order[0] != first {
				t.Errorf("%d counts against the server: %v", c.status, order)
			}
			for i, u := range o.phones {
				if i != first {
					u.silent(time.Second)
				}
			}
		})
	}
}

func TestAllServersFail(t *testing.T) {
	withServers(t, setup{}, func(o *office) {
		call := o.call("x")
		for _, i := range o.order("x") {
			o.phones[i].reply(call.at(i), 503)
			o.phones[i].ackTo(t)
		}
		call.refused("500")
		if n := o.caller.count("SIP/2.0 5"); n != 1 {
			t.Errorf("the caller has seen %d failures", n)
		}
		// Nobody is left out for good: a set whose servers are all dead is tried.
		again := o.call("x2")
		i := o.order("x2")[0]
		again.answered(i, again.at(i))
	})
}

// 503 with Retry-After: the server is left alone for that long, although it answers other requests.
func TestRetryAfter(t *testing.T) {
	withServers(t, setup{}, func(o *office) {
		id := o.callFirst(0)
		second := o.order(id)[1]
		call := o.call(id)
		o.phones[0].reply(call.at(0), 503, "Retry-After: 120 (maintenance);duration=5")
		o.phones[0].ackTo(t)
		call.answered(second, call.at(second))
		<-time.After(115 * time.Second)
		if order := o.order(id); order[2] != 0 {
			t.Errorf("within two minutes the order is %v", order)
		}
		<-time.After(6 * time.Second)
		if order := o.order(id); order[0] != 0 {
			t.Errorf("after two minutes the order is %v", order)
		}
	})
}

// Silence: after two seconds the next server has the call.
func TestFailoverOnSilence(t *testing.T) {
	withServers(t, setup{}, func(o *office) {
		first, second := o.order("x")[0], o.order("x")[1]
		o.phones[first].answers(func(*sip.Message) {})
		began := time.Now()
		call := o.call("x")
		in := call.at(second)
		if d := time.Since(began); d < 2*time.Second || d > 2100*time.Millisecond {
			t.Errorf("the second one after %v", d)
		}
		call.answered(second, in)
		// The next call does not wait.
		began = time.Now()
		next := o.call(o.callFirst(second))
		next.answered(second, next.at(second))
		if d := time.Since(began); d > 100*time.Millisecond {
			t.Errorf("the next call took %v", d)
		}
		<-time.After(10 * time.Second)
		if n := o.phones[first].count("INVITE"); n != 3 || o.phones[first].count("CANCEL") != 0 {
			t.Errorf("the silent one got %q", o.phones[first].all())
		}
	})
}

// A connection that is refused is a failure at once, not after two seconds.
func TestFailoverOnBrokenTransport(t *testing.T) {
	set := farm("sip:192.0.2.14;transport=tcp", "sip:192.0.2.12")
	set.Targets[1].Priority = 2
	withServers(t, setup{sets: []*directory.NextHop{set}}, func(o *office) {
		o.net.Host(netip.MustParseAddr("192.0.2.14")) // it is there, and listens to nothing
		for _, method := range []string{"INVITE", "MESSAGE"} {
			began := time.Now()
			o.caller.send(at(us), o.caller.request(method, "sip:555@"+behind, "b"+method, "Call-ID: "+method))
			in := o.phones[1].expect(method + " ")
			if d := time.Since(began); d > 500*time.Millisecond {
				t.Errorf("%s after %v", method, d)
			}
			o.phones[1].reply(in, 486)
			res := o.caller.expect("486 ")
			if method == "INVITE" {
				o.phones[1].ackTo(t)
				o.caller.ack(res, "sip:555@"+behind, "bINVITE", at(us))
			}
		}
	})
}

// A server that says 100 has the call: its silence after that is no failure.
func TestTryingEndsThePatience(t *testing.T) {
	withServers(t, setup{}, func(o *office) {
		first := o.order("x")[0]
		call := o.call("x")
		in := call.at(first)
		o.phones[first].reply(in, 100)
		<-time.After(20 * time.Second)
		call.answered(first, in)
		for i, u := range o.phones {
			if i != first && len(u.all()) > 0 {
				t.Errorf("server %d got %q", i, u.all())
			}
		}
	})
}

// The last server gets all the time there is.
func TestLastServerIsNotAbandoned(t *testing.T) {
	withServers(t, setup{sets: []*directory.NextHop{farm("sip:192.0.2.11")}}, func(o *office) {
		call := o.call("x")
		in := call.at(0)
		<-time.After(10 * time.Second)
		if n := o.phones[0].count("CANCEL"); n != 0 {
			t.Error("it was cancelled")
		}
		call.answered(0, in)
	})
}

// A name has several addresses: they are tried before the next server.
func TestAddressesOfAName(t *testing.T) {
	set := farm("sip:farm.example:5060", "sip:192.0.2.13")
	set.Targets[1].Priority = 2
	withServers(t, setup{sets: []*directory.NextHop{set}}, func(o *office) {
		o.names["farm.example"] = []netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.12")}
		o.phones[0].answers(func(*sip.Message) {})
		o.phones[1].answers(func(*sip.Message) {})
		call := o.call("x")
		in := call.at(2)
		if o.phones[0].count("INVITE") == 0 || o.phones[1].count("INVITE") == 0 {
			t.Errorf("the addresses got %q and %q", o.phones[0].all(), o.phones[1].all())
		}
		call.answered(2, in)
	})
	// A name that has none.
	withServers(t, setup{sets: []*directory.NextHop{set}}, func(o *office) {
		call := o.call("x")
		call.answered(2, call.at(2))
		if got := o.proxy.hops.All(); got[0].URI != "sip:192.0.2.13" || got[0].Word != "up" || got[1].Word != "failed" {
			t.Errorf("states %+v", got)
		}
	})
}

// A server that was given up and answers after all: RFC 3261 §16.7, §16.8.
func TestLateAnswers(t *testing.T) {
	start := func(t *testing.T, act func(o *office, c *call, late, next *ua, lateIn, nextIn *sip.Message)) {
		t.Helper()
		withServers(t, setup{}, func(o *office) {
			first, second := o.order("x")[0], o.order("x")[1]
			call := o.call("x")
			lateIn := call.at(first)
			nextIn := call.at(second)
			act(o, call, o.phones[first], o.phones[second], lateIn, nextIn)
		})
	}
	t.Run("a provisional response is cancelled and goes no further", func(t *testing.T) {
		start(t, func(o *office, c *call, late, next *ua, lateIn, nextIn *sip.Message) {
			late.reply(lateIn, 183)
			cancel := late.expect("CANCEL " + c.uri)
			if r := header(cancel, sip.HReason); !strings.HasPrefix(r, "SIP;cause=408") {
				t.Errorf("Reason %q", r)
			}
			late.reply(cancel, 200)
			late.reply(lateIn, 487)
			late.ackTo(t)
			next.reply(nextIn, 180)
			o.caller.expect("180 ")
			next.reply(nextIn, 200)
			o.caller.ack(o.caller.expect("200 "), "", c.branch, at(us))
			next.expect("ACK ")
			if o.caller.count("183") != 0 || o.caller.count("487") != 0 {
				t.Errorf("the caller got %q", o.caller.all())
			}
		})
	})
	t.Run("a 2xx wins, and the other server is cancelled", func(t *testing.T) {
		start(t, func(o *office, c *call, late, next *ua, lateIn, nextIn *sip.Message) {
			next.reply(nextIn, 180)
			o.caller.expect("180 ")
			late.reply(lateIn, 200)
			ok := o.caller.expect("200 ")
			o.caller.ack(ok, "", c.branch, at(us))
			late.expect("ACK ")
			cancel := next.expect("CANCEL ")
			if r := header(cancel, sip.HReason); !strings.HasPrefix(r, "SIP;cause=200") {
				t.Errorf("Reason %q", r)
			}
			next.reply(cancel, 200)
			next.reply(nextIn, 487)
			next.ackTo(t)
			o.caller.silent(5 * time.Second)
		})
	})
	t.Run("a 2xx after another 2xx is forwarded, for only the caller can end it", func(t *testing.T) {
		start(t, func(o *office, c *call, late, next *ua, lateIn, nextIn *sip.Message) {
			next.reply(nextIn, 200)
			o.caller.ack(o.caller.expect("200 "), "", c.branch, at(us))
			next.expect("ACK ")
			late.reply(lateIn, 200)
			second := o.caller.expect("200 ")
			if string(second.ToTag()) != "tag-"+late.name {
				t.Errorf("answer of %s", second.ToTag())
			}
			o.caller.ack(second, "", c.branch+"2", at(us))
			late.expect("ACK ")
		})
	})
	t.Run("a 2xx after the failure of all is forwarded", func(t *testing.T) {
		withServers(t, setup{sets: []*directory.NextHop{farm("sip:192.0.2.11", "sip:192.0.2.12")}}, func(o *office) {
			first, second := o.order("x")[0], o.order("x")[1]
			c := o.call("x")
			lateIn := c.at(first)
			o.phones[second].reply(c.at(second), 503)
			o.phones[second].ackTo(t)
			c.refused("500")
			o.phones[first].reply(lateIn, 200)
			o.caller.ack(o.caller.expect("200 "), "", c.branch+"2", at(us))
			o.phones[first].expect("ACK ")
		})
	})
	t.Run("a failure is dropped", func(t *testing.T) {
		start(t, func(o *office, c *call, late, next *ua, lateIn, nextIn *sip.Message) {
			late.reply(lateIn, 486)
			late.ackTo(t)
			o.caller.expect("100 ")
			o.caller.silent(time.Second)
			next.reply(nextIn, 200)
			o.caller.ack(o.caller.expect("200 "), "", c.branch, at(us))
			next.expect("ACK ")
		})
	})
}

// The caller gives up while the second server is being tried.
func TestCancelWhileFailingOver(t *testing.T) {
	withServers(t, setup{}, func(o *office) {
		order := o.order("x")
		first, second, third := o.phones[order[0]], o.phones[order[1]], o.phones[order[2]]
		c := o.call("x")
		lateIn, in := c.at(order[0]), c.at(order[1])
		second.reply(in, 180)
		o.caller.expect("180 ")
		o.caller.send(at(us), o.caller.request("CANCEL", c.uri, c.branch, "Call-ID: x"))
		o.caller.expect("200 ")
		cancel := second.expect("CANCEL ")
		second.reply(cancel, 200)
		first.reply(lateIn, 180) // too late in every respect
		late := first.expect("CANCEL ")
		first.reply(late, 200)
		first.reply(lateIn, 487)
		first.ackTo(t)
		second.reply(in, 487)
		second.ackTo(t)
		c.refused("487")
		third.silent(5 * time.Second)
	})
	// Before anybody has said anything: nobody else is tried, and the caller does not wait for the silent one.
	withServers(t, setup{}, func(o *office) {
		order := o.order("x")
		c := o.call("x")
		in := c.at(order[0])
		<-time.After(time.Second)
		o.caller.send(at(us), o.caller.request("CANCEL", c.uri, c.branch, "Call-ID: x"))
		o.caller.expect("200 ")
		began := time.Now()
		c.refused("487")
		if d := time.Since(began); d > 1100*time.Millisecond {
			t.Errorf("487 after %v", d)
		}
		o.phones[order[1]].silent(time.Second)
		o.phones[order[0]].reply(in, 180)
		cancel := o.phones[order[0]].expect("CANCEL ")
		o.phones[order[0]].reply(cancel, 200)
		o.phones[order[0]].reply(in, 487)
		o.phones[order[0]].ackTo(t)
		o.caller.silent(time.Second)
	})
}

// A server that is drained keeps its dialogs and gets no new ones.
func TestDrain(t *testing.T) {
	withServers(t, setup{}, func(o *office) {
		id := o.callFirst(0)
		c := o.call(id)
		in := c.at(0)
		c.answered(0, in)
		set := farm("sip:192.0.2.11", "sip:192.0.2.12", "sip:192.0.2.13")
		set.Targets[0].Drain = true
		o.proxy.configure(set)
		for k := range 50 {
			if order := o.order(fmt.Sprint(k)); len(order) != 2 || order[0] == 0 || order[1] == 0 {
				t.Fatalf("new calls go to %v", order)
			}
		}
		// In the dialog, by its Route; and without one, as a server sends that names itself by the domain.
		to := "To: <" + c.uri + ">;tag=tag-" + o.phones[0].name
		bye := []string{to, "Call-ID: " + id, "CSeq: 2 BYE"}
		var routes []string
		for _, v := range list(in, sip.HRecordRoute) {
			routes = append(routes, "Route: "+v)
		}
		o.caller.send(at(us), o.caller.request("INFO", contact(o.phones[0]), "info", append(routes, to, "Call-ID: "+id, "CSeq: 3 INFO")...))
		o.phones[0].reply(o.phones[0].expect("INFO "), 200)
		o.caller.expect("200 ")
		o.caller.send(at(us), o.caller.request("BYE", "sip:"+behind, "bye", bye...))
		o.phones[0].reply(o.phones[0].expect("BYE "), 200)
		o.caller.expect("200 ")
		// All drained: there is nobody for a new call.
		for i := range set.Targets {
			set.Targets[i].Drain = true
		}
		o.proxy.configure(set)
		o.call("new").refused("480")
	})
}

// configure replaces the sets of a node.
func (n *node) configure(sets ...*directory.NextHop) {
	n.w.t.Helper()
	s := n.directory.Snapshot()
	var changes []directory.Change
	tenant := s.TenantByName("default").ID
	old := map[string]directory.ID{}
	for h := range s.AllNextHops() {
		old[h.Name] = h.ID
		changes = append(changes, directory.Change{Before: h})
	}
	for _, h := range sets {
		h.SetDefaults()
		if err := h.Validate(); err != nil {
			n.w.t.Fatal(err)
		}
		h.Tenant = tenant
		if h.ID = old[h.Name]; h.ID.IsZero() {
			h.ID = directory.NewID()
		}
		changes = append(changes, directory.Change{After: h})
	}
	n.hops.Update(n.directory.Apply(changes))
}

// health answers OPTIONS for itself and leaves the rest to the test.
type health struct {
	mu     sync.Mutex
	status int // 0: it is silent
	asked  []time.Time
}

// be changes what OPTIONS is answered.
func (h *health) be(status int) {
	h.mu.Lock()
	h.status = status
	h.mu.Unlock()
}

// times is when OPTIONS has come.
func (h *health) times() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

// take takes one message; false: it is for the test.
func (h *health) take(u *ua, m *sip.Message) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case m.IsRequest() && m.Method() == sip.OPTIONS:
		h.asked = append(h.asked, time.Now())
		if h.status != 0 {
			u.reply(m, h.status)
		}
		return true
	case m.IsRequest() && m.Method() == sip.INVITE:
		return h.status == 0
	}
	return false
}

func (u *ua) healthy() *health {
	h := &health{status: 200}
	u.answers(func(m *sip.Message) {
		if !h.take(u, m) {
			u.in <- m
		}
	})
	return h
}

func TestHealthChecks(t *testing.T) {
	withServers(t, setup{sets: []*directory.NextHop{checked(farm("sip:192.0.2.11", "sip:192.0.2.12"))}}, func(o *office) {
		events := o.bus.Subscribe(event.Scope{AllTenants: true})
		defer events.Close()
		a, b := o.phones[0].healthy(), o.phones[1].healthy()
		b.be(405) // any answer but 408 and 503 is life
		id := o.callFirst(1)
		<-time.After(60 * time.Second)
		if len(a.times()) < 2 || len(b.times()) < 2 {
			t.Fatalf("asked %d and %d times in a minute", len(a.times()), len(b.times()))
		}
		b.be(0)
		silent := time.Now()
		e := <-events.Events()
		// Asked within 33 s, twice more after 4 s of waiting and 11 s of pause each, and 4 s of waiting.
		if d := time.Since(silent); e.Type != "next_hop.down" || d < 24*time.Second || d > 33*time.Second+42*time.Second+2*time.Second {
			t.Errorf("%s after %v", e.Type, d)
		}
		c := o.call(id)
		began := time.Now()
		c.answered(0, c.at(0))
		if time.Since(began) > 100*time.Millisecond || o.phones[1].count("INVITE") != 0 {
			t.Errorf("after the detection a call took %v; the dead one got %d", time.Since(began), o.phones[1].count("INVITE"))
		}
		b.be(200)
		back := time.Now()
		e = <-events.Events()
		if d := time.Since(back); e.Type != "next_hop.up" || d > 16*time.Second {
			t.Errorf("%s after %v", e.Type, d)
		}
		again := o.call(o.callFirst(1))
		again.answered(1, again.at(1))
		b.be(503)
		e = <-events.Events()
		if e.Type != "next_hop.down" {
			t.Errorf("503: %s", e.Type)
		}
	})
}

// The check is a sound request.
func TestHealthCheckRequest(t *testing.T) {
	withServers(t, setup{sets: []*directory.NextHop{checked(farm("sip:192.0.2.11"))}}, func(o *office) {
		m := o.phones[0].expect("OPTIONS sip:192.0.2.11 ")
		if err := m.Check(); err != nil {
			t.Error(err)
		}
		if n, _ := m.MaxForwards(); n != 70 || header(m, sip.HAccept) != "application/sdp" || header(m, sip.HUserAgent) != "Dialtone" {
			t.Errorf("request\n%s", m.Bytes())
		}
		if c := header(m, sip.HContact); c != "<sip:192.0.2.1:5060>" {
			t.Errorf("Contact %s", c)
		}
		o.phones[0].reply(m, 200)
	})
}

// A check that is given up is not repeated any more: it would pile up at a server that is down.
func TestHealthCheckIsNotRepeatedForEver(t *testing.T) {
	withServers(t, setup{sets: []*directory.NextHop{checked(farm("sip:192.0.2.11"))}}, func(o *office) {
		h := o.phones[0].healthy()
		h.be(0)
		<-time.After(15 * time.Second)
		n := 0
		all := h.times()
		for _, at := range all {
			if at.Sub(all[0]) < 9*time.Second {
				n++
			}
		}
		if n != 4 { // after 0, 0.5, 1.5 and 3.5 s
			t.Errorf("asked %d times in nine seconds", n)
		}
	})
}

// A REGISTER for the domain of a set reaches the registrar behind, which can call the phone back through the edge.
func TestRegisterThroughTheEdge(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless"} {
		withServers(t, setup{mode: mode}, func(o *office) {
			o.proxy.known = false
			id := o.callFirst(1)
			phone := o.ua("203.0.113.5") // it knows nothing but its private address
			phone.send(at(us), phone.request("REGISTER", "sip:"+behind, "r1", "Call-ID: "+id, "To: <sip:7@"+behind+">", "From: <sip:7@"+behind+">;tag=1",
				"Contact: <sip:7@10.0.0.5:5060>", "Supported: path"))
			in := o.phones[1].expect("REGISTER sip:" + behind + " ")
			path := list(in, sip.HPath)
			if len(path) != 1 || !strings.Contains(path[0], "@192.0.2.1:5060;lr") || !strings.Contains(path[0], ";ob") {
				t.Fatalf("%s: Path %q", mode, path)
			}
			o.phones[1].reply(in, 200, "Path: "+path[0])
			phone.expect("200 ")
			// The registrar calls: Route is the Path, the Request-URI the contact (RFC 3327 §5.3).
			o.phones[1].send(at(us), o.phones[1].request("INVITE", "sip:7@10.0.0.5:5060", "i1", "Route: "+path[0], "From: <sip:8@"+behind+">;tag=2",
				"To: <sip:7@"+behind+">", "Call-ID: back"))
			ring := phone.expect("INVITE sip:7@10.0.0.5:5060 ")
			if routes := list(ring, sip.HRoute); len(routes) != 0 {
				t.Errorf("%s: the phone gets Route %q", mode, routes)
			}
			phone.reply(ring, 200)
			ok := o.phones[1].expect("200 ")
			o.phones[1].ack(ok, "", "i1", at(us))
			phone.expect("ACK ")
			if o.proxy.asked != 0 {
				t.Errorf("%s: somebody was asked for a password", mode)
			}
		})
	}
}

// A REGISTER along a Route of its own is no business of the set: that would be an open relay.
func TestRegisterAlongARouteIsNotForTheSet(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless"} {
		withServers(t, setup{mode: mode}, func(o *office) {
			o.proxy.known = false
			o.caller.send(at(us), o.caller.request("REGISTER", "sip:"+behind, "r1", "Route: <sip:192.0.2.13;lr>"))
			o.caller.expect("403 ")
			o.phones[2].silent(time.Second)
		})
	}
}

// Sets without a domain take what is no line, by the longest prefix, from known senders, and name the server in the
// Request-URI.
func TestPrefixes(t *testing.T) {
	sets := func() []*directory.NextHop {
		prefix := func(name, domain, prefix, uri string) *directory.NextHop {
			n := farm(uri)
			n.Name, n.Domain, n.Prefix = name, domain, prefix
			return n
		}
		return []*directory.NextHop{
			prefix("ones", "", "1", "sip:192.0.2.11"), prefix("twelves", "", "12", "sip:192.0.2.12:5060;transport=udp"),
			prefix("iran", behind, "+98", "sip:192.0.2.13"), prefix("rest", behind, "", "sip:192.0.2.12"),
		}
	}
	for _, mode := range []string{"proxy", "stateless"} {
		withServers(t, setup{mode: mode, sets: sets()}, func(o *office) {
			for _, c := range []struct {
				uri    string
				server int
				want   string
			}{
				{"sip:1777@" + domain, 0, "sip:1777@192.0.2.11"}, {"sip:1277@192.0.2.1", 1, "sip:1277@192.0.2.12:5060;transport=udp"},
				{"sip:%31277@" + domain, 1, "sip:%31277@192.0.2.12:5060;transport=udp"}, {"tel:1277", 1, "tel:1277"},
				{"tel:(1)2-77", 1, "tel:(1)2-77"},
				{"sip:+98912@" + behind, 2, "sip:+98912@" + behind}, {"sip:%2B98912@" + behind, 2, "sip:%2B98912@" + behind},
				{"sip:1277@" + behind, 1, "sip:1277@" + behind}, {"sip:+1@PBX.Example", 1, "sip:+1@PBX.Example"},
			} {
				o.caller.send(at(us), o.caller.request("MESSAGE", c.uri, "m"+c.uri[4:8], "Call-ID: "+c.uri))
				o.phones[c.server].reply(o.phones[c.server].expect("MESSAGE "+c.want+" "), 200)
				o.caller.expect("200 ")
			}
			// 101 begins with 1 and is a line.
			o.caller.send(at(us), o.caller.request("MESSAGE", "sip:101@"+domain, "line"))
			o.caller.expect("480 ")
			o.caller.send(at(us), o.caller.request("MESSAGE", "sip:2000@"+domain, "none"))
			o.caller.expect("404 ")
			// Strangers reach the domain behind, and not the numbers.
			o.proxy.known = false
			o.caller.send(at(us), o.caller.request("MESSAGE", "sip:1777@"+domain, "stranger1", "Call-ID: s1"))
			o.caller.expect("40")
			o.caller.send(at(us), o.caller.request("MESSAGE", "sip:1@"+behind, "stranger2", "Call-ID: s2"))
			o.phones[1].reply(o.phones[1].expect("MESSAGE "), 200)
			o.caller.expect("200 ")
			o.phones[0].silent(time.Second)
		})
	}
}

// Without state, too, a server that is down gets nothing.
func TestStatelessFollowsHealth(t *testing.T) {
	withServers(t, setup{mode: "stateless", sets: []*directory.NextHop{checked(farm("sip:192.0.2.11", "sip:192.0.2.12"))}}, func(o *office) {
		_, b := o.phones[0].healthy(), o.phones[1].healthy()
		id := o.callFirst(1)
		send := func(branch string) {
			o.caller.send(at(us), o.caller.request("MESSAGE", "sip:1@"+behind, branch, "Call-ID: "+id))
		}
		send("1")
		o.phones[1].reply(o.phones[1].expect("MESSAGE "), 200)
		o.caller.expect("200 ")
		b.be(0)
		<-time.After(80 * time.Second)
		send("2")
		o.phones[0].reply(o.phones[0].expect("MESSAGE "), 200)
		o.caller.expect("200 ")
	})
}

func TestRedirectToServers(t *testing.T) {
	withServers(t, setup{mode: "redirect"}, func(o *office) {
		order := o.order("x")
		o.caller.send(at(us), o.caller.request("INVITE", "sip:555@"+behind, "1", "Call-ID: x"))
		res := o.caller.expect("302 ")
		want := []string{
			fmt.Sprintf("<sip:555@192.0.2.1%d>", order[0]+1), fmt.Sprintf("<sip:555@192.0.2.1%d>;q=0.990", order[1]+1),
			fmt.Sprintf("<sip:555@192.0.2.1%d>;q=0.980", order[2]+1),
		}
		if got := list(res, sip.HContact); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("contacts %q, want %q", got, want)
		}
	})
}

// A target that leads back here is no target.
func TestLoopsAreRefused(t *testing.T) {
	withServers(t, setup{sets: []*directory.NextHop{farm("sip:192.0.2.1", "sip:192.0.2.11")}}, func(o *office) {
		for k := range 10 {
			c := o.call(fmt.Sprint(k))
			c.answered(0, c.at(0))
		}
		if n := o.proxy.proxy.Stats.Loops.Load(); n != 0 {
			t.Errorf("%d loops", n)
		}
	})
	// By a name, which nobody knows until it is looked up: the loop ends where it has begun.
	withServers(t, setup{sets: []*directory.NextHop{farm("sip:me.example:5060")}}, func(o *office) {
		o.names["me.example"] = []netip.Addr{netip.MustParseAddr(us)}
		o.call("x").refused("482")
	})
}

// sips goes over TLS only (RFC 3261 §26.2.2), and nobody here has it.
func TestSecureRequestsNeedSecureServers(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless"} {
		withServers(t, setup{mode: mode}, func(o *office) {
			o.caller.send(at(us), o.caller.request("MESSAGE", "sips:1@"+behind, "1"))
			o.caller.expect("480 ")
			for _, u := range o.phones {
				u.silent(100 * time.Millisecond)
			}
		})
	}
}

// Where one packet of five is lost, repetitions and the other servers carry the calls through.
func TestCallsOverALossyNetwork(t *testing.T) {
	inWorld(t, network.Conditions{Loss: 0.2}, func(w *world) {
		s := setup{addr: us, domain: domain, mode: "proxy", sets: []*directory.NextHop{farm("sip:192.0.2.11", "sip:192.0.2.12", "sip:192.0.2.13")}}
		o := &office{world: w, proxy: w.node(s), caller: w.ua("192.0.2.100")}
		o.caller.answers(func(*sip.Message) {})
		taken := map[string]int{}
		for _, a := range []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"} {
			u := w.ua(a)
			o.phones = append(o.phones, u)
			u.answers(func(m *sip.Message) {
				if m.IsRequest() && m.Method() == sip.INVITE {
					u.reply(m, 486)
					taken[string(m.CallID())]++
				}
			})
		}
		for k := range 100 {
			o.caller.answers(func(m *sip.Message) {
				if !m.IsRequest() && m.Status() >= 300 {
					o.caller.ack(m, "sip:555@"+behind, "b"+string(m.CallID()), at(us))
				}
			})
			id := fmt.Sprint("call", k)
			text := o.caller.request("INVITE", "sip:555@"+behind, "b"+id, "Call-ID: "+id)
			for range 5 { // as a client repeats it
				o.caller.send(at(us), text)
				<-time.After(100 * time.Millisecond)
			}
			<-time.After(10 * time.Second)
		}
		if n := o.caller.count("SIP/2.0 486"); len(taken) != 100 || n < 95 {
			t.Errorf("%d calls arrived, %d answers came back", len(taken), n)
		}
	})
}

// A telephone on TCP and a server that speaks UDP alone: each side is told the transport that it speaks, in the dialog and
// in the Path.
func TestEachSideIsToldItsTransport(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless"} {
		withServers(t, setup{mode: mode, sets: []*directory.NextHop{farm("sip:192.0.2.11")}}, func(o *office) {
			c, err := o.net.Host(at("192.0.2.50").Addr()).Dial(o.ctx, at(us))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, method := range []string{"INVITE", "REGISTER"} {
				text := strings.ReplaceAll(o.caller.request(method, "sip:"+behind, "b"+method, "Call-ID: "+method, "Contact: <sip:a@192.0.2.50;transport=tcp>"),
					"SIP/2.0/UDP 192.0.2.100:5060", "SIP/2.0/TCP 192.0.2.50:5060")
				if _, err := c.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
					t.Fatal(err)
				}
				in := o.phones[0].expect(method + " ")
				if method == "REGISTER" {
					if path := list(in, sip.HPath); len(path) != 1 || strings.Contains(path[0], "transport") {
						t.Errorf("%s: Path %q", mode, path)
					}
					o.phones[0].reply(in, 200)
					continue
				}
				if rr := list(in, sip.HRecordRoute); len(rr) != 2 || strings.Contains(rr[0], "transport") || !strings.Contains(rr[1], ";transport=tcp;lr") {
					t.Errorf("%s: Record-Route %q", mode, rr)
				}
				o.phones[0].reply(in, 486)
				if mode == "proxy" {
					o.phones[0].ackTo(t)
				}
			}
		})
	}
}
