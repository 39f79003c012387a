package interop

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// namespace makes a network namespace with a loopback of its own, in which packets may be lost without harm to others.
func namespace(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("dialtone-%d", os.Getpid())
	run := func(args ...string) {
		t.Helper()
		if out, err := privileged(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("ip", "netns", "add", name)
	t.Cleanup(func() { run("ip", "netns", "delete", name) })
	run("ip", "-n", name, "link", "set", "lo", "up")
	return name
}

// TestLoss is BB-2: with every tenth packet lost on both sides of the exchange, every call completes, and each leaves
// one record.
func TestLoss(t *testing.T) {
	if !long() {
		t.Skip("one of the long runs, for root: make interop LONG=1 RUN=TestLoss")
	}
	const calls = 2000
	port := freePorts(t, 1)
	x := serve(t, setup{in: namespace(t), ports: 2000, site: site(caller, callee("102", "max_calls: 1000", port))})
	rules := fmt.Sprintf("table inet loss { chain in { type filter hook input priority 0; "+
		"udp dport %[1]d numgen random mod 100 < 10 counter drop; "+
		"udp sport %[1]d numgen random mod 100 < 10 counter drop; }; }", x.sip)
	if out, err := x.command("nft", rules).CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	called := x.begin(sipp{scenario: "callee_patient", port: port, calls: calls, patience: 4 * time.Minute,
		more: []string{"-l", "4000"}})
	x.begin(sipp{scenario: "caller", service: "102", calls: calls, rate: 50, hold: 2 * time.Second, patience: 4 * time.Minute,
		more: []string{"-l", "4000"}}).end()
	// SIPp as a callee gives calls up in which messages come again in an unusual order: the caller and the records judge.
	called.stop(5 * time.Second)
	x.idle()
	for _, r := range x.waitRecords(calls) {
		if r.Answer == nil || r.Cause.SIP != 200 {
			t.Errorf("call %s: answered at %v, cause %+v\n%s", r.CallID, r.Answer, r.Cause, x.run("trace", r.CallID))
		}
	}
	out, err := x.command("nft", "list", "table", "inet", "loss").CombinedOutput()
	t.Logf("%s%v", out, err)
}
