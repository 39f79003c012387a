package interop

import (
	"fmt"
	"testing"
	"time"
)

// TestCallsThroughAProxy are calls of one SIPp scenario to another that the server only forwards.
func TestCallsThroughAProxy(t *testing.T) {
	for _, role := range []string{"proxy", "stateless"} {
		for _, c := range []struct {
			name, caller, callee string
			calls                int
		}{
			{"plain", "caller", "callee", 1},
			{"two hundred", "caller", "callee", 200},
			{"early media", "caller_early", "callee_early", 1},
			{"delayed offer", "caller_delayed", "callee", 1},
		} {
			t.Run(role+", "+c.name, func(t *testing.T) {
				port := freePorts(t, 1)
				x := serve(t, setup{site: site(caller, callee("102", "", port)), role: role})
				rate := min(c.calls, 100)
				called := x.begin(sipp{scenario: c.callee, port: port, hold: 500 * time.Millisecond, calls: c.calls})
				x.begin(sipp{scenario: c.caller, service: "102", hold: 300 * time.Millisecond, calls: c.calls, rate: rate}).end()
				called.end()
			})
		}
	}
}

// TestFlowsThroughAProxy plays flows of RFC 3665 and RFC 5359 through one server, one after another.
func TestFlowsThroughAProxy(t *testing.T) {
	for _, role := range []string{"proxy", "stateless"} {
		first := freePorts(t, 2)
		x := serve(t, setup{site: site(caller, callee("102", "", first), callee("103", "", first+1)), role: role})
		other := x.uri("103")
		for _, c := range []struct {
			name, caller, callee string
			then                 string // of the second phone; "" where it hears nothing
			stateless            bool
		}{
			{"RFC 3665 3.2, success", "caller", "callee", "", true},
			{"RFC 3665 3.8, no answer", "caller_cancel", "callee_cancelled_behind", "", true},
			{"RFC 3665 3.9, busy", "caller_refused", "callee_busy_later", "", true},
			{"RFC 3428, a text", "message", "message_received", "", true},
			{"RFC 5359 2.1, hold", "caller_hold", "callee_hold", "", true},
			{"RFC 5359 2.4, transfer", "caller_transferred", "callee_transfers", "", true},
			{"RFC 5359 2.7, forwarding by 302", "caller", "callee_moved", "callee", false},
		} {
			if role == "stateless" && !c.stateless {
				continue
			}
			t.Run(role+", "+c.name, func(t *testing.T) {
				called := x.begin(sipp{scenario: c.callee, port: first, hold: 300 * time.Millisecond, more: []string{"-key", "elsewhere", other}})
				var second *process
				if c.then != "" {
					second = x.begin(sipp{scenario: c.then, port: first + 1})
				}
				x.begin(sipp{scenario: c.caller, service: "102", hold: 300 * time.Millisecond}).end()
				called.end()
				if second != nil {
					second.end()
				}
			})
		}
	}
}

// TestRegisteredThroughAProxy is BB-3 with registered contacts, and forwarding on busy: the phones are other programs than
// the one that registers them, at other ports, with their q.
func TestRegisteredThroughAProxy(t *testing.T) {
	first := freePorts(t, 3)
	x := serve(t, setup{site: site(caller, registering("102")), role: "proxy"})
	register := func(contact string) {
		x.begin(sipp{scenario: "register_contact", service: "102", more: []string{"-key", "contact", contact}}).end()
	}
	t.Run("one after another", func(t *testing.T) { // RFC 5359 §2.8
		register(fmt.Sprintf("<sip:102@%s:%d>", host, first))
		register(fmt.Sprintf("<sip:102@%s:%d>;q=0.5", host, first+1))
		busy := x.begin(sipp{scenario: "callee_busy_later", port: first})
		called := x.begin(sipp{scenario: "callee", port: first + 1})
		x.begin(sipp{scenario: "caller", service: "102", hold: 300 * time.Millisecond}).end()
		busy.end()
		called.end()
	})
	t.Run("together", func(t *testing.T) { // the first leaves, the third rings beside the second
		register(fmt.Sprintf("<sip:102@%s:%d>;expires=0", host, first))
		register(fmt.Sprintf("<sip:102@%s:%d>;q=0.5", host, first+2))
		loser := x.begin(sipp{scenario: "callee_cancelled_behind", port: first + 1})
		called := x.begin(sipp{scenario: "callee_slow", port: first + 2})
		x.begin(sipp{scenario: "caller", service: "102", hold: 300 * time.Millisecond}).end()
		called.end()
		loser.end()
	})
}

// TestRegisteredAtAnotherPort: the exchange, too, calls a phone at the port that it has registered.
func TestRegisteredAtAnotherPort(t *testing.T) {
	port := freePorts(t, 1)
	x := serve(t, setup{site: site(caller, registering("102"))})
	x.begin(sipp{scenario: "register_contact", service: "102", more: []string{"-key", "contact", fmt.Sprintf("<sip:102@%s:%d>", host, port)}}).end()
	called := x.begin(sipp{scenario: "callee", port: port})
	x.begin(sipp{scenario: "caller", service: "102", hold: 300 * time.Millisecond}).end()
	called.end()
}

// TestPasswordThroughAProxy is RFC 3665 §3.2: a line that is not known by its address is asked for its password.
func TestPasswordThroughAProxy(t *testing.T) {
	port := freePorts(t, 1)
	x := serve(t, setup{site: site(callee("102", "", port), registering("104")), role: "proxy"})
	called := x.begin(sipp{scenario: "callee", port: port})
	x.begin(sipp{scenario: "caller_password", service: "102", password: "secret-of-104", hold: 300 * time.Millisecond,
		more: []string{"-key", "user", "104", "-au", "104"}}).end()
	called.end()
}

// TestRedirected is BB-7: the contacts of a line, the better one first, and nothing that rings.
func TestRedirected(t *testing.T) {
	x := serve(t, setup{site: site(caller, registering("102")), role: "redirect"})
	port := freePorts(t, 2)
	for _, contact := range []string{fmt.Sprintf("<sip:second@%s:%d>;q=0.5", host, port+1), fmt.Sprintf("<sip:first@%s:%d>", host, port)} {
		x.begin(sipp{scenario: "register_contact", service: "102", more: []string{"-key", "contact", contact}}).end()
	}
	x.begin(sipp{scenario: "caller_redirected", service: "102", calls: 200, rate: 100}).end()
	if n := x.metric("dialtone_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}
