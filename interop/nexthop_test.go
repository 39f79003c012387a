package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// farm is a set of SIPp servers for numbers that begin with 5.
func farm(ports ...int) string {
	s := "next_hops:\n  - name: farm\n    prefix: \"5\"\n    targets:\n"
	for _, port := range ports {
		s += fmt.Sprintf("      - {uri: \"sip:%s:%d\"}\n", host, port)
	}
	return s
}

// behind is a SIPp server behind a proxy; its calls are counted in a file.
type behind struct {
	*process
	log string
}

func (x *server) behind(port int) behind {
	x.t.Helper()
	log := filepath.Join(x.t.TempDir(), "calls")
	return behind{x.begin(sipp{scenario: "server_callee", port: port, calls: 1 << 20, more: []string{"-trace_logs", "-log_file", log}}), log}
}

// calls is the Call-IDs that a server has seen.
func (b behind) calls(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(b.log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(strings.ReplaceAll(string(text), "call ", ""))
}

// state is how a server behind is, in the words of `dialtone next-hop show`.
func (x *server) state(port int) string {
	x.t.Helper()
	type hop struct {
		State []struct{ URI, State string }
	}
	for _, s := range decode[hop](x.t, x.run("next-hop", "show", "farm", "--json"))[0].State {
		if s.URI == fmt.Sprintf("sip:%s:%d", host, port) {
			return s.State
		}
	}
	return ""
}

// TestServersBehindAProxy: two servers share 200 calls, and one is killed in the middle. Every call is answered: those
// that had gone to the dead one fail over after two seconds, those that come later do not meet it. Once it is back it gets
// calls again.
func TestServersBehindAProxy(t *testing.T) {
	first := freePorts(t, 2)
	x := serve(t, setup{site: site(caller) + farm(first, first+1), role: "proxy"})
	a, b := x.behind(first), x.behind(first+1)
	const calls, rate = 200, 40
	called := x.begin(sipp{scenario: "caller_server", service: "555", calls: calls, rate: rate, hold: 100 * time.Millisecond})
	eventually(t, 10*time.Second, "calls at the second server", func() bool { return len(b.calls(t)) >= calls/4 })
	b.kill()
	killed := time.Now()
	eventually(t, 5*time.Second, "the dead server noticed", func() bool { return x.state(first+1) != "up" })
	noticed := time.Since(killed)
	called.end()
	atA, atB := a.calls(t), b.calls(t)
	seen := map[string]int{}
	for _, id := range append(atA, atB...) {
		seen[id]++
	}
	t.Logf("%d calls at the one that lives, %d at the one that was killed; noticed after %v", len(atA), len(atB), noticed.Round(time.Millisecond))
	if len(seen) != calls || len(atA)+len(atB) != calls {
		t.Errorf("%d calls arrived %d times, want %d once each", len(seen), len(atA)+len(atB), calls)
	}
	if n := x.metric("dialtone_next_hop_requests_total"); int(n) < calls {
		t.Errorf("the proxy has counted %v requests", n)
	}
	if n := x.metric(fmt.Sprintf(`dialtone_next_hop_up{set="farm",target="sip:%s:%d"}`, host, first)); n != 1 {
		t.Errorf("dialtone_next_hop_up of the one that lives is %v", n)
	}
	if n := x.metric(fmt.Sprintf(`dialtone_next_hop_up{set="farm",target="sip:%s:%d"}`, host, first+1)); n != 0 {
		t.Errorf("dialtone_next_hop_up of the one that is dead is %v", n)
	}

	b = x.behind(first + 1)
	eventually(t, 20*time.Second, "the server back", func() bool { return x.state(first+1) == "up" })
	x.run("next-hop", "drain", "farm", fmt.Sprintf("sip:%s:%d", host, first))
	x.begin(sipp{scenario: "caller_server", service: "555", calls: 20, rate: rate, hold: 100 * time.Millisecond}).end()
	if n := len(b.calls(t)); n != 20 || len(a.calls(t)) != len(atA) {
		t.Errorf("%d calls at the one that is back, %d at the one that is drained", n, len(a.calls(t))-len(atA))
	}
}

// telephone is a headless telephone of a domain behind the server; it wants to hear the other one.
func (x *server) telephone(t *testing.T, domain, transport, number string, args ...string) *process {
	t.Helper()
	return start(t, "dialtone phone "+number, exec.Command(binary, append([]string{"phone", "--server", fmt.Sprintf("%s:%d", host, x.sip),
		"--domain", domain, "--transport", transport, "--user", number, "--password", "secret-of-" + number, "--expect-tone", "440", "--json"}, args...)...))
}

// TestTelephonesThroughAnEdge: telephones register through a proxy at the exchange behind it, with their passwords, and
// are called back through it. Their own transport ends at the proxy.
func TestTelephonesThroughAnEdge(t *testing.T) {
	const domain = "pbx.inside.example"
	exchange := serve(t, setup{site: "domains: [" + domain + "]\n" + site(registering("101"), registering("102"))})
	edge := serve(t, setup{role: "proxy", site: fmt.Sprintf(
		"next_hops: [{name: farm, domain: %s, targets: [{uri: \"sip:%s:%d\"}]}]\n", domain, host, exchange.sip)})
	eventually(t, 10*time.Second, "the exchange asked and alive", func() bool {
		return edge.metric(`dialtone_sip_messages_total{code="200",direction="in",method="OPTIONS"}`) > 0 && edge.state(exchange.sip) == "up"
	})
	for i, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			callee := edge.telephone(t, domain, transport, "101", "--answer")
			exchange.registered(1)
			caller := edge.telephone(t, domain, transport, "102", "--call", "101", "--duration", "2s")
			for _, p := range []*process{caller, callee} {
				if code := p.wait(20 * time.Second); code != 0 {
					t.Errorf("%s: exit status %d\n%s", p.name, code, p.said())
				}
			}
			records := exchange.waitRecords(i + 1)
			if r := records[i]; r.Answer == nil || *r.From != "102" || r.Cause.SIP != 200 {
				t.Errorf("record %+v", r)
			}
			exchange.registered(0)
		})
	}
	if n := edge.status().Registrations; n != 0 {
		t.Errorf("the edge itself has %d registrations", n)
	}
}

// TestKamailioBehindAnEdge: telephones register through a proxy at a Kamailio, which speaks UDP alone, and it calls them
// back by their Path.
func TestKamailioBehindAnEdge(t *testing.T) {
	const domain = "pbx.inside.example"
	port := freePorts(t, 1)
	edge := serve(t, setup{role: "proxy", site: fmt.Sprintf(
		"next_hops: [{name: farm, domain: %s, targets: [{uri: \"sip:%s:%d\"}]}]\n", domain, host, port)})
	edge.kamailio(port, []string{"usrloc", "registrar"}, `
	if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
	if (is_method("REGISTER")) { save("location"); exit; }
	if (is_method("INVITE")) { record_route(); }
	if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
	t_relay();
	exit;`)
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			callee := edge.telephone(t, domain, transport, "101", "--answer")
			callee.hear(`"registered"`, 10*time.Second)
			caller := edge.telephone(t, domain, transport, "102", "--call", "101", "--duration", "2s")
			for _, p := range []*process{caller, callee} {
				if code := p.wait(20 * time.Second); code != 0 {
					t.Errorf("%s: exit status %d\n%s", p.name, code, p.said())
				}
			}
		})
	}
	if s := edge.state(port); s != "up" {
		t.Errorf("it is %s", s)
	}
}
