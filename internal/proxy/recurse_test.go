package proxy_test

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// bindTo binds phone i to a line with q in thousandths.
func (o *office) bindTo(number string, i int, q uint16) {
	o.proxy.bind(number, location.Binding{Contact: contact(o.phones[i]), Q: q})
}

// moves answers the INVITE that a phone is to get with 302.
func (o *office) moves(i int, more ...string) *sip.Message {
	in := o.phones[i].expect("INVITE ")
	o.phones[i].redirect(in, 302, more...)
	o.phones[i].ackTo(o.t)
	return in
}

// redirect answers with these lines and nothing of the phone's own.
func (u *ua) redirect(m *sip.Message, status int, more ...string) {
	b := sip.NewResponse(m, status, "", "tag-"+u.name)
	for _, l := range more {
		name, value, _ := strings.Cut(l, ": ")
		b.AddNamed(name, value)
	}
	if err := u.pc.WriteTo(b.Append(nil), m.Received); err != nil {
		u.w.t.Errorf("%s: %v", u.name, err)
	}
}

// answer lets a phone take the call, and the caller acknowledge it.
func (o *office) answer(i int, in *sip.Message, branch string) {
	o.phones[i].reply(in, 200)
	o.caller.ack(o.caller.expect("200 "), "", branch, at(us))
	o.phones[i].expect("ACK ")
}

// RFC 3261 §16.7 item 4: the contacts of a redirection are gone after in the order of their q, and the caller sees nothing
// of it.
func TestRedirectionIsFollowed(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.bindTo("102", 1, 1000)
		o.bindTo("103", 2, 1000)
		o.invite("1")
		in := o.moves(0, "Contact: <sip:102@"+domain+"?Subject=x>;q=0.4, <sip:103@"+us+">;q=0.8")
		second := o.phones[2].expect("INVITE " + contact(o.phones[2]) + " ")
		if header(second, sip.HTo) != header(in, sip.HTo) || len(list(second, sip.HRecordRoute)) != 1 {
			t.Errorf("the second is\n%s", second.Bytes())
		}
		if a, b := list(in, sip.HVia)[0], list(second, sip.HVia)[0]; a == b {
			t.Error("the same branch twice")
		}
		o.phones[1].silent(3 * time.Second)
		o.phones[2].reply(second, 486)
		o.phones[2].ackTo(t)
		third := o.phones[1].expect("INVITE " + contact(o.phones[1]) + " ")
		if third.Has(sip.HSubject) {
			t.Error("a header of the contact went on")
		}
		o.answer(1, third, "1")
		for _, line := range o.caller.all() {
			if strings.Contains(line, " 302 ") {
				t.Error("the caller has seen the redirection")
			}
		}
	})
}

// A domain with a configured next hop may be gone after; one without may not: its contact goes back to the caller, alone.
func TestRedirectionToADomain(t *testing.T) {
	inOffice(t, setup{hops: map[string]string{"far.example": "sip:192.0.2.12"}}, func(o *office) {
		o.ring(0, 1000)
		o.invite("1")
		o.moves(0, "Contact: <sip:x@far.example;k=v>, <sip:y@nowhere.example>;q=0.1;k=v, <tel:+1>")
		in := o.phones[1].expect("INVITE sip:x@far.example;k=v ")
		o.phones[1].reply(in, 480)
		o.phones[1].ackTo(t)
		res := o.caller.expect("302 ")
		if c := list(res, sip.HContact); len(c) != 2 || c[0] != "<sip:y@nowhere.example>;q=0.1;k=v" || c[1] != "<tel:+1>" {
			t.Errorf("Contact %q", c)
		}
		o.fail(res, "1")
	})
}

// What is not for a proxy to follow goes back as it came: other statuses, foreign places, and what is not ours to move.
func TestRedirectionIsNotFollowed(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		lines  []string
	}{
		{"305", 305, []string{"Contact: <sip:102@" + domain + ">"}},
		{"380", 380, []string{"Contact: <sip:102@" + domain + ">"}},
		{"foreign", 302, []string{"Contact: <sip:102@198.51.100.7>, <sip:102@elsewhere.example>"}},
		{"maddr", 302, []string{"Contact: <sip:102@" + domain + ";maddr=198.51.100.7>"}},
		{"us, but nobody", 302, []string{"Contact: <sip:" + us + ">"}},
		{"none", 302, nil},
		{"rubbish", 302, []string{"Contact: <sip:102@" + domain, "Contact: *"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inOffice(t, setup{}, func(o *office) {
				o.ring(0, 1000)
				o.bindTo("102", 1, 1000)
				o.invite("1")
				in := o.phones[0].expect("INVITE ")
				o.phones[0].redirect(in, c.status, c.lines...)
				o.phones[0].ackTo(t)
				res := o.caller.expect(" " + startLineStatus(c.status))
				var want []string
				for _, l := range c.lines {
					want = append(want, strings.TrimPrefix(l, "Contact: "))
				}
				if got := strings.Join(list(res, sip.HContact), ", "); got != strings.Join(want, ", ") && c.name != "rubbish" {
					t.Errorf("Contact %q", got)
				}
				o.fail(res, "1")
				o.phones[1].silent(time.Second)
			})
		})
	}
	// The domain is not ours: RFC 3261 §16.5.
	inOffice(t, setup{hops: map[string]string{"far.example": "sip:192.0.2.11"}}, func(o *office) {
		o.bindTo("102", 1, 1000)
		o.caller.send(at(us), o.caller.request("INVITE", "sip:x@far.example", "1"))
		o.moves(0, "Contact: <sip:102@"+domain+">")
		o.caller.ack(o.caller.expect("302 "), "sip:x@far.example", "1", at(us))
		o.phones[1].silent(time.Second)
	})
	// From sips nothing leads to sip.
	inOffice(t, setup{static: map[string]string{"104": "sips:gw@192.0.2.11:5060;transport=udp"}}, func(o *office) {
		o.bindTo("102", 1, 1000)
		o.caller.send(at(us), o.caller.request("INVITE", "sips:102@"+domain, "1"))
		o.caller.ack(o.caller.expect("480 "), "sips:102@"+domain, "1", at(us)) // its only binding is not secure
	})
}

func startLineStatus(status int) string {
	return strings.TrimPrefix(strings.SplitN(string(sip.NewResponse(message, status, "", "x").Append(nil)), "\r\n", 2)[0], "SIP/2.0 ")
}

var message = func() *sip.Message {
	m := &sip.Message{}
	if err := m.Parse([]byte("OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n")); err != nil {
		panic(err)
	}
	return m
}()

// Each URI is visited once (RFC 3261 §16.5), so that two who redirect to each other end it; nobody is found, nobody is told
// where to go.
func TestRedirectionLoop(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.bindTo("102", 1, 1000)
		o.invite("1")
		o.moves(0, "Contact: <sip:102@"+domain+">")
		o.moves(1, "Contact: <sip:101@"+domain+">, <sip:102@"+domain+">")
		o.fail(o.caller.expect("480 "), "1")
		o.phones[0].silent(time.Second)
	})
	// One request follows ten contacts, whoever lengthens the chain.
	inOffice(t, setup{}, func(o *office) {
		for _, line := range []string{"101", "102", "103", "104"} {
			o.bindTo(line, 0, 1000)
		}
		visits := 0
		o.phones[0].answers(func(m *sip.Message) {
			if m.Method() == sip.INVITE {
				visits++
				o.phones[0].redirect(m, 302, "Contact: <sip:102@"+domain+";n="+strings.Repeat("x", visits)+">")
			}
		})
		o.invite("1")
		o.fail(o.caller.expect("480 "), "1")
		if visits < 1 || visits > 11 {
			t.Errorf("%d visits", visits)
		}
	})
}

// A fork in which one phone is elsewhere: its place is taken at once, beside those that ring, with its share of
// Max-Breadth; CANCEL reaches it, and so does the end by another's answer.
func TestRedirectionInAFork(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.ring(1, 1000)
		o.bindTo("102", 2, 1000)
		o.invite("1")
		a, b := o.phones[0].expect("INVITE "), o.phones[1].expect("INVITE ")
		o.phones[0].reply(a, 180)
		o.caller.expect("180 ")
		o.phones[1].redirect(b, 302, "Contact: <sip:102@"+domain+">")
		o.phones[1].ackTo(t)
		c := o.phones[2].expect("INVITE ")
		if v, _ := c.Uint(sip.HMaxBreadth); v != 30 {
			t.Errorf("Max-Breadth %d", v)
		}
		o.phones[2].reply(c, 180)
		o.caller.expect("180 ")
		o.caller.send(at(us), o.caller.request("CANCEL", "sip:101@"+domain, "1"))
		o.caller.expect("200 ")
		for i, in := range map[int]*sip.Message{0: a, 2: c} {
			o.phones[i].reply(o.phones[i].expect("CANCEL "), 200)
			o.phones[i].reply(in, 487)
			o.phones[i].ackTo(t)
		}
		o.fail(o.caller.expect("487 "), "1")
	})
	// Two contacts where Max-Breadth has one left: they go back.
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.bindTo("102", 1, 1000)
		o.bindTo("103", 2, 1000)
		o.invite("1", "Max-Breadth: 1")
		o.moves(0, "Contact: <sip:102@"+domain+">, <sip:103@"+domain+">")
		res := o.caller.expect("302 ")
		if c := list(res, sip.HContact); len(c) != 2 {
			t.Errorf("Contact %q", c)
		}
		o.fail(res, "1")
	})
}

// RFC 3261 §21.3.3: a contact with an expiration is remembered for that time, and no longer; without one it is for once
// only. One that leads nowhere is forgotten.
func TestRedirectionIsRemembered(t *testing.T) {
	for _, expires := range []string{"param", "header"} {
		t.Run(expires, func(t *testing.T) {
			inOffice(t, setup{}, func(o *office) {
				o.ring(0, 1000)
				o.bindTo("102", 1, 1000)
				more := []string{"Contact: <sip:102@" + domain + ">;expires=60"}
				if expires == "header" {
					more = []string{"Contact: <sip:102@" + domain + ">", "Expires: 60"}
				}
				o.invite("1")
				o.moves(0, more...)
				o.answer(1, o.phones[1].expect("INVITE "), "1")
				<-time.After(50 * time.Second)
				o.invite("2", "Call-ID: 2")
				o.answer(1, o.phones[1].expect("INVITE "), "2")
				o.phones[0].silent(time.Second)
				<-time.After(20 * time.Second)
				o.invite("3", "Call-ID: 3")
				o.moves(0, "Contact: <sip:102@"+domain+">")
				o.answer(1, o.phones[1].expect("INVITE "), "3")
				o.invite("4", "Call-ID: 4") // that was for once
				o.phones[0].reply(o.phones[0].expect("INVITE "), 486)
				o.phones[0].ackTo(t)
				o.fail(o.caller.expect("486 "), "4")
			})
		})
	}
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.bindTo("102", 1, 1000)
		o.invite("1")
		o.moves(0, "Contact: <sip:102@"+domain+">;expires=3600")
		o.answer(1, o.phones[1].expect("INVITE "), "1")
		o.invite("2", "Call-ID: 2")
		in := o.phones[1].expect("INVITE ")
		o.phones[1].reply(in, 480)
		o.phones[1].ackTo(t)
		o.fail(o.caller.expect("480 "), "2")
		o.invite("3", "Call-ID: 3") // asked again
		o.phones[0].reply(o.phones[0].expect("INVITE "), 486)
		o.phones[0].ackTo(t)
		o.fail(o.caller.expect("486 "), "3")
	})
}
