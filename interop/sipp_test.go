package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// sipp is one run of a SIPp scenario.
type sipp struct {
	scenario string // name of the file below sipp/, without .xml
	port     int    // 0 = a free one
	service  string // the number that is called; [service] in the scenario
	calls    int    // 0 = 1
	rate     int    // calls per second; 0 = SIPp's own
	hold     time.Duration
	tcp      bool
	password string            // of the line that registers; "" = the right one
	patience time.Duration     // for all its calls; 0 = a minute
	files    map[string]string // that the scenario wants to find
	more     []string
}

// begin starts a scenario; end waits for it. A scenario that waits for calls is ready when begin returns.
func (x *server) begin(s sipp) *process {
	x.t.Helper()
	if s.port == 0 {
		s.port = freePorts(x.t, 1)
	}
	s.calls = max(s.calls, 1)
	if s.patience == 0 {
		s.patience = time.Minute
	}
	file, err := filepath.Abs(filepath.Join("sipp", s.scenario+".xml"))
	if err != nil {
		x.t.Fatal(err)
	}
	dir := x.t.TempDir()
	for name, text := range s.files {
		write(x.t, filepath.Join(dir, name), text)
	}
	media := freePorts(x.t, 6)
	args := []string{fmt.Sprintf("%s:%d", host, x.sip), "-i", host, "-p", strconv.Itoa(s.port), "-mi", host, "-mp", strconv.Itoa(media),
		"-sf", file, "-m", strconv.Itoa(s.calls), "-nostdin", "-timeout_error", "-timeout", strconv.Itoa(int(s.patience.Seconds())) + "s",
		"-trace_err", "-error_file", filepath.Join(dir, "errors")}
	if s.calls == 1 {
		args = append(args, "-trace_msg", "-message_file", filepath.Join(dir, "messages"))
	}
	if s.password == "" {
		s.password = "secret-of-" + s.service
	}
	if s.service != "" {
		args = append(args, "-s", s.service, "-au", s.service, "-ap", s.password)
	}
	if s.rate > 0 {
		args = append(args, "-r", strconv.Itoa(s.rate))
	}
	if s.hold > 0 {
		args = append(args, "-d", strconv.FormatInt(s.hold.Milliseconds(), 10))
	}
	if s.tcp {
		args = append(args, "-t", "t1")
	}
	cmd := x.command("sipp", append(args, s.more...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=dumb")
	x.t.Cleanup(func() { // runs after the one of the process
		if !x.t.Failed() {
			return
		}
		for _, name := range []string{"errors", "messages"} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil && len(text) > 0 {
				x.t.Logf("%s of %s:\n%s", name, s.scenario, tail(string(text), 120))
			}
		}
	})
	p := start(x.t, "sipp "+s.scenario, cmd)
	if s.service == "" && !s.tcp {
		p.bound(s.port)
	}
	return p
}

// end waits until a scenario has passed.
func (p *process) end() {
	p.t.Helper()
	if code := p.wait(5 * time.Minute); code != 0 {
		p.t.Errorf("%s failed with exit status %d", p.name, code)
	}
}

// caller is the line that SIPp calls from; it is known by its address, so that scenarios need no passwords.
const caller = `
  - number: "100"
    max_calls: 1000
    devices: [{username: caller, auth: static, from: [127.0.0.1/32], address: "sip:127.0.0.1:9"}]
`

// callee is a line whose devices are SIPp scenarios at fixed ports.
func callee(number, more string, ports ...int) string {
	s := fmt.Sprintf("  - number: %q\n", number)
	if more != "" {
		s += "    " + more + "\n"
	}
	s += "    devices:\n"
	for i, port := range ports {
		s += fmt.Sprintf("      - {username: callee-%s-%d, auth: static, from: [127.0.0.2/32], address: \"sip:%s@127.0.0.1:%d\"}\n", number, i, number, port)
	}
	return s
}

// site is a configuration of lines.
func site(lines ...string) string {
	s := "tenant: default\nlines:\n"
	for _, l := range lines {
		s += l
	}
	return s
}
