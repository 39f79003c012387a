package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/cdr"
)

// host is where everything happens.
const host = "127.0.0.1"

// setup says what kind of server a test wants.
type setup struct {
	site  string // configuration, applied after the start
	sip   string // more lines of the [sip] section
	in    string // network namespace; "" = that of the test
	at    string // address for SIP and media; "" = host
	ports int    // RTP ports; 0 = 400
	share bool   // one port for many streams
	role  string // of the listeners; "" = exchange
	guard string // the lines of the [guard] section
	more  string // further sections
	ws    bool   // with a listener for WebSocket
}

// server is one running exchange.
type server struct {
	*process
	t        *testing.T
	in       string // network namespace
	at       string // address for SIP and media
	dir      string // data directory
	config   string // static file
	sip, tls int    // ports; UDP and TCP share one
	http, ws int    // ws is 0 without a listener
	rtp      [2]int // first and last
}

// serve starts a server and applies its configuration.
func serve(t *testing.T, s setup) *server {
	t.Helper()
	if s.ports == 0 {
		s.ports = 400
	}
	if s.role == "" {
		s.role = "exchange"
	}
	if s.at == "" {
		s.at = host
	}
	x := &server{t: t, in: s.in, at: s.at, dir: t.TempDir()}
	first := freePorts(t, 4+s.ports+4)
	x.sip, x.tls, x.http = first, first+1, first+2
	x.rtp = [2]int{first + 4, first + 3 + s.ports}
	websocket := ""
	if s.ws {
		x.ws = first + 3
		websocket = fmt.Sprintf(`, "ws://%s:%d?role=%s"`, host, x.ws, s.role)
	}
	x.rtp[0] += x.rtp[0] % 2
	shared := ""
	if s.share {
		at := x.rtp[1] + 1
		shared = fmt.Sprintf("shared = \"0.0.0.0:%d\"", at+at%2)
	}
	x.config = filepath.Join(t.TempDir(), "dialtone.toml")
	write(t, x.config, fmt.Sprintf(`data = %q
[sip]
listen = ["udp://%[12]s:%[3]d?role=%[9]s", "tcp://%[12]s:%[3]d?role=%[9]s", "tls://%[12]s:%[4]d?role=%[9]s"%[13]s]
%[5]s
[rtp]
ports = "%[6]d-%[7]d"
%[14]s
[http]
listen = ["http://%[2]s:%[8]d"]
[guard]
%[10]s
%[11]s
`, x.dir, host, x.sip, x.tls, s.sip, x.rtp[0], x.rtp[1], x.http, s.role, s.guard, s.more, s.at, websocket, shared))
	x.boot()
	if s.site != "" {
		x.apply(s.site)
	}
	return x
}

// boot starts the program and waits until it listens.
func (x *server) boot() {
	x.t.Helper()
	cmd := x.command(binary, "serve", "--config", x.config, "--data", x.dir)
	cmd.Env = append(os.Environ(), "DIALTONE_ADMIN_PASSWORD=interop-password")
	x.process = start(x.t, "dialtone serve", cmd)
	x.hear("(http)", 20*time.Second)
}

// command is a command in the network namespace of the server.
func (x *server) command(name string, args ...string) *exec.Cmd { return inside(x.in, name, args...) }

// inside is a command in a network namespace; "" is that of the test.
func inside(namespace, name string, args ...string) *exec.Cmd {
	if namespace == "" {
		return exec.Command(name, args...)
	}
	return privileged("ip", append([]string{"netns", "exec", namespace, name}, args...)...)
}

// apply gives the server a configuration.
func (x *server) apply(site string) {
	x.t.Helper()
	file := filepath.Join(x.t.TempDir(), "site.yaml")
	write(x.t, file, site)
	x.run("apply", "-f", file)
}

// run runs a command of the program against the server and returns what it prints.
func (x *server) run(args ...string) string {
	x.t.Helper()
	cmd := exec.Command(binary, append(args, "--data", x.dir)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		x.t.Fatalf("dialtone %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return out.String()
}

// records are the call records, the oldest first.
func (x *server) records() []cdr.Record {
	x.t.Helper()
	return decode[cdr.Record](x.t, x.run("records", "--json"))
}

// record waits for the one record of a server that has had one call.
func (x *server) record() cdr.Record {
	x.t.Helper()
	return x.waitRecords(1)[0]
}

// waitRecords waits for n records: a record is durable within a second of the end of its call.
func (x *server) waitRecords(n int) []cdr.Record {
	x.t.Helper()
	var records []cdr.Record
	eventually(x.t, 5*time.Second, fmt.Sprintf("%d records", n), func() bool {
		records = x.records()
		return len(records) >= n
	})
	if len(records) > n {
		x.t.Fatalf("%d records, want %d", len(records), n)
	}
	return records
}

// status is what `dialtone status` says.
type status struct {
	State         string
	Calls         int
	Registrations int
	Warnings      []string
}

func (x *server) status() status {
	x.t.Helper()
	return decode[status](x.t, x.run("status", "--json"))[0]
}

// idle waits until no call is left.
func (x *server) idle() {
	x.t.Helper()
	eventually(x.t, 10*time.Second, "without calls", func() bool { return x.status().Calls == 0 })
}

// registered waits until n devices are registered.
func (x *server) registered(n int) {
	x.t.Helper()
	eventually(x.t, 15*time.Second, fmt.Sprintf("%d registrations", n), func() bool { return x.status().Registrations == n })
}

// metric is the sum of a metric over its labels; the name may go on with a part of the labels.
func (x *server) metric(name string) float64 {
	x.t.Helper()
	answer, err := http.Get(fmt.Sprintf("http://%s:%d/metrics", host, x.http))
	if err != nil {
		x.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`[^ ]* (\S+)$`).FindAllSubmatch(text, -1) {
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			x.t.Fatalf("metric %s: %v", name, err)
		}
		sum += v
	}
	return sum
}

// uri is an address at the server.
func (x *server) uri(user string) string { return fmt.Sprintf("sip:%s@%s:%d", user, x.at, x.sip) }

// decode reads JSON, one value a line.
func decode[T any](t *testing.T, text string) []T {
	t.Helper()
	var values []T
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var v T
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		values = append(values, v)
	}
	return values
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var ports struct {
	sync.Mutex
	next int
}

// freePorts finds n ports in a row that nobody uses, neither over UDP nor over TCP. They are below the range from which
// the system gives ports to clients, and begin at a place of chance, so that two runs on one machine rarely meet.
func freePorts(t *testing.T, n int) (first int) {
	t.Helper()
	const lowest, highest = 11000, 32000
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		ports.next = lowest + rand.IntN((highest-lowest)/2)
	}
	for range 200 {
		if ports.next+n > highest {
			ports.next = lowest
		}
		first, ports.next = ports.next, ports.next+n
		free := true
		for p := first; p < first+n && free; p++ {
			free = isFree(p)
		}
		if free {
			return first
		}
	}
	t.Fatalf("no %d free ports in a row", n)
	return 0
}

func isFree(port int) bool {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	defer u.Close()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// bound waits until a program has bound a UDP port.
func (p *process) bound(port int) {
	p.t.Helper()
	want := fmt.Sprintf(":%04X ", port)
	eventually(p.t, 5*time.Second, fmt.Sprintf("bound to port %d", port), func() bool {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/udp", p.cmd.Process.Pid)) // as its namespace sees it
		return err == nil && bytes.Contains(table, []byte(want))
	})
}
