package proxy_test

import (
	"net/netip"
	"testing"
	"time"

	"dialtone/internal/location"
)

// RFC 3261 §16.6 item 7, §26.4.4: where the Request-URI is a SIPS URI every hop is secure, whatever the URI of the next hop
// says. A server without TLS sends such a request nowhere.
func TestSIPSIsNeverSentInClear(t *testing.T) {
	for _, mode := range []string{"proxy", "stateless"} {
		for name, c := range map[string]struct{ uri, route string }{
			"a phone that registered in clear": {"sips:101@" + domain, ""},
			"a static device":                  {"sips:104@" + domain, ""},
			"a configured next hop":            {"sips:x@far.example", ""},
			"a name":                           {"sips:x@named.example", ""},
			"an address":                       {"sips:x@192.0.2.13:5060", ""},
			"a Route":                          {"sips:x@named.example", "Route: <sip:192.0.2.13;lr>"},
			"a Route by name":                  {"sips:x@192.0.2.50", "Route: <sip:named.example;lr>"},
		} {
			inOffice(t, setup{mode: mode, static: map[string]string{"104": "sip:gw@192.0.2.13"}, hops: map[string]string{"far.example": "sip:192.0.2.13"}}, func(o *office) {
				o.names["named.example"] = []netip.Addr{o.phones[2].addr.Addr()}
				o.proxy.bind("101", location.Binding{Contact: contact(o.phones[2])})
				more := []string{}
				if c.route != "" {
					more = append(more, c.route)
				}
				o.caller.send(at(us), o.caller.request("MESSAGE", c.uri, "1", more...))
				if m := o.caller.next(40 * time.Second); mode == "proxy" && m == nil || m != nil && m.Status() < 400 {
					t.Errorf("%s, %s: the caller heard %v", mode, name, m)
				}
				if all := o.phones[2].all(); len(all) > 0 {
					t.Errorf("%s, %s: sent in clear: %q", mode, name, all)
				}
			})
		}
	}
}
