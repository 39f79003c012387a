package auth

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"dialtone/internal/digest"
	"dialtone/internal/directory"
	"dialtone/internal/sip"
)

var (
	epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	phone = netip.MustParseAddrPort("192.0.2.7:5060")
	both  = []digest.Algorithm{digest.SHA256, digest.MD5}
)

func credential(user, realm, password string) directory.Credential {
	var c directory.Credential
	c.MD5, c.SHA256 = directory.HA1(user, realm, directory.Secret(password))
	return c
}

// snapshot is a directory with two tenants: default (realm default, domain pbx.example) with line 100 (devices 100,
// mobile), line 102 (two passwords, md5 only for "old"), a static bench on 127.0.0.1 and two on 10.0.0.0/8; and other
// (other.example) with line 100 of its own.
func snapshot() *directory.Snapshot {
	id := func(n byte) directory.ID { return directory.ID{15: n} }
	tenant := func(n byte, name, realm string, domains ...string) *directory.Tenant {
		return &directory.Tenant{Meta: directory.Meta{ID: id(n), Tenant: id(n)}, Name: name, Realm: realm, Domains: domains}
	}
	line := func(n, t byte, number string, devices ...directory.Device) *directory.Line {
		for i := range devices {
			devices[i].ID = id(n + byte(i))
		}
		return &directory.Line{Meta: directory.Meta{ID: id(n), Tenant: id(t)}, Number: number, Devices: devices}
	}
	password := func(user, realm string, passwords ...string) directory.Device {
		d := directory.Device{Username: user, Auth: directory.AuthPassword}
		for _, p := range passwords {
			d.Credentials = append(d.Credentials, credential(user, realm, p))
		}
		return d
	}
	static := func(user string, from ...string) directory.Device {
		d := directory.Device{Username: user, Auth: directory.AuthStatic}
		for _, p := range from {
			d.From = append(d.From, netip.MustParsePrefix(p))
		}
		return d
	}
	md5Only := password("old", "default", "old-secret")
	md5Only.Credentials[0].SHA256 = [32]byte{}
	var changes []directory.Change
	for _, o := range []directory.Object{
		tenant(1, "default", "default", "pbx.example"), tenant(2, "other", "other.example", "other.example"),
		line(10, 1, "100", password("100", "default", "secret-100"), password("mobile", "default", "secret-m")),
		line(20, 1, "102", password("102", "default", "new", "previous"), md5Only),
		line(30, 1, "900", static("bench", "127.0.0.1/32")),
		line(40, 1, "901", static("wide", "10.0.0.0/8")),
		line(50, 1, "902", static("narrow", "10.1.0.0/16"), static("narrow2", "10.1.0.0/16")),
		line(60, 2, "100", password("100", "other.example", "secret-other")),
	} {
		changes = append(changes, directory.Change{After: o})
	}
	return directory.New().Apply(changes)
}

// flowSet is Flows: the sources from which lines are registered.
type flowSet map[string]bool

func (f flowSet) HasFlow(_, line directory.ID, src netip.AddrPort, _ time.Time) bool {
	return f[fmt.Sprint(line, src)]
}

type bench struct {
	t     testing.TB
	a     *Authenticator
	snap  *directory.Snapshot
	flows flowSet
	now   time.Time
	algs  []digest.Algorithm
	proxy bool
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, snap: snapshot(), flows: flowSet{}, now: epoch, algs: both}
	b.a = New(Config{Flows: b.flows, Local: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") }})
	return b
}

func (b *bench) registered(number string, src netip.AddrPort) {
	b.flows[fmt.Sprint(b.snap.Line(b.snap.TenantByName("default").ID, number).ID, src)] = true
}

func message(t testing.TB, method, uri, from, to string, lines ...string) *sip.Message {
	t.Helper()
	text := method + " " + uri + " SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <" + from + ">;tag=1\r\nTo: <" + to +
		">\r\nCall-ID: c\r\nCSeq: 1 " + method + "\r\nMax-Forwards: 70\r\n" + strings.Join(append(lines, "Content-Length: 0\r\n\r\n"), "\r\n")
	m := &sip.Message{}
	if err := m.Parse([]byte(text)); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return m
}

func (b *bench) identify(m *sip.Message, src netip.AddrPort) (Result, *Request) {
	r := &Request{Message: m, Source: src, Snapshot: b.snap, Algorithms: b.algs, Proxy: b.proxy, Now: b.now}
	return b.a.Identify(r), r
}

// challenges returns the challenges that a request from src would get.
func (b *bench) challenges(src netip.AddrPort, method, uri, from, to string) []digest.Challenge {
	b.t.Helper()
	m := message(b.t, method, uri, from, to)
	res, r := b.identify(m, src)
	if res.Verdict != Challenge {
		b.t.Fatalf("verdict %d %d", res.Verdict, res.Status)
	}
	return b.read(m, r, &res)
}

func (b *bench) read(m *sip.Message, r *Request, res *Result) (list []digest.Challenge) {
	b.t.Helper()
	out := sip.NewResponse(m, res.Status, "", "t")
	b.a.AddChallenge(out, r, res)
	resp, err := out.Message()
	if err != nil {
		b.t.Fatal(err)
	}
	id := sip.HWWWAuthenticate
	if res.Status == 407 {
		id = sip.HProxyAuthenticate
	}
	for i := range resp.Len() {
		if _, v, got := resp.At(i); got == id {
			c, err := digest.ParseChallenge(v)
			if err != nil {
				b.t.Fatal(err)
			}
			list = append(list, c)
		}
	}
	return list
}

// answer builds a digest client with a challenge taken in.
func answer(t testing.TB, user, password string, list []digest.Challenge) *digest.Client {
	t.Helper()
	c := &digest.Client{Username: user, Password: password}
	if err := c.Challenged(list); err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	server = "sip:pbx.example"
	own    = "sip:100@pbx.example"
)

func authorization(c *digest.Client, method, uri string) string {
	return "Authorization: " + string(c.Append(nil, method, uri))
}

func TestDigest(t *testing.T) {
	tests := []struct {
		name           string
		user, password string
		method         string
		from, to       string
		tenant, line   string
		verdict        Verdict
		status         int
		failed         bool
	}{
		{"right", "100", "secret-100", "REGISTER", own, own, "default", "100", Allow, 0, false},
		{"second device of the line, by the line's number", "mobile", "secret-m", "REGISTER", own, own, "default", "100", Allow, 0, false},
		{"second device, by its own name", "mobile", "secret-m", "REGISTER", own, "sip:mobile@pbx.example", "default", "100", Allow, 0, false},
		{"escaped name", "mobile", "secret-m", "REGISTER", own, "sip:m%6Fbile@pbx.example", "default", "100", Allow, 0, false},
		{"address of the server", "100", "secret-100", "REGISTER", "sip:100@192.0.2.1", "sip:100@192.0.2.1", "default", "100", Allow, 0, false},
		{"unknown domain", "100", "secret-100", "REGISTER", "sip:100@pbx.lan", "sip:100@pbx.lan", "default", "100", Allow, 0, false},
		{"other tenant", "100", "secret-other", "REGISTER", "sip:100@other.example", "sip:100@OTHER.example.", "other", "100", Allow, 0, false},
		{"first of two passwords", "102", "new", "INVITE", "sip:102@pbx.example", own, "default", "102", Allow, 0, false},
		{"second of two passwords", "102", "previous", "INVITE", "sip:102@pbx.example", own, "default", "102", Allow, 0, false},
		{"From is not the one who authenticates", "100", "secret-100", "INVITE", "sip:ceo@pbx.example", own, "default", "100", Allow, 0, false},
		{"wrong password", "100", "guess", "REGISTER", own, own, "", "", Challenge, 401, true},
		{"empty password", "100", "", "REGISTER", own, own, "", "", Challenge, 401, true},
		{"unknown user", "nobody", "guess", "REGISTER", own, own, "", "", Challenge, 401, true},
		{"password of the other tenant", "100", "secret-other", "REGISTER", own, own, "", "", Challenge, 401, true},
		{"static device has no password", "bench", "", "REGISTER", own, "sip:bench@pbx.example", "", "", Challenge, 401, true},
		{"another line", "100", "secret-100", "REGISTER", own, "sip:102@pbx.example", "", "", Forbid, 403, false},
		{"another device of the line", "mobile", "secret-m", "REGISTER", own, "sip:100@pbx.example", "default", "100", Allow, 0, false},
		{"a line that does not exist", "100", "secret-100", "REGISTER", own, "sip:555@pbx.example", "", "", Forbid, 403, false},
		{"no user in To", "100", "secret-100", "REGISTER", own, server, "", "", Forbid, 403, false},
	}
	for _, tt := range tests {
		for _, algs := range [][]digest.Algorithm{nil, {digest.MD5}, both, {digest.SHA256}} {
			t.Run(fmt.Sprint(tt.name, algs), func(t *testing.T) {
				b := newBench(t)
				b.algs = algs
				c := answer(t, tt.user, tt.password, b.challenges(phone, tt.method, server, tt.from, tt.to))
				res, _ := b.identify(message(t, tt.method, server, tt.from, tt.to, authorization(c, tt.method, server)), phone)
				if res.Verdict != tt.verdict || res.Status != tt.status || res.Failed != tt.failed || res.Stale {
					t.Fatalf("%+v", res)
				}
				if tt.verdict == Allow && (res.Tenant.Name != tt.tenant || res.Line.Number != tt.line || res.Device.Username != tt.user || !res.Proved) {
					t.Errorf("tenant %s, line %s, device %s", res.Tenant.Name, res.Line.Number, res.Device.Username)
				}
			})
		}
	}
}

func TestMissingHashMatchesNothing(t *testing.T) {
	// Device "old" has an MD5 hash only: a client that answers with a SHA-256 HA1 of zeros must not get in.
	b := newBench(t)
	c := &digest.Client{Username: "old", HA1: map[digest.Algorithm][]byte{digest.SHA256: make([]byte, 32)}}
	if err := c.Challenged(b.challenges(phone, "REGISTER", server, own, own)); err != nil {
		t.Fatal(err)
	}
	to := "sip:old@pbx.example"
	if res, _ := b.identify(message(t, "REGISTER", server, own, to, authorization(c, "REGISTER", server)), phone); res.Verdict != Challenge || !res.Failed {
		t.Errorf("%+v", res)
	}
	b.algs = []digest.Algorithm{digest.MD5}
	c = answer(t, "old", "old-secret", b.challenges(phone, "REGISTER", server, own, own))
	if res, _ := b.identify(message(t, "REGISTER", server, own, to, authorization(c, "REGISTER", server)), phone); res.Verdict != Allow {
		t.Errorf("%+v", res)
	}
}

func TestChallenge(t *testing.T) {
	b := newBench(t)
	list := b.challenges(phone, "INVITE", "sip:102@pbx.example", own, own)
	if len(list) != 2 || list[0].Algorithm != digest.SHA256 || list[1].Algorithm != digest.MD5 {
		t.Fatalf("%+v", list)
	}
	for _, c := range list {
		if c.Realm != "default" || c.Nonce != list[0].Nonce || !c.Auth || c.AuthInt || c.Stale {
			t.Errorf("%+v", c)
		}
	}
	b.algs = nil
	if list = b.challenges(phone, "OPTIONS", server, own, own); len(list) != 1 || list[0].Algorithm != digest.MD5 {
		t.Errorf("by default: %+v", list)
	}
	b.proxy = true
	m := message(t, "INVITE", "sip:102@pbx.example", own, own)
	res, r := b.identify(m, phone)
	if res.Status != 407 || len(b.read(m, r, &res)) != 1 {
		t.Errorf("proxy: %+v", res)
	}
	c := answer(t, "100", "secret-100", b.read(m, r, &res))
	res, _ = b.identify(message(t, "INVITE", "sip:102@pbx.example", own, own, "Proxy-"+authorization(c, "INVITE", "sip:102@pbx.example")), phone)
	if res.Verdict != Allow {
		t.Errorf("Proxy-Authorization: %+v", res)
	}
	if res, _ := b.identify(message(t, "REGISTER", server, own, own), phone); res.Status != 401 {
		t.Errorf("REGISTER at a proxy: %d", res.Status)
	}
}

func TestStaleNonceIsReplaced(t *testing.T) {
	b := newBench(t)
	c := answer(t, "100", "secret-100", b.challenges(phone, "REGISTER", server, own, own))
	b.now = b.now.Add(6 * time.Minute)
	m := message(t, "REGISTER", server, own, own, authorization(c, "REGISTER", server))
	res, r := b.identify(m, phone)
	list := b.read(m, r, &res)
	if !res.Stale || len(list) != 2 || !list[0].Stale {
		t.Fatalf("%+v, %+v", res, list)
	}
	if err := c.Challenged(list); err != nil {
		t.Fatal(err)
	}
	if res, _ = b.identify(message(t, "REGISTER", server, own, own, authorization(c, "REGISTER", server)), phone); res.Verdict != Allow {
		t.Errorf("%+v", res)
	}
}

// TestEnumeration: nothing in the answer tells a user that exists from one that does not.
func TestEnumeration(t *testing.T) {
	nonce := regexp.MustCompile(`nonce="[^"]*"`)
	for _, method := range []string{"REGISTER", "INVITE", "SUBSCRIBE", "OPTIONS", "MESSAGE"} {
		for _, password := range []string{"", "guess"} {
			var first []byte
			for _, user := range []string{"100", "102", "nope", "bench"} {
				b := newBench(t)
				aor := "sip:" + user + "@pbx.example"
				var lines []string
				if password != "" {
					lines = append(lines, authorization(answer(t, user, password, b.challenges(phone, method, server, aor, aor)), method, server))
				}
				m := message(t, method, server, aor, aor, lines...)
				res, r := b.identify(m, phone)
				if res.Failed != (password != "") {
					t.Errorf("%s %s: %+v", method, user, res)
				}
				out := sip.NewResponse(message(t, method, server, "sip:x@h", "sip:x@h"), res.Status, res.Reason, "t")
				b.a.AddChallenge(out, r, &res)
				got := nonce.ReplaceAll(out.Append(nil), nil)
				if first == nil {
					first = got
				} else if !bytes.Equal(first, got) {
					t.Errorf("%s with user %s is answered\n%s\nand not\n%s", method, user, got, first)
				}
			}
		}
	}
}

func TestURIParameterIsReadLeniently(t *testing.T) {
	for _, tt := range []struct {
		target, uri string
		ok          bool
	}{
		{"sip:102@pbx.example", "sip:102@pbx.example", true},
		{"sip:102@pbx.example;transport=udp", "sip:102@pbx.example", true},
		{"sip:102@pbx.example", "sip:102@PBX.example:5060", true},
		{"sips:102@pbx.example", "sip:102@pbx.example", true},
		{"sip:1%302@pbx.example", "sip:102@pbx.example", true},
		{"sip:102@pbx.example", "sip:103@pbx.example", false},
		{"sip:102@pbx.example", "sip:pbx.example", true}, // as SIPp writes it
		{"sip:102@pbx.example", "sip:192.0.2.1:5060", true},
		{"sip:102@pbx.example", "sip:elsewhere.example", false},
		{"sip:102@pbx.example", "sip:102@192.0.2.1", true}, // our own address
		{"sip:102@192.0.2.1:5060", "sip:102@pbx.example", true},
		{"sip:102@pbx.example", "sip:102@198.51.100.1", false},
		{"sip:102@pbx.example", "sip:102@elsewhere.example", false},
		{"sip:102@pbx.example", "tel:102", false},
		{"sip:102@pbx.example", "rubbish", false},
		{"sip:102@pbx.example", "", false},
	} {
		b := newBench(t)
		c := answer(t, "100", "secret-100", b.challenges(phone, "INVITE", tt.target, own, own))
		res, _ := b.identify(message(t, "INVITE", tt.target, own, own, authorization(c, "INVITE", tt.uri)), phone)
		if (res.Verdict == Allow) != tt.ok {
			t.Errorf("%q for %q: %+v", tt.uri, tt.target, res)
		}
	}
}

func TestUnusualNames(t *testing.T) {
	// A method that nobody knows is hashed by its name, and a username is found with its escapes resolved.
	b := newBench(t)
	c := answer(t, "100", "secret-100", b.challenges(phone, "PING", server, own, own))
	if res, _ := b.identify(message(t, "PING", server, own, own, authorization(c, "PING", server)), phone); res.Verdict != Allow {
		t.Errorf("PING: %+v", res)
	}
	escaped := strings.Replace(authorization(c, "PING", server), `username="100"`, `username="\1\00"`, 1)
	if res, _ := b.identify(message(t, "PING", server, own, own, escaped), phone); res.Verdict != Allow {
		t.Errorf("escaped: %+v", res)
	}
}

func TestUserInURIOfREGISTER(t *testing.T) {
	b := newBench(t)
	for uri, ok := range map[string]bool{own: true, "sip:elsewhere.example": false} {
		c := answer(t, "100", "secret-100", b.challenges(phone, "REGISTER", server, own, own))
		if res, _ := b.identify(message(t, "REGISTER", server, own, own, authorization(c, "REGISTER", uri)), phone); (res.Verdict == Allow) != ok {
			t.Errorf("%q: %+v", uri, res)
		}
	}
}

// TestTenant: whose realm a request is challenged with.
func TestTenant(t *testing.T) {
	for _, tt := range []struct{ method, target, from, to, realm string }{
		{"REGISTER", "sip:other.example", "sip:100@pbx.example", "sip:100@other.example", "other.example"},
		{"REGISTER", "sip:192.0.2.1", "sip:100@192.0.2.1", "sip:100@192.0.2.1", "default"},
		{"INVITE", "sip:102@pbx.example", "sip:100@other.example", "sip:x@x", "other.example"},
		{"INVITE", "sip:102@other.example", "sip:anonymous@anonymous.invalid", "sip:x@x", "other.example"},
		{"INVITE", "sip:102@192.0.2.1", "sip:anonymous@anonymous.invalid", "sip:x@other.example", "default"},
		{"INVITE", "tel:102", "tel:+982112345678", "tel:102", "default"},
	} {
		b := newBench(t)
		if got := b.challenges(phone, tt.method, tt.target, tt.from, tt.to)[0].Realm; got != tt.realm {
			t.Errorf("%s %s from %s: realm %q, want %q", tt.method, tt.target, tt.from, got, tt.realm)
		}
	}
}

func TestOtherCredentialsArePassedOver(t *testing.T) {
	b := newBench(t)
	c := answer(t, "100", "secret-100", b.challenges(phone, "INVITE", server, own, own))
	foreign := `Authorization: Digest username="100", realm="elsewhere", nonce="n", uri="sip:x", response="00"`
	for name, others := range map[string][]string{
		"foreign first": {foreign}, "malformed first": {"Authorization: Digest nonsense", "Authorization: Basic dTpw"},
	} {
		lines := append(others, authorization(c, "INVITE", server))
		if res, _ := b.identify(message(t, "INVITE", server, own, own, lines...), phone); res.Verdict != Allow {
			t.Errorf("%s: %+v", name, res)
		}
	}
	if res, _ := b.identify(message(t, "INVITE", server, own, own, foreign), phone); res.Verdict != Challenge || res.Failed || res.Stale {
		t.Errorf("foreign alone: %+v", res)
	}
}

func TestNeverChallenged(t *testing.T) {
	b := newBench(t)
	if res, _ := b.identify(message(t, "ACK", server, own, own), phone); res.Verdict != Drop {
		t.Errorf("ACK: %+v", res)
	}
	if res, _ := b.identify(message(t, "CANCEL", server, own, own), phone); res.Verdict != Forbid || res.Status != 481 {
		t.Errorf("CANCEL: %+v", res)
	}
	b.snap = directory.New().Snapshot()
	if res, _ := b.identify(message(t, "INVITE", server, own, own), phone); res.Verdict != Forbid || res.Status != 403 {
		t.Errorf("an empty directory: %+v", res)
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add(`Digest username="100", realm="default", nonce="n", uri="sip:x", response="00", qop=auth, nc=1, cnonce="c"`, "sip:100@pbx.example")
	f.Add("Basic x", "sip:%00@[::1]")
	snap := snapshot()
	a := New(Config{})
	f.Fuzz(func(t *testing.T, value, aor string) {
		text := "REGISTER sip:pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <" + aor + ">;tag=1\r\nTo: <" + aor +
			">\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nAuthorization: " + value + "\r\nContent-Length: 0\r\n\r\n"
		m := &sip.Message{}
		if m.Parse([]byte(text)) != nil || m.Method() != sip.REGISTER {
			return
		}
		// Nobody gets in without having seen a nonce.
		if res := a.Identify(&Request{Message: m, Source: phone, Snapshot: snap, Algorithms: both, Now: epoch}); res.Verdict == Allow || res.Failed || res.Proved {
			t.Fatalf("%+v", res)
		}
	})
}

func TestIdentifyAllocatesNothing(t *testing.T) {
	b := newBench(t)
	c := answer(t, "100", "wrong", b.challenges(phone, "REGISTER", server, own, own))
	with := &Request{Message: message(t, "REGISTER", server, own, own, authorization(c, "REGISTER", server)), Source: phone, Snapshot: b.snap, Algorithms: both, Now: b.now}
	without := &Request{Message: message(t, "REGISTER", server, own, own), Source: phone, Snapshot: b.snap, Algorithms: both, Now: b.now}
	var out sip.Builder
	for name, fn := range map[string]func(){
		"without credentials": func() {
			res := b.a.Identify(without)
			out.Response(without.Message, res.Status, "", "t")
			b.a.AddChallenge(&out, without, &res)
		},
		"with credentials": func() { b.a.Identify(with) },
	} {
		if n := testing.AllocsPerRun(200, fn); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkIdentify(b *testing.B) {
	for name, user := range map[string][2]string{"right": {"100", "secret-100"}, "wrong": {"100", "x"}, "unknown": {"nobody", "x"}} {
		b.Run(name, func(b *testing.B) {
			bench := newBench(b)
			bench.algs = []digest.Algorithm{digest.MD5}
			c := answer(b, user[0], user[1], bench.challenges(phone, "REGISTER", server, own, own))
			r := &Request{Message: message(b, "REGISTER", server, own, own, authorization(c, "REGISTER", server)), Source: phone, Snapshot: bench.snap, Algorithms: bench.algs, Now: bench.now}
			b.ReportAllocs()
			for b.Loop() {
				bench.a.Identify(r)
			}
		})
	}
}

func BenchmarkChallenge(b *testing.B) {
	bench := newBench(b)
	r := &Request{Message: message(b, "REGISTER", server, own, own), Source: phone, Snapshot: bench.snap, Now: bench.now}
	var out sip.Builder
	b.ReportAllocs()
	for b.Loop() {
		res := bench.a.Identify(r)
		out.Response(r.Message, res.Status, "", "t")
		bench.a.AddChallenge(&out, r, &res)
	}
}
