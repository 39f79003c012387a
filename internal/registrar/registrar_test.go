package registrar

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/location"
	"dialtone/internal/sip"
)

var (
	epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	line  = location.AOR{Tenant: directory.ID{1}, Line: directory.ID{2}}
	flow  = location.Flow{
		Transport: directory.UDP, Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort("203.0.113.9:40000"),
	}
)

// bench is a registrar with its table and a clock.
type bench struct {
	t     *testing.T
	table *location.Table
	r     *Registrar
	now   time.Time
	cseq  int
}

func newBench(t *testing.T, p Policy) *bench {
	table := location.New(location.Config{}, epoch)
	return &bench{t: t, table: table, r: New(table, p), now: epoch}
}

// register sends a REGISTER of the device with these header lines and returns the response. A CSeq or Call-ID among them
// replaces the usual one.
func (b *bench) register(device string, lines ...string) *sip.Message {
	b.t.Helper()
	b.cseq++
	m := request(b.t, b.cseq, lines...)
	var out sip.Builder
	status := b.r.Respond(&out, m, "tag", Subject{AOR: line, Device: device}, flow, b.now)
	resp, err := out.Message()
	if err != nil {
		b.t.Fatal(err)
	}
	if resp.Status() != status {
		b.t.Fatalf("status %d reported as %d", resp.Status(), status)
	}
	return resp
}

func request(t testing.TB, cseq int, lines ...string) *sip.Message {
	t.Helper()
	head := []string{
		"REGISTER sip:example.com SIP/2.0", "From: <sip:101@example.com>;tag=1", "To: <sip:101@example.com>",
		"Max-Forwards: 70", "User-Agent: test/1",
	}
	all := strings.Join(lines, "\r\n")
	for name, usual := range map[string]string{
		"Via": "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1", "Call-ID": "one@phone", "CSeq": fmt.Sprintf("%d REGISTER", cseq),
	} {
		if !strings.Contains(all, name+":") {
			head = append(head, name+": "+usual)
		}
	}
	text := strings.Join(slices.Concat(head, lines), "\r\n") + "\r\nContent-Length: 0\r\n\r\n"
	m := &sip.Message{}
	if err := m.Parse([]byte(text)); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return m
}

// want checks the status and, for a 200, the Contact values.
func want(t *testing.T, m *sip.Message, status int, contacts ...string) {
	t.Helper()
	if m.Status() != status {
		t.Fatalf("status %d %s, want %d", m.Status(), m.Reason(), status)
	}
	var got []string
	for e := m.Elements(sip.HContact); e.Next(); {
		got = append(got, string(e.Value()))
	}
	slices.Sort(got)
	slices.Sort(contacts)
	if !slices.Equal(got, contacts) {
		t.Fatalf("contacts\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(contacts, "\n "))
	}
}

func header(m *sip.Message, id sip.HeaderID) string {
	v, _ := m.Header(id)
	return string(v)
}

func TestRFC3261Section10MultipleContactsWithQ(t *testing.T) {
	b := newBench(t, Policy{})
	want(t, b.register("101", "Contact: <sip:a@h>;q=0.7, <sip:b@h>;q=1.0;expires=600", "Contact: <sip:c@h>;q=0", "Expires: 1200"), 200,
		"<sip:a@h>;q=0.700;expires=1200", "<sip:b@h>;expires=600", "<sip:c@h>;q=0.000;expires=1200")
	var order []string
	for _, x := range b.table.Lookup(nil, line, b.now) {
		order = append(order, x.Contact)
	}
	if !slices.Equal(order, []string{"sip:b@h", "sip:a@h", "sip:c@h"}) {
		t.Errorf("%q", order)
	}
	// RFC 3261 §10.3 step 8: the remaining time of all bindings is listed, also to a mere query.
	b.now = b.now.Add(100 * time.Second)
	want(t, b.register("101"), 200, "<sip:a@h>;q=0.700;expires=1100", "<sip:b@h>;expires=500", "<sip:c@h>;q=0.000;expires=1100")
	b.now = b.now.Add(500 * time.Second)
	want(t, b.register("101"), 200, "<sip:a@h>;q=0.700;expires=600", "<sip:c@h>;q=0.000;expires=600")
}

func TestRFC3261Section10Star(t *testing.T) {
	tests := []struct {
		name   string
		lines  []string
		status int
	}{
		{"with Expires 0", []string{"Contact: *", "Expires: 0"}, 200},
		{"without Expires", []string{"Contact: *"}, 400},
		{"with another Expires", []string{"Contact: *", "Expires: 60"}, 400},
		{"with an expires parameter only", []string{"Contact: *;expires=0"}, 400},
		{"beside another contact", []string{"Contact: *", "Contact: <sip:a@h>", "Expires: 0"}, 400},
		{"after another contact", []string{"Contact: <sip:a@h>, *", "Expires: 0"}, 400},
		{"twice", []string{"Contact: *, *", "Expires: 0"}, 400},
		{"overtaken", []string{"Contact: *", "Expires: 0", "CSeq: 1 REGISTER"}, 500},
		{"low CSeq of another Call-ID", []string{"Contact: *", "Expires: 0", "CSeq: 1 REGISTER", "Call-ID: other"}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{})
			b.cseq = 10
			b.register("101", "Contact: <sip:a@h>, <sip:b@h>")
			b.register("mobile", "Contact: <sip:m@h>")
			want(t, b.register("101", tt.lines...), tt.status)
			left := 1 // that of the other device
			if tt.status != 200 {
				left = 3
			}
			if n := b.table.Count(); n != left {
				t.Errorf("%d bindings left, want %d", n, left)
			}
		})
	}
}

func TestRFC3261Section10Expiration(t *testing.T) {
	p := Policy{Min: 60 * time.Second, Max: 1800 * time.Second, Default: 900 * time.Second}
	tests := []struct {
		name, lines string
		status      int
		expires     string
	}{
		{"neither", "Contact: <sip:a@h>", 200, "900"},
		{"header", "Contact: <sip:a@h>\r\nExpires: 300", 200, "300"},
		{"parameter wins", "Contact: <sip:a@h>;expires=200\r\nExpires: 300", 200, "200"},
		{"too long is cut", "Contact: <sip:a@h>;expires=7200", 200, "1800"},
		{"more than 32 bits", "Contact: <sip:a@h>;expires=100000000000000", 200, "1800"},
		{"header of more than 32 bits", "Contact: <sip:a@h>\r\nExpires: 100000000000000", 200, "1800"},
		{"malformed parameter is an hour", "Contact: <sip:a@h>;expires=soon", 200, "1800"},
		{"malformed header is an hour", "Contact: <sip:a@h>\r\nExpires: soon", 200, "1800"},
		{"shortest", "Contact: <sip:a@h>;expires=60", 200, "60"},
		{"too brief", "Contact: <sip:a@h>;expires=59", 423, ""},
		{"too brief by header", "Contact: <sip:a@h>\r\nExpires: 1", 423, ""},
		{"zero for what is not there", "Contact: <sip:a@h>;expires=0", 200, "none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, p)
			m := b.register("101", tt.lines)
			switch {
			case tt.status == 423:
				want(t, m, 423)
				if header(m, sip.HMinExpires) != "60" {
					t.Errorf("Min-Expires %q", header(m, sip.HMinExpires))
				}
			case tt.expires == "none":
				want(t, m, 200)
			default:
				want(t, m, 200, "<sip:a@h>;expires="+tt.expires)
			}
		})
	}
	// RFC 3261 §10.3: an hour or more is never too brief, whatever the policy says.
	b := newBench(t, Policy{Min: 3 * time.Hour, Max: 4 * time.Hour})
	want(t, b.register("101", "Contact: <sip:a@h>;expires=3600"), 200, "<sip:a@h>;expires=3600")
	want(t, b.register("101", "Contact: <sip:a@h>;expires=3599"), 423)
}

func TestRFC3261Section10CallIDAndCSeq(t *testing.T) {
	tests := []struct {
		name   string
		after  time.Duration
		lines  []string
		status int
	}{
		{"higher", 0, []string{"Contact: <sip:a@h>;expires=100", "CSeq: 11 REGISTER"}, 200},
		{"equal", time.Second, []string{"Contact: <sip:a@h>;expires=100", "CSeq: 10 REGISTER"}, 500},
		{"lower", time.Second, []string{"Contact: <sip:a@h>;expires=100", "CSeq: 9 REGISTER"}, 500},
		{"lower removal", time.Second, []string{"Contact: <sip:a@h>;expires=0", "CSeq: 9 REGISTER"}, 500},
		{"lower of another Call-ID", time.Second, []string{"Contact: <sip:a@h>;expires=100", "CSeq: 1 REGISTER", "Call-ID: x"}, 200},
		{"lower for another contact", time.Second, []string{"Contact: <sip:z@h>;expires=100", "CSeq: 1 REGISTER"}, 200},
		{"lower, long after: the phone has restarted", 33 * time.Second, []string{"Contact: <sip:a@h>;expires=100", "CSeq: 1 REGISTER"}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{})
			b.register("101", "Contact: <sip:a@h>;expires=1000", "CSeq: 10 REGISTER")
			b.now = b.now.Add(tt.after)
			if m := b.register("101", tt.lines...); m.Status() != tt.status {
				t.Fatalf("status %d %s", m.Status(), m.Reason())
			}
			if tt.status != 200 {
				got := b.table.Lookup(nil, line, b.now)
				if len(got) != 1 || got[0].CSeq != 10 || !got[0].Expires.Equal(epoch.Add(1000*time.Second)) {
					t.Errorf("changed all the same: %+v", got)
				}
			}
		})
	}
}

func TestRFC3261Section10AtomicUpdate(t *testing.T) {
	tests := []struct {
		name, contacts string
		status         int
	}{
		{"one too brief", "<sip:new@h>, <sip:a@h>;expires=0, <sip:b@h>;expires=5", 423},
		{"one malformed", "<sip:new@h>, <sip:a@h>;expires=0, <sip:@>", 400},
		{"bare URI with headers", "sip:user@example.com?Route=%3Csip:x%3E", 400},
		{"bad q", "<sip:new@h>;q=2, <sip:a@h>;expires=0", 400},
		{"one overtaken", "<sip:new@h>, <sip:a@h>;expires=0, <sip:late@h>", 500},
		{"too many", strings.Repeat("<sip:%d@h>,", 10) + "<sip:last@h>", 403},
		{"far too many", strings.Repeat("<sip:%d@h>,", 64) + "<sip:last@h>", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{})
			b.register("101", "Contact: <sip:a@h>, <sip:b@h>", "Call-ID: first")
			b.register("101", "Contact: <sip:late@h>", "CSeq: 1000 REGISTER")
			before := b.table.Lookup(nil, line, b.now)
			n := 0
			for strings.Contains(tt.contacts, "%d") {
				tt.contacts = strings.Replace(tt.contacts, "%d", fmt.Sprint("n", n), 1)
				n++
			}
			b.now = b.now.Add(time.Second)
			want(t, b.register("101", "Contact: "+tt.contacts), tt.status)
			if after := b.table.Lookup(nil, line, b.now); !slices.Equal(before, after) {
				t.Errorf("before %v\nafter  %v", before, after)
			}
		})
	}
}

// RFC 3261 §10.2.1, RFC 3665 §2.2: a contact may be any URI; no request is sent to what is not SIP.
func TestContactThatIsNotSIP(t *testing.T) {
	b := newBench(t, Policy{})
	b.register("101", "Contact: <sip:a@h>;expires=100")
	m := b.register("101", "Contact: <mailto:bob@biloxi.example.com>;q=0.5;expires=200, <tel:+12015550123>;q=0.1;expires=300")
	want(t, m, 200, "<sip:a@h>;expires=100", "<mailto:bob@biloxi.example.com>;q=0.500;expires=200", "<tel:+12015550123>;q=0.100;expires=300")
	want(t, b.register("101", "Contact: <mailto:bob@biloxi.example.com>;expires=0"), 200, "<sip:a@h>;expires=100", "<tel:+12015550123>;q=0.100;expires=300")
	if targets := location.Targets(b.table.Lookup(nil, line, b.now)); len(targets) != 1 || targets[0][0].Contact != "sip:a@h" {
		t.Errorf("targets %+v", targets)
	}
}

func TestContactComparison(t *testing.T) {
	tests := []struct {
		name, first, second string
		same                bool
	}{
		{"identical", "sip:a@h", "sip:a@h", true},
		{"case of the host", "sip:a@host.example", "sip:a@HOST.example", true},
		{"escapes", "sip:%61lice@h;transport=TCP", "sip:alice@H;Transport=tcp", true},
		{"another parameter on one side", "sip:a@h", "sip:a@h;newparam=5", true},
		{"case of the user", "sip:a@h", "sip:A@h", false},
		{"port", "sip:a@h", "sip:a@h:5060", false},
		{"transport on one side", "sip:a@h", "sip:a@h;transport=udp", false},
		{"sips", "sip:a@h", "sips:a@h", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{})
			b.register("101", "Contact: <"+tt.first+">;expires=100")
			m := b.register("101", "Contact: <"+tt.second+">;expires=200")
			if tt.same {
				want(t, m, 200, "<"+tt.second+">;expires=200")
			} else {
				want(t, m, 200, "<"+tt.first+">;expires=100", "<"+tt.second+">;expires=200")
			}
		})
	}
	b := newBench(t, Policy{})
	want(t, b.register("101", "Contact: <sip:a@h>;expires=100, <sip:a@H>;expires=200"), 200, "<sip:a@H>;expires=200")
}

func TestRemovalOfOneContact(t *testing.T) {
	b := newBench(t, Policy{})
	b.register("101", "Contact: <sip:a@h>, <sip:b@h>", "Expires: 100")
	want(t, b.register("101", "Contact: <sip:a@h>;expires=0"), 200, "<sip:b@h>;expires=100")
	want(t, b.register("101", "Contact: <sip:b@h>", "Expires: 0"), 200)
	if b.table.Count() != 0 {
		t.Errorf("%d left", b.table.Count())
	}
}

func TestMaxContacts(t *testing.T) {
	b := newBench(t, Policy{MaxContacts: 2})
	b.register("mobile", "Contact: <sip:m@h>;expires=1000")
	for i := range 4 { // a phone that comes back with another port each time
		b.now = b.now.Add(time.Second)
		b.register("101", fmt.Sprintf("Contact: <sip:a@h:%d>;expires=1000", 1000+i), fmt.Sprintf("Call-ID: %d", i))
	}
	want(t, b.register("101"), 200, "<sip:a@h:1002>;expires=999", "<sip:a@h:1003>;expires=1000")
	if b.table.Count() != 3 {
		t.Errorf("%d bindings, want two and that of the other device", b.table.Count())
	}
}

func TestDevicesDoNotSeeEachOther(t *testing.T) {
	b := newBench(t, Policy{})
	b.register("101", "Contact: <sip:x@h>;expires=100")
	want(t, b.register("mobile", "Contact: <sip:x@h>;expires=200"), 200, "<sip:x@h>;expires=200")
	want(t, b.register("mobile", "Contact: <sip:x@h>;expires=0"), 200)
	want(t, b.register("101"), 200, "<sip:x@h>;expires=100")
}

func TestRequire(t *testing.T) {
	b := newBench(t, Policy{})
	m := b.register("101", "Contact: <sip:a@h>", "Require: path, gruu, outbound, x")
	if m.Status() != 420 {
		t.Fatalf("status %d", m.Status())
	}
	var tags []string
	for e := m.Elements(sip.HUnsupported); e.Next(); {
		tags = append(tags, string(e.Value()))
	}
	if !slices.Equal(tags, []string{"gruu", "x"}) || b.table.Count() != 0 {
		t.Errorf("Unsupported %q, %d bindings", tags, b.table.Count())
	}
}

func TestResponseHeaders(t *testing.T) {
	b := newBench(t, Policy{})
	m := b.register("101", `Contact: "Sara" <sip:a@h;pn-provider=apns;pn-prid=1>;video;expires=100;+sip.instance="<urn:uuid:1>";q=.25`, "Record-Route: <sip:p;lr>")
	want(t, m, 200, `<sip:a@h;pn-provider=apns;pn-prid=1>;video;+sip.instance="<urn:uuid:1>";q=0.250;expires=100`)
	if got := header(m, sip.HDate); got != "Fri, 02 Jan 2026 03:04:05 GMT" {
		t.Errorf("Date %q", got)
	}
	// RFC 3261 §10.3: no Record-Route in responses to REGISTER.
	if m.Has(sip.HRecordRoute) {
		t.Error("Record-Route in the response")
	}
	if got := b.table.Lookup(nil, line, b.now)[0]; got.UserAgent != "test/1" || got.Instance != "urn:uuid:1" || got.Q != 250 {
		t.Errorf("%+v", got)
	}
}

// FuzzRespond: whatever Contact says, the answer parses, a refusal changes nothing, and a 200 lists what is stored.
func FuzzRespond(f *testing.F) {
	for _, s := range []string{
		"<sip:a@h>;q=0.5;expires=10", "*", "<sip:a@h>, <sip:b@h>;reg-id=1;+sip.instance=\"<i>\"", "sip:a@h;expires=0", "<tel:+1>", "\"x\" <sip:a@[::1]:5>;a=\"b,c\"",
	} {
		f.Add(s, uint32(0))
		f.Add(s, uint32(3600))
	}
	f.Fuzz(func(t *testing.T, contact string, expires uint32) {
		if strings.ContainsAny(contact, "\r\n") {
			return
		}
		text := "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\n" +
			"CSeq: 5 REGISTER\r\nMax-Forwards: 70\r\nSupported: outbound\r\nContact: " + contact + fmt.Sprintf("\r\nExpires: %d\r\nContent-Length: 0\r\n\r\n", expires)
		m := &sip.Message{}
		if m.Parse([]byte(text)) != nil {
			return
		}
		table := location.New(location.Config{}, epoch)
		table.Update(line, epoch, func([]location.Binding) ([]location.Binding, bool) {
			return []location.Binding{{Device: "101", Contact: "sip:old@h", CallID: "d", Updated: epoch, Created: epoch, Expires: epoch.Add(time.Hour)}}, true
		})
		before := table.Lookup(nil, line, epoch)
		var out sip.Builder
		status := New(table, Policy{}).Respond(&out, m, "t", Subject{AOR: line, Device: "101"}, flow, epoch)
		resp, err := out.Message()
		if err != nil {
			t.Fatalf("%v in %q", err, out.Append(nil))
		}
		after := table.Lookup(nil, line, epoch)
		if status != 200 {
			if !slices.Equal(before, after) {
				t.Fatalf("refused with %d but changed", status)
			}
			return
		}
		listed := 0
		for e := resp.Elements(sip.HContact); e.Next(); listed++ {
			if a, err := e.Address(); err != nil || !a.Params.Has("expires") {
				t.Fatalf("listed %q: %v", e.Value(), err)
			}
		}
		if listed != len(after) {
			t.Fatalf("%d listed, %d stored", listed, len(after))
		}
	})
}

func TestRefreshAllocatesNothing(t *testing.T) {
	b := newBench(t, Policy{})
	w := b.r.work.New().(*work) // not from the pool: the race detector makes it forget
	m := request(t, 1, `Contact: <sip:101@192.0.2.7:5060;transport=udp>;+sip.instance="<urn:uuid:1>";expires=3600`)
	var out sip.Builder
	now := epoch
	n := testing.AllocsPerRun(200, func() {
		now = now.Add(time.Minute)
		if w.respond(&out, m, "t", Subject{AOR: line, Device: "101"}, flow, now) != 200 {
			t.Fatal("refused")
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a refresh", n)
	}
}

func BenchmarkRefresh(b *testing.B) {
	table := location.New(location.Config{}, epoch)
	r := New(table, Policy{})
	m := request(b, 1, `Contact: <sip:101@192.0.2.7:5060;transport=udp>;+sip.instance="<urn:uuid:1>";expires=3600`)
	var out sip.Builder
	now := epoch
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Minute)
		if r.Respond(&out, m, "t", Subject{AOR: line, Device: "101"}, flow, now) != 200 {
			b.Fatal("refused")
		}
	}
}

// TestNewCallIDAllocatesLittle: a phone that has restarted costs two texts, its Call-ID and those of the binding.
func TestNewCallIDAllocatesLittle(t *testing.T) {
	b := newBench(t, Policy{})
	w := b.r.work.New().(*work)
	const contact = `Contact: <sip:101@192.0.2.7:5060;transport=udp>;+sip.instance="<urn:uuid:1>";expires=3600`
	messages := [...]*sip.Message{request(t, 1, contact, "Call-ID: before"), request(t, 1, contact, "Call-ID: after")}
	var out sip.Builder
	now, i := epoch, 0
	n := testing.AllocsPerRun(200, func() {
		now = now.Add(time.Minute)
		i++
		if w.respond(&out, messages[i%2], "t", Subject{AOR: line, Device: "101"}, flow, now) != 200 {
			t.Fatal("refused")
		}
	})
	if n > 2 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkScale answers refreshes of lines in no order, of more and more of them; the time for each is to stay.
func BenchmarkScale(b *testing.B) {
	for _, size := range []uint64{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := New(location.New(location.Config{}, epoch), Policy{})
			const contact = `Contact: <sip:101@192.0.2.7:5060;transport=udp>;+sip.instance="<urn:uuid:1>";expires=3600`
			m := request(b, 1, contact)
			var out sip.Builder
			now := epoch
			register := func(n uint64) {
				who := Subject{AOR: line, Device: "101"}
				binary.BigEndian.PutUint64(who.AOR.Line[8:], n)
				if r.Respond(&out, m, "t", who, flow, now) != 200 {
					b.Fatal("refused")
				}
			}
			for n := range size {
				register(n)
			}
			b.ReportAllocs()
			i, n := uint64(0), uint64(0)
			for b.Loop() {
				if i%size == 0 {
					m = request(b, int(2+i/size), contact)
				}
				i++
				now = now.Add(25 * time.Microsecond)
				n = (n + 611_953) % size
				register(n)
			}
		})
	}
}
