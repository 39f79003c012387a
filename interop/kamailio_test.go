package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/internal/admin"
)

// kamailio starts a Kamailio at a port with the routing that a test gives it. What is said about routes inside dialogs is
// always the same: they are followed.
func (x *server) kamailio(port int, modules []string, route string) *process {
	x.t.Helper()
	dir := x.t.TempDir()
	var load strings.Builder
	for _, m := range append([]string{"tm", "sl", "rr", "pv", "maxfwd", "siputils", "textops"}, modules...) {
		fmt.Fprintf(&load, "loadmodule %q\n", m+".so")
		switch m {
		case "path":
			load.WriteString("modparam(\"path\", \"use_received\", 1)\n")
		case "registrar":
			load.WriteString("modparam(\"registrar\", \"use_path\", 1)\n")
		}
	}
	found, _ := filepath.Glob("/usr/lib/*/kamailio/modules/tm.so")
	if len(found) == 0 {
		x.t.Fatal("the modules of kamailio are not where Debian puts them")
	}
	file := filepath.Join(dir, "kamailio.cfg")
	write(x.t, file, fmt.Sprintf(`#!KAMAILIO
log_stderror=yes
debug=1
children=2
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:%[1]s:%[2]d
mpath="%[3]s/"
%[4]s
request_route {
	if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
	if (has_totag()) { loose_route(); t_relay(); exit; }
%[5]s
}
`, host, port, filepath.Dir(found[0]), load.String(), route))
	cmd := exec.Command("kamailio", "-f", file, "-DD", "-E", "-m", "32", "-M", "4", "-Y", dir, "-P", filepath.Join(dir, "pid"))
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if path, err := exec.LookPath("/usr/sbin/kamailio"); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	p := start(x.t, "kamailio", cmd)
	p.bound(port)
	return p
}

// TestKamailioBeforeUs: a phone registers through a Kamailio that writes itself into Path (RFC 3327) and is reached by way of
// it, also when the phone's own address is of no use.
func TestKamailioBeforeUs(t *testing.T) {
	x := serve(t, setup{site: site(registering("101"), registering("102"))})
	edge := freePorts(t, 1)
	x.kamailio(edge, []string{"path"}, fmt.Sprintf(`
	if (is_method("REGISTER")) { add_path_received(); } else { record_route(); }
	if ($sp == %[2]d) { loose_route(); }
	else { $du = "sip:%[1]s:%[2]d"; }
	t_relay();
	exit;`, host, x.sip))
	a := x.phone(phoneSetup{number: "101", transport: "udp", hz: toneA, outbound: edge})
	b := x.phone(phoneSetup{number: "102", transport: "udp", hz: toneB})
	x.registered(2)
	for _, r := range decode[admin.Registration](t, x.run("registrations", "--line", "101", "--json")) {
		if r.Path == nil || !strings.HasPrefix(*r.Path, fmt.Sprintf("<sip:%s:%d;lr;", host, edge)) {
			t.Fatalf("no Path: %+v", r)
		}
	}
	for _, c := range []struct {
		name           string
		caller, callee *phone
		number         string
	}{
		{"from behind it", a, b, "102"},
		{"to behind it", b, a, "101"},
	} {
		t.Run(c.name, func(t *testing.T) {
			connect(c.caller, c.callee, c.number)
			const talk = 3 * time.Second
			time.Sleep(talk)
			disconnect(c.caller, c.callee)
			x.idle()
		})
	}
	a.hears(toneB, toneA, 4*time.Second)
	b.hears(toneA, toneB, 4*time.Second)
	for _, r := range x.waitRecords(2) {
		if r.Cause.SIP != 200 || r.TalkMS == nil || *r.TalkMS < 2500 {
			t.Errorf("record: %+v", r)
		}
	}
}
