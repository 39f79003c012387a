package proxy_test

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/location"
	"dialtone/internal/network"
	"dialtone/internal/sip"
)

func TestStatelessProxy(t *testing.T) {
	inOffice(t, setup{mode: "stateless"}, func(o *office) {
		for i := range o.phones {
			o.ring(i, 1000)
		}
		text := o.invite("1")
		var bob *ua
		var in *sip.Message
		for _, u := range o.phones {
			if m := u.next(time.Second); m != nil {
				bob, in = u, m
			}
		}
		if bob == nil {
			t.Fatal("nobody was rung")
		}
		// The same request twice: the same branch, the same target, byte for byte; no 100, nothing is absorbed.
		o.caller.send(at(us), text)
		if again := bob.next(time.Second); again == nil || string(again.Bytes()) != string(in.Bytes()) {
			t.Errorf("the repetition became\n%s", again.Bytes())
		}
		o.caller.silent(time.Second)
		if n, _ := in.MaxForwards(); n != 69 {
			t.Errorf("Max-Forwards %d", n)
		}
		// CANCEL takes the same way with the same branch.
		o.caller.send(at(us), o.caller.request("CANCEL", "sip:101@"+domain, "1"))
		cancel := bob.expect("CANCEL ")
		if a, b := list(in, sip.HVia)[0], list(cancel, sip.HVia)[0]; a != b {
			t.Errorf("Via of CANCEL %s, of INVITE %s", b, a)
		}
		bob.reply(cancel, 200)
		o.caller.expect("200 ")
		// Responses go by the second Via.
		bob.reply(in, 180)
		if ringing := o.caller.expect("180 "); len(list(ringing, sip.HVia)) != 1 {
			t.Errorf("Via %q", list(ringing, sip.HVia))
		}
		bob.reply(in, 487)
		o.fail(o.caller.expect("487 "), "1")
		ack := bob.expect("ACK ")
		if a, b := list(in, sip.HVia)[0], list(ack, sip.HVia)[0]; a != b {
			t.Errorf("Via of ACK %s, of INVITE %s", b, a)
		}
		if n := o.proxy.transactions.Len(); n != 0 {
			t.Errorf("%d transactions", n)
		}
	})
}

// The choice is spread over the targets, and follows the message alone.
func TestStatelessChoiceIsDeterministic(t *testing.T) {
	inOffice(t, setup{mode: "stateless"}, func(o *office) {
		for i := range o.phones {
			o.ring(i, 500)
		}
		var mu sync.Mutex
		count := map[string]int{}
		for _, u := range o.phones {
			u.answers(func(m *sip.Message) {
				mu.Lock()
				count[u.name+header(m, sip.HCallID)]++
				mu.Unlock()
			})
		}
		for n := range 60 {
			id := "c" + string(rune('A'+n))
			for range 3 {
				o.caller.send(at(us), o.caller.request("MESSAGE", "sip:101@"+domain, id, "Call-ID: "+id))
			}
			// A refresh of a binding does not change the choice.
			if n == 30 {
				<-time.After(time.Second)
				o.ring(1, 500)
			}
		}
		<-time.After(time.Second)
		spread := map[string]int{}
		mu.Lock()
		defer mu.Unlock()
		for _, u := range o.phones {
			for k, n := range count {
				if strings.HasPrefix(k, u.name) {
					spread[u.name]++
					if n != 3 {
						t.Errorf("%s got %d of 3", k, n)
					}
				}
			}
		}
		if len(spread) != 3 {
			t.Errorf("spread %v", spread)
		}
	})
}

func TestStatelessResponseOverAConnection(t *testing.T) {
	inOffice(t, setup{mode: "stateless"}, func(o *office) {
		o.ring(0, 1000)
		c, err := o.net.Host(at("192.0.2.50").Addr()).Dial(o.ctx, at(us))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		text := strings.ReplaceAll(o.caller.request("MESSAGE", "sip:101@"+domain, "1"), "SIP/2.0/UDP 192.0.2.100:5060", "SIP/2.0/TCP 192.0.2.50:5060")
		if _, err := c.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
			t.Fatal(err)
		}
		o.phones[0].reply(o.phones[0].expect("MESSAGE "), 200)
		if got := readSome(t, c); !strings.HasPrefix(got, "SIP/2.0 200 ") {
			t.Errorf("got %q", got)
		}
	})
}

func readSome(t *testing.T, c net.Conn) string {
	t.Helper()
	b := make([]byte, 8192)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := c.Read(b)
	if err != nil {
		t.Error(err)
	}
	return string(b[:n])
}

// What we have not asked for is not forwarded: a response with a branch that only looks like ours.
func TestStatelessForgedResponse(t *testing.T) {
	inOffice(t, setup{mode: "stateless"}, func(o *office) {
		o.phones[0].send(at(us), "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-s0123456789abcdef.0123456789abcdef\n"+
			"Via: SIP/2.0/UDP 192.0.2.12:5060;branch=z9hG4bK1\nFrom: <sip:a@h>;tag=1\nTo: <sip:b@h>;tag=2\nCall-ID: c\nCSeq: 1 INVITE\nContent-Length: 0\n\n")
		o.phones[1].silent(time.Second)
	})
}

func TestStatelessNeedsDNS(t *testing.T) {
	inOffice(t, setup{mode: "stateless"}, func(o *office) {
		o.names["far.example"] = []netip.Addr{o.phones[0].addr.Addr()}
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@far.example", "1"))
		o.phones[0].reply(o.phones[0].expect("MESSAGE sip:x@far.example "), 200)
		o.caller.expect("200 ")
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@nowhere.example", "2", "Call-ID: 2"))
		o.caller.expect("502 ")
		o.proxy.known = false
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@far.example", "3", "Call-ID: 3"))
		o.caller.expect("403 ")
	})
}

func TestRedirect(t *testing.T) {
	inOffice(t, setup{mode: "redirect"}, func(o *office) {
		o.ring(1, 500)
		<-time.After(10 * time.Second)
		o.ring(0, 1000)
		o.invite("1")
		res := o.caller.expect("302 ")
		got := list(res, sip.HContact)
		if len(got) != 2 || got[0] != "<"+contact(o.phones[0])+">;expires=3600" || got[1] != "<"+contact(o.phones[1])+">;q=0.500;expires=3590" {
			t.Errorf("Contact %q", got)
		}
		if res.Has(sip.HRecordRoute) {
			t.Error("Record-Route in a redirection")
		}
		o.fail(res, "1") // absorbed
		again := o.caller
		o.invite("1")
		if second := again.expect("302 "); string(second.ToTag()) != string(res.ToTag()) {
			t.Error("another tag for the same request")
		}
		o.caller.send(at(us), o.caller.request("CANCEL", "sip:101@"+domain, "1"))
		o.caller.expect("200 ")
		o.caller.send(at(us), o.caller.request("INVITE", "sip:102@"+domain, "2", "Call-ID: 2"))
		o.caller.expect("480 ")
		o.caller.send(at(us), o.caller.request("INVITE", "sip:999@"+domain, "3", "Call-ID: 3"))
		o.caller.expect("404 ")
		o.caller.send(at(us), o.caller.request("INVITE", "sip:101@other.example", "4", "Call-ID: 4"))
		o.caller.expect("404 ")
		o.caller.send(at(us), o.caller.request("INVITE", "sip:101@"+domain, "5", "Call-ID: 5", "Require: nonsense"))
		o.caller.expect("420 ")
		if n := o.proxy.transactions.Len(); n != 0 {
			t.Errorf("%d transactions", n)
		}
		for _, u := range o.phones {
			u.silent(time.Second)
		}
	})
}

// RFC 5393 §4.1 in little: two lines of one proxy, each of which leads to both.
func TestRFC5393Amplification(t *testing.T) {
	inWorld(t, network.Conditions{}, func(w *world) {
		n := w.node(setup{addr: us, domain: domain, mode: "proxy", lines: []string{"a", "b"}})
		caller := w.ua("192.0.2.100")
		for _, l := range []string{"a", "b"} {
			n.bind(l, location.Binding{Contact: "sip:a@192.0.2.1"})
			n.bind(l, location.Binding{Contact: "sip:b@192.0.2.1"})
		}
		messages := 0
		w.net.Tap(func(network.Frame) { messages++ })
		caller.send(at(us), caller.request("INVITE", "sip:a@"+domain, "1"))
		var res *sip.Message
		for res == nil || res.Status() < 200 {
			if res = caller.next(time.Minute); res == nil {
				t.Fatal("no answer")
			}
		}
		if s := res.Status(); s != 482 && s != 440 {
			t.Errorf("status %d", s)
		}
		caller.ack(res, "sip:a@"+domain, "1", at(us))
		<-time.After(time.Minute)
		w.net.Tap(nil)
		if messages >= 200 {
			t.Errorf("%d messages", messages)
		}
		t.Logf("%d messages", messages)
	})
}

// A spiral is no loop: the request comes again with another target.
func TestSpiral(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.proxy.bind("101", location.Binding{Contact: "sip:102@192.0.2.1"})
		o.proxy.bind("102", location.Binding{Contact: "sip:103@192.0.2.1"})
		o.proxy.bind("103", location.Binding{Contact: contact(o.phones[0])})
		o.invite("1", "From: <sip:104@"+domain+">;tag=1")
		in := o.phones[0].expect("INVITE ")
		if n := len(list(in, sip.HVia)); n != 4 {
			t.Errorf("%d Vias", n)
		}
		if o.proxy.asked != 1 {
			t.Errorf("the sender was asked %d times", o.proxy.asked)
		}
		o.phones[0].reply(in, 200)
		ok := o.caller.expect("200 ")
		o.caller.ack(ok, "", "1", at(us))
		o.phones[0].expect("ACK ")
		// A loop of one: it leads to itself.
		o.proxy.bind("104", location.Binding{Contact: "sip:104@192.0.2.1"})
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:104@192.0.2.1", "2", "Call-ID: 2"))
		o.caller.expect("482 ")
	})
}

func TestMaxBreadthExceeded(t *testing.T) {
	for _, mode := range []struct {
		breadth string
		want    string
	}{{"2", "440 "}, {"0", "440 "}, {"3", "486 "}, {"1000", "486 "}} {
		inOffice(t, setup{}, func(o *office) {
			for i := range o.phones {
				o.ring(i, 1000)
				o.phones[i].answers(func(m *sip.Message) {
					if m.Method() == sip.INVITE {
						if v, _ := m.Uint(sip.HMaxBreadth); v < 1 || v > 20 {
							t.Errorf("Max-Breadth %d", v)
						}
						o.phones[i].reply(m, 486)
					}
				})
			}
			o.invite("1", "Max-Breadth: "+mode.breadth)
			o.fail(o.caller.expect(mode.want), "1")
			if mode.breadth == "0" { // not for one branch either
				o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@192.0.2.11", "2", "Call-ID: 2", "Max-Breadth: 0"))
				o.caller.expect("440 ")
			}
		})
	}
}

// RFC 3665 §3.2: a call through two proxies, each of which stays on the path.
func TestRFC3665CallThroughTwoProxies(t *testing.T) {
	callThroughTwoProxies(t, "proxy", network.Conditions{}, 1)
}

// Messages are lost on every hop; every call is answered and ended all the same. A stateful proxy repeats them hop by
// hop. Without state the ends alone repeat, over three hops: at 10 % a BYE and its answer would fail one time in two, and
// eleven of them one time in 4,000 calls, so less is asked of that.
func TestCallsThroughTwoProxiesWithLoss(t *testing.T) {
	for mode, loss := range map[string]float64{"proxy": 0.1, "stateless": 0.03} {
		t.Run(mode, func(t *testing.T) {
			callThroughTwoProxies(t, mode, network.Conditions{Loss: loss, Delay: 5 * time.Millisecond}, 100)
		})
	}
}

// A contact that is no SIP URI is told by a redirect server, and used by nobody else: RFC 3261 §16.5.
func TestContactThatIsNotSIP(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless", "redirect"} {
		inOffice(t, setup{mode: mode}, func(o *office) {
			o.proxy.bind("101", location.Binding{Contact: "mailto:bob@" + domain, Q: 500,
				Flow: location.Flow{Transport: directory.UDP, Local: at(us), Remote: o.phones[0].addr}})
			o.invite("1")
			res := o.caller.next(time.Second)
			for res != nil && res.Status() == 100 {
				res = o.caller.next(time.Second)
			}
			want, contact := 480, ""
			if mode == "redirect" {
				want, contact = 302, "<mailto:bob@"+domain+">;q=0.500;expires=3600"
			}
			if res == nil || res.Status() != want || header(res, sip.HContact) != contact {
				t.Errorf("%s: %v, want %d", mode, res, want)
				return
			}
			o.fail(res, "1")
			o.phones[0].silent(time.Second)
		})
	}
}
