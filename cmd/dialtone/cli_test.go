package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/internal/admin"
)

// asked is one request that a command made.
type asked struct {
	line string // "GET /api/v1/lines?limit=1000"
	body string
	head http.Header
}

// fake is a server on the socket of a data directory that answers by script.
type fake struct {
	t       *testing.T
	data    string
	answers map[string]answer // by "GET /lines"
	asked   []asked
}

type answer struct {
	status int
	body   string
	etag   string
}

func newFake(t *testing.T, answers map[string]answer) *fake {
	t.Helper()
	f := &fake{t: t, data: t.TempDir(), answers: answers}
	listener, err := net.Listen("unix", filepath.Join(f.data, admin.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(f)
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	line := r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), admin.Prefix)
	full := line
	if r.URL.RawQuery != "" {
		full += "?" + r.URL.RawQuery
	}
	f.asked = append(f.asked, asked{full, string(body), r.Header})
	a, ok := f.answers[full]
	if !ok {
		a, ok = f.answers[line]
	}
	if !ok {
		a = answer{status: 404, body: `{"status":404,"code":"not_found","detail":"nothing is served"}`}
	}
	if a.status == 0 {
		a.status = 200
	}
	w.Header().Set("Content-Type", "application/json")
	if a.status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	if a.etag != "" {
		w.Header().Set("ETag", a.etag)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// last is the last request.
func (f *fake) last() asked {
	f.t.Helper()
	if len(f.asked) == 0 {
		f.t.Fatal("nothing was asked")
	}
	return f.asked[len(f.asked)-1]
}

type outcome struct {
	status      int
	out, errors string
}

func command(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	status := run(args, system{strings.NewReader(stdin), &out, &errs, func(string) string { return "" }}, entryPoints{})
	return outcome{status, out.String(), errs.String()}
}

func (f *fake) command(args ...string) outcome {
	f.t.Helper()
	return command(f.t, "", append(args, "--data", f.data)...)
}

func TestExitStatus(t *testing.T) {
	nowhere := t.TempDir()
	for _, c := range []struct {
		args   []string
		status int
		errors string
	}{
		{[]string{"--help"}, 0, ""},
		{[]string{"line", "--help"}, 0, ""},
		{nil, 0, ""},
		{[]string{"bogus"}, 2, "dialtone: unexpected argument bogus\n"},
		{[]string{"line", "show"}, 2, `dialtone: expected "<name>"` + "\n"},
		{[]string{"line", "set", "101", "--data", nowhere}, 2, "dialtone: nothing to change: give at least one field\n"},
		{[]string{"line", "add", "101", "--no-device", "--transport", "tls"}, 2, "dialtone: --transport, --srtp, --codecs, --dtmf, --keys, --from and --address belong to a --device\n"},
		{[]string{"records", "--csv", "--json"}, 2, "dialtone: --csv and --json exclude each other\n"},
		{[]string{"records", "--since", "whenever"}, 2, `dialtone: --since "whenever" is neither`},
		{[]string{"calls", "--server", "pbx.example"}, 2, `dialtone: "pbx.example" is not the URL of a server`},
		{[]string{"status", "--data", nowhere}, 1, "dialtone: no server at " + nowhere + "/dialtone.sock\n"},
		{[]string{"calls", "--server", "http://127.0.0.1:1"}, 1, "dialtone: no server at http://127.0.0.1:1\n"},
		{[]string{"status", "--config", nowhere + "/absent.toml"}, 1, "dialtone: open "},
		{[]string{"apply", "-f", nowhere + "/absent.yaml"}, 1, "dialtone: open "},
		{[]string{"phone", "--server", "x", "--user", "1", "--call", "2", "--answer"}, 2, "dialtone: --call and --answer can't be used together"},
	} {
		got := command(t, "", c.args...)
		if got.status != c.status || !strings.HasPrefix(got.errors, c.errors) || c.errors == "" && got.errors != "" {
			t.Errorf("%v: status %d, %q; want %d, %q", c.args, got.status, got.errors, c.status, c.errors)
		}
	}
}

func TestDataDirectoryComesFromTheStaticFile(t *testing.T) {
	f := newFake(t, map[string]answer{"GET /calls": {body: `{"items":[],"next":""}`}})
	file := filepath.Join(t.TempDir(), "d.toml")
	if err := os.WriteFile(file, []byte("data = \""+f.data+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := command(t, "", "calls", "--config", file); got != (outcome{0, "no calls\n", ""}) {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(file, []byte("\n\ndta = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := command(t, "", "calls", "--config", file); got.status != 1 || got.errors != "dialtone: "+file+":3: dta: unknown key\n" {
		t.Errorf("%+v", got)
	}
}

func TestListAndShow(t *testing.T) {
	f := newFake(t, map[string]answer{
		"GET /lines?limit=1000&tenant=acme":            {body: `{"items":[{"number":"101","name":"Sara","product":"extension","devices":[{"username":"a"},{"username":"b"}]}],"next":"101"}`},
		"GET /lines?cursor=101&limit=1000&tenant=acme": {body: `{"items":[{"number":"102","max_calls":2,"name":"\u001b[31mred\u202e"}],"next":""}`},
		"GET /lines/10%2F1":                            {body: `{"id":"x","number":"10/1","devices":[{"username":"a"},{"username":"b"}]}`},
	})
	got := f.command("line", "list", "--tenant", "acme")
	want := "NUMBER  NAME       PRODUCT    USER  SITE  MAX CALLS  DEVICES\n" +
		"101     Sara       extension  -     -     -          a b\n" +
		"102     ?[31mred?  -          -     -     2          -\n"
	if got != (outcome{0, want, ""}) {
		t.Errorf("list %+v\n%s", got, got.out)
	}
	if got := f.command("line", "list", "--tenant", "acme", "--json"); strings.Count(got.out, "\n") != 2 || !strings.HasPrefix(got.out, `{"number":"101"`) {
		t.Errorf("JSON list %+v", got)
	}
	if got := f.command("line", "show", "10/1"); got.out != "id       x\nnumber   10/1\ndevices  {\"username\":\"a\"}\ndevices  {\"username\":\"b\"}\n" {
		t.Errorf("show\n%s%s", got.out, got.errors)
	}
	if got := f.command("line", "show", "404"); got != (outcome{1, "", "dialtone: nothing is served\n"}) {
		t.Errorf("absent %+v", got)
	}
}

func TestAddAndSet(t *testing.T) {
	f := newFake(t, map[string]answer{
		"POST /lines":         {status: 201, body: `{"number":"101","devices":[{"username":"101"}]}`},
		"GET /lines/101":      {body: `{"number":"101","devices":[{"username":"101","auth":"password","srtp":"off"},{"username":"old","auth":"password","srtp":"off"}]}`, etag: `"7"`},
		"PATCH /lines/101":    {body: `{"number":"101"}`},
		"POST /users":         {status: 201, body: `{"name":"sara"}`},
		"POST /sites":         {status: 422, body: `{"status":422,"code":"invalid","detail":"the object is not valid","errors":[{"field":"country","code":"invalid","reason":"must be two capital letters"}]}`},
		"DELETE /numbers/+98": {status: 204},
		"PATCH /tenants/acme": {body: `{"name":"acme"}`},
	})
	got := f.command("line", "add", "101", "--name", "Sara", "--max-calls", "2")
	var sent struct {
		Number, Name string
		MaxCalls     int `json:"max_calls"`
		Devices      []device
	}
	if err := json.Unmarshal([]byte(f.last().body), &sent); err != nil {
		t.Fatal(err)
	}
	if sent.Number != "101" || sent.Name != "Sara" || sent.MaxCalls != 2 || len(sent.Devices) != 1 || len(sent.Devices[0].Password) < 26 {
		t.Errorf("sent %+v", sent)
	}
	if got.status != 0 || !strings.Contains(got.out, "password of 101  "+sent.Devices[0].Password+"\n") {
		t.Errorf("add %+v", got)
	}
	got = f.command("line", "add", "101", "--json")
	if !strings.Contains(f.last().body, `"password":"`) || !strings.Contains(got.out, `"password":"`) {
		t.Errorf("add with JSON: %+v after %s", got, f.last().body)
	}
	f.command("line", "add", "101", "--device", "bench", "--from", "127.0.0.1/32", "--address", "sip:127.0.0.1:5070")
	if f.last().body != `{"devices":[{"username":"bench","auth":"static","from":["127.0.0.1/32"],"address":"sip:127.0.0.1:5070"}],"number":"101"}` {
		t.Errorf("static device: %s", f.last().body)
	}
	f.command("line", "set", "101", "--device", "101:new:pass,word", "--rm-device", "old", "--srtp", "required")
	if a := f.last(); a.head.Get("If-Match") != `"7"` || a.head.Get("Content-Type") != "application/merge-patch+json" ||
		a.body != `{"devices":[{"username":"101","auth":"password","password":"new:pass,word","srtp":"required"}]}` {
		t.Errorf("set %+v", a)
	}
	if got := f.command("line", "set", "101", "--rm-device", "nobody"); got != (outcome{1, "", "dialtone: line 101 has no device nobody\n"}) {
		t.Errorf("absent device %+v", got)
	}
	f.command("line", "set", "101", "--name", "", "--site", "tehran")
	if f.last().body != `{"name":"","site":"tehran"}` {
		t.Errorf("set without devices: %s", f.last().body)
	}
	f.command("user", "add", "sara", "--email", "s@example.com", "--tenant", "acme")
	if a := f.last(); a.line != "POST /users?tenant=acme" || a.body != `{"email":"s@example.com","name":"sara"}` {
		t.Errorf("user %+v", a)
	}
	if got := f.command("site", "add", "x", "--country", "Iran"); got != (outcome{1, "", "dialtone: the object is not valid: country: must be two capital letters\n"}) {
		t.Errorf("refused %+v", got)
	}
	if got := f.command("number", "rm", "+98"); got != (outcome{0, "", ""}) {
		t.Errorf("rm %+v", got)
	}
	f.command("tenant", "set", "acme", "--domain", "a.example", "--domain", "b.example")
	if f.last().body != `{"domains":["a.example","b.example"]}` {
		t.Errorf("tenant: %s", f.last().body)
	}
}

func TestApply(t *testing.T) {
	f := newFake(t, map[string]answer{
		"POST /apply":                      {body: `{"created":1,"changed":0,"removed":0,"unchanged":2,"changes":[],"warnings":[{"line":3,"field":"lines[0].devices[0].password","reason":"is shorter than 8 characters"}]}`},
		"POST /apply?plan=true&prune=true": {body: `{"plan":true,"created":0,"changed":1,"removed":0,"unchanged":0,"changes":[{"action":"change","tenant":"default","kind":"line","key":"101","fields":["name"]}],"warnings":[]}`},
		"POST /apply?plan=true":            {status: 422, body: `{"status":422,"code":"invalid","detail":"the file has faults","errors":[{"line":2,"field":"trunks","code":"unsupported","reason":"section trunks is not supported by this version"},{"line":9,"field":"","code":"syntax","reason":"is broken"}]}`},
		"POST /apply?prune=true":           {body: `{"created":0,"changed":0,"removed":0,"unchanged":2,"changes":[],"warnings":[]}`},
	})
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, []byte("tenant: default\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := f.command("apply", "-f", file)
	if got != (outcome{0, "1 created, 0 changed, 0 removed, 2 as they were\n", "warning: " + file + ":3 lines[0].devices[0].password: is shorter than 8 characters\n"}) {
		t.Errorf("apply %+v", got)
	}
	if a := f.last(); a.body != "tenant: default\n" || a.head.Get("Content-Type") != "application/yaml" {
		t.Errorf("sent %+v", a)
	}
	if got := f.command("apply", "-f", file, "--prune"); got.out != "nothing changed: 2 as they were\n" {
		t.Errorf("nothing %+v", got)
	}
	if got := f.command("apply", "-f", file, "--plan", "--prune"); got.out != "change line 101 of default: name\nwould be: 0 created, 1 changed, 0 removed, 0 as they were\n" {
		t.Errorf("plan %+v", got)
	}
	want := file + ":2 trunks: section trunks is not supported by this version\n" + file + ":9 is broken\n"
	if got := f.command("apply", "-f", file, "--plan"); got != (outcome{1, "", want}) {
		t.Errorf("faults %+v", got)
	}
	if got := command(t, "lines: []\n", "apply", "-f", "-", "--data", f.data); got.status != 0 || f.last().body != "lines: []\n" {
		t.Errorf("standard input %+v", got)
	}
}

func TestExport(t *testing.T) {
	f := newFake(t, map[string]answer{"GET /export": {body: "tenant: default\n"}})
	if got := f.command("export"); got != (outcome{0, "tenant: default\n", ""}) {
		t.Errorf("%+v", got)
	}
	path := filepath.Join(t.TempDir(), "out.yaml")
	if got := f.command("export", "-o", path); got != (outcome{0, "", ""}) {
		t.Errorf("%+v", got)
	}
	text, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil || string(text) != "tenant: default\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q %v %v", text, info.Mode(), errors.Join(err, statErr))
	}
	if got := f.command("export", "--json"); got != (outcome{0, `{"tenant":"default"}` + "\n", ""}) {
		t.Errorf("%+v", got)
	}
	delete(f.answers, "GET /export")
	if got := f.command("export", "--json"); got.status != 1 || got.out != "" || strings.Count(got.errors, "\n") != 1 {
		t.Errorf("%+v", got)
	}
	if got := f.command("export", "-o", path); got.status != 1 {
		t.Errorf("%+v", got)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 1 {
		t.Errorf("a failure left %v", left)
	}
}

func TestLive(t *testing.T) {
	start := time.Now().Add(-65 * time.Second).UTC().Format(time.RFC3339)
	later := time.Now().Add(90 * time.Minute).UTC().Format(time.RFC3339)
	f := newFake(t, map[string]answer{
		"GET /calls": {body: `{"items":[{"id":"c1","from":"101","to":"102","state":"answered","start":"` + start + `","answer":"` + start + `","legs":[{"device":"101","codec":"pcma","mos_in":4.39,"mos_out":3.1},{"device":"102","codec":"opus"}]}],"next":""}`},
		"GET /calls/c1/media": {body: `{"call":"c1","legs":[{"id":"a","device":"101","chain":"audio 10.0.0.7:4000 -> 10.0.0.1:10000 -> relay\naudio \u001b[2J",` +
			`"streams":[{"kind":"audio","codec":"PCMA","crypto":"sdes","suite":"AES_CM_128_HMAC_SHA1_80","local":"10.0.0.1:10000","remote":"10.0.0.7:4000",` +
			`"packets_in":100,"lost":2,"loss_pct":1.96,"bursts":1,"mos_in":4.1,"transcoded":"pcma -> opus","transcoded_why":"no codec in common","last_media":"` + start + `"}]},{"id":"b1","device":null,"streams":[],"chain":"no media"}]}`},
		"GET /registrations":    {body: `{"items":[{"line":"101","device":"101","contact":"sip:101@10.0.0.7","source":"10.0.0.7:5060","transport":"udp","expires":"` + later + `","user_agent":"Yealink"}],"next":""}`},
		"GET /status":           {body: `{"state":"running","version":"1","node":"n1","started":"` + start + `","calls":3,"lines":10,"tenants":2,"listeners":[{"url":"udp://[::]:5060","role":"exchange"}],"warnings":["disk is full"]}`},
		"POST /calls/c1/hangup": {status: 204},
	})
	got := f.command("calls")
	for _, want := range []string{"CALL  FROM  TO", "c1    101   102  answered  1m0", "101 102  pcma opus  3.10 -"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("calls\n%s\nwant %q", got.out, want)
		}
	}
	if got := f.command("calls", "--json"); !strings.HasPrefix(got.out, `{"id":"c1"`) || strings.Count(got.out, "\n") != 1 {
		t.Errorf("calls as JSON %+v", got)
	}
	got = f.command("media", "c1")
	for _, want := range []string{"call c1\nleg a  101\n  audio  pcma  sdes AES_CM_128_HMAC_SHA1_80  10.0.0.1:10000 <-> 10.0.0.7:4000  last heard 1m0",
		"  in   100 packets  2 lost (2.0 %) in 1 bursts  jitter 0.0 ms  mos 4.10\n", "  out  0 packets", "mos -\n",
		"  converted  pcma -> opus: no codec in common\n", "  chain  audio 10.0.0.7:4000 -> 10.0.0.1:10000 -> relay\n  chain  audio ?[2J\n", "leg b1  \n"} {
		if got.status != 0 || !strings.Contains(got.out, want) {
			t.Errorf("media\n%s\nwant %q", got.out, want)
		}
	}
	if all := f.command("media"); !strings.HasPrefix(all.out, "call c1  101 -> 102  answered\nleg a") {
		t.Errorf("media of all calls %+v", all)
	}
	if got := f.command("media", "c1", "--json"); !strings.HasPrefix(got.out, `{"call":"c1"`) || strings.Count(got.out, "\n") != 1 {
		t.Errorf("media as JSON %+v", got)
	}
	if got := f.command("media", "c9"); got.status != 1 {
		t.Errorf("media of no call %+v", got)
	}
	got = f.command("registrations", "--line", "101")
	if !strings.Contains(got.out, "sip:101@10.0.0.7") || !strings.Contains(got.out, "1h") || f.last().line != "GET /registrations?limit=1000&line=101" {
		t.Errorf("registrations %+v after %s", got, f.last().line)
	}
	got = f.command("status")
	for _, want := range []string{"state          running", "lines          10 in 2 tenants", "listening      udp://[::]:5060 (exchange)", "warning        disk is full"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("status\n%s\nwant %q", got.out, want)
		}
	}
	if got := f.command("hangup", "c1"); got != (outcome{0, "", ""}) {
		t.Errorf("hangup %+v", got)
	}
	if got := f.command("hangup", "c2"); got.status != 1 {
		t.Errorf("hangup of nothing %+v", got)
	}
}

func TestRecords(t *testing.T) {
	record := func(n int) string {
		return fmt.Sprintf(`{"call_id":"id-%d","tenant":"t","from":"=1+1","to":"102","start":"2026-11-22T08:00:00.000Z","answer":"2026-11-22T08:00:05.000Z","end":"2026-11-22T08:01:05.000Z","talk_ms":60000,"cause":{"sip":200,"q850":16,"party":"caller","words":"normal"},"legs":[],"path":[],"tags":[],"notes":[],"recordings":[],"flags":{}}`, n)
	}
	f := newFake(t, map[string]answer{
		"GET /records?limit=1000&order=oldest":          {body: `{"items":[` + record(1) + `],"next":"n"}`},
		"GET /records?cursor=n&limit=1000&order=oldest": {body: `{"items":[` + record(2) + `],"next":""}`},
		"GET /records/id-2":                             {body: record(2)},
		"GET /calls/id-1/trace?format=text":             {body: "A -> B\n"},
		"GET /calls/id-1/trace?format=json":             {body: `{"items":[{"seq":1},{"seq":2}],"next":""}`},
		"GET /calls/id-1/trace?format=pcap":             {body: "\xd4\xc3\xb2\xa1"},
	})
	got := f.command("records")
	if !strings.Contains(got.out, "=1+1  102  1m00s  normal  caller  id-1") || strings.Count(got.out, "\n") != 3 {
		t.Errorf("table %+v\n%s", got, got.out)
	}
	if got := f.command("records", "--json"); got.out != record(1)+"\n"+record(2)+"\n" {
		t.Errorf("JSON %+v", got)
	}
	if got := f.command("records", "id-2", "--json"); got.out != record(2)+"\n" {
		t.Errorf("one %+v", got)
	}
	rows, err := csv.NewReader(strings.NewReader(f.command("records", "--csv", "--asterisk").out)).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("CSV %v %v", rows, err)
	}
	if head := strings.Join(rows[0], ","); head != "accountcode,src,dst,dcontext,clid,channel,dstchannel,lastapp,lastdata,start,answer,end,duration,billsec,disposition,amaflags,uniqueid,userfield" {
		t.Errorf("head %s", head)
	}
	if rows[1][1] != "'=1+1" || rows[1][12] != "65" || rows[1][13] != "60" || rows[1][14] != "ANSWERED" {
		t.Errorf("row %q", rows[1])
	}
	if got := f.command("records", "--csv"); !strings.HasPrefix(got.out, "call_id,tenant,") {
		t.Errorf("own columns %+v", got)
	}
	if got := f.command("trace", "id-1", "--json"); got != (outcome{0, "{\"seq\":1}\n{\"seq\":2}\n", ""}) {
		t.Errorf("trace %+v", got)
	}
	if got := f.command("trace", "id-1"); got != (outcome{0, "A -> B\n", ""}) {
		t.Errorf("trace %+v", got)
	}
	path := filepath.Join(t.TempDir(), "c.pcap")
	if got := f.command("trace", "id-1", "--pcap", path); got != (outcome{0, "", ""}) {
		t.Errorf("pcap %+v", got)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "\xd4\xc3\xb2\xa1" {
		t.Errorf("pcap %q %v", b, err)
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.FixedZone("", 3*3600+1800))
	for text, want := range map[string]string{
		"24h":                  "2026-11-21T08:30:00Z",
		"90s":                  "2026-11-22T08:28:30Z",
		"2026-11-22":           "2026-11-21T20:30:00Z",
		"2026-11-22 08:15":     "2026-11-22T04:45:00Z",
		"2026-11-22 08:15:30":  "2026-11-22T04:45:30Z",
		"2026-11-22T08:00:00Z": "2026-11-22T08:00:00Z",
	} {
		got, err := parseSince(text, now)
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1h", "yesterday", "2026-13-01"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 65 * time.Second: "1m05s",
		2*time.Hour + 3*time.Minute: "2h03m", 49 * time.Hour: "2d01h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestRemoteServerGetsTheToken(t *testing.T) {
	var token string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, `{"items":[],"next":""}`)
	}))
	defer server.Close()
	if got := command(t, "", "calls", "--server", server.URL, "--token", "dt_x"); got.status != 0 || token != "Bearer dt_x" {
		t.Errorf("%+v with %q", got, token)
	}
}

func TestEntryPointsGetTheirFlags(t *testing.T) {
	var served serveOptions
	var phone phoneOptions
	demos := 0
	programs := entryPoints{
		serve: func(_ context.Context, o serveOptions, _ system) error { served = o; return nil },
		demo:  func(context.Context, system) error { demos++; return errors.New("no port is free") },
		phone: func(_ context.Context, o phoneOptions, _ system) error { phone = o; return nil },
	}
	start := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		return run(args, system{strings.NewReader(""), &out, &errs, func(string) string { return "" }}, programs), errs.String()
	}
	if status, _ := start("serve", "--data", "d", "--config", "c", "--log", "debug"); status != 0 || served != (serveOptions{"c", "d", "debug"}) {
		t.Errorf("serve %d %+v", status, served)
	}
	if status, errs := start("demo"); status != 1 || errs != "dialtone: no port is free\n" || demos != 1 {
		t.Errorf("demo %d %q", status, errs)
	}
	status, errs := start("phone", "--server", "127.0.0.1:5060", "--user", "101", "--password", "p", "--call", "102",
		"--duration", "3s", "--expect-tone", "440", "--dtmf", "12#", "--transport", "tls", "--insecure", "--json")
	if status != 0 || phone.Server != "127.0.0.1:5060" || phone.Call != "102" || phone.Duration != 3*time.Second || len(phone.ExpectTone) != 1 ||
		phone.ExpectTone[0] != 440 || phone.DTMF != "12#" || phone.Transport != "tls" || !phone.Insecure || !phone.JSON {
		t.Errorf("phone %d %q %+v", status, errs, phone)
	}
}
