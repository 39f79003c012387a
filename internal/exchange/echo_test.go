package exchange_test

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/call/calltest"
	"dialtone/internal/cause"
	"dialtone/internal/dialplan"
	"dialtone/internal/exchange"
	"dialtone/internal/sdp"
)

func TestEcho(t *testing.T) {
	inOffice(t, func(o *office) {
		a := o.calls("101", "101", "*43")
		o.asked(a, "answer ")
		if err := sdp.Matches(a.Last, described("o")); err != nil {
			t.Error(err)
		}
		if a.Last.OnHold() || a.Last.Media[0].Port == 0 {
			t.Errorf("answered\n%s", a.Last)
		}
		if got := o.seen.Notices(); strings.Join(got, " ") != "started answered negotiated" {
			t.Errorf("observers were told %q", got)
		}
		o.says(a, call.Acked{Leg: a})
		pass(time.Second)
		o.says(a, call.Updated{Leg: a, Offer: calltest.Description("hold", sdp.SendOnly)})
		o.asked(a, "respond ")
		if d := a.Last.Direction(0); d != sdp.RecvOnly {
			t.Errorf("hold is answered with %v", d)
		}
		pass(time.Second)
		o.says(a, call.Updated{Leg: a, Offer: calltest.Description("resume", sdp.SendRecv)})
		o.says(a, call.Updated{Leg: a})
		o.says(a, call.Acked{Leg: a, Description: described("answer")})
		o.asked(a, "respond  / respond ")
		o.says(a, call.Pressed{Leg: a, Digit: '1'})
		o.says(a, call.Ended{Leg: a})
		r := o.seen.Ended()[0]
		if r.Cause != cause.Normal(cause.Caller) || r.Hold != time.Second || r.Path[0].Step != "echo" || r.To.Number != "*43" {
			t.Errorf("record %+v", r)
		}
		if len(o.dialer.Legs()) != 0 || o.inUse("101") != 0 {
			t.Error("something is left")
		}
	})
}

func TestEchoDelayedOffer(t *testing.T) {
	inOffice(t, func(o *office) {
		a := o.invite(exchange.Invitation{Line: "101", Dialled: dialplan.Dialled{Number: "*43"}, MaxForwards: 70})
		o.asked(a, "answer ")
		if len(a.Last.Media) != 1 || len(a.Last.Media[0].Codecs()) < 3 {
			t.Errorf("offered\n%s", a.Last)
		}
		o.says(a, call.Acked{Leg: a, Description: described("answer")})
		o.says(a, call.Ended{Leg: a})
		if got := strings.Join(o.seen.Notices(), " "); got != "started answered negotiated ended" {
			t.Errorf("observers were told %q", got)
		}
		b := o.invite(exchange.Invitation{Line: "101", Dialled: dialplan.Dialled{Number: "*43"}, MaxForwards: 70})
		o.says(b, call.Acked{Leg: b})
		o.asked(b, "answer  / hangup 488 not acceptable")
	})
}

func TestEchoWithoutCommonMedia(t *testing.T) {
	inOffice(t, func(o *office) {
		video := described("video")
		video.Media[0].Kind = "video"
		a := o.invite(exchange.Invitation{Line: "101", Dialled: dialplan.Dialled{Number: "*43"}, Offer: video, MaxForwards: 70})
		o.asked(a, "hangup 488 not acceptable")
		b := o.calls("101", "101", "*43")
		o.says(b, call.Updated{Leg: b, Offer: video})
		o.asked(b, "answer  / refuse 488")
	})
}

// Whatever codec a phone speaks, it hears itself: nothing is decoded.
func TestEchoSpeaksEveryCodec(t *testing.T) {
	inOffice(t, func(o *office) {
		offer, err := sdp.Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n" +
			"m=audio 4000 RTP/AVP 13 101 97 8\r\na=rtpmap:13 CN/8000\r\na=rtpmap:101 telephone-event/8000\r\na=rtpmap:97 speex/16000\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		a := o.invite(exchange.Invitation{Line: "101", Dialled: dialplan.Dialled{Number: "*43"}, Offer: offer, MaxForwards: 70})
		o.asked(a, "answer ")
		if c := a.Last.Media[0].Codecs(); len(c) == 0 || c[0].Name != "speex" {
			t.Errorf("answered with %v", c)
		}
	})
}

func TestEchoEnds(t *testing.T) {
	inOffice(t, func(o *office) {
		a := o.calls("101", "101", "*43")
		pass(10*time.Minute - time.Millisecond)
		o.asked(a, "answer ")
		pass(time.Millisecond)
		o.asked(a, "hangup 200 maximum duration")
	})
}
