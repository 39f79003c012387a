package proxy_test

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// RFC 5626 §5.3.1: a request along a Path whose flow is gone is answered with 430, with state and without; one along a
// Path that is there goes over the flow, whatever the URI says.
func TestFlowOfAPathIsGone(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless"} {
		inOffice(t, setup{mode: mode, hops: map[string]string{"far.example": "sip:192.0.2.11"}}, func(o *office) {
			registrar := o.phones[0]
			c, err := o.net.Host(at("192.0.2.50").Addr()).Dial(o.ctx, at(us))
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(o.caller.request("REGISTER", "sip:far.example", "1"), "SIP/2.0/UDP 192.0.2.100:5060", "SIP/2.0/TCP 192.0.2.50:5060")
			if _, err := c.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
				t.Fatal(err)
			}
			in := registrar.expect("REGISTER ")
			path := list(in, sip.HPath)[0]
			if !strings.HasSuffix(path, ";lr;ob>") {
				t.Fatalf("Path %q", path)
			}
			registrar.reply(in, 200)
			readSome(t, c)
			registrar.send(at(us), registrar.request("MESSAGE", "sip:x@203.0.113.9", "2", "Call-ID: 2", "Route: "+path))
			if got := readSome(t, c); !strings.HasPrefix(got, "MESSAGE sip:x@203.0.113.9 ") || strings.Contains(got, "\r\nRoute:") {
				t.Errorf("over the flow came %q", got)
			}
			_ = c.Close()
			<-time.After(time.Second)
			registrar.send(at(us), registrar.request("MESSAGE", "sip:x@203.0.113.9", "3", "Call-ID: 3", "Route: "+path))
			registrar.expect("430 Flow Failed")
			o.phones[1].silent(0)
			registrar.silent(time.Minute) // RFC 4320 §4.2: no 408 for the MESSAGE that the phone has left unanswered
		})
	}
}

// RFC 5626 §7, §11.5: 430 from one flow of an instance makes the next one the target; from the last of them it becomes 480,
// and beside other answers it is none.
func TestCallerSeesNo430(t *testing.T) {
	inOffice(t, setup{}, func(o *office) {
		o.proxy.bind("101", location.Binding{Contact: contact(o.phones[0]), Instance: "urn:uuid:1", RegID: 1})
		<-time.After(time.Second)
		o.proxy.bind("101", location.Binding{Contact: contact(o.phones[1]), Instance: "urn:uuid:1", RegID: 2})
		o.invite("1")
		for _, i := range []int{1, 0} {
			o.phones[i].reply(o.phones[i].expect("INVITE "), 430)
			o.phones[i].ackTo(t)
		}
		res := o.caller.expect("480 ")
		if strings.Contains(string(res.Bytes()), "430") {
			t.Errorf("the caller sees\n%s", res.Bytes())
		}
		o.fail(res, "1")
	})
	inOffice(t, setup{}, func(o *office) {
		o.ring(0, 1000)
		o.ring(1, 1000)
		o.invite("1")
		o.phones[0].reply(o.phones[0].expect("INVITE "), 430)
		o.phones[1].reply(o.phones[1].expect("INVITE "), 404)
		o.fail(o.caller.expect("404 "), "1")
		o.phones[0].ackTo(t)
		o.phones[1].ackTo(t)
	})
	// Other answers are the instance's own: no second flow is tried.
	for _, status := range []int{404, 486, 500, 503, 302} {
		inOffice(t, setup{}, func(o *office) {
			o.proxy.bind("101", location.Binding{Contact: contact(o.phones[0]), Instance: "urn:uuid:1", RegID: 1})
			<-time.After(time.Second)
			o.proxy.bind("101", location.Binding{Contact: contact(o.phones[1]), Instance: "urn:uuid:1", RegID: 2})
			o.invite("1")
			o.phones[1].redirect(o.phones[1].expect("INVITE "), status)
			o.phones[1].ackTo(t)
			o.fail(o.caller.expect(" "), "1")
			o.phones[0].silent(time.Second)
		})
	}
}

// An edge in front of another edge passes a 430 on: it is for the proxy that has the bindings to try another flow.
func TestEdgePasses430On(t *testing.T) {
	inOffice(t, setup{hops: map[string]string{"far.example": "sip:192.0.2.11"}}, func(o *office) {
		o.caller.send(at(us), o.caller.request("MESSAGE", "sip:x@far.example", "1"))
		o.phones[0].reply(o.phones[0].expect("MESSAGE "), 430)
		o.caller.expect("430 ")
	})
}
