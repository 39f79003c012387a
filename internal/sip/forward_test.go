package sip

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

const forwardRequest = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n" +
	"v: SIP/2.0/UDP client.example.com:5060;branch=z9hG4bK74b43;rport, SIP/2.0/TCP first.example.com;branch=z9hG4bK1\r\n" +
	"Via: SIP/2.0/TLS older.example.com\r\n" +
	"Route: <sip:us.example.com;lr>, <sip:next.example.com;lr>\r\n" +
	"Max-Forwards: 7\r\n" +
	"X-Strange : keeps \t its\r\n  fold\r\n" +
	"From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n" +
	"route: <sip:last.example.com>\r\n" +
	"To: Bob <sip:bob@biloxi.example.com>\r\n" +
	"Proxy-Authorization: Digest username=\"a\", realm=\"x\"\r\n" +
	"Proxy-Authorization: Digest username=\"a\", realm=\"y\"\r\n" +
	"Max-Breadth: 60\r\n" +
	"i: 3848276298220188511@atlanta.example.com\r\n" +
	"CSeq: 1 INVITE\r\n" +
	"Contact: <sip:alice@client.example.com>\r\n" +
	"Content-Length: 4\r\n\r\nbody"

func parsed(t testing.TB, text string) *Message {
	t.Helper()
	m := &Message{}
	if err := m.Parse([]byte(text)); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return m
}

func TestAppendForward(t *testing.T) {
	const via = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnew\r\n"
	const received = "Via: SIP/2.0/UDP client.example.com:5060;branch=z9hG4bK74b43;received=192.0.2.201;rport=6000, SIP/2.0/TCP first.example.com;branch=z9hG4bK1\r\n"
	top := Forward{Via: "SIP/2.0/UDP 192.0.2.1:5060", Branch: []byte("z9hG4bKnew")}
	with := func(f func(e *Forward)) *Forward { e := top; f(&e); return &e }
	for _, c := range []struct {
		name string
		edit *Forward
		// pairs of what stands in the request and what in the copy, besides Via and Max-Forwards
		changes []string
	}{
		{"nothing else", &top, nil},
		{"target", with(func(e *Forward) { e.URI = []byte("sip:bob@192.0.2.9;transport=tcp") }),
			[]string{"INVITE sip:bob@biloxi.example.com SIP", "INVITE sip:bob@192.0.2.9;transport=tcp SIP"}},
		{"first route", with(func(e *Forward) { e.Pop = 1 }), []string{"<sip:us.example.com;lr>, <sip:next", "<sip:next"}},
		{"whole line of routes", with(func(e *Forward) { e.Pop = 2 }), []string{"Route: <sip:us.example.com;lr>, <sip:next.example.com;lr>\r\n", ""}},
		{"over lines", with(func(e *Forward) { e.Pop = 3 }),
			[]string{"Route: <sip:us.example.com;lr>, <sip:next.example.com;lr>\r\n", "", "route: <sip:last.example.com>\r\n", ""}},
		{"more than there are", with(func(e *Forward) { e.Pop = 9 }),
			[]string{"Route: <sip:us.example.com;lr>, <sip:next.example.com;lr>\r\n", "", "route: <sip:last.example.com>\r\n", ""}},
		{"last route", with(func(e *Forward) { e.PopLast = true }), []string{"route: <sip:last.example.com>\r\n", ""}},
		{"first and last route", with(func(e *Forward) { e.Pop, e.PopLast = 1, true }),
			[]string{"<sip:us.example.com;lr>, <sip:next", "<sip:next", "route: <sip:last.example.com>\r\n", ""}},
		{"lines and routes", with(func(e *Forward) { e.Lines, e.Routes = []byte("Record-Route: <sip:me;lr>\r\n"), []byte("<sip:path;lr>") }),
			[]string{via, via + "Record-Route: <sip:me;lr>\r\nRoute: <sip:path;lr>\r\n"}},
		{"strict router", with(func(e *Forward) { e.LastRoute = []byte("<sip:bob@biloxi.example.com>") }),
			[]string{"Content-Length: 4\r\n", "Content-Length: 4\r\nRoute: <sip:bob@biloxi.example.com>\r\n"}},
		{"breadth", with(func(e *Forward) { e.MaxBreadth = 30 }), []string{"Max-Breadth: 60", "Max-Breadth: 30"}},
		{"nothing can add lines", with(func(e *Forward) { e.URI = []byte("sip:x\r\nEvil: 1") }),
			[]string{"INVITE sip:bob@biloxi.example.com SIP", "INVITE sip:x  Evil: 1 SIP"}},
		{"branch parameters", with(func(e *Forward) { e.ViaParams = []byte(";x=1") }), []string{"z9hG4bKnew\r\n", "z9hG4bKnew;x=1\r\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parsed(t, forwardRequest)
			m.Received = netip.MustParseAddrPort("192.0.2.201:6000")
			want := strings.Replace(forwardRequest, "v: SIP", via+"v: SIP", 1)
			want = strings.Replace(want, "v: SIP/2.0/UDP client.example.com:5060;branch=z9hG4bK74b43;rport, SIP/2.0/TCP first.example.com;branch=z9hG4bK1\r\n", received, 1)
			want = strings.Replace(want, "Max-Forwards: 7", "Max-Forwards: 6", 1)
			for i := 0; i < len(c.changes); i += 2 {
				want = strings.Replace(want, c.changes[i], c.changes[i+1], 1)
			}
			if got := string(AppendForward(nil, m, c.edit)); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestAppendForwardAdds(t *testing.T) {
	m := parsed(t, "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 2 BYE\r\n\r\nxyz")
	m.Received = netip.MustParseAddrPort("192.0.2.7:5060")
	got := string(AppendForward(nil, m, &Forward{Via: "SIP/2.0/TCP h", Branch: []byte("z9hG4bK2"), MaxBreadth: 60}))
	want := "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK2\r\nMax-Forwards: 70\r\nMax-Breadth: 60\r\n" +
		"Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 2 BYE\r\nContent-Length: 3\r\n\r\nxyz"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	v, _ := m.Header(HTo)
	if got := string(AppendForward(nil, m, &Forward{Omit: v})); strings.Contains(got, "To:") {
		t.Errorf("a line that was to be left out is there:\n%s", got)
	}
}

const forwardResponse = "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP us;branch=z9hG4bKours\r\nv: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1\r\n" +
	"From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 2 INVITE\r\nX-Any:  thing\r\nContent-Length: 2\r\n\r\nhi"

func TestAppendUpstream(t *testing.T) {
	for _, c := range []struct{ name, old, new, lines, gone, want string }{
		{"two lines", "", "", "", "Via: SIP/2.0/UDP us;branch=z9hG4bKours\r\n", ""},
		{"one line", "\r\nv: ", ", ", "", "SIP/2.0/UDP us;branch=z9hG4bKours, ", ""},
		{"challenges", "", "", "WWW-Authenticate: x\r\n", "Via: SIP/2.0/UDP us;branch=z9hG4bKours\r\n", "Content-Length: 2\r\nWWW-Authenticate: x\r\n"},
	} {
		text := forwardResponse
		if c.old != "" {
			text = strings.Replace(text, c.old, c.new, 1)
		}
		want := strings.Replace(text, c.gone, "", 1)
		if c.want != "" {
			want = strings.Replace(want, "Content-Length: 2\r\n", c.want, 1)
		}
		if got := string(AppendUpstream(nil, parsed(t, text), []byte(c.lines))); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, want)
		}
	}
	ours := strings.Replace(forwardResponse, "v: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK1\r\n", "", 1)
	if got := AppendUpstream(nil, parsed(t, ours), nil); len(got) != 0 {
		t.Errorf("a response for us alone was forwarded:\n%s", got)
	}
}

func TestForwardAllocatesNothing(t *testing.T) {
	m, r := parsed(t, forwardRequest), parsed(t, forwardResponse)
	m.Received = netip.MustParseAddrPort("192.0.2.201:6000")
	e := Forward{Via: "SIP/2.0/UDP 192.0.2.1:5060", Branch: []byte("z9hG4bKnew"), Pop: 1, PopLast: true, URI: []byte("sip:x@y"), MaxBreadth: 4,
		Lines: []byte("Record-Route: <sip:me;lr>\r\n"), Routes: []byte("<sip:p;lr>")}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = AppendForward(buf[:0], m, &e) }); n != 0 {
		t.Errorf("AppendForward: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { buf = AppendUpstream(buf[:0], r, nil) }); n != 0 {
		t.Errorf("AppendUpstream: %v allocations", n)
	}
}

// FuzzForward: whatever can be parsed can be forwarded; the copy parses, has the new Via on top, and every line that was
// not to be changed, and the body, are as they were.
func FuzzForward(f *testing.F) {
	f.Add([]byte(forwardRequest), uint8(1), true)
	f.Add([]byte(forwardResponse), uint8(0), false)
	f.Add([]byte("ACK sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: a:b\r\nTo: a:b\r\nCall-ID: c\r\nCSeq: 2 ACK\r\nRoute:\r\nRoute: ,,\r\n\r\n"), uint8(2), true)
	f.Fuzz(func(t *testing.T, b []byte, pop uint8, popLast bool) {
		var m Message
		if m.Parse(b) != nil || len(b) > MaxMessage-200 || m.Len() > MaxHeaders-5 {
			return
		}
		m.Received = netip.MustParseAddrPort("192.0.2.201:6000")
		if !m.IsRequest() {
			fuzzUpstream(t, &m)
			return
		}
		e := Forward{Via: "SIP/2.0/UDP 192.0.2.1:5060", Branch: []byte("z9hG4bKnew"), Pop: int(pop % 4), PopLast: popLast, MaxBreadth: 30}
		out := AppendForward(nil, &m, &e)
		var c Message
		if err := c.Parse(out); err != nil {
			t.Fatalf("%v in\n%q\nof\n%q", err, out, b)
		}
		if via, err := c.Via(); err != nil || string(via.Branch) != "z9hG4bKnew" {
			t.Fatalf("top Via %q %v", via.Branch, err)
		}
		if !bytes.Equal(c.Body(), m.Body()) || !bytes.Equal(c.RequestURI(), m.RequestURI()) || c.Method() != m.Method() {
			t.Fatalf("body, target or method changed:\n%q\n%q", out, b)
		}
		routes := m.count(HRoute)
		gone := min(routes, e.Pop)
		if popLast && routes > gone {
			gone++
		}
		if got := c.count(HRoute); got != routes-gone {
			t.Fatalf("%d routes of %d after %d and %v", got, routes, e.Pop, popLast)
		}
		sameLines(t, &m, &c)
	})
}

func fuzzUpstream(t *testing.T, m *Message) {
	out := AppendUpstream(nil, m, nil)
	if len(out) == 0 {
		return
	}
	second, err := m.SecondVia()
	if err != nil {
		t.Fatal(err)
	}
	var c Message
	if err := c.Parse(out); err != nil {
		t.Fatalf("%v in\n%q", err, out)
	}
	if top, err := c.Via(); err != nil || !bytes.Equal(top.Branch, second.Branch) || !bytes.Equal(top.Host, second.Host) || top.Port != second.Port {
		t.Fatalf("top Via %+v, want %+v", top, second)
	}
	if c.count(HVia) != m.count(HVia)-1 || !bytes.Equal(c.Body(), m.Body()) || c.Status() != m.Status() {
		t.Fatalf("changed:\n%q\n%q", out, m.Bytes())
	}
	sameLines(t, m, &c)
}

// sameLines: all lines but those that forwarding changes are the same, in order.
func sameLines(t *testing.T, a, b *Message) {
	t.Helper()
	list := func(m *Message) (out [][]byte) {
		for i := range m.headers {
			switch h := &m.headers[i]; h.id {
			case HVia, HRoute, HMaxForwards, HMaxBreadth, HContentLength:
			default:
				out = append(out, m.raw[h.start:h.end])
			}
		}
		return out
	}
	x, y := list(a), list(b)
	if len(x) != len(y) {
		t.Fatalf("%d lines became %d", len(x), len(y))
	}
	for i := range x {
		if !bytes.Equal(x[i], y[i]) {
			t.Fatalf("%q became %q", x[i], y[i])
		}
	}
}

func BenchmarkAppendForward(b *testing.B) {
	m := parsed(b, forwardRequest)
	m.Received = netip.MustParseAddrPort("192.0.2.201:6000")
	e := Forward{Via: "SIP/2.0/UDP 192.0.2.1:5060", Branch: []byte("z9hG4bKnew"), Pop: 1, Lines: []byte("Record-Route: <sip:me;lr>\r\n")}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(forwardRequest)))
	for b.Loop() {
		buf = AppendForward(buf[:0], m, &e)
	}
}

func BenchmarkAppendUpstream(b *testing.B) {
	m := parsed(b, forwardResponse)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendUpstream(buf[:0], m, nil)
	}
}
