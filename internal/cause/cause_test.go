package cause

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"testing"
)

// every lists all constructors with what they must give.
var every = []struct {
	cause     Cause
	sip, q850 int
	words     string
}{
	{Normal(Caller), 200, 16, "normal"},
	{Busy(), 486, 17, "busy"},
	{NoAnswer(), 480, 19, "no answer"},
	{Declined(), 603, 21, "declined"},
	{Unreachable(), 480, 20, "unreachable"},
	{NoResponse(), 408, 18, "no response"},
	{UnknownNumber(), 404, 1, "unknown number"},
	{InvalidNumber(), 484, 28, "invalid number"},
	{NoRoute(), 404, 3, "no route"},
	{NotAllowed(), 403, 21, "not allowed"},
	{Cancelled(), 487, 16, "cancelled"},
	{AnsweredElsewhere(), 200, 26, "answered elsewhere"},
	{NoChannels(), 503, 34, "no channels"},
	{LineInUse(), 403, 34, "line in use"},
	{MediaTimeout(), 408, 102, "media timeout"},
	{SessionExpired(), 408, 102, "session expired"},
	{MaxDuration(), 200, 31, "maximum duration"},
	{TooManyHops(), 483, 25, "too many hops"},
	{Loop(), 482, 25, "loop"},
	{Recovered(), 500, 41, "recovered"},
	{Draining(), 503, 41, "draining"},
	{Overloaded(), 503, 42, "overloaded"},
	{NotAcceptable(), 488, 65, "not acceptable"},
	{RequestPending(), 491, 31, "request pending"},
	{ConnectionLost(), 503, 38, "connection lost"},
	{NotAcknowledged(), 408, 102, WordsNoAck},
	{Failed(), 500, 41, "failed"},
}

func TestConstructors(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+( [a-z]+)*$`)
	seen := make(map[string]bool)
	for _, tt := range every {
		c := tt.cause
		if c.SIP != tt.sip || c.Q() != tt.q850 || c.Words != tt.words {
			t.Errorf("%v, want %d/%d %s", c, tt.sip, tt.q850, tt.words)
		}
		if c.Party == "" || c.IsZero() || !form.MatchString(c.Words) || seen[c.Words] {
			t.Errorf("%v is incomplete or not unique", c)
		}
		seen[c.Words] = true
		if c.IsRefusal() != (tt.sip >= 300) || c.IsGlobal() != (tt.sip >= 600) {
			t.Errorf("%v: refusal %t, global %t", c, c.IsRefusal(), c.IsGlobal())
		}
		if got := c.By(Callee); got.Party != Callee || got.SIP != c.SIP {
			t.Errorf("By changed %v to %v", c, got)
		}
	}
}

func TestZero(t *testing.T) {
	var c Cause
	if !c.IsZero() || c.IsRefusal() || c.Q() != 0 || c.String() != "not ended" || c.RequestReason() != "" || c.ResponseReason() != "" {
		t.Errorf("the zero cause is %v", c)
	}
	if got := Busy().String(); got != "486/17 busy (callee)" {
		t.Errorf("got %q", got)
	}
}

// rfc3398SIP is the table of RFC 3398 §8.2.6.1, every row of it.
var rfc3398SIP = map[int]int{
	400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127,
	415: 79, 416: 127, 420: 127, 421: 127, 423: 127, 480: 18, 481: 41, 482: 25, 483: 25, 484: 28, 485: 1, 486: 17,
	487: 16 /* no mapping: normal */, 488: 31 /* by Warning */, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127,
	513: 127, 600: 17, 603: 21, 604: 1, 606: 31, /* by Warning */
	607: 21, 608: 21, // RFC 8197, RFC 8688: as 603
}

func TestToQ850(t *testing.T) {
	for status := 0; status < 800; status++ {
		want, listed := rfc3398SIP[status]
		switch {
		case listed:
		case status < 200:
			want = 0
		case status < 300:
			want = 16
		default:
			want = 31 // RFC 3398 §8.2.6.1: not listed
		}
		if got := ToQ850(status); got != want {
			t.Errorf("%d becomes %d, want %d", status, got, want)
		}
		c := FromSIP(status)
		if status >= 300 && (c.SIP != status || c.Q850 != want || c.Words == "") {
			t.Errorf("%d makes %v", status, c)
		}
	}
}

// rfc3398Q850 is the table of RFC 3398 §7.2.4.1, every row of it.
var rfc3398Q850 = map[int]int{
	1: 404, 2: 404, 3: 404, 16: 200 /* BYE or CANCEL */, 17: 486, 18: 408, 19: 480, 20: 480, 21: 403, 22: 410, 23: 410,
	26: 404, 27: 502, 28: 484, 29: 501, 31: 480, 34: 503, 38: 503, 41: 503, 42: 503, 47: 503, 55: 403, 57: 403, 58: 503,
	65: 488, 70: 488, 79: 501, 87: 403, 88: 503, 102: 504, 111: 500, 127: 500,
}

func TestToSIP(t *testing.T) {
	for value := -1; value < 130; value++ {
		want, listed := rfc3398Q850[value]
		switch {
		case listed:
		case value < 1:
			want = 0
		default:
			want = 500 // RFC 3398 §7.2.4.1: not listed
		}
		if got := ToSIP(value); got != want {
			t.Errorf("%d becomes %d, want %d", value, got, want)
		}
		if c := FromQ850(value); value > 0 && (c.SIP != want || c.Q850 != value || c.Words == "") {
			t.Errorf("%d makes %v", value, c)
		}
	}
}

func TestOf(t *testing.T) {
	if c := Of(nil); !c.IsZero() {
		t.Errorf("nil gives %v", c)
	}
	if c := Of(io.EOF); c != Failed() {
		t.Errorf("a plain error gives %v", c)
	}
	f := &Failure{Cause: Overloaded(), Err: io.ErrShortWrite}
	err := fmt.Errorf("open ports: %w", f)
	if c := Of(err); c != Overloaded() {
		t.Errorf("got %v", c)
	}
	if !errors.Is(err, io.ErrShortWrite) || f.Error() != "overloaded: short write" || (&Failure{Cause: Busy()}).Error() != "busy" {
		t.Errorf("error %q", err)
	}
}

// Better orders refusals; each line beats the ones below it.
func TestBetter(t *testing.T) {
	order := []Cause{
		Declined(), Busy(), FromSIP(403), NoAnswer(), Unreachable(), NoResponse(), UnknownNumber(), FromSIP(302), Cancelled(), FromSIP(503), {},
	}
	for i, a := range order {
		for j, b := range order {
			want := a
			if j < i {
				want = b
			}
			if got := Better(a, b); got != want {
				t.Errorf("of %v and %v, %v is better", a, b, got)
			}
		}
	}
	if got := Better(FromSIP(404), FromSIP(488)); got.SIP != 404 {
		t.Errorf("a draw went to %v", got)
	}
}
