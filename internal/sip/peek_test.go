package sip

import "testing"

func TestPeek(t *testing.T) {
	for _, c := range []struct {
		in, method string
		status     int
		callID     string
	}{
		{string(invite), "INVITE", 0, "f81d4fae7dec11d0a76500a0c91e6bf6@10.1.2.3"},
		{"SIP/2.0 180 Ringing\r\ni: x@y\r\nCSeq: 2  PRACK\r\n\r\n", "PRACK", 180, "x@y"},
		{"SIP/2.0 200 OK\r\nCSEQ : 1 BYE\r\nCALL-ID : z\r\n\r\nCall-ID: body\r\n", "BYE", 200, "z"},
		{"BYE sip:a SIP/2.0\r\n\r\nCall-ID: body\r\n", "BYE", 0, ""},
		{"garbage", "", 0, ""}, {"", "", 0, ""}, {"\r\n\r\n", "", 0, ""},
	} {
		g := Peek([]byte(c.in))
		if string(g.Method) != c.method || g.Status != c.status || string(g.CallID) != c.callID {
			t.Errorf("%.30q: %q %d %q", c.in, g.Method, g.Status, g.CallID)
		}
	}
	if n := testing.AllocsPerRun(50, func() { Peek(invite) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPeek: it never panics, and agrees with Parse about what Parse accepts.
func FuzzPeek(f *testing.F) {
	f.Add(invite)
	f.Fuzz(func(t *testing.T, b []byte) {
		g := Peek(b)
		var m Message
		if m.Parse(b) == nil && (string(g.Method) != string(m.MethodName()) || g.Status != m.Status()) {
			t.Errorf("Peek sees %q %d, Parse %q %d", g.Method, g.Status, m.MethodName(), m.Status())
		}
	})
}

func BenchmarkPeek(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Peek(invite)
	}
}

func TestPeekToTag(t *testing.T) {
	for text, want := range map[string]string{
		"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=two\r\n\r\nTo: <x>;tag=no\r\n": "two",
		"SIP/2.0 200 OK\r\nTimestamp: 1\r\nt: \"a;tag=x\" <sip:c@d>;x=1;tag=3\r\n\r\n":                                              "3",
		"SIP/2.0 100 Trying\r\nTo: <sip:c@d>\r\n\r\n":                                                                               "",
		"SIP/2.0 100 Trying\r\n\r\nTo: <sip:c@d>;tag=body\r\n":                                                                      "",
		"SIP/2.0 100 Trying\r\nTo: <sip:c@d":                                                                                        "",
		"no line":                                                                                                                   "",
	} {
		if got := string(PeekToTag([]byte(text))); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
