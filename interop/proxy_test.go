package interop

import (
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
