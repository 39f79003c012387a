package cause

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseReasons(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []Reason // nil: an error
	}{
		// RFC 3326 §2, the examples
		{`SIP ;cause=200 ;text="Call completed elsewhere"`, []Reason{{"SIP", 200, "Call completed elsewhere"}}},
		{`Q.850 ;cause=16 ;text="Terminated"`, []Reason{{"Q.850", 16, "Terminated"}}},
		{`SIP ;cause=600 ;text="Busy Everywhere"`, []Reason{{"SIP", 600, "Busy Everywhere"}}},
		{`SIP;cause=580;text="Precondition Failure"`, []Reason{{"SIP", 580, "Precondition Failure"}}},
		// several, folded, without text, extensions, case
		{"SIP;cause=486, Q.850;cause=17", []Reason{{"SIP", 486, ""}, {"Q.850", 17, ""}}},
		{"Q.850\r\n ;cause=17;\r\n\ttext=\"a\r\n b\"", []Reason{{"Q.850", 17, "a   b"}}},
		{`q.850;CAUSE=31;Text="x"`, []Reason{{"q.850", 31, "x"}}},
		{"Preemption ;cause=1", []Reason{{"Preemption", 1, ""}}},
		{`Q.850;cause=16;location=user;x`, []Reason{{"Q.850", 16, ""}}},
		{`SIP;text="a, \"b\"; \\c";cause=480`, []Reason{{"SIP", 480, `a, "b"; \c`}}},
		{"SIP", []Reason{{"SIP", 0, ""}}},
		{`Q.850;cause=16;text=Normal`, []Reason{{"Q.850", 16, "Normal"}}},
		// malformed
		{"", nil}, {" ", nil}, {",", nil}, {"SIP,", nil}, {"SIP;", nil}, {"SIP;cause=", nil}, {"SIP;cause=x", nil},
		{"SIP;cause=1000", nil}, {"SIP;cause=-1", nil}, {`SIP;text="open`, nil}, {`SIP;text="esc\`, nil}, {"SIP Q.850", nil},
		{strings.Repeat("SIP;cause=1,", 9) + "SIP", nil},
	} {
		got, err := ParseReasons(tt.in)
		if !reflect.DeepEqual(got, tt.want) || (err == nil) != (tt.want != nil) {
			t.Errorf("%q: %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
}

func TestReasonString(t *testing.T) {
	for _, tt := range []struct {
		r    Reason
		want string
	}{
		{Reason{"Q.850", 16, "normal"}, `Q.850;cause=16;text="normal"`},
		{Reason{"SIP", 0, ""}, "SIP"},
		{Reason{"SIP", 200, `a "b" \c`}, `SIP;cause=200;text="a \"b\" \\c"`},
		{Reason{"SIP", 200, "a\r\nVia: x"}, `SIP;cause=200;text="a  Via: x"`},
	} {
		if got := tt.r.String(); got != tt.want {
			t.Errorf("%+v prints %s, want %s", tt.r, got, tt.want)
		}
	}
}

func TestRequestReason(t *testing.T) {
	for _, tt := range []struct {
		c    Cause
		want string
	}{
		{Normal(Caller), `Q.850;cause=16;text="normal"`},
		{AnsweredElsewhere(), `SIP;cause=200;text="Call completed elsewhere"`},
		{Busy(), `SIP;cause=486;text="busy", Q.850;cause=17;text="busy"`},
		{Cancelled(), `Q.850;cause=16;text="cancelled"`},
		{MediaTimeout(), `SIP;cause=408;text="media timeout", Q.850;cause=102;text="media timeout"`},
		{MaxDuration(), `Q.850;cause=31;text="maximum duration"`},
	} {
		if got := tt.c.RequestReason(); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.c, got, tt.want)
		}
	}
}

func TestResponseReason(t *testing.T) {
	for _, tt := range []struct {
		c    Cause
		want string
	}{
		{Busy(), `Q.850;cause=17;text="busy"`},
		{LineInUse(), `Q.850;cause=34;text="line in use"`},
		{FromSIP(404), `Q.850;cause=1;text="unknown number"`},
		{Normal(Caller), ""},
		{RequestPending(), ""},
	} {
		if got := tt.c.ResponseReason(); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.c, got, tt.want)
		}
	}
}

func TestWithReason(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      Cause
		reason string
		want   Cause
	}{
		{"BYE with busy", Normal(Callee), "Q.850;cause=17", Cause{200, 17, Callee, "busy"}},
		{"BYE with normal clearing", Normal(Callee), "Q.850;cause=16", Normal(Callee)},
		{"BYE with nothing special", Normal(Callee), "Q.850;cause=31", Cause{200, 31, Callee, "normal"}},
		{"response says more", FromSIP(480), "Q.850;cause=19", NoAnswer()},
		{"gateway", FromSIP(503), `Q.850 ;cause=34 ;text="No circuit"`, Cause{503, 34, Callee, "no channels"}},
		{"answered elsewhere", Cancelled(), `SIP;cause=200;text="Call completed elsewhere"`, Cause{487, 26, Caller, "answered elsewhere"}},
		{"malformed", Busy(), `Q.850;cause="`, Busy()},
		{"out of range", Busy(), "Q.850;cause=300", Busy()},
		{"another protocol", Busy(), "Preemption;cause=1", Busy()},
	} {
		if got := tt.c.WithReason(tt.reason); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What is printed parses to the same value, for any input that parses.
func FuzzParseReasons(f *testing.F) {
	for _, s := range []string{
		`SIP ;cause=200 ;text="Call completed elsewhere"`, "SIP;cause=486, Q.850;cause=17", `SIP;text="a\"b\\";x=y`, "SIP;cause=007", ";;", `"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rs, err := ParseReasons(s)
		if err != nil {
			return
		}
		var b []byte
		for i, r := range rs {
			if i > 0 {
				b = append(b, ',')
			}
			b = r.Append(b)
		}
		again, err := ParseReasons(string(b))
		if err != nil || !reflect.DeepEqual(again, rs) {
			t.Errorf("%q is printed as %q, which is %+v, %v; not %+v", s, b, again, err, rs)
		}
		if strings.ContainsAny(string(b), "\r\n") {
			t.Errorf("%q breaks the header", b)
		}
	})
}
