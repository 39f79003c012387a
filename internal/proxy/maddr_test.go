package proxy_test

import (
	"testing"
	"time"

	"dialtone/internal/sip"
)

// RFC 3261 §16.4: a maddr that names this listener is taken off, with port and transport, and the request is treated as if
// they had not been there.
func TestMaddrOfThisProxy(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless"} {
		for _, uri := range []string{
			"sip:101@" + domain + ";maddr=" + us, "sip:101@" + domain + ":5060;transport=udp;MADDR=" + us, "sip:101@" + domain + ";maddr=" + domain,
		} {
			inOffice(t, setup{mode: mode}, func(o *office) {
				o.proxy.known = false
				o.ring(0, 1000)
				o.caller.send(at(us), o.caller.request("MESSAGE", uri, "1"))
				o.phones[0].reply(o.phones[0].expect("MESSAGE "+contact(o.phones[0])+" "), 200)
				o.caller.expect("200 ")
			})
		}
	}
	// What is left of the URI goes on where the domain is another's.
	inOffice(t, setup{hops: map[string]string{"far.example": "sip:192.0.2.11"}}, func(o *office) {
		o.proxy.known = false
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@far.example:5060;a=b;maddr="+us+";transport=udp;lr", "1"))
		o.phones[0].reply(o.phones[0].expect("MESSAGE sip:x@far.example;a=b;lr "), 200)
		o.caller.expect("200 ")
	})
}

// RFC 3261 §16.5: any other maddr makes the Request-URI the only target, whatever its domain; that is relaying, and for
// known senders only.
func TestMaddrElsewhere(t *testing.T) {
	for mode, refused := range map[string]string{"proxy": "407 ", "stateless": "403 "} {
		inOffice(t, setup{mode: mode, hops: map[string]string{"far.example": "sip:192.0.2.13"}}, func(o *office) {
			o.ring(1, 1000)
			for i, uri := range []string{"sip:101@" + domain + ";maddr=192.0.2.11", "sip:x@far.example;maddr=192.0.2.11"} {
				id := string(rune('a' + i))
				o.proxy.known = false
				o.caller.send(at(us), o.caller.request("MESSAGE", uri, id, "Call-ID: "+id))
				o.caller.expect(refused)
				o.proxy.known = true
				o.caller.send(at(us), o.caller.request("MESSAGE", uri, id+"2", "Call-ID: 2"+id))
				o.phones[0].reply(o.phones[0].expect("MESSAGE "+uri+" "), 200)
				o.caller.expect("200 ")
			}
			o.phones[1].silent(time.Second)
			o.phones[2].silent(0)
		})
	}
	inOffice(t, setup{mode: "redirect"}, func(o *office) {
		o.ring(1, 1000)
		o.caller.send(at(us), o.caller.request("INVITE", "sip:101@"+domain+";maddr=192.0.2.11", "1"))
		o.caller.expect("404 ")
	})
}

// §16.4: a maddr of ours with another port or transport means that one: the request goes there, and is the same there.
func TestMaddrOfThisProxyOnAnotherTransport(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.caller.send(at(us), o.caller.request("INVITE", "sip:101@"+domain+";maddr="+us+";transport=tcp", "1"))
		in := o.phones[0].expect("INVITE " + contact(o.phones[0]) + " ")
		if vias := list(in, sip.HVia); len(vias) != 3 || vias[1][:12] != "SIP/2.0/TCP " {
			t.Errorf("Via %q", vias)
		}
		o.phones[0].reply(in, 486)
		o.phones[0].ackTo(t)
		o.fail(o.caller.expect("486 "), "1")
	})
}
