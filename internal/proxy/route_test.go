package proxy_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// The next flow of an instance is tried when one has failed, the next instance never instead of it: RFC 5626 §7.
func TestNextFlowOfTheInstance(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		for i, q := range []uint16{1000, 1000, 500} {
			instance := "urn:uuid:1"
			if i == 2 {
				instance = "urn:uuid:2"
			}
			o.proxy.bind("101", location.Binding{Contact: contact(o.phones[i]), Q: q, Instance: instance, RegID: uint32(i + 1)})
			<-time.After(time.Second)
		}
		o.invite("1")
		// The flow that was refreshed last comes first.
		in := o.phones[1].expect("INVITE ")
		o.phones[0].silent(time.Second)
		o.phones[1].reply(in, 430)
		o.phones[1].ackTo(t)
		in = o.phones[0].expect("INVITE ")
		o.phones[0].reply(in, 200)
		o.caller.ack(o.caller.expect("200 "), "", "1", at(us))
		o.phones[0].expect("ACK ")
		o.phones[2].silent(time.Second)
	})
}

func TestRecordRouteTwiceOnTransportChange(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		l, err := o.net.Host(at("192.0.2.40").Addr()).Listen(at("192.0.2.40"))
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		o.wg.Go(func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 8192)
			n, _ := c.Read(b)
			got <- string(b[:n])
			var m sip.Message
			if err := m.Parse(b[:n]); err == nil {
				_, _ = c.Write(sip.NewResponse(&m, 486, "", "tcp").Append(nil))
			}
			_, _ = c.Read(b)
			_ = c.Close()
		})
		o.proxy.bind("101", location.Binding{Contact: "sip:x@192.0.2.40;transport=tcp",
			Flow: location.Flow{Transport: directory.TCP, Remote: at("192.0.2.40")}})
		o.invite("1")
		var m sip.Message
		if err := m.Parse([]byte(<-got)); err != nil {
			t.Fatal(err)
		}
		rr := list(&m, sip.HRecordRoute)
		if len(rr) != 2 || !strings.Contains(rr[0], ";transport=tcp;lr") || strings.Contains(rr[1], "transport") {
			t.Errorf("Record-Route %q", rr)
		}
		if via := header(&m, sip.HVia); !strings.HasPrefix(via, "SIP/2.0/TCP 192.0.2.1:5060") {
			t.Errorf("Via %q", via)
		}
		o.fail(o.caller.expect("486 "), "1")
		_ = l.Close()
	})
}

// RFC 3263 §4.3: of the addresses of a name the next one is tried when one answers 503 or is silent; what is best of their
// answers goes back.
func TestNextAddressOfAName(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.names["far.example"] = []netip.Addr{o.phones[0].addr.Addr(), o.phones[1].addr.Addr(), o.phones[2].addr.Addr()}
		o.caller.send(at(us), o.caller.request("INVITE", "sip:x@far.example", "1"))
		left := map[*ua]bool{o.phones[0]: true, o.phones[1]: true, o.phones[2]: true}
		next := func() (*ua, *sip.Message) { // in whatever order the resolver gives them
			for range 400 {
				for u := range left {
					if m := u.next(10 * time.Millisecond); m != nil && m.Method() == sip.INVITE {
						delete(left, u)
						return u, m
					}
				}
			}
			t.Fatal("nobody was rung")
			return nil, nil
		}
		for range 2 {
			u, in := next()
			u.reply(in, 503)
			u.ackTo(t)
		}
		u, in := next()
		u.reply(in, 200)
		o.caller.ack(o.caller.expect("200 "), "", "1", at(us))
		u.expect("ACK ")
	})
}

// Failover: the best flow of an agent is no good, the other is silent: 64*T1 later nobody is left (RFC 5626 §7).
func TestFailover(t *testing.T) {
	inOffice(t, setup{hops: map[string]string{"far.example": "sip:192.0.2.11"}}, func(o *office) {
		o.proxy.bind("101", location.Binding{Contact: "sip:a@192.0.2.77", Instance: "i", RegID: 1}) // nobody is there
		<-time.After(time.Second)
		o.proxy.bind("101", location.Binding{Contact: contact(o.phones[0]), Instance: "i", RegID: 2})
		o.invite("1")
		o.phones[0].reply(o.phones[0].expect("INVITE "), 430)
		o.phones[0].ackTo(t)
		o.fail(o.caller.expect("408 "), "1") // 64*T1 later
	})
}

func TestForeignDomains(t *testing.T) {
	inOffice(t, setup{hops: map[string]string{"far.example": "sip:192.0.2.11"}}, func(o *office) {
		o.proxy.known = false
		far := o.phones[0]
		// Nobody relays for strangers.
		o.caller.send(at(us), o.caller.request("INVITE", "sip:x@192.0.2.12", "1"))
		o.caller.ack(o.caller.expect("407 "), "sip:x@192.0.2.12", "1", at(us))
		// Where a next hop is configured, they pass.
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@far.example", "2", "Call-ID: 2"))
		far.reply(far.expect("MESSAGE sip:x@far.example "), 200)
		o.caller.expect("200 ")
		// A stranger reaches our lines, unless he says that he is one of them.
		o.ring(1, 1000)
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:101@"+domain, "3", "Call-ID: 3"))
		o.phones[1].reply(o.phones[1].expect("MESSAGE "), 200)
		o.caller.expect("200 ")
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:101@"+domain, "4", "Call-ID: 4", "From: <sip:102@"+domain+">;tag=1"))
		o.caller.expect("407 ")
		// A Route of his own making does not help, nor one of ours from another dialog.
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@192.0.2.12", "5", "Call-ID: 5", "Route: <sip:AAAAAAAAAAA@192.0.2.1;lr>", "To: <sip:x@h>;tag=2"))
		o.caller.expect("407 ")
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:101@"+domain, "6", "Call-ID: 6", "Route: <sip:192.0.2.1;lr>", "Route: <sip:192.0.2.12;lr>"))
		o.caller.expect("407 ")
		// A known sender may.
		o.proxy.known = true
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@192.0.2.12", "7", "Call-ID: 7"))
		o.phones[1].reply(o.phones[1].expect("MESSAGE sip:x@192.0.2.12 "), 200)
		o.caller.expect("200 ")
		// ... and go on along a Route.
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:101@"+domain, "8", "Call-ID: 8", "Route: <sip:192.0.2.1;lr>, <sip:192.0.2.13;lr>"))
		in := o.phones[2].expect("MESSAGE sip:101@" + domain + " ")
		if r := list(in, sip.HRoute); len(r) != 1 || r[0] != "<sip:192.0.2.13;lr>" {
			t.Errorf("Route %q", r)
		}
		o.phones[2].reply(in, 200)
		o.caller.expect("200 ")
		// A strict router is next: RFC 3261 §16.6 item 6.
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:101@"+domain, "9", "Call-ID: 9", "Route: <sip:192.0.2.13>, <sip:192.0.2.14;lr>"))
		in = o.phones[2].expect("MESSAGE sip:192.0.2.13 ")
		if r := list(in, sip.HRoute); len(r) != 2 || r[0] != "<sip:192.0.2.14;lr>" || r[1] != "<sip:101@"+domain+">" {
			t.Errorf("Route %q", r)
		}
		o.phones[2].reply(in, 200)
		o.caller.expect("200 ")
	})
}

// RFC 3261 §16.4: a strict router before us has put our Record-Route into the Request-URI.
func TestStrictRouterBeforeUs(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		bob := o.phones[0]
		o.ring(0, 1000)
		o.invite("1")
		in := bob.expect("INVITE ")
		bob.reply(in, 200)
		ok := o.caller.expect("200 ")
		o.caller.ack(ok, "", "1", at(us))
		bob.expect("ACK ")
		a, _ := sip.ParseAddress([]byte(list(ok, sip.HRecordRoute)[0]))
		o.proxy.known = false
		o.caller.send(at(us), o.caller.request("BYE", a.URI.String(), "2", "To: "+header(ok, sip.HTo), "Route: <"+contact(bob)+">", "CSeq: 2 BYE"))
		bye := bob.expect("BYE " + contact(bob) + " ")
		if bye.Has(sip.HRoute) {
			t.Errorf("Route %q", list(bye, sip.HRoute))
		}
		bob.reply(bye, 200)
		o.caller.expect("200 ")
	})
}

func TestPathOfABinding(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		edge := o.phones[2]
		o.proxy.bind("101", location.Binding{Contact: "sip:101@10.9.9.9", Path: "<sip:token@192.0.2.13;lr>, <sip:far.example;lr>"})
		o.invite("1")
		in := edge.expect("INVITE sip:101@10.9.9.9 ")
		if r := list(in, sip.HRoute); len(r) != 2 || r[0] != "<sip:token@192.0.2.13;lr>" || r[1] != "<sip:far.example;lr>" {
			t.Errorf("Route %q", r)
		}
		edge.reply(in, 486)
		edge.ackTo(t)
		o.fail(o.caller.expect("486 "), "1")
	})
}

// A REGISTER for another domain goes to its registrar with our Path, and what comes back along it reaches the phone.
func TestRegisterIsForwardedWithPath(t *testing.T) {
	inOffice(t, setup{hops: map[string]string{"far.example": "sip:192.0.2.11"}}, func(o *office) {
		o.proxy.known = false
		registrar, phone := o.phones[0], o.phones[1]
		phone.send(at(us), phone.request("REGISTER", "sip:far.example", "1", "From: <sip:joe@far.example>;tag=1", "To: <sip:joe@far.example>", "Supported: path"))
		in := registrar.expect("REGISTER sip:far.example ")
		path := list(in, sip.HPath)
		if len(path) != 1 || !strings.HasSuffix(path[0], "@192.0.2.1:5060;lr;ob>") {
			t.Fatalf("Path %q", path)
		}
		registrar.reply(in, 200)
		phone.expect("200 ")
		registrar.send(at(us), registrar.request("MESSAGE", "sip:joe@10.1.1.1", "2", "Route: "+path[0]))
		m := phone.expect("MESSAGE sip:joe@10.1.1.1 ") // over the flow, whatever its address
		if m.Has(sip.HRoute) {
			t.Errorf("Route %q", list(m, sip.HRoute))
		}
		phone.reply(m, 200)
		registrar.expect("200 ")
		// A dialog that begins that way keeps to the flow, too.
		registrar.send(at(us), registrar.request("INVITE", "sip:joe@10.1.1.1", "4", "Call-ID: 4", "Route: "+path[0]))
		in = phone.expect("INVITE sip:joe@10.1.1.1 ")
		phone.reply(in, 200)
		ok := registrar.expect("200 ")
		if n := len(list(ok, sip.HRecordRoute)); n != 2 {
			t.Errorf("%d Record-Routes", n)
		}
		more := append(routesOf(ok, true), "Call-ID: 4", "To: "+header(ok, sip.HTo))
		registrar.send(at(us), registrar.request("ACK", "sip:joe@10.1.1.1", "5", more...))
		phone.expect("ACK sip:joe@10.1.1.1 ")
		registrar.send(at(us), registrar.request("BYE", "sip:joe@10.1.1.1", "6", append(more, "CSeq: 2 BYE")...))
		phone.reply(phone.expect("BYE sip:joe@10.1.1.1 "), 200)
		registrar.expect("200 ")
		phone.send(at(us), phone.request("REGISTER", "sip:other.example", "3", "Call-ID: 3"))
		phone.expect("403 ")
	})
}

// A request that is too long for a datagram goes over TCP, and over UDP where there is none (RFC 3261 §18.1.1).
func TestLongRequestFallsBackToUDP(t *testing.T) {
	inOffice(t, setup{static: map[string]string{"104": "sip:gw@192.0.2.13"}}, func(o *office) {
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:104@"+domain, "1", "X-Long: "+strings.Repeat("x", 1300)))
		in := o.phones[2].expect("MESSAGE sip:gw@192.0.2.13 ")
		o.phones[2].reply(in, 200)
		o.caller.expect("200 ")
	})
}

// A callee that rings for twenty minutes and says so is not given up (RFC 3261 §13.3.1.1).
func TestLongRinging(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		bob := o.phones[0]
		o.ring(0, 1000)
		o.invite("1")
		in := bob.expect("INVITE ")
		for range 20 {
			bob.reply(in, 180)
			o.caller.expect("180 ")
			<-time.After(time.Minute)
		}
		bob.reply(in, 200)
		o.caller.ack(o.caller.expect("200 "), "", "1", at(us))
		bob.expect("ACK ")
	})
}

// Names that have no address, and look-ups that the client does not wait for.
func TestNamesWithoutAddress(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.caller.send(at(us), o.caller.request("INVITE", "sip:x@nowhere.example", "1"))
		o.caller.ack(o.caller.expect("502 "), "sip:x@nowhere.example", "1", at(us))
		o.names["far.example"] = []netip.Addr{o.phones[0].addr.Addr()}
		o.caller.send(at(us), o.caller.request("INVITE", "sip:x@far.example", "2", "Call-ID: 2"))
		in := o.phones[0].expect("INVITE sip:x@far.example ")
		o.phones[0].reply(in, 404)
		o.phones[0].ackTo(t)
		o.caller.ack(o.caller.expect("404 "), "sip:x@far.example", "2", at(us))
		o.proxy.bind("101", location.Binding{Contact: "sip:x@192.0.2.50;transport=tcp", Flow: location.Flow{Transport: directory.TCP, ID: 999, Remote: at("192.0.2.50")}})
		o.invite("3", "Call-ID: 3") // the connection is gone, and nobody listens
		o.caller.ack(o.caller.expect("480 "), "sip:101@"+domain, "3", at(us))
	})
}
