package call_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/call/calltest"
	"dialtone/internal/cause"
	"dialtone/internal/sdp"
)

func TestBridgeCarriesChanges(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.says(s.caller, call.Updated{Leg: s.caller, Offer: described("video")})
		s.asked(b, "offer video")
		s.asked(s.caller, "")
		s.says(b, call.Answered{Leg: b, Description: described("no video")})
		s.asked(s.caller, "respond no video")
		s.says(b, call.Updated{Leg: b, Offer: described("codec")})
		s.asked(s.caller, "offer codec")
		s.says(s.caller, call.Answered{Leg: s.caller, Description: described("yes")})
		s.asked(b, "respond yes")
		s.noticed("started rang answered negotiated negotiated negotiated")
		s.says(b, call.Ended{Leg: b})
		s.ended(cause.Normal(cause.Callee))
	})
}

func TestBridgeRefusedChangeLeavesTheCallAsItWas(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.says(s.caller, call.Updated{Leg: s.caller, Offer: calltest.Description("hold", sdp.SendOnly)})
		s.says(b, call.Answered{Leg: b, Cause: cause.FromSIP(488)})
		s.asked(s.caller, "refuse 488")
		if s.call.Record().OnHold {
			t.Error("a refused hold counts")
		}
		s.says(s.caller, call.Updated{Leg: s.caller, Offer: described("again")})
		s.asked(b, "offer hold / offer again")
		s.says(b, call.Answered{Leg: b})
		s.asked(s.caller, "refuse 488") // an answer without a description is none
		s.says(b, call.Ended{Leg: b})
		s.ended(cause.Normal(cause.Callee))
	})
}

func TestBridgeGlare(t *testing.T) {
	t.Run("both ask at once", func(t *testing.T) {
		play(t, nil, func(s *scene) {
			b := s.connect()
			s.says(s.caller, call.Updated{Leg: s.caller, Offer: described("a wants")}, call.Updated{Leg: b, Offer: described("b wants")})
			s.asked(b, "offer a wants / refuse 491")
			// B refuses ours as well, as RFC 3261 §14.2 has it: A hears of it and tries again later.
			s.says(b, call.Answered{Leg: b, Cause: cause.RequestPending()})
			s.asked(s.caller, "refuse 491")
			s.says(b, call.Updated{Leg: b, Offer: described("b wants")})
			s.asked(s.caller, "offer b wants")
			s.says(s.caller, call.Answered{Leg: s.caller, Description: described("ok")})
			s.asked(b, "respond ok")
			s.says(b, call.Ended{Leg: b})
			s.ended(cause.Normal(cause.Callee))
		})
	})
	t.Run("one asks twice", func(t *testing.T) {
		play(t, nil, func(s *scene) {
			b := s.connect()
			s.says(b, call.Updated{Leg: b, Offer: described("one")}, call.Updated{Leg: b, Offer: described("two")})
			s.asked(b, "refuse 491")
			s.asked(s.caller, "offer one")
			s.says(s.caller, call.Answered{Leg: s.caller, Description: described("ok")}, call.Answered{Leg: s.caller, Description: described("stray")})
			s.asked(b, "respond ok")
			s.says(b, call.Ended{Leg: b})
			s.ended(cause.Normal(cause.Callee))
		})
	})
}

func TestBridgeChangeWithoutOffer(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.says(b, call.Updated{Leg: b})
		s.asked(s.caller, "offer nothing")
		s.says(s.caller, call.Answered{Leg: s.caller, Description: described("a offers")})
		s.asked(b, "respond a offers")
		s.says(s.caller, call.Updated{Leg: s.caller, Offer: described("meanwhile")})
		s.asked(s.caller, "refuse 491")
		s.says(b, call.Acked{Leg: b, Description: described("b answers")})
		s.asked(s.caller, "acknowledge b answers")
		// The next change goes through: nothing is left pending.
		s.says(s.caller, call.Updated{Leg: s.caller, Offer: described("next")})
		s.asked(b, "offer next")
		s.says(b, call.Answered{Leg: b, Description: described("ok")})
		s.asked(s.caller, "respond ok")
		// Without an answer in the ACK there is no session left.
		s.says(s.caller, call.Updated{Leg: s.caller})
		s.says(b, call.Answered{Leg: b, Description: described("b offers")})
		s.says(s.caller, call.Acked{Leg: s.caller})
		s.asked(b, "offer nothing / hangup 488 not acceptable")
		s.ended(cause.NotAcceptable().By(cause.Caller))
	})
}

func TestBridgeHoldForms(t *testing.T) {
	unspecified := described("zero")
	unspecified.Conn.Address = "0.0.0.0"
	for _, tt := range []struct {
		name  string
		offer *sdp.Description
		held  bool
	}{
		{"sendonly", calltest.Description("h", sdp.SendOnly), true},
		{"inactive", calltest.Description("h", sdp.Inactive), true},
		{"unspecified address", unspecified, true},
		{"recvonly", calltest.Description("h", sdp.RecvOnly), false},
		{"sendrecv", described("h"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, nil, func(s *scene) {
				b := s.connect()
				s.says(b, call.Updated{Leg: b, Offer: tt.offer})
				if s.caller.Last != tt.offer {
					t.Error("the offer did not pass as it was")
				}
				if s.call.Record().OnHold {
					t.Error("on hold before the other party agreed")
				}
				s.says(s.caller, call.Answered{Leg: s.caller, Description: described("ok")})
				if got := s.call.Record().OnHold; got != tt.held {
					t.Errorf("on hold: %t", got)
				}
				s.says(b, call.Ended{Leg: b})
				s.ended(cause.Normal(cause.Callee))
			})
		})
	}
}

func TestBridgeHoldTime(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.seen.Notices()
		change := func(from, to *calltest.Leg, dir sdp.Direction) {
			t.Helper()
			s.says(from, call.Updated{Leg: from, Offer: calltest.Description("c", dir)})
			s.says(to, call.Answered{Leg: to, Description: calltest.Description("c", dir.Reverse())})
		}
		pass(time.Second)
		change(b, s.caller, sdp.SendOnly)
		s.noticed("held negotiated")
		pass(5 * time.Second)
		change(s.caller, b, sdp.Inactive) // both hold now
		pass(5 * time.Second)
		change(b, s.caller, sdp.SendRecv)
		s.noticed("negotiated negotiated")
		pass(5 * time.Second)
		change(s.caller, b, sdp.SendRecv)
		s.noticed("resumed negotiated")
		pass(7 * time.Second)
		change(b, s.caller, sdp.SendOnly)
		pass(3 * time.Second)
		s.says(b, call.Ended{Leg: b})
		if r := s.ended(cause.Normal(cause.Callee)); r.Hold != 18*time.Second || r.OnHold {
			t.Errorf("held for %v, on hold %t", r.Hold, r.OnHold)
		}
	})
}

func TestBridgeInfoPasses(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.says(s.caller, call.Informed{Leg: s.caller, ContentType: "application/dtmf-relay", Body: []byte("Signal=5")})
		s.says(b, call.Informed{Leg: b, ContentType: "application/media_control+xml", Body: []byte("<x/>")})
		s.asked(b, "info application/dtmf-relay Signal=5")
		s.asked(s.caller, "info application/media_control+xml <x/>")
		s.says(b, call.Ended{Leg: b})
		s.ended(cause.Normal(cause.Callee))
	})
}

func TestBridgeBothHangUpAtOnce(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.says(b, call.Ended{Leg: b}, call.Ended{Leg: s.caller})
		// Which of the two was first decides; the other one is asked to end what has ended, which does nothing.
		s.asked(b, "")
		s.asked(s.caller, "hangup 200 normal")
		s.ended(cause.Normal(cause.Callee))
	})
}

func TestBridgeHangupDuringChange(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.says(s.caller, call.Updated{Leg: s.caller, Offer: described("new")}, call.Ended{Leg: b}, call.Answered{Leg: b, Description: described("late")})
		s.asked(b, "offer new")
		s.asked(s.caller, "hangup 200 normal")
		s.ended(cause.Normal(cause.Callee))
	})
}

// Random conversations of two connected parties: no change is responded to twice, none is carried while another one
// is under way, and the call ends as soon as a party does.
func TestBridgeRandomConversations(t *testing.T) {
	for seed := range uint64(300) {
		play(t, nil, func(s *scene) {
			r := rand.New(rand.NewPCG(seed, 1))
			b := s.connect()
			w := newWitness(s)
			parties := [2]*calltest.Leg{s.caller, b}
			over := false
			for range 60 {
				l := parties[r.IntN(2)]
				if over || !w.alive(l) {
					break
				}
				var e call.Event
				switch n := r.IntN(20); {
				case n < 6:
					e = call.Updated{Leg: l, Offer: calltest.Description("o", sdp.Direction(r.IntN(4)))}
				case n < 8:
					e = call.Updated{Leg: l}
				case n < 13:
					e = call.Answered{Leg: l, Description: described("x")}
				case n < 15:
					e = call.Answered{Leg: l, Cause: cause.FromSIP(488)}
				case n < 18:
					e = call.Acked{Leg: l, Description: described("x")}
				case n < 19:
					e = call.Informed{Leg: l}
				default:
					e, over = call.Ended{Leg: l}, true
				}
				l.Say(e)
				w.said(l, e)
				if r.IntN(3) > 0 {
					pass(time.Millisecond)
					w.look()
				}
			}
			pass(time.Millisecond)
			w.look()
			if !over && w.alive(b) {
				s.says(b, call.Ended{Leg: b})
				w.said(b, call.Ended{Leg: b})
				w.look()
			}
			w.check()
			if s.t.Failed() {
				s.t.Fatalf("seed %d", seed)
			}
		})
	}
}
