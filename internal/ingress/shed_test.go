package ingress

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/auth"
	"dialtone/internal/digest"
	"dialtone/internal/directory"
	"dialtone/internal/guard"
	"dialtone/internal/location"
	"dialtone/internal/metrics"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
)

var (
	began    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	stranger = netip.MustParseAddrPort("203.0.113.9:5060")
	edge     = netip.MustParseAddrPort("192.0.2.1:5060")  // trusted
	phone    = netip.MustParseAddrPort("192.0.2.77:5062") // 101 is registered from there; not trusted
	fixed    = netip.MustParseAddrPort("10.0.0.5:5060")   // 102 is known by that address
)

// gate is a pipeline with nothing behind its door.
type gate struct {
	*Ingress
	t     testing.TB
	delay time.Duration
	now   time.Time
	sent  []string
	from  netip.AddrPort
}

func (g *gate) Remote() netip.AddrPort { return g.from }

func (g *gate) Reliable() bool { return false }

func (g *gate) Send(b []byte) error {
	if g.sent != nil {
		g.sent = append(g.sent, string(b))
	}
	return nil
}

// newGate makes a tenant in Iran with lines 101 (registered) and 102 (static), and another in Germany with 201.
func newGate(t testing.TB) *gate {
	g := &gate{t: t, now: began, sent: []string{}}
	id := func(n byte) directory.ID { return directory.ID{15: n} }
	var changes []directory.Change
	meta := func(n, tenant byte) directory.Meta { return directory.Meta{ID: id(n), Tenant: id(tenant)} }
	password := directory.Device{Username: "101", Auth: directory.AuthPassword}
	password.Credentials = make([]directory.Credential, 1)
	password.Credentials[0].MD5, password.Credentials[0].SHA256 = directory.HA1("101", "default", "secret-101")
	for _, o := range []directory.Object{
		&directory.Tenant{Meta: meta(1, 1), Name: "default", Realm: "default", Domains: []string{"pbx.example"}},
		&directory.Tenant{Meta: meta(2, 2), Name: "other", Realm: "other", Domains: []string{"other.example"}},
		&directory.Site{Meta: meta(3, 1), Name: "tehran", Country: "IR"},
		&directory.Site{Meta: meta(4, 2), Name: "berlin", Country: "DE"},
		&directory.Line{Meta: meta(5, 1), Number: "101", Site: id(3), Devices: []directory.Device{password}},
		&directory.Line{Meta: meta(6, 1), Number: "102", Site: id(3), Devices: []directory.Device{
			{Username: "102", Auth: directory.AuthStatic, From: []netip.Prefix{netip.PrefixFrom(fixed.Addr(), 32)}}}},
		&directory.Line{Meta: meta(7, 2), Number: "201", Site: id(4)},
	} {
		changes = append(changes, directory.Change{After: o})
	}
	d := directory.New()
	d.Apply(changes)
	locations := location.New(location.Config{}, began)
	locations.Update(location.AOR{Tenant: id(1), Line: id(5)}, began, func([]location.Binding) ([]location.Binding, bool) {
		return []location.Binding{{Device: "101", Contact: "sip:101@192.0.2.77:5062", Expires: began.Add(time.Hour),
			Flow: location.Flow{Transport: directory.UDP, Remote: phone}}}, true
	})
	door, err := guard.New(guard.Config{Trusted: []netip.Prefix{netip.PrefixFrom(edge.Addr(), 32)}}, began)
	if err != nil {
		t.Fatal(err)
	}
	overload, err := guard.NewOverload(guard.OverloadConfig{Delay: func() time.Duration { return g.delay }}, began)
	if err != nil {
		t.Fatal(err)
	}
	g.Ingress = New(Config{Guard: door, Overload: overload, Auth: auth.New(auth.Config{Flows: locations}), Locations: locations, Directory: d,
		Transactions: transaction.New(transaction.Config{}), Metrics: metrics.New(metrics.Config{}), UserAgent: "Dialtone"})
	return g
}

// offer is a message as it would arrive from src.
func (g *gate) offer(src netip.AddrPort, method, uri, from, to, callID string, lines ...string) *sip.Message {
	g.t.Helper()
	text := method + " " + uri + " SIP/2.0\r\nVia: SIP/2.0/UDP " + src.String() + ";branch=z9hG4bK" + callID + ";rport\r\nMax-Forwards: 70\r\nFrom: <sip:" +
		from + ">;tag=f\r\nTo: <sip:" + to + ">\r\nCall-ID: " + callID + "\r\nCSeq: 1 " + method + "\r\n" +
		strings.Join(append(lines, "Content-Length: 0\r\n\r\n"), "\r\n")
	m := &sip.Message{}
	if err := m.Parse([]byte(text)); err != nil {
		g.t.Fatalf("%v in\n%s", err, text)
	}
	m.Received, m.Arrived, g.from = src, g.now, src
	return m
}

// answerOf is an Authorization line that answers a challenge of this server.
func (g *gate) answerOf(src netip.AddrPort) string {
	g.t.Helper()
	m := g.offer(src, "REGISTER", "sip:pbx.example", "101@pbx.example", "101@pbx.example", "challenge")
	r := auth.Request{Message: m, Source: src, Snapshot: g.Directory.Snapshot(), Now: g.now}
	who := g.Auth.Identify(&r)
	b := sip.NewResponse(m, who.Status, "", "t")
	g.Auth.AddChallenge(b, &r, &who)
	response, err := b.Message()
	if err != nil {
		g.t.Fatal(err)
	}
	v, _ := response.Header(sip.HWWWAuthenticate)
	c, err := digest.ParseChallenge(v)
	if err != nil {
		g.t.Fatal(err)
	}
	client := &digest.Client{Username: "101", Password: "secret-101"}
	if err := client.Challenged([]digest.Challenge{c}); err != nil {
		g.t.Fatal(err)
	}
	return "Authorization: " + string(client.Append(nil, "REGISTER", "sip:pbx.example"))
}

// TestRanks: what is refused in which order.
func TestRanks(t *testing.T) {
	g := newGate(t)
	const pbx, me, you = "sip:pbx.example", "101@pbx.example", "102@pbx.example"
	answer := g.answerOf(stranger)
	ours := "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;oc;oc-algo=\"loss\""
	for _, c := range []struct {
		name           string
		src            netip.AddrPort
		method, from   string
		to             string
		lines          []string
		want           guard.Rank
		trustedControl bool
	}{
		{"a call of a stranger", stranger, "INVITE", me, you, nil, guard.RankStranger, false},
		{"a call of a stranger with a nonce of his own", stranger, "INVITE", me, you, []string{strings.Replace(answer, "nonce=\"", "nonce=\"x", 1)}, guard.RankStranger, false},
		{"a call that answers a challenge", stranger, "INVITE", me, you, []string{answer}, guard.RankAnswer, false},
		{"an answer from elsewhere", phone, "REGISTER", "999@pbx.example", "999@pbx.example", []string{answer}, guard.RankNew, false},
		{"a new registration", stranger, "REGISTER", me, me, nil, guard.RankNew, false},
		{"a new registration by way of an edge", edge, "REGISTER", me, me, nil, guard.RankNew, false},
		{"a registration of another line from a phone's flow", phone, "REGISTER", you, you, nil, guard.RankNew, false},
		{"the refreshing of a registration", phone, "REGISTER", me, me, nil, guard.RankKnown, false},
		{"the same from another port", netip.AddrPortFrom(phone.Addr(), 5064), "REGISTER", me, me, nil, guard.RankNew, false},
		{"OPTIONS of a stranger", stranger, "OPTIONS", me, you, nil, guard.RankNew, false},
		{"OPTIONS of a phone", phone, "OPTIONS", me, you, nil, guard.RankNew, false},
		{"SUBSCRIBE", phone, "SUBSCRIBE", me, you, nil, guard.RankNew, false},
		{"MESSAGE", phone, "MESSAGE", me, you, nil, guard.RankNew, false},
		{"a method of nobody", stranger, "TELEPORT", me, you, nil, guard.RankNew, false},
		{"a call of a registered phone", phone, "INVITE", me, you, nil, guard.RankCall, false},
		{"a call of a static device", fixed, "INVITE", you, me, nil, guard.RankCall, false},
		{"a call from the address of a static device, whatever its name", fixed, "INVITE", me, you, nil, guard.RankCall, false},
		{"a call from a trusted network", edge, "INVITE", "nobody@elsewhere.example", you, nil, guard.RankCall, false},
		{"a call of a client that sheds by itself", edge, "INVITE", me, you, nil, guard.RankKnown, true},
	} {
		m := g.offer(c.src, c.method, pbx, c.from, c.to, "r", c.lines...)
		if c.trustedControl {
			text := strings.Replace(string(m.Bytes()), "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKr;rport", ours, 1)
			if err := m.Parse([]byte(text)); err != nil {
				t.Fatal(err)
			}
			m.Received = c.src
		}
		for range 2 { // the second time from memory
			if got := g.rank(m, g.known(g, m, g.now), g.now); got != c.want {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
	if g.known(g, g.offer(stranger, "INVITE", pbx, "x@pbx.example", you, "k"), g.now) {
		t.Error("a stranger is known")
	}
	g.Guard.AuthPassed(stranger, g.now)
	if !g.known(g, g.offer(stranger, "INVITE", pbx, "x@pbx.example", you, "k"), g.now) {
		t.Error("a flow on which somebody has authenticated is not known")
	}
}

// TestEmergency: who asks for help is recognised by service, number and country, or priority.
func TestEmergency(t *testing.T) {
	g := newGate(t)
	for _, c := range []struct {
		uri, from string
		line      string
		vouched   bool
		want      bool
	}{
		{"sip:115@pbx.example", "101@pbx.example", "", false, true}, // ambulance in Iran
		{"sip:%31%31%35@pbx.example", "101@pbx.example", "", false, true},
		{"sip:115@pbx.example", "201@other.example", "", false, false},
		{"sip:110@other.example", "201@other.example", "", false, true}, // police in Germany
		{"sip:112@pbx.example", "nobody@nowhere.example", "", false, true},
		{"sip:102@pbx.example", "101@pbx.example", "", false, false},
		{"urn:service:sos", "nobody@nowhere.example", "", false, true},
		{"URN:service:SOS.fire", "101@pbx.example", "", false, true},
		{"sip:102@pbx.example", "101@pbx.example", "Resource-Priority: esnet.1", true, true},
		{"sip:102@pbx.example", "101@pbx.example", "Resource-Priority: ets.0", true, true},
		{"sip:102@pbx.example", "101@pbx.example", "Resource-Priority: ets.0", false, false}, // anybody could write that
		{"sip:102@pbx.example", "101@pbx.example", "Resource-Priority: q735.0", true, false},
	} {
		var lines []string
		if c.line != "" {
			lines = append(lines, c.line)
		}
		m := g.offer(stranger, "INVITE", c.uri, c.from, "x@pbx.example", "e", lines...)
		if got := g.emergency(m, c.vouched); got != c.want {
			t.Errorf("INVITE %s from %s %s: %v", c.uri, c.from, c.line, got)
		}
	}
	if g.emergency(g.offer(stranger, "OPTIONS", "sip:112@pbx.example", "101@pbx.example", "x@pbx.example", "e"), true) {
		t.Error("OPTIONS is no call for help")
	}
}

// overload makes everything that may be refused be refused.
func (g *gate) overload() {
	g.delay = time.Second
	for range 100 {
		g.now = g.now.Add(10 * time.Millisecond)
		if g.Overload.Watch(g.now) {
			for r := range guard.Ranks {
				g.Overload.Refuses(r, 0)
			}
		}
	}
}

// TestShed: under the greatest load, what must live lives, and what is refused is refused well.
func TestShed(t *testing.T) {
	g := newGate(t)
	const pbx, me, you = "sip:102@pbx.example", "101@pbx.example", "102@pbx.example"
	first := g.offer(stranger, "INVITE", pbx, me, you, "rest")
	if g.shed(g, first, g.now) || len(g.sent) > 0 {
		t.Fatal("refused at rest")
	}
	g.overload()
	for _, c := range []struct {
		name string
		m    *sip.Message
		want bool
	}{
		{"INVITE", g.offer(phone, "INVITE", pbx, me, you, "1"), true},
		{"REGISTER", g.offer(phone, "REGISTER", "sip:pbx.example", me, me, "2"), true},
		{"ACK", g.offer(phone, "ACK", pbx, me, you+">;tag=t;x=<", "3"), false},
		{"BYE", g.offer(phone, "BYE", pbx, me, you+">;tag=t;x=<", "4"), false},
		{"re-INVITE", g.offer(phone, "INVITE", pbx, me, you+">;tag=t;x=<", "5"), false},
		{"CANCEL", g.offer(phone, "CANCEL", pbx, me, you, "6"), false},
		{"an emergency call", g.offer(stranger, "INVITE", "sip:115@pbx.example", me, "115@pbx.example", "7"), false},
	} {
		g.from, g.sent = c.m.Received, g.sent[:0]
		if got := g.shed(g, c.m, g.now); got != c.want || len(g.sent) > 0 != c.want {
			t.Errorf("%s: refused %v, sent %q", c.name, got, g.sent)
		}
	}
	if s := g.Overload.State(g.now); s.Exempted != 1 || s.Refused[guard.RankCall] != 1 || s.Refused[guard.RankKnown] != 1 {
		t.Errorf("counted %+v", s)
	}
}

// TestRefusal: what a refusal says, that it is the same each time, and that its ACK ends there.
func TestRefusal(t *testing.T) {
	g := newGate(t)
	g.overload()
	refusal := func(m *sip.Message) *sip.Message {
		t.Helper()
		g.sent = g.sent[:0]
		if !g.shed(g, m, g.now) {
			t.Fatal("not refused")
		}
		again := g.shed(g, m, g.now)
		if len(g.sent) != 2 || g.sent[0] != g.sent[1] || !again {
			t.Fatalf("%q", g.sent)
		}
		var res sip.Message
		if err := res.Parse([]byte(g.sent[0])); err != nil {
			t.Fatalf("%v in\n%s", err, g.sent[0])
		}
		return &res
	}
	invite := g.offer(stranger, "INVITE", "sip:102@pbx.example", "101@pbx.example", "102@pbx.example", "i")
	res := refusal(invite)
	via, err := res.Via()
	if res.Status() != 503 || err != nil || via.RPort != stranger.Port() || string(res.CallID()) != "i" || res.ToTag() == nil || res.Has(sip.HRetryAfter) {
		t.Errorf("refusal:\n%s", res.Bytes())
	}
	ack := sip.NewACK(invite, res)
	m, err := ack.Message()
	if err != nil {
		t.Fatal(err)
	}
	if !g.shed(g, m, g.now) {
		t.Error("the ACK goes on")
	}
	g.delay, g.now = 0, g.now.Add(time.Hour)
	if g.shed(g, invite, g.now) {
		t.Error("still refused an hour later")
	}
	if !g.shed(g, m, g.now) {
		t.Error("the ACK goes on after the overload")
	}
	if other := g.offer(stranger, "ACK", "sip:102@pbx.example", "101@pbx.example", "102@pbx.example>;tag=busy-0123456789abcdef;x=<", "i"); g.shed(g, other, g.now) {
		t.Error("an ACK with a tag that is not ours ends here")
	}

	// A Retry-After goes to phones that nothing else depends on.
	g.overload()
	register := func(src netip.AddrPort, lines ...string) *sip.Message {
		return refusal(g.offer(src, "REGISTER", "sip:pbx.example", "109@pbx.example", "109@pbx.example", "r", lines...))
	}
	n, ok := register(stranger).Uint(sip.HRetryAfter)
	if !ok || n < retryFirst || n >= retryFirst+retrySpread {
		t.Errorf("Retry-After %d", n)
	}
	if register(stranger, "Via: SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKphone").Has(sip.HRetryAfter) {
		t.Error("a proxy is told to keep everything back")
	}
	if register(edge).Has(sip.HRetryAfter) {
		t.Error("a trusted edge is told to keep everything back")
	}
}

// TestShares: what is refused follows the share, repetitions share a fate, and no Call-ID is unlucky for ever.
func TestShares(t *testing.T) {
	g := newGate(t)
	g.delay = 60 * time.Millisecond
	decide := func(callID string) bool {
		return g.shed(g, g.offer(stranger, "INVITE", "sip:102@pbx.example", "101@pbx.example", "102@pbx.example", callID), g.now)
	}
	for n := 0; g.Overload.Percent() < 40; n++ {
		g.now = g.now.Add(10 * time.Millisecond)
		decide(fmt.Sprint("warm", n))
	}
	g.delay = guard.DefaultTarget // it stays as it is
	refused, unlucky := 0, 0
	for n := range 1000 {
		id := fmt.Sprint("call", n)
		first := decide(id)
		if first {
			refused++
		}
		if decide(id) != first {
			t.Fatal("a repetition is treated otherwise")
		}
	}
	percent := int(g.Overload.Percent())
	if refused < 10*percent-80 || refused > 10*percent+80 {
		t.Errorf("%d of 1000 were refused at %d percent", refused, percent)
	}
	for n := range 200 {
		id, always := fmt.Sprint("call", n), true
		for k := range 12 {
			g.now = began.Add(time.Hour + time.Duration(k)*shedEpoch*time.Second)
			always = always && maphashDecides(g, id)
		}
		if always {
			unlucky++
		}
	}
	if unlucky > 2 {
		t.Errorf("%d of 200 are refused again and again", unlucky)
	}
}

// maphashDecides is the decision about a stranger's call at half load.
func maphashDecides(g *gate, callID string) bool {
	m := g.offer(stranger, "INVITE", "sip:102@pbx.example", "101@pbx.example", "102@pbx.example", callID)
	return g.shedder.lot(m, g.now)>>32 < 1<<31
}

// TestRefusalAllocatesNothing: refusing is what is done most under overload.
func TestRefusalAllocatesNothing(t *testing.T) {
	g := newGate(t)
	g.overload()
	for _, c := range []struct {
		src          netip.AddrPort
		method, user string
	}{{stranger, "INVITE", "102"}, {phone, "INVITE", "102"}, {phone, "REGISTER", "101"}, {stranger, "REGISTER", "101"}, {edge, "OPTIONS", "102"}} {
		m := g.offer(c.src, c.method, "sip:102@pbx.example", "101@pbx.example", c.user+"@pbx.example", "a")
		g.sent = nil
		if n := testing.AllocsPerRun(200, func() {
			if !g.shed(g, m, g.now) {
				t.Fatal("not refused")
			}
		}); n > pooled {
			t.Errorf("%s from %v: %v allocations", c.method, c.src, n)
		}
		g.sent = []string{}
	}
}

func BenchmarkShed(b *testing.B) {
	g := newGate(b)
	g.overload()
	g.sent = nil
	m := g.offer(phone, "REGISTER", "sip:pbx.example", "101@pbx.example", "101@pbx.example", "a")
	b.ReportAllocs()
	for b.Loop() {
		g.shed(g, m, g.now)
	}
}
