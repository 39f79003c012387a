package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// memory is the resident memory of the server, in bytes.
func (x *server) memory() int {
	x.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", x.cmd.Process.Pid))
	if err != nil {
		x.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		x.t.Fatalf("no VmRSS in %s", text)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		x.t.Fatal(err)
	}
	return n << 10
}

// TestPortInUse: a server that cannot have its port says which, and ends.
func TestPortInUse(t *testing.T) {
	x := serve(t, setup{})
	for _, listen := range []string{
		fmt.Sprintf("[sip]\nlisten = [%q]\n[http]\nlisten = []\n", fmt.Sprintf("udp://%s:%d", host, x.sip)),
		fmt.Sprintf("[sip]\nlisten = [%q]\n[http]\nlisten = []\n", fmt.Sprintf("tcp://%s:%d", host, x.sip)),
		fmt.Sprintf("[sip]\nlisten = [\"udp://%s:0\"]\n[http]\nlisten = [%q]\n", host, fmt.Sprintf("http://%s:%d", host, x.http)),
	} {
		port := strconv.Itoa(x.sip)
		if strings.Contains(listen, "http://") {
			port = strconv.Itoa(x.http)
		}
		config := filepath.Join(t.TempDir(), "second.toml")
		write(t, config, listen)
		p := start(t, "second server", exec.Command(binary, "serve", "--config", config, "--data", t.TempDir()))
		if code := p.wait(20 * time.Second); code != 1 {
			t.Errorf("exit status %d, want 1", code)
		}
		if said := p.said(); !strings.Contains(said, ":"+port) || !strings.Contains(said, "in use") {
			t.Errorf("with %s it said:\n%s", listen, said)
		}
	}
}

// TestUnknownKey: a misspelt key of the static file is an error with its line.
func TestUnknownKey(t *testing.T) {
	config := filepath.Join(t.TempDir(), "bad.toml")
	write(t, config, "log = \"info\"\n\n[sip]\nlisen = [\"udp://127.0.0.1:0\"]\n")
	p := start(t, "dialtone serve", exec.Command(binary, "serve", "--config", config, "--data", t.TempDir()))
	if code := p.wait(20 * time.Second); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	if said := p.said(); !strings.Contains(said, "bad.toml:4") || !strings.Contains(said, "lisen") {
		t.Errorf("it said:\n%s", said)
	}
}

// TestDrain: after SIGTERM a new call gets 503, the running one is ended with BYE when its time is up, its record is
// written, and the exit status is 0.
func TestDrain(t *testing.T) {
	port := freePorts(t, 1)
	x := serve(t, setup{sip: `drain = "3s"`, site: site(caller, callee("102", "", port))})
	called := x.begin(sipp{scenario: "callee", port: port})
	talking := x.begin(sipp{scenario: "caller_ended", service: "102"})
	eventually(t, 5*time.Second, "answered", func() bool { return strings.Contains(x.run("calls", "--json"), `"answered"`) })
	x.signal(syscall.SIGTERM)
	// The server says so in its log; a call that comes after that is refused.
	x.hear("draining", 2*time.Second)
	x.begin(sipp{scenario: "caller_503", service: "102"}).end()
	talking.end()
	called.end()
	if code := x.wait(10 * time.Second); code != 0 {
		t.Errorf("exit status %d", code)
	}
	x.boot()
	r := x.record()
	if r.Answer == nil || r.End == nil || r.Cause == nil {
		t.Errorf("answered at %v, ended at %v, cause %+v", r.Answer, r.End, r.Cause)
	}
}

// TestKill9 ends the server in the middle of calls and registrations, as a power cut would. Afterwards the phones can be
// called at once, and each call has one record.
func TestKill9(t *testing.T) {
	const running, ended = 5, 3
	port := freePorts(t, 2)
	x := serve(t, setup{site: site(caller, callee("102", "max_calls: 100", port), registering("101"))})
	x.begin(sipp{scenario: "register_stay", service: "101", port: port + 1}).end()

	called := x.begin(sipp{scenario: "callee", port: port, calls: running + ended})
	x.begin(sipp{scenario: "caller", service: "102", calls: ended, hold: 100 * time.Millisecond}).end()
	x.waitRecords(ended)
	talking := x.begin(sipp{scenario: "caller", service: "102", calls: running, hold: time.Minute})
	eventually(t, 10*time.Second, "answered", func() bool {
		return strings.Count(x.run("calls", "--json"), `"answered"`) == running
	})
	time.Sleep(time.Second) // an answered call is journalled within a second
	x.kill()
	talking.kill()
	called.kill()

	start := time.Now()
	x.boot()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("back after %v", took)
	}
	if n := x.status().Registrations; n != 1 {
		t.Errorf("%d registrations after the restart", n)
	}
	records, seen, recovered := x.waitRecords(running+ended), map[string]bool{}, 0
	for _, r := range records {
		if seen[r.CallID] {
			t.Errorf("two records of call %s", r.CallID)
		}
		seen[r.CallID] = true
		if strings.Contains(strings.ToLower(r.Cause.Words), "recovered") {
			recovered++
			if r.Answer == nil || r.End == nil || r.End.Before(r.Answer.Time) {
				t.Errorf("recovered call: answered at %v, ended at %v", r.Answer, r.End)
			}
		}
	}
	if recovered != running {
		t.Errorf("%d calls recovered, want %d: %+v", recovered, running, records[len(records)-1].Cause)
	}

	phone := x.begin(sipp{scenario: "callee", port: port + 1}) // the phone is still there, at its old address
	x.begin(sipp{scenario: "caller", service: "101", hold: 200 * time.Millisecond}).end()
	phone.end()
	x.waitRecords(running + ended + 1)
}
