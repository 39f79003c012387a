package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// Routes of an attacker's own making: whatever he writes into Route, nothing is relayed for a stranger.
func TestForgedRoutesRelayNothing(t *testing.T) {
	for mode, refused := range map[string]string{"proxy": "407 ", "stateless": "403 "} {
		inOffice(t, setup{mode: mode}, func(o *office) {
			// A call gives him a Record-Route of ours that is good for that call.
			o.ring(0, 1000)
			o.invite("1")
			in := o.phones[0].expect("INVITE ")
			o.phones[0].reply(in, 200)
			ok := o.caller.expect("200 ")
			o.caller.ack(ok, "", "1", at(us))
			o.phones[0].expect("ACK ")
			mark := list(ok, sip.HRecordRoute)[0]
			a, err := sip.ParseAddress([]byte(mark))
			if err != nil {
				t.Fatal(err)
			}
			user := string(a.URI.User)
			o.proxy.known = false
			victim := "sip:x@192.0.2.12"
			for n, more := range [][]string{
				{"Route: " + mark},
				{"Route: " + mark, "Route: <" + victim + ";lr>"},
				{"Route: " + strings.Replace(mark, user, strings.ToLower(user), 1)},
				{"Route: " + strings.Replace(mark, user, user+"AAAA", 1)},
				{"Route: " + strings.Replace(mark, user+"@", "", 1)},
				{"Route: <sip:192.0.2.1;lr>, <" + victim + ";lr>"},
				{"Route: <" + victim + ">"},
				{"Route: <sip:192.0.2.1;maddr=192.0.2.12;lr>, <" + victim + ";lr>"},
				{"To: <" + victim + ">;tag=inside"},
			} {
				id := fmt.Sprint("r", n)
				o.caller.send(at(us), o.caller.request("MESSAGE", victim, id, append(more, "Call-ID: "+id)...))
				o.caller.expect(refused)
			}
			// In the call it is good, and only for him who knows its Call-ID.
			o.caller.send(at(us), o.caller.request("INFO", victim, "in", "Route: "+mark, "Call-ID: "+string(ok.CallID()), "To: "+header(ok, sip.HTo), "CSeq: 2 INFO"))
			o.phones[1].reply(o.phones[1].expect("INFO "), 200)
			o.caller.expect("200 ")
		})
	}
}

// A Via that looks like one of ours vouches for nobody: neither with a branch that was seen, from another address than
// our own, nor with one that is made up.
func TestForgedViaVouchesForNobody(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.invite("1")
		in := o.phones[0].expect("INVITE ")
		ours := list(in, sip.HVia)[0]
		o.phones[0].reply(in, 486)
		o.phones[0].ackTo(t)
		o.fail(o.caller.expect("486 "), "1")
		o.proxy.known = false
		for n, via := range []string{ours, strings.Replace(ours, "branch=z9hG4bK-d", "branch=z9hG4bK-d0", 1), "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-d0123456789abcdef.00000000000000000000000000000000"} {
			text := o.phones[1].request("MESSAGE", "sip:x@192.0.2.12", fmt.Sprint("v", n), "Call-ID: "+string(in.CallID()))
			first, rest, _ := strings.Cut(text, "\n")
			o.phones[1].send(at(us), first+"\nVia: "+via+"\n"+rest)
			// Nothing of a Via helps him beyond our own lines. The answer goes where the request came from, to the port of its
			// Via, whomever that names (RFC 3261 §18.2.1).
			o.phones[1].expect("407 ")
		}
	})
}

// What comes back to one of our lines after it has passed here, forwarded by somebody on its way, is not asked again for a
// password that it no longer has; with a seal that is not for its Call-ID it is.
func TestForwardedBackToOurLines(t *testing.T) {
	inOffice(t, setup{hops: map[string]string{"far.example": "sip:192.0.2.11"}}, func(o *office) {
		o.bindTo("102", 1, 1000)
		mine := "From: <sip:101@" + domain + ">;tag=1"
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@far.example", "1", mine))
		in := o.phones[0].expect("MESSAGE sip:x@far.example ")
		o.proxy.known = false
		back := strings.Replace(string(in.Bytes()), "MESSAGE sip:x@far.example", "MESSAGE sip:102@"+domain, 1)
		back = strings.Replace(back, "\r\nVia:", "\r\nVia: SIP/2.0/UDP "+o.phones[0].addr.String()+";branch=z9hG4bKback\r\nVia:", 1)
		if err := o.phones[0].pc.WriteTo([]byte(back), at(us)); err != nil {
			t.Fatal(err)
		}
		o.phones[1].reply(o.phones[1].expect("MESSAGE "), 200)
		o.phones[0].expect("200 ")
		for _, forged := range []string{
			strings.Replace(back, "Call-ID: ", "Call-ID: another-", 1),
			strings.Replace(back, "MESSAGE sip:102@"+domain, "MESSAGE sip:x@192.0.2.12", 1),
		} {
			if err := o.phones[0].pc.WriteTo([]byte(strings.Replace(forged, "z9hG4bKback", "z9hG4bKforged", 1)), at(us)); err != nil {
				t.Fatal(err)
			}
			o.phones[0].expect("407 ")
		}
		o.phones[0].reply(in, 200)
		o.caller.expect("200 ")
	})
}

// Who is named in the Via of another's request hears nothing of it: RFC 3261 §18.2.1, RFC 3581.
func TestSpoofedViaHitsNobody(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless", "redirect"} {
		inOffice(t, setup{mode: mode}, func(o *office) {
			o.ring(0, 1000)
			o.phones[0].answers(func(m *sip.Message) {
				if m.Method() == sip.MESSAGE {
					o.phones[0].reply(m, 200)
				}
			})
			victim, attacker := o.phones[1], o.caller
			for n, uri := range []string{"sip:101@" + domain, "sip:999@" + domain} {
				for _, rport := range []string{"", ";rport"} {
					id := fmt.Sprint("s", n, rport)
					text := strings.ReplaceAll(attacker.request("MESSAGE", uri, id, "Call-ID: "+id), attacker.addr.String()+";", victim.addr.String()+";")
					attacker.send(at(us), strings.Replace(text, ";rport\n", rport+"\n", 1))
					if m := attacker.next(time.Second); m == nil || m.Status() == 0 {
						t.Errorf("%s: the sender heard %v", mode, m)
					}
				}
			}
			victim.silent(0)
		})
	}
}

// A CANCEL of a call that is not there, or from somebody who does not know its branch, cancels nothing: RFC 3261 §9.2.
func TestForgedCancel(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.invite("secret")
		in := o.phones[0].expect("INVITE ")
		o.phones[0].reply(in, 180)
		o.caller.expect("180 ")
		callID := "Call-ID: " + string(in.CallID())
		for n, text := range []string{
			o.phones[1].request("CANCEL", "sip:101@"+domain, "guessed", callID),
			o.phones[1].request("CANCEL", "sip:101@"+domain, "secret", callID), // another sent-by
			o.phones[1].request("CANCEL", "sip:101@"+domain, "secret", "Call-ID: another"),
		} {
			o.phones[1].send(at(us), text)
			if res := o.phones[1].expect("481 "); res.Status() != 481 {
				t.Errorf("%d: %v", n, res)
			}
		}
		o.phones[0].silent(time.Second)
		o.answer(0, in, "secret")
		// After the answer it is too late for the caller's own, too.
		o.caller.send(at(us), o.caller.request("CANCEL", "sip:101@"+domain, "secret"))
		o.phones[0].silent(time.Second)
	})
}

// A line whose contact is its own address-of-record goes round once, whatever the method; two that point at each other end
// as well. RFC 5393 §4.2, RFC 6665 §4.
func TestLoopToOwnAddress(t *testing.T) {
	for _, method := range []string{"SUBSCRIBE", "INVITE", "MESSAGE", "NOTIFY", "PUBLISH"} {
		inOffice(t, setup{}, func(o *office) {
			o.proxy.bind("101", location.Binding{Contact: "sip:101@192.0.2.1"})
			o.proxy.bind("102", location.Binding{Contact: "sip:103@192.0.2.1"})
			o.proxy.bind("103", location.Binding{Contact: "sip:102@192.0.2.1"})
			messages := 0
			for n, user := range []string{"101", "102"} {
				id := fmt.Sprint("l", n)
				uri := "sip:" + user + "@" + domain
				o.caller.send(at(us), o.caller.request(method, uri, id, "Call-ID: "+id, "Event: presence"))
				res := o.caller.expect("482 ")
				if method == "INVITE" {
					o.caller.ack(res, uri, id, at(us))
				}
			}
			if messages = int(o.proxy.proxy.Stats.Forwarded.Load()); messages > 6 {
				t.Errorf("%s: %d messages", method, messages)
			}
		})
	}
}

// A request without Max-Forwards gets one (RFC 3261 §16.6 item 3), so that what comes round between proxies that do not
// know each other ends.
func TestRequestWithoutMaxForwards(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless"} {
		inOffice(t, setup{mode: mode}, func(o *office) {
			o.ring(0, 1000)
			o.caller.send(at(us), strings.Replace(o.caller.request("MESSAGE", "sip:101@"+domain, "1"), "Max-Forwards: 70\n", "", 1))
			in := o.phones[0].expect("MESSAGE ")
			if n, ok := in.MaxForwards(); !ok || n != 70 {
				t.Errorf("Max-Forwards %d, %v", n, ok)
			}
			o.phones[0].reply(in, 200)
			o.caller.expect("200 ")
		})
	}
}
