package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/cdr"
	"dialtone/internal/media"
)

// recorder is a response that knows no deadlines.
type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(s int) {
	if r.status == 0 {
		r.status = s
	}
}
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestCallsAreShownAndEnded(t *testing.T) {
	b := newBench(t)
	start := cdr.Time{Time: time.Date(2026, 11, 22, 7, 59, 30, 123_456_789, time.UTC)}
	b.live.calls = []Call{{ID: "c1", Tenant: b.tenant("default").String(), Direction: "internal", From: "101", To: "102", State: "ringing", Start: start, Ring: &start}}
	list := b.must(200, "GET", Prefix+"/calls", "").body
	want := fmt.Sprintf(`{"items":[{"id":"c1","tenant":"%s","direction":"internal","from":"101","to":"102","state":"ringing",`+
		`"start":"2026-11-22T07:59:30.123Z","ring":"2026-11-22T07:59:30.123Z","answer":null,"legs":[]}],"next":""}`, b.tenant("default"))
	if strings.TrimSpace(list) != want {
		t.Errorf("got  %s\nwant %s", list, want)
	}
	b.must(200, "GET", Prefix+"/calls/c1", "")
	b.must(204, "POST", Prefix+"/calls/c1/hangup", "")
	if !slices.Equal(b.live.hungUp, []string{"c1"}) {
		t.Errorf("hung up %v", b.live.hungUp)
	}
	b.must(404, "POST", Prefix+"/calls/c1/hangup", "")
	b.must(404, "GET", Prefix+"/calls/c1", "")
	if s := b.must(200, "GET", Prefix+"/status", "").body; !strings.Contains(s, `"listeners":[]`) || !strings.Contains(s, `"state":"running"`) {
		t.Errorf("status %s", s)
	}
}

func TestRegistrationsAreCutIntoPages(t *testing.T) {
	b := newBench(t)
	for n := range 5 {
		b.live.registrations = append(b.live.registrations, Registration{
			ID: fmt.Sprint("r", n), Tenant: b.tenant("default").String(), Line: fmt.Sprint(101 + n%2),
		})
	}
	page := decode[Page[Registration]](t, b.must(200, "GET", Prefix+"/registrations?limit=2", "").body)
	if len(page.Items) != 2 || page.Next != "r1" {
		t.Fatalf("first page %+v", page)
	}
	page = decode[Page[Registration]](t, b.must(200, "GET", Prefix+"/registrations?limit=10&cursor=r1", "").body)
	if len(page.Items) != 3 || page.Next != "" {
		t.Errorf("second page %+v", page)
	}
	page = decode[Page[Registration]](t, b.must(200, "GET", Prefix+"/registrations?line=102&tenant=default", "").body)
	if len(page.Items) != 2 {
		t.Errorf("of one line %+v", page)
	}
}

func TestRegistrationsAreFiltered(t *testing.T) {
	b := newBench(t)
	for source, want := range map[string]RegistrationQuery{
		"":                    {},
		"192.0.2.7":           {Source: netip.MustParsePrefix("192.0.2.7/32")},
		"192.0.2.7:5062":      {Source: netip.MustParsePrefix("192.0.2.7/32"), Port: 5062},
		"192.0.2.7/24":        {Source: netip.MustParsePrefix("192.0.2.0/24")},
		"[2001:db8::7]:5060":  {Source: netip.MustParsePrefix("2001:db8::7/128"), Port: 5060},
		"::ffff:192.0.2.7":    {Source: netip.MustParsePrefix("192.0.2.7/32")},
		"[fe80::1%eth0]:5060": {Source: netip.MustParsePrefix("fe80::1/128"), Port: 5060},
	} {
		b.must(200, "GET", Prefix+"/registrations?contact=pn-prid&source="+url.QueryEscape(source), "")
		got := b.live.asked
		if got.Contact != "pn-prid" || got.Source != want.Source || got.Port != want.Port {
			t.Errorf("%q: asked for %+v", source, got)
		}
	}
	if p := b.must(422, "GET", Prefix+"/registrations?source=somewhere", "").body; !strings.Contains(p, `"field":"source"`) {
		t.Errorf("problem %s", p)
	}
}

func TestRecords(t *testing.T) {
	b := newBench(t)
	id := func(n int) string { return fmt.Sprintf("01890a5d-0000-7000-8000-%012d", n) }
	for n := range 5 {
		b.finish(id(n), "default", b.clock.now().Add(time.Duration(n)*time.Minute))
	}
	read := func(query string) (ids []string, next string) {
		page := decode[Page[cdr.Record]](t, b.must(200, "GET", Prefix+"/records"+query, "").body)
		for _, r := range page.Items {
			ids = append(ids, r.CallID)
		}
		return ids, page.Next
	}
	if got, _ := read(""); !slices.Equal(got, []string{id(4), id(3), id(2), id(1), id(0)}) {
		t.Errorf("newest first: %v", got)
	}
	if got, _ := read("?order=oldest&since=" + url.QueryEscape(b.clock.now().Add(3*time.Minute).Format(time.RFC3339))); !slices.Equal(got, []string{id(3), id(4)}) {
		t.Errorf("since: %v", got)
	}
	if got, _ := read("?until=" + url.QueryEscape(b.clock.now().Add(time.Minute).Format(time.RFC3339))); !slices.Equal(got, []string{id(0)}) {
		t.Errorf("until: %v", got)
	}
	var all []string
	for next := ""; ; {
		var got []string
		got, next = read("?order=oldest&limit=2&cursor=" + next)
		all = append(all, got...)
		if next == "" {
			break
		}
	}
	if !slices.Equal(all, []string{id(0), id(1), id(2), id(3), id(4)}) {
		t.Errorf("in pages: %v", all)
	}
	one := decode[cdr.Record](t, b.must(200, "GET", Prefix+"/records/"+id(2), "").body)
	if one.CallID != id(2) || one.From == nil || *one.From != "101" {
		t.Errorf("one record %+v", one)
	}
	b.must(404, "GET", Prefix+"/records/"+id(9), "")
	b.must(422, "GET", Prefix+"/records?cursor=x", "")
	b.must(422, "GET", Prefix+"/records?since=yesterday", "")
}

// TestMethodThatIsNotServed: a path that exists says what may be done with it; one that does not exist is absent.
func TestMethodThatIsNotServed(t *testing.T) {
	b := newBench(t)
	for path, allowed := range map[string]string{"/lines/101": "GET, PATCH, DELETE", "/lines": "GET, POST", "/apply": "POST"} {
		r := b.must(405, "PUT", Prefix+path, "")
		if !strings.Contains(r.body, `"code":"not_allowed"`) || r.header.Get("Allow") != allowed {
			t.Errorf("%s: Allow %q, %s", path, r.header.Get("Allow"), r.body)
		}
	}
	b.must(404, "PUT", Prefix+"/nothing", "")
	b.must(404, "GET", Prefix+"/nothing", "")
}

func TestTrace(t *testing.T) {
	b := newBench(t)
	r := b.must(200, "GET", Prefix+"/calls/call-1/trace", "")
	if r.header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(r.body, "OPTIONS") {
		t.Errorf("text %v\n%s", r.header, r.body)
	}
	r = b.must(200, "GET", Prefix+"/calls/call-1/trace?format=pcap", "")
	if r.header.Get("Content-Type") != "application/vnd.tcpdump.pcap" || len(r.body) < 24 {
		t.Errorf("pcap %v of %d bytes", r.header, len(r.body))
	}
	messages := decode[Page[TracedMessage]](t, b.must(200, "GET", Prefix+"/calls/call-1/trace?format=json", "").body)
	if len(messages.Items) != 1 || !strings.HasPrefix(messages.Items[0].Message, "OPTIONS") || messages.Items[0].Direction != "in" || messages.Items[0].Transport != "udp" {
		t.Errorf("messages %+v", messages)
	}
	b.must(404, "GET", Prefix+"/calls/none/trace", "")
	b.must(422, "GET", Prefix+"/calls/call-1/trace?format=png", "")
}

func TestEventsAreReplayed(t *testing.T) {
	b := newBench(t)
	first := b.events("/events?tenant=default")
	b.must(201, "POST", Prefix+"/sites", `{"name":"a"}`)
	b.must(201, "POST", Prefix+"/sites", `{"name":"b"}`)
	a, second := first.next(), first.next()
	if a.Type != "site.created" || a.Data["key"] != "a" || a.Tenant != b.tenant("default").String() || second.Seq != a.Seq+1 {
		t.Errorf("events %+v %+v", a, second)
	}
	for name, again := range map[string]*eventReader{
		"query":  b.events("/events?tenant=default&after=" + a.ID),
		"header": b.events("/events?tenant=default", "Last-Event-ID: "+a.ID),
	} {
		if e := again.next(); e.ID != second.ID || e.Seq != second.Seq {
			t.Errorf("%s: replayed %+v, want %+v", name, e, second)
		}
	}
	lost := b.events("/events?after=01890a5d-0000-7000-8000-000000000001")
	if e := lost.next(); e.Type != "reset" {
		t.Errorf("after an unknown event: %+v", e)
	}
	b.must(422, "GET", Prefix+"/events?after=x", "")
	b.must(404, "GET", Prefix+"/events?tenant=nobody", "")
}

func TestManyChangesAreOneEvent(t *testing.T) {
	b := newBench(t)
	stream := b.events("/events?tenant=default")
	var file strings.Builder
	file.WriteString("tenant: default\nlines:\n")
	for n := range announcedOneByOne + 1 {
		fmt.Fprintf(&file, "  - number: \"%d\"\n", 1000+n)
	}
	b.must(200, "POST", Prefix+"/apply", file.String())
	if e := stream.next(); e.Type != "directory.changed" || e.Data["objects"] != float64(announcedOneByOne+1) {
		t.Errorf("event %+v", e)
	}
}

func TestFileOverTheAPI(t *testing.T) {
	b := newBench(t)
	r := b.must(422, "POST", Prefix+"/apply", "tenant: default\nlines:\n  - number: \"101\"\n    user: nobody\ntrunks: []\n")
	p := decode[Problem](t, r.body)
	if p.Code != CodeInvalid || len(p.Errors) != 2 || p.Errors[0].Line != 4 || p.Errors[0].Reason != "no such user" ||
		p.Errors[1].Line != 5 || p.Errors[1].Reason != "section trunks is not supported by this version" {
		t.Errorf("problem %+v", p)
	}
	rows := b.auditRows()
	for _, query := range []string{"?plan=true", "?dry_run=true"} {
		if r := b.must(200, "POST", Prefix+"/apply"+query, "lines:\n  - number: \"101\"\n"); !strings.Contains(r.body, `"created":1`) {
			t.Errorf("plan %s", r.body)
		}
	}
	if b.auditRows() != rows {
		t.Error("a plan wrote audit rows")
	}
	b.must(200, "POST", Prefix+"/apply", "lines:\n  - number: \"101\"\n", "Content-Type: application/yaml")
	export := b.must(200, "GET", Prefix+"/export", "").body
	if !strings.Contains(export, `number: "101"`) || strings.Contains(export, adminPassword) {
		t.Errorf("export\n%s", export)
	}
	rows = b.auditRows()
	if r := b.must(200, "POST", Prefix+"/apply?prune=true", export); !strings.Contains(r.body, `"changes":[]`) {
		t.Errorf("applying an export changed %s", r.body)
	}
	if b.auditRows() != rows {
		t.Error("applying an export wrote audit rows")
	}
}

func TestSocketIsForItsOwnerAlone(t *testing.T) {
	b := newBench(t)
	info, err := os.Stat(filepath.Join(b.data, SocketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v %v", info.Mode(), err)
	}
	if _, err := listenSocket(filepath.Join(b.data, SocketName)); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("second server: %v", err)
	}
	stale := filepath.Join(t.TempDir(), SocketName)
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := listenSocket(stale)
	if err != nil {
		t.Fatalf("what a dead server left behind: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestMediaOfACall(t *testing.T) {
	b := newBench(t)
	b.live.calls = []Call{{ID: "c1", Tenant: b.tenant("default").String(), State: "answered"}, {ID: "c2", Tenant: b.tenant("default").String()}}
	device := "101"
	b.live.media = map[string]CallMedia{"c1": {Call: "c1", Legs: []LegMedia{{ID: "a", Device: &device, Chain: "audio nobody yet -> nowhere",
		Streams: []media.StreamStats{{Kind: "audio", Codec: "opus", Crypto: "sdes", MOSIn: 4.3, PacketsIn: 7}}}}}}
	got := decode[CallMedia](t, b.must(200, "GET", Prefix+"/calls/c1/media", "").body)
	if len(got.Legs) != 1 || *got.Legs[0].Device != "101" || got.Legs[0].Chain == "" || got.Legs[0].Streams[0].PacketsIn != 7 ||
		got.Legs[0].Streams[0].MOSIn != 4.3 {
		t.Errorf("media %+v", got)
	}
	b.must(404, "GET", Prefix+"/calls/c2/media", "") // it ended meanwhile
	b.must(404, "GET", Prefix+"/calls/c3/media", "")
}
