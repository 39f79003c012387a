package dialog

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dialtone/internal/sip"
)

// message parses a message from its start line and headers.
func message(t testing.TB, lines ...string) *sip.Message {
	t.Helper()
	m := &sip.Message{}
	if err := m.Parse([]byte(strings.Join(lines, "\r\n") + "\r\nContent-Length: 0\r\n\r\n")); err != nil {
		t.Fatalf("%v in %q", err, lines)
	}
	return m
}

// invite is an INVITE from Alice with further headers.
func invite(t testing.TB, more ...string) *sip.Message {
	return message(t, append([]string{
		"INVITE sip:bob@biloxi.example SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa", "Max-Forwards: 70",
		`From: "Alice, A." <sip:alice@atlanta.example>;tag=a;x=y`, "To: sip:bob@biloxi.example", "Call-ID: c", "CSeq: 7 INVITE",
	}, more...)...)
}

// ok is the 200 for it, with further headers.
func ok(t testing.TB, more ...string) *sip.Message {
	return message(t, append([]string{
		"SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa",
		`From: "Alice, A." <sip:alice@atlanta.example>;tag=a;x=y`, "To: sip:bob@biloxi.example;tag=b", "Call-ID: c", "CSeq: 7 INVITE",
	}, more...)...)
}

const aliceContact = "Contact: <sip:alice@192.0.2.7:5070;transport=udp>;expires=3"

func TestFromRequest(t *testing.T) {
	d, err := FromRequest(invite(t, aliceContact, "Record-Route: <sip:p2;lr>, <sip:p1;lr>", "Record-Route: <sip:p0;lr>"), "b")
	if err != nil {
		t.Fatal(err)
	}
	want := &Dialog{CallID: "c", LocalTag: "b", RemoteTag: "a", Local: "<sip:bob@biloxi.example>",
		Remote: `"Alice, A." <sip:alice@atlanta.example>`, Target: "sip:alice@192.0.2.7:5070;transport=udp",
		Routes: []string{"<sip:p2;lr>", "<sip:p1;lr>", "<sip:p0;lr>"}, RemoteSeq: 7}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("dialog %+v\nwant   %+v", d, want)
	}
}

func TestFromResponse(t *testing.T) {
	d, err := FromResponse(invite(t), ok(t, "Contact: sip:bob@192.0.2.8", "Record-Route: <sip:p2;lr>, <sip:p1;lr>", "Record-Route: <sip:p0;lr>"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Dialog{CallID: "c", LocalTag: "a", RemoteTag: "b", Local: `"Alice, A." <sip:alice@atlanta.example>`,
		Remote: "<sip:bob@biloxi.example>", Target: "sip:bob@192.0.2.8",
		Routes: []string{"<sip:p0;lr>", "<sip:p1;lr>", "<sip:p2;lr>"}, LocalSeq: 7}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("dialog %+v\nwant   %+v", d, want)
	}
	// A Contact that is missing is guessed.
	if d, err = FromResponse(invite(t), ok(t)); err != nil || d.Target != "sip:bob@biloxi.example" {
		t.Errorf("without Contact: %+v, %v", d, err)
	}
}

func TestUnusableRequests(t *testing.T) {
	long := "Record-Route: <sip:p;lr>" + strings.Repeat(", <sip:p;lr>", maxRoutes)
	for name, more := range map[string][]string{
		"no Contact":      nil,
		"star":            {"Contact: *"},
		"tel":             {"Contact: <tel:+98211234>"},
		"too many routes": {aliceContact, long},
		"strange route":   {aliceContact, "Record-Route: <tel:1>"},
	} {
		if d, err := FromRequest(invite(t, more...), "b"); err == nil {
			t.Errorf("%s: %+v", name, d)
		} else if !errors.Is(err, ErrNoContact) && !errors.Is(err, ErrRoutes) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := FromResponse(invite(t), ok(t, long)); err == nil {
		t.Error("too many routes in a response")
	}
}

func TestSecure(t *testing.T) {
	m := message(t, "INVITE sips:bob@biloxi.example SIP/2.0", "Via: SIP/2.0/TLS 192.0.2.7;branch=z9hG4bKa", "Max-Forwards: 70",
		"From: <sips:alice@atlanta.example>;tag=a", "To: <sips:bob@biloxi.example>", "Call-ID: c", "CSeq: 7 INVITE", "Contact: <sips:a@b>")
	if d, err := FromRequest(m, "b"); err != nil || !d.Secure {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestRequest: RFC 3261 §12.2.1.1, with loose and strict routers.
func TestRequest(t *testing.T) {
	for _, tt := range []struct {
		name   string
		routes []string
		uri    string
		route  []string
		next   string
	}{
		{"direct", nil, "sip:bob@192.0.2.8", nil, "sip:bob@192.0.2.8"},
		{"loose", []string{"<sip:p1;lr>", "<sip:p2>"}, "sip:bob@192.0.2.8", []string{"<sip:p1;lr>", "<sip:p2>"}, "sip:p1;lr"},
		{"loose with value", []string{"<sip:p1;lr=on>"}, "sip:bob@192.0.2.8", []string{"<sip:p1;lr=on>"}, "sip:p1;lr=on"},
		{"strict", []string{"<sip:p1;x=1>;y=2", "<sip:p2;lr>"}, "sip:p1;x=1", []string{"<sip:p2;lr>", "<sip:bob@192.0.2.8>"}, "sip:p1;x=1"},
		{"strict alone", []string{"<sip:p1>"}, "sip:p1", []string{"<sip:bob@192.0.2.8>"}, "sip:p1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &Dialog{CallID: "c", LocalTag: "a", RemoteTag: "b", Local: "<sip:a@x>", Remote: `"B" <sip:b@y>`, Target: "sip:bob@192.0.2.8", Routes: tt.routes}
			before := slices.Clone(tt.routes)
			for n := range uint32(2) {
				m, err := d.Request(sip.INFO).Via("SIP/2.0/UDP h;branch=z9hG4bK1").Message()
				if err != nil {
					t.Fatal(err)
				}
				var route []string
				for e := m.Elements(sip.HRoute); e.Next(); {
					route = append(route, string(e.Value()))
				}
				from, _ := m.Header(sip.HFrom)
				to, _ := m.Header(sip.HTo)
				if string(m.RequestURI()) != tt.uri || !slices.Equal(route, tt.route) || m.CSeq() != n+1 || m.Method() != sip.INFO ||
					string(from) != "<sip:a@x>;tag=a" || string(to) != `"B" <sip:b@y>;tag=b` || string(m.CallID()) != "c" {
					t.Errorf("request\n%s", m.Bytes())
				}
				if hops, _ := m.MaxForwards(); hops != 70 {
					t.Errorf("Max-Forwards %d", hops)
				}
			}
			if d.NextHop() != tt.next {
				t.Errorf("next hop %s, want %s", d.NextHop(), tt.next)
			}
			if !slices.Equal(d.Routes, before) {
				t.Errorf("the route set has changed: %q", d.Routes)
			}
		})
	}
}

// TestACK: RFC 3261 §13.2.2.4: the number of the INVITE, and none is used up.
func TestACK(t *testing.T) {
	d := &Dialog{CallID: "c", LocalTag: "a", Local: "<sip:a@x>", Remote: "<sip:b@y>", Target: "sip:b@y", LocalSeq: 9}
	m, err := d.ACK(7).Via("SIP/2.0/UDP h;branch=z9hG4bK1").Message()
	if err != nil {
		t.Fatal(err)
	}
	to, _ := m.Header(sip.HTo)
	if m.CSeq() != 7 || m.Method() != sip.ACK || d.LocalSeq != 9 || string(to) != "<sip:b@y>" { // no tag: a peer of RFC 2543
		t.Errorf("%s", m.Bytes())
	}
}

// TestReceive: RFC 3261 §12.2.2 and RFC 6141 §4.6.
func TestReceive(t *testing.T) {
	for _, tt := range []struct {
		had, got uint32
		want     error
	}{{0, 0, nil}, {0, 1, nil}, {7, 8, nil}, {7, 9000, nil}, {7, 7, ErrOldRequest}, {7, 6, ErrOldRequest}, {7, 0, ErrOldRequest},
		{1<<31 - 2, 1<<31 - 1, nil}} {
		d := &Dialog{RemoteSeq: tt.had, Target: "sip:old@x"}
		m, err := sip.NewRequest(sip.UPDATE, "sip:x").Via("SIP/2.0/UDP h;branch=z9hG4bK1").Add(sip.HFrom, "<sip:a@x>;tag=a").
			Add(sip.HTo, "<sip:b@x>;tag=b").Add(sip.HCallID, "c").CSeq(tt.got).Add(sip.HContact, "<sip:new@x>").Message()
		if err != nil {
			t.Fatal(err)
		}
		err = d.Receive(m)
		if !errors.Is(err, tt.want) {
			t.Errorf("CSeq %d after %d: %v", tt.got, tt.had, err)
		}
		if err == nil && d.RemoteSeq != tt.got || err != nil && d.RemoteSeq != tt.had {
			t.Errorf("CSeq %d after %d: remembered %d", tt.got, tt.had, d.RemoteSeq)
		}
		if d.Target != "sip:old@x" {
			t.Error("the target has changed before the request was accepted")
		}
		if d.Refresh(m); d.Target != "sip:new@x" {
			t.Errorf("target %s", d.Target)
		}
	}
}

func TestMatches(t *testing.T) {
	d := &Dialog{CallID: "c", LocalTag: "b", RemoteTag: "a"}
	for _, tt := range []struct {
		callID, from, to string
		want             bool
	}{{"c", "a", "b", true}, {"c", "b", "a", false}, {"d", "a", "b", false}, {"c", "a", "x", false}, {"c", "x", "b", false}, {"C", "a", "b", false}} {
		m := message(t, "BYE sip:x SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:a@x>;tag="+tt.from, "To: <sip:b@x>;tag="+tt.to,
			"Call-ID: "+tt.callID, "CSeq: 2 BYE", "Max-Forwards: 70")
		if d.Matches(m) != tt.want {
			t.Errorf("%+v", tt)
		}
	}
}

// FuzzDialog: whatever request makes a dialog, the dialog can be written down and read back, and the requests inside it
// can be parsed and go to the peer's target.
func FuzzDialog(f *testing.F) {
	f.Add(`"Alice" <sip:a@x;p=1>;tag=9`, "<sip:b@y>", "<sip:a@192.0.2.7;transport=tcp>", "<sip:p1;lr>, <sip:p2>")
	f.Add("sip:a@x;tag=1", "sip:b@y", "sip:a@[2001:db8::1]:5070", "<sip:p1>")
	f.Add(`"\"q\\" <sips:a%40b@x>;tag=1`, `"" <tel:+1>`, `"c" <sip:c@d?h=v>;q=0.1`, "")
	f.Fuzz(func(t *testing.T, from, to, contact, routes string) {
		if !utf8.ValidString(from + to + contact + routes) {
			return // RFC 3261 §7 wants UTF-8, and JSON keeps nothing else
		}
		b := sip.NewRequest(sip.INVITE, "sip:b@y").Via("SIP/2.0/UDP h;branch=z9hG4bK1").Add(sip.HFrom, from).Add(sip.HTo, to).
			Add(sip.HCallID, "c").CSeq(1).Add(sip.HMaxForwards, "70").Add(sip.HContact, contact)
		if routes != "" {
			b.Add(sip.HRecordRoute, routes)
		}
		m, err := b.Message()
		if err != nil || m.Check() != nil {
			return
		}
		d, err := FromRequest(m, "tag")
		if err != nil {
			return
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var again Dialog
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		if json, _ := json.Marshal(&again); string(json) != string(text) {
			t.Fatalf("%s\n%s", json, text)
		}
		req, err := again.Request(sip.BYE).Via("SIP/2.0/UDP h;branch=z9hG4bK2").Message()
		if err == nil {
			err = req.Check()
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, again.Request(sip.BYE).Append(nil))
		}
		if string(req.ToTag()) != d.RemoteTag || string(req.FromTag()) != "tag" {
			t.Fatalf("tags of\n%s", req.Bytes())
		}
		if strict := len(d.Routes) > 0 && !isLoose(d.Routes[0]); !strict && string(req.RequestURI()) != d.Target {
			t.Fatalf("target %q of\n%s", d.Target, req.Bytes())
		}
	})
}
