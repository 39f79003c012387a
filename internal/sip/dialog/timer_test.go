package dialog

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/sip"
)

func update(t *testing.T, more ...string) *sip.Message {
	return message(t, append([]string{"UPDATE sip:x SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:a@x>;tag=a",
		"To: <sip:b@x>;tag=b", "Call-ID: c", "CSeq: 2 UPDATE", "Max-Forwards: 70"}, more...)...)
}

// TestAccept is RFC 4028 §9 with its table 2.
func TestAccept(t *testing.T) {
	const timer = "Supported: timer"
	half, off, strict := TimerPolicy{Expires: 30 * time.Minute}, TimerPolicy{}, TimerPolicy{Expires: 30 * time.Minute, MinSE: 10 * time.Minute}
	for _, tt := range []struct {
		name     string
		policy   TimerPolicy
		headers  string
		interval time.Duration
		refresh  bool
		value    string
		require  bool
		tooSmall bool
	}{
		// Table 2, row by row.
		{"N none", half, "Session-Expires: 1800", 1800 * time.Second, true, "1800;refresher=uas", false, false},
		{"N uac", half, "Session-Expires: 1800;refresher=uac", 1800 * time.Second, true, "1800;refresher=uas", false, false},
		{"N uas", half, "Session-Expires: 1800;refresher=uas", 1800 * time.Second, true, "1800;refresher=uas", false, false},
		{"Y none", half, timer + "\nSession-Expires: 1800", 1800 * time.Second, false, "1800;refresher=uac", true, false},
		{"Y uac", half, timer + "\nSession-Expires: 1800;refresher=uac", 1800 * time.Second, false, "1800;refresher=uac", true, false},
		{"Y uas", half, timer + "\nSession-Expires: 1800;refresher=uas", 1800 * time.Second, true, "1800;refresher=uas", true, false},
		{"compact, any case", half, "k: 100rel, TIMER\nx: 1800;Refresher=UAS", 1800 * time.Second, true, "1800;refresher=uas", true, false},
		{"Require counts as support", half, "Require: timer\nSession-Expires: 1800", 1800 * time.Second, false, "1800;refresher=uac", true, false},
		// Nobody asked.
		{"not asked, supported", half, timer, 1800 * time.Second, false, "1800;refresher=uac", true, false},
		{"not asked, not supported", half, "", 1800 * time.Second, true, "1800;refresher=uas", false, false},
		{"not asked, not wished", off, timer, 0, false, "", false, false},
		{"not asked, Min-SE of the peer", half, timer + "\nMin-SE: 3600", time.Hour, false, "3600;refresher=uac", true, false},
		{"not asked, our Min-SE above our wish", TimerPolicy{Expires: 100 * time.Second, MinSE: 200 * time.Second}, timer, 200 * time.Second, false, "200;refresher=uac", true, false},
		// How long.
		{"asked, not wished", off, timer + "\nSession-Expires: 4000", 4000 * time.Second, false, "4000;refresher=uac", true, false},
		{"shortened", half, timer + "\nSession-Expires: 4000", 1800 * time.Second, false, "1800;refresher=uac", true, false},
		{"shortened to Min-SE", half, timer + "\nSession-Expires: 4000\nMin-SE: 3000", 3000 * time.Second, false, "3000;refresher=uac", true, false},
		{"never lengthened by Min-SE", half, timer + "\nSession-Expires: 2000\nMin-SE: 3000", 2000 * time.Second, false, "2000;refresher=uac", true, false},
		{"never lengthened", half, timer + "\nSession-Expires: 100", 100 * time.Second, false, "100;refresher=uac", true, false},
		{"the least", half, timer + "\nSession-Expires: 90", 90 * time.Second, false, "90;refresher=uac", true, false},
		// 422 only for those who understand it.
		{"too small", half, timer + "\nSession-Expires: 89", 0, false, "", false, true},
		{"too small for our Min-SE", strict, timer + "\nSession-Expires: 599", 0, false, "", false, true},
		{"just enough", strict, timer + "\nSession-Expires: 600", 600 * time.Second, false, "600;refresher=uac", true, false},
		{"too small, not supported", half, "Session-Expires: 30", 90 * time.Second, true, "90;refresher=uas", false, false},
		// Rubbish is no request.
		{"no number", half, timer + "\nSession-Expires: soon", 1800 * time.Second, false, "1800;refresher=uac", true, false},
		{"unknown refresher", half, timer + "\nSession-Expires: 1800;refresher=me", 1800 * time.Second, false, "1800;refresher=uac", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var more []string
			if tt.headers != "" {
				more = strings.Split(tt.headers, "\n")
			}
			got, value, require, tooSmall := tt.policy.Accept(update(t, more...))
			if got != (SessionTimer{tt.interval, tt.refresh}) || value != tt.value || require != tt.require || tooSmall != tt.tooSmall {
				t.Errorf("%+v %q require=%v tooSmall=%v", got, value, require, tooSmall)
			}
		})
	}
}

// TestOfferAndResult is RFC 4028 §7.
func TestOfferAndResult(t *testing.T) {
	half := TimerPolicy{Expires: 30 * time.Minute}
	for _, tt := range []struct {
		name     string
		policy   TimerPolicy
		current  SessionTimer
		offered  string // Session-Expires of the request
		answered string // of the 2xx
		want     SessionTimer
	}{
		{"we refresh", half, SessionTimer{}, "1800", "1800;refresher=uac", SessionTimer{30 * time.Minute, true}},
		{"they refresh", half, SessionTimer{}, "1800", "1800;refresher=uas", SessionTimer{30 * time.Minute, false}},
		{"they shorten", half, SessionTimer{}, "1800", "600;refresher=uas", SessionTimer{10 * time.Minute, false}},
		{"no refresher named", half, SessionTimer{}, "1800", "1800", SessionTimer{30 * time.Minute, true}},
		{"below the least", half, SessionTimer{}, "1800", "5;refresher=uac", SessionTimer{90 * time.Second, true}},
		{"they do not know it", half, SessionTimer{}, "1800", "", SessionTimer{30 * time.Minute, true}},
		{"a refresh keeps the roles: ours", half, SessionTimer{10 * time.Minute, true}, "600;refresher=uac", "600;refresher=uac", SessionTimer{10 * time.Minute, true}},
		{"a refresh keeps the roles: theirs", half, SessionTimer{10 * time.Minute, false}, "600;refresher=uas", "600;refresher=uas", SessionTimer{10 * time.Minute, false}},
		{"a refresh that is answered without", half, SessionTimer{10 * time.Minute, true}, "600;refresher=uac", "", SessionTimer{10 * time.Minute, true}},
		{"no wish", TimerPolicy{}, SessionTimer{}, "", "", SessionTimer{}},
		{"no wish, but they do", TimerPolicy{}, SessionTimer{}, "", "600;refresher=uac", SessionTimer{10 * time.Minute, true}},
		{"Min-SE above the wish", TimerPolicy{Expires: 100 * time.Second, MinSE: 200 * time.Second}, SessionTimer{}, "200", "", SessionTimer{200 * time.Second, true}},
		{"Min-SE above the running timer", TimerPolicy{Expires: time.Hour, MinSE: time.Hour}, SessionTimer{10 * time.Minute, true}, "3600;refresher=uac", "", SessionTimer{time.Hour, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := sip.NewRequest(sip.INVITE, "sip:x").Via("SIP/2.0/UDP h;branch=z9hG4bK1").Add(sip.HFrom, "<sip:a@x>;tag=a").
				Add(sip.HTo, "<sip:b@x>").Add(sip.HCallID, "c").CSeq(1)
			tt.policy.Offer(b, tt.current)
			m, err := b.Message()
			if err != nil {
				t.Fatal(err)
			}
			if v, _ := m.Header(sip.HSessionExpires); string(v) != tt.offered {
				t.Errorf("Session-Expires %q, want %q", v, tt.offered)
			}
			if n, _ := m.Uint(sip.HMinSE); uint64(n) != tt.policy.MinSESeconds() || n < 90 {
				t.Errorf("Min-SE %d", n)
			}
			res := ok(t)
			if tt.answered != "" {
				res = ok(t, "Session-Expires: "+tt.answered)
			}
			if got := tt.policy.Result(res, tt.current); got != tt.want {
				t.Errorf("timer %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestRolesAgree: whatever one side offers and the other accepts, exactly one of them refreshes.
func TestRolesAgree(t *testing.T) {
	for _, a := range []time.Duration{0, 90 * time.Second, time.Hour} {
		for _, b := range []time.Duration{0, 90 * time.Second, time.Hour} {
			for _, current := range []SessionTimer{{}, {5 * time.Minute, true}, {5 * time.Minute, false}} {
				uac, uas := TimerPolicy{Expires: a}, TimerPolicy{Expires: b}
				req := sip.NewRequest(sip.UPDATE, "sip:x").Via("SIP/2.0/UDP h;branch=z9hG4bK1").Add(sip.HFrom, "<sip:a@x>;tag=a").
					Add(sip.HTo, "<sip:b@x>;tag=b").Add(sip.HCallID, "c").CSeq(1).Add(sip.HSupported, "timer")
				uac.Offer(req, current)
				m, err := req.Message()
				if err != nil {
					t.Fatal(err)
				}
				theirs, value, _, tooSmall := uas.Accept(m)
				if tooSmall {
					t.Fatalf("%v %v %+v: too small", a, b, current)
				}
				if value == "" {
					continue
				}
				ours := uac.Result(ok(t, "Session-Expires: "+value), current)
				if ours.Interval != theirs.Interval || ours.Refresh == theirs.Refresh {
					t.Errorf("%v %v %+v: %+v and %+v", a, b, current, ours, theirs)
				}
				if current.Interval > 0 && ours.Refresh != current.Refresh {
					t.Errorf("%v %v %+v: the roles have changed", a, b, current)
				}
			}
		}
	}
}

// TestRaise is RFC 4028 §7.3.
func TestRaise(t *testing.T) {
	p := TimerPolicy{Expires: 10 * time.Minute}
	for _, tt := range []struct {
		header string
		want   TimerPolicy
		ok     bool
	}{
		{"Min-SE: 1200", TimerPolicy{20 * time.Minute, 20 * time.Minute}, true},
		{"Min-SE: 120", TimerPolicy{10 * time.Minute, 2 * time.Minute}, true},
		{"Min-SE: 90", p, false}, // nothing new: the same request would be refused again
		{"Min-SE: 10", p, false},
		{"Min-SE: 90000", p, false}, // more than a day
		{"X: y", p, false},
	} {
		got, raised := p.Raise(ok(t, tt.header))
		if got != tt.want || raised != tt.ok {
			t.Errorf("%s: %+v %v", tt.header, got, raised)
		}
	}
}

// TestDue is RFC 4028 §10.
func TestDue(t *testing.T) {
	for _, tt := range []struct {
		t    SessionTimer
		want time.Duration
	}{
		{SessionTimer{1800 * time.Second, true}, 900 * time.Second}, {SessionTimer{1800 * time.Second, false}, 1768 * time.Second},
		{SessionTimer{90 * time.Second, true}, 45 * time.Second}, {SessionTimer{90 * time.Second, false}, 60 * time.Second},
		{SessionTimer{96 * time.Second, false}, 64 * time.Second},
	} {
		if got := tt.t.Due(); got != tt.want {
			t.Errorf("%+v: %v", tt.t, got)
		}
	}
}

// TestGlareWait is RFC 3261 §14.1.
func TestGlareWait(t *testing.T) {
	for _, tt := range []struct {
		owner       bool
		least, most time.Duration
	}{{true, 2100 * time.Millisecond, 4 * time.Second}, {false, 0, 2 * time.Second}} {
		seen := map[time.Duration]bool{}
		for range 5000 {
			d := GlareWait(tt.owner)
			if d < tt.least || d > tt.most || d%(10*time.Millisecond) != 0 {
				t.Fatalf("owner %v: %v", tt.owner, d)
			}
			seen[d] = true
		}
		if len(seen) < 150 {
			t.Errorf("owner %v: only %d values", tt.owner, len(seen))
		}
	}
}

func TestReliable(t *testing.T) {
	const rel = "Require: 100rel"
	ringing := func(status string, more ...string) *sip.Message {
		return message(t, append([]string{"SIP/2.0 " + status + " X", "Via: SIP/2.0/UDP h;branch=z9hG4bKa", "From: <sip:a@x>;tag=a",
			"To: <sip:b@x>;tag=b", "Call-ID: c", "CSeq: 7 INVITE"}, more...)...)
	}
	var r Reliable
	for _, tt := range []struct {
		m              *sip.Message
		reliable, next bool
	}{
		{ringing("180"), false, false},
		{ringing("180", "RSeq: 5"), false, false},                // not required
		{ringing("180", rel), false, false},                      // no number
		{ringing("100", rel, "RSeq: 5"), false, false},           // RFC 3262 §4: never 100
		{ringing("183", rel, "RSeq: 5"), true, true},             // the first may be any
		{ringing("183", rel, "RSeq: 5"), true, false},            // a repetition
		{ringing("180", rel, "RSeq: 7"), true, false},            // one is missing
		{ringing("180", rel+", x", "RSeq: 6"), true, true},       // the next
		{ringing("180", rel, "RSeq: 5"), true, false},            // an old one
		{ringing("181", rel, "RSeq: 7"), true, true},             // the missing one's follower comes again
		{ringing("181", rel, "RSeq: 99999999999"), false, false}, // no number
	} {
		_, isReliable, isNext := r.Take(tt.m)
		if isReliable != tt.reliable || isNext != tt.next {
			t.Errorf("%v %v for\n%s", isReliable, isNext, tt.m.Bytes())
		}
	}
	var s Reliable
	for _, want := range []uint32{77, 78, 79} {
		if got := s.Next(77); got != want {
			t.Errorf("RSeq %d, want %d", got, want)
		}
	}
	if s = (Reliable{}); s.Next(0) != 1 {
		t.Error("RSeq 0 means none")
	}
}

func TestRAck(t *testing.T) {
	prack := func(rack string) *sip.Message {
		lines := []string{"PRACK sip:x SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:a@x>;tag=a",
			"To: <sip:b@x>;tag=b", "Call-ID: c", "CSeq: 8 PRACK", "Max-Forwards: 70"}
		if rack != "" {
			lines = append(lines, "RAck: "+rack)
		}
		return message(t, lines...)
	}
	if got := RAck(776656, 1); got != "776656 1 INVITE" {
		t.Errorf("RAck %q", got)
	}
	for rack, want := range map[string]bool{
		RAck(5, 7): true, "5  7\tINVITE": true, "5 7 invite": false, "5 8 INVITE": false, "6 7 INVITE": false, "5 7": false, "": false,
		"5 7 INVITE x": false, "05 7 INVITE": true, "5 7 UPDATE": false,
	} {
		if AckedBy(prack(rack), 5, 7) != want {
			t.Errorf("%q: %v", rack, !want)
		}
	}
}
