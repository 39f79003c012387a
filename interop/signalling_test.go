package interop

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/cdr"
)

// registering is a line whose phone registers; the password is the one of the scenarios.
func registering(number string) string {
	return strings.ReplaceAll("  - {number: \"N\", devices: [{username: \"N\", password: secret-of-N}]}\n", "N", number)
}

func TestRegister(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			x := serve(t, setup{site: site(registering("101"))})
			p := x.begin(sipp{scenario: "register", service: "101", hold: time.Second, tcp: transport == "tcp"})
			x.registered(1)
			p.end()
			x.registered(0)
		})
	}
}

func TestRegisterWithWrongPassword(t *testing.T) {
	x := serve(t, setup{site: site(registering("101"))})
	x.begin(sipp{scenario: "register_wrong", service: "101", password: "wrong"}).end()
	x.begin(sipp{scenario: "register_wrong", service: "999", password: "wrong"}).end() // who does not exist is told the same
	if n := x.status().Registrations; n != 0 {
		t.Errorf("%d registrations", n)
	}
}

// TestTwoPartyCalls are calls of one SIPp scenario to another through the exchange.
func TestTwoPartyCalls(t *testing.T) {
	for _, c := range []struct {
		name, caller, callee string
		answered             bool
		status               int // of the record's cause
		q850                 int
	}{
		{"plain", "caller", "callee", true, 200, 16},
		{"hold", "caller_hold", "callee_hold", true, 200, 16},
		{"delayed offer", "caller_delayed", "callee", true, 200, 16},
		{"early media", "caller_early", "callee_early", true, 200, 16},
		{"PRACK to the caller", "caller_prack", "callee_slow", true, 200, 16},
		{"PRACK from the callee", "caller", "callee_prack", true, 200, 16},
		{"cancel", "caller_cancel", "callee_cancelled", false, 487, 0},
		{"busy", "caller_busy", "callee_busy", false, 486, 17},
		{"session timer", "caller_timer", "callee_timer", true, 200, 16},
		{"short session", "caller_short_session", "callee", true, 200, 16}, // BB-9
		{"hung up by the callee", "caller_ended", "callee_hangup", true, 200, 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := freePorts(t, 1)
			x := serve(t, setup{site: site(caller, callee("102", "", port))})
			called := x.begin(sipp{scenario: c.callee, port: port, hold: 500 * time.Millisecond})
			x.begin(sipp{scenario: c.caller, service: "102", hold: 300 * time.Millisecond}).end()
			called.end()
			x.idle()
			r := x.record()
			if (r.Answer != nil) != c.answered {
				t.Errorf("answered at %v", r.Answer)
			}
			if r.Cause == nil || r.Cause.SIP != c.status || c.q850 != 0 && r.Cause.Q850 != c.q850 {
				t.Errorf("cause %+v, want %d and %d", r.Cause, c.status, c.q850)
			}
			if want := (cdr.Record{From: new("100"), To: new("102")}); *r.From != *want.From || *r.To != *want.To {
				t.Errorf("from %s to %s", *r.From, *r.To)
			}
		})
	}
}

func TestUnknownNumber(t *testing.T) {
	x := serve(t, setup{site: site(caller)})
	x.begin(sipp{scenario: "caller_404", service: "555"}).end()
	if r := x.record(); r.Cause.SIP != 404 || r.Cause.Q850 != 1 {
		t.Errorf("cause %+v", r.Cause)
	}
}

// TestFork is BB-3: three devices ring, one answers, the others are told that somebody else has.
func TestFork(t *testing.T) {
	first := freePorts(t, 3)
	x := serve(t, setup{site: site(caller, callee("102", "", first, first+1, first+2))})
	devices := []*process{
		x.begin(sipp{scenario: "callee_elsewhere", port: first}),
		x.begin(sipp{scenario: "callee_slow", port: first + 1}),
		x.begin(sipp{scenario: "callee_elsewhere", port: first + 2}),
	}
	x.begin(sipp{scenario: "caller", service: "102", hold: 500 * time.Millisecond}).end()
	for _, d := range devices {
		d.end()
	}
	if r := x.record(); r.Answer == nil || r.Cause.SIP != 200 {
		t.Errorf("answered at %v, cause %+v", r.Answer, r.Cause)
	}
}

// TestOneCallProduct is BB-1 for the product that has one call at a time: the second caller is told "busy".
func TestOneCallProduct(t *testing.T) {
	port := freePorts(t, 1)
	x := serve(t, setup{site: site(caller, callee("102", "product: sip-phone", port))})
	called := x.begin(sipp{scenario: "callee", port: port})
	talking := x.begin(sipp{scenario: "caller", service: "102", hold: 3 * time.Second})
	eventually(t, 5*time.Second, "answered", func() bool { return x.status().Calls == 1 })
	start := time.Now()
	x.begin(sipp{scenario: "caller_busy", service: "102"}).end()
	if took := time.Since(start); took > 2*time.Second { // of the whole program, not of the answer
		t.Errorf("the refusal took %v", took)
	}
	talking.end()
	called.end()
	x.waitRecords(2)
}

// TestOneCallProductCalls: such a line has one call of its own, too.
func TestOneCallProductCalls(t *testing.T) {
	port := freePorts(t, 1)
	one := strings.Replace(caller, "max_calls: 1000", "product: sip-phone", 1)
	x := serve(t, setup{site: site(one, callee("102", "", port))})
	called := x.begin(sipp{scenario: "callee", port: port})
	talking := x.begin(sipp{scenario: "caller", service: "102", hold: 3 * time.Second})
	eventually(t, 5*time.Second, "answered", func() bool { return x.status().Calls == 1 })
	x.begin(sipp{scenario: "caller_403", service: "102"}).end()
	talking.end()
	called.end()
	x.waitRecords(2)
}

// TestCallWithWrongPassword: neither a line with a wrong password nor one that does not exist gets through, and they
// cannot be told apart.
func TestCallWithWrongPassword(t *testing.T) {
	port := freePorts(t, 1)
	x := serve(t, setup{site: site(registering("101"), callee("102", "", port))})
	for _, user := range []string{"101", "999"} {
		x.begin(sipp{scenario: "caller_wrong", service: "102", password: "wrong", more: []string{"-key", "user", user, "-au", user}}).end()
	}
	if n := len(x.records()); n != 0 {
		t.Errorf("%d records of calls that were never let in", n)
	}
}

// TestLoad calls a SIPp through the exchange with its media anchored: not one call may fail, and each leaves a record.
func TestLoad(t *testing.T) {
	rate, seconds := 50, 10
	if long() {
		rate, seconds = 200, 30
	}
	calls := rate * seconds
	port := freePorts(t, 1)
	x := serve(t, setup{ports: 4000, site: site(caller, callee("102", "max_calls: 1000", port))})
	called := x.begin(sipp{scenario: "callee", port: port, calls: calls, more: []string{"-l", "2000"}})
	x.begin(sipp{scenario: "caller", service: "102", calls: calls, rate: rate, hold: time.Second, more: []string{"-l", "2000"}}).end()
	called.end()
	x.idle()
	for _, r := range x.waitRecords(calls) {
		if r.Answer == nil || r.Cause.SIP != 200 {
			t.Fatalf("call %s: answered at %v, cause %+v", r.CallID, r.Answer, r.Cause)
		}
	}
	if w := x.status().Warnings; len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
	if n := x.metric("dialtone_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

// TestMediaThroughTheExchange sends sound both ways through many calls at once: nothing may be lost.
func TestMediaThroughTheExchange(t *testing.T) {
	const calls, talk = 40, 8 * time.Second
	port := freePorts(t, 1)
	x := serve(t, setup{site: site(caller, callee("102", "max_calls: 1000", port))})
	tone := make([]byte, 8000) // a second of A-law
	for i := range tone {
		tone[i] = byte(0x55 + i%16)
	}
	called := x.begin(sipp{scenario: "callee", port: port, calls: calls, more: []string{"-rtp_echo"}})
	x.begin(sipp{scenario: "caller_media", service: "102", calls: calls, rate: 20, hold: talk,
		files: map[string]string{"tone.raw": string(tone)}}).end()
	called.end()
	x.idle()
	packets := float64(calls) * talk.Seconds() * 50
	if n := x.metric("dialtone_rtp_packets_total{direction=\"in\"}"); n < 1.9*packets {
		t.Errorf("%v packets came in, want twice %v", n, packets)
	}
	if in, out := x.metric("dialtone_rtp_packets_total{direction=\"in\"}"), x.metric("dialtone_rtp_packets_total{direction=\"out\"}"); out < 0.999*in {
		t.Errorf("%v packets came in, %v went out", in, out)
	}
	for _, r := range x.waitRecords(calls) {
		for _, l := range r.Legs {
			if l.MOSIn == nil || *l.MOSIn <= 4.2 || l.Loss == nil || *l.Loss > 0 {
				t.Errorf("leg of %s: MOS %v, loss %v, jitter %v", *l.Device, pointed(l.MOSIn), pointed(l.Loss), pointed(l.JitterMS))
			}
		}
	}
}
