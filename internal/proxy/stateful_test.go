package proxy_test

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/network"
	"dialtone/internal/sip"
)

const (
	us     = "192.0.2.1"
	domain = "biloxi.example.com"
)

// office is a proxy with the lines 101 to 104, a caller, and three phones.
type office struct {
	*world
	proxy  *node
	caller *ua
	phones []*ua
}

func inOffice(t *testing.T, s setup, act func(o *office)) {
	t.Helper()
	inWorld(t, network.Conditions{}, func(w *world) {
		if s.mode == "" {
			s.mode = "proxy"
		}
		s.addr, s.domain, s.lines = us, domain, []string{"101", "102", "103", "104"}
		o := &office{world: w, proxy: w.node(s), caller: w.ua("192.0.2.100")}
		for _, a := range []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"} {
			o.phones = append(o.phones, w.ua(a))
		}
		act(o)
	})
}

// ring binds phone i to line 101 with q in thousandths.
func (o *office) ring(i int, q uint16) {
	o.proxy.bind("101", location.Binding{Contact: contact(o.phones[i]), Q: q})
}

func (o *office) invite(branch string, more ...string) string {
	text := o.caller.request("INVITE", "sip:101@"+domain, branch, more...)
	o.caller.send(at(us), text)
	return text
}

// fail acknowledges a failure.
func (o *office) fail(res *sip.Message, branch string) {
	o.caller.ack(res, "sip:101@"+domain, branch, at(us))
}

func (u *ua) ackTo(t *testing.T) {
	t.Helper()
	u.expect("ACK ")
}

func TestStatefulProxy(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		bob := o.phones[0]
		o.ring(0, 1000)
		text := o.invite("1", "X-Unknown: stays")
		o.caller.expect("100 ")
		in := bob.expect("INVITE " + contact(bob) + " ")
		if n, _ := in.MaxForwards(); n != 69 {
			t.Errorf("Max-Forwards %d", n)
		}
		if v, _ := in.Uint(sip.HMaxBreadth); v != 60 {
			t.Errorf("Max-Breadth %d", v)
		}
		rr := list(in, sip.HRecordRoute)
		if len(rr) != 1 || !strings.HasSuffix(rr[0], "@192.0.2.1:5060;lr>") {
			t.Errorf("Record-Route %q", rr)
		}
		if v, _ := in.HeaderNamed("X-Unknown"); string(v) != "stays" {
			t.Errorf("X-Unknown %q", v)
		}
		vias := list(in, sip.HVia)
		if len(vias) != 2 || !strings.Contains(vias[1], "received=192.0.2.100;rport=5060") {
			t.Errorf("Via %q", vias)
		}
		o.caller.send(at(us), text) // a repetition stays here
		bob.reply(in, 180)
		ringing := o.caller.expect("180 ")
		if n := len(list(ringing, sip.HVia)); n != 1 {
			t.Errorf("%d Vias go back", n)
		}
		bob.reply(in, 200)
		ok := o.caller.expect("200 ")
		o.caller.ack(ok, "", "1", at(us))
		ack := bob.expect("ACK " + contact(bob) + " ")
		if routes := list(ack, sip.HRoute); len(routes) != 0 {
			t.Errorf("our Route is still there: %q", routes)
		}
		// BYE from the callee, along the route that it has seen.
		to, from := header(in, sip.HTo)+";tag=tag-"+bob.name, header(in, sip.HFrom)
		more := append(routesOf(in, false), "From: "+to, "To: "+from, "Call-ID: "+string(in.CallID()))
		bob.send(at(us), bob.request("BYE", "sip:caller@192.0.2.100:5060", "bye1", more...))
		bye := o.caller.expect("BYE ")
		o.caller.reply(bye, 200)
		bob.expect("200 ")
		bob.silent(5 * time.Second) // neither the repeated INVITE nor anything else
	})
}

func TestRetransmitted2xxIsForwarded(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		bob := o.phones[0]
		o.ring(0, 1000)
		o.invite("1")
		in := bob.expect("INVITE ")
		for range 3 {
			bob.reply(in, 200)
			o.caller.expect("200 ")
			<-time.After(time.Second)
		}
		// The proxy does not repeat it by itself.
		<-time.After(10 * time.Second)
		if n := o.caller.count("200 "); n != 3 {
			t.Errorf("%d times 200", n)
		}
		// After the transactions are gone it is dropped: RFC 6026 §8.7.
		<-time.After(40 * time.Second)
		bob.reply(in, 200)
		o.caller.silent(5 * time.Second)
	})
}

func TestMaxForwardsZero(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless", "redirect"} {
		inOffice(t, setup{mode: mode}, func(o *office) {
			o.ring(0, 1000)
			o.invite("1", "Max-Forwards: 0")
			o.fail(o.caller.expect("483 "), "1")
			o.caller.send(at(us), o.caller.request("OPTIONS", "sip:192.0.2.1", "2", "Max-Forwards: 0", "Call-ID: o"))
			o.caller.expect("200 ")
			o.phones[0].silent(time.Second)
		})
	}
}

func TestProxyRequireUnknown(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.invite("1", "Proxy-Require: foo, bar")
		res := o.caller.expect("420 ")
		if got := list(res, sip.HUnsupported); len(got) != 2 || got[0] != "foo" || got[1] != "bar" {
			t.Errorf("Unsupported %q", got)
		}
		o.fail(res, "1")
	})
}

func TestUnknownLineAndNobodyThere(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.invite("1")
		o.fail(o.caller.expect("480 "), "1")
		o.caller.send(at(us), o.caller.request("INVITE", "sip:999@"+domain, "2", "Call-ID: 2"))
		o.caller.ack(o.caller.expect("404 "), "sip:999@"+domain, "2", at(us))
		o.caller.send(at(us), o.caller.request("MESSAGE", "urn:service:sos", "3", "Call-ID: 3"))
		o.caller.expect("416 ")
	})
}

func TestForkingParallel(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		for i := range o.phones {
			o.ring(i, 1000)
		}
		o.invite("1")
		var in [3]*sip.Message
		for i, u := range o.phones {
			in[i] = u.expect("INVITE ")
			if v, _ := in[i].Uint(sip.HMaxBreadth); v != 20 {
				t.Errorf("Max-Breadth %d", v)
			}
		}
		o.phones[0].reply(in[0], 180)
		o.phones[1].reply(in[1], 180)
		o.phones[2].reply(in[2], 486)
		o.phones[2].ackTo(t)
		o.caller.expect("180 ")
		o.caller.expect("180 ")
		o.phones[1].reply(in[1], 200)
		o.caller.ack(o.caller.expect("200 "), "", "1", at(us))
		o.phones[1].expect("ACK ")
		cancel := o.phones[0].expect("CANCEL ") // the loser
		if r := header(cancel, sip.HReason); !strings.HasPrefix(r, "SIP;cause=200") {
			t.Errorf("Reason %q", r)
		}
		o.phones[0].reply(cancel, 200)
		o.phones[0].reply(in[0], 487)
		o.phones[0].ackTo(t)
		o.caller.silent(5 * time.Second)
	})
}

func TestForkingSequential(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.ring(1, 500)
		o.ring(2, 500)
		o.invite("1")
		first := o.phones[0].expect("INVITE ")
		o.phones[1].silent(3 * time.Second)
		o.phones[0].reply(first, 486)
		o.phones[0].ackTo(t)
		a, b := o.phones[1].expect("INVITE "), o.phones[2].expect("INVITE ")
		o.phones[1].reply(a, 200)
		o.caller.ack(o.caller.expect("200 "), "", "1", at(us))
		o.phones[1].expect("ACK ")
		o.phones[2].reply(b, 180) // only now it can be cancelled: RFC 3261 §9.1
		c := o.phones[2].expect("CANCEL ")
		o.phones[2].reply(c, 200)
		o.phones[2].reply(b, 487)
		o.phones[2].ackTo(t)
	})
}

func TestBoth2xxAreForwarded(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.ring(1, 1000)
		o.invite("1")
		a, b := o.phones[0].expect("INVITE "), o.phones[1].expect("INVITE ")
		o.phones[0].reply(a, 200)
		o.phones[1].reply(b, 200)
		one, two := o.caller.expect("200 "), o.caller.expect("200 ")
		if string(one.ToTag()) == string(two.ToTag()) {
			t.Error("the same dialog twice")
		}
		o.caller.ack(one, "", "1", at(us))
		o.caller.ack(two, "", "2", at(us))
		o.phones[0].expect("ACK ")
		o.phones[1].expect("ACK ")
	})
}

func TestBestResponse(t *testing.T) {
	for _, c := range []struct {
		a, b int
		want string
	}{
		{486, 404, "486 "}, {404, 486, "486 "}, {487, 480, "480 "}, {500, 404, "404 "}, {302, 486, "302 "}, {486, 407, "407 "},
		{503, 500, "500 "}, {600, 401, "600 "}, {404, 604, "604 "}, {415, 486, "415 "}, {501, 480, "480 "},
	} {
		inOffice(t, setup{}, func(o *office) {
			o.ring(0, 1000)
			o.ring(1, 1000)
			o.invite("1")
			x, y := o.phones[0].expect("INVITE "), o.phones[1].expect("INVITE ")
			o.phones[0].reply(x, c.a)
			<-time.After(time.Millisecond)
			o.phones[1].reply(y, c.b)
			o.fail(o.caller.expect(c.want), "1")
			o.phones[0].ackTo(t)
			o.phones[1].ackTo(t)
		})
	}
}

func Test503BecomesServerError(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.invite("1")
		o.phones[0].reply(o.phones[0].expect("INVITE "), 503)
		o.fail(o.caller.expect("500 "), "1")
		o.phones[0].ackTo(t)
	})
}

func Test6xxCancelsAll(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.ring(1, 1000)
		o.ring(2, 500)
		o.invite("1")
		a, b := o.phones[0].expect("INVITE "), o.phones[1].expect("INVITE ")
		o.phones[0].reply(a, 180)
		o.caller.expect("180 ")
		o.phones[1].reply(b, 603)
		o.phones[1].ackTo(t)
		c := o.phones[0].expect("CANCEL ")
		o.phones[0].reply(c, 200)
		o.phones[0].reply(a, 487)
		o.phones[0].ackTo(t)
		o.fail(o.caller.expect("603 "), "1")
		o.phones[2].silent(5 * time.Second)
	})
}

func TestChallengesAreCollectedInOrder(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.ring(1, 1000)
		o.invite("1")
		a, b := o.phones[0].expect("INVITE "), o.phones[1].expect("INVITE ")
		o.phones[0].reply(a, 401, `WWW-Authenticate: Digest realm="a", algorithm=SHA-256, nonce="1"`, `WWW-Authenticate: Digest realm="a", algorithm=MD5, nonce="1"`)
		<-time.After(time.Millisecond)
		o.phones[1].reply(b, 407, `Proxy-Authenticate: Digest realm="b", algorithm=SHA-256, nonce="2"`, `Proxy-Authenticate: Digest realm="b", algorithm=MD5, nonce="2"`)
		res := o.caller.expect(" Unauthorized")
		o.fail(res, "1")
		var got []string
		for i := range res.Len() {
			if name, v, id := res.At(i); id == sip.HWWWAuthenticate || id == sip.HProxyAuthenticate {
				realm := strings.Split(string(v), `"`)[1]
				algorithm := strings.Split(strings.Split(string(v), "algorithm=")[1], ",")[0]
				got = append(got, string(name[:1])+realm+algorithm)
			}
		}
		if s := strings.Join(got, " "); s != "WaSHA-256 WaMD5 PbSHA-256 PbMD5" && s != "PbSHA-256 PbMD5 WaSHA-256 WaMD5" {
			t.Errorf("challenges %s", s)
		}
		o.phones[0].ackTo(t)
		o.phones[1].ackTo(t)
	})
}

func TestCancel(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.ring(1, 1000)
		o.ring(2, 500)
		o.invite("1")
		a, b := o.phones[0].expect("INVITE "), o.phones[1].expect("INVITE ")
		o.phones[0].reply(a, 180)
		o.phones[1].reply(b, 100)
		o.caller.expect("180 ")
		o.caller.send(at(us), o.caller.request("CANCEL", "sip:101@"+domain, "1", "Reason: Q.850;cause=16"))
		o.caller.expect("200 ")
		for i, in := range []*sip.Message{a, b} {
			c := o.phones[i].expect("CANCEL " + contact(o.phones[i]))
			if r := header(c, sip.HReason); r != "Q.850;cause=16" {
				t.Errorf("Reason %q", r)
			}
			o.phones[i].reply(c, 200)
			o.phones[i].reply(in, 487)
			o.phones[i].ackTo(t)
		}
		o.fail(o.caller.expect("487 "), "1")
		o.phones[2].silent(5 * time.Second)
	})
}

func TestTimerC(t *testing.T) {
	inOffice(t, setup{timerC: 5 * time.Second}, func(o *office) {
		bob := o.phones[0]
		o.ring(0, 1000)
		o.invite("1")
		in := bob.expect("INVITE ")
		bob.reply(in, 100)
		began := time.Now()
		cancel := bob.expect("CANCEL ")
		if d := time.Since(began); d < 4900*time.Millisecond || d > 5100*time.Millisecond {
			t.Errorf("CANCEL after %v", d)
		}
		bob.reply(cancel, 200)
		bob.reply(in, 487)
		bob.ackTo(t)
		o.fail(o.caller.expect("408 "), "1")
	})
	// Nothing but silence after the CANCEL: the client hears 408 all the same.
	inOffice(t, setup{timerC: 5 * time.Second}, func(o *office) {
		o.ring(0, 1000)
		o.invite("1")
		o.phones[0].reply(o.phones[0].expect("INVITE "), 100)
		o.phones[0].answers(func(*sip.Message) {})
		o.fail(o.caller.expect("408 "), "1")
	})
}

func TestTimerCIsResetBy101To199(t *testing.T) {
	inOffice(t, setup{timerC: 5 * time.Second}, func(o *office) {
		bob := o.phones[0]
		o.ring(0, 1000)
		o.invite("1")
		in := bob.expect("INVITE ")
		for _, status := range []int{180, 183, 199, 101} {
			<-time.After(4 * time.Second)
			bob.reply(in, status)
		}
		began := time.Now()
		<-time.After(4 * time.Second)
		bob.reply(in, 100) // does not count
		cancel := bob.expect("CANCEL ")
		if d := time.Since(began); d < 4900*time.Millisecond || d > 5100*time.Millisecond {
			t.Errorf("CANCEL after %v", d)
		}
		bob.reply(cancel, 200)
		bob.reply(in, 487)
		bob.ackTo(t)
		for _, s := range []string{"180 ", "183 ", "199 ", "101 "} {
			o.caller.expect(s)
		}
		o.fail(o.caller.expect("408 "), "1")
	})
}

func TestRFC6228DroppedForkIsTold(t *testing.T) {
	for _, supported := range []bool{true, false} {
		inOffice(t, setup{}, func(o *office) {
			o.ring(0, 1000)
			o.ring(1, 1000)
			more := []string{"Supported: 199"}
			if !supported {
				more = nil
			}
			o.invite("1", more...)
			a, b := o.phones[0].expect("INVITE "), o.phones[1].expect("INVITE ")
			o.phones[0].reply(a, 180)
			o.caller.expect("180 ")
			o.phones[0].reply(a, 486)
			o.phones[0].ackTo(t)
			if supported {
				gone := o.caller.expect("199 ")
				if string(gone.ToTag()) != "tag-"+o.phones[0].name || header(gone, sip.HReason) != "SIP;cause=486" {
					t.Errorf("199:\n%s", gone.Bytes())
				}
			}
			o.phones[1].reply(b, 200)
			o.caller.ack(o.caller.expect("200 "), "", "1", at(us))
			o.phones[1].expect("ACK ")
		})
	}
}

// TestStrangerIsTurnedAwayOnce: RFC 3261 §26.3.2.4: whoever may not be where he says he is gets one answer to one request,
// without a row of repetitions, and the answer's ACK goes no further. Whoever is known is answered until he has heard it.
func TestStrangerIsTurnedAwayOnce(t *testing.T) {
	for _, doubts := range []bool{true, false} {
		inOffice(t, setup{}, func(o *office) {
			o.proxy.doubts = doubts
			text := o.invite("1")
			busy := o.caller.expect("480 ") // nobody is registered
			if busy.Has(sip.HServer) == doubts {
				t.Errorf("the answer to a stranger (%v) is\n%s", doubts, busy.Bytes())
			}
			<-time.After(20 * time.Second)
			if n := o.caller.count("480 "); doubts && n != 1 || !doubts && n < 5 {
				t.Errorf("%d answers to a stranger (%v)", n, doubts)
			}
			if n := o.caller.count("100 "); n != 0 {
				t.Errorf("%d times 100 for what is refused at once", n)
			}
			if doubts {
				o.caller.send(at(us), text)
				if again := o.caller.expect("480 "); string(again.ToTag()) != string(busy.ToTag()) {
					t.Errorf("tags %s and %s", busy.ToTag(), again.ToTag())
				}
			}
			o.ring(0, 1000) // somebody is there now; the ACK is not for him
			o.fail(busy, "1")
			o.phones[0].silent(time.Second)
		})
	}
}
