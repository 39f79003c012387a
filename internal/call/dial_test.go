package call_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
)

func TestDialFirstAnswerWins(t *testing.T) {
	play(t, forks("x", "y", "z"), func(s *scene) {
		x, y, z := s.leg("x"), s.leg("y"), s.leg("z")
		if x.ID() != "b1" || y.ID() != "b2" || z.ID() != "b3" {
			t.Errorf("legs are called %s, %s, %s", x.ID(), y.ID(), z.ID())
		}
		s.says(x, call.Rang{Leg: x, Status: 180})
		s.says(y, call.Rang{Leg: y, Status: 180})
		s.asked(s.caller, "ring 180") // once
		s.says(y, call.Connected{Leg: y, Description: described("y")})
		s.asked(s.caller, "answer y")
		s.asked(x, "hangup 200 answered elsewhere")
		s.asked(z, "hangup 200 answered elsewhere")
		s.asked(y, "")
		s.says(s.caller, call.Ended{Leg: s.caller})
		s.asked(y, "hangup 200 normal")
		r := s.ended(cause.Normal(cause.Caller))
		if r.Legs[1].Cause != cause.AnsweredElsewhere() || !r.Legs[1].Answer.IsZero() || r.Legs[2].Answer.IsZero() {
			t.Errorf("legs %+v", r.Legs)
		}
	})
}

func TestDialTwoAnswersAtOnce(t *testing.T) {
	play(t, forks("x", "y"), func(s *scene) {
		x, y := s.leg("x"), s.leg("y")
		s.says(x, call.Connected{Leg: x, Description: described("x")}, call.Connected{Leg: y, Description: described("y")})
		s.asked(s.caller, "answer x")
		s.asked(y, "hangup 200 answered elsewhere") // it knows that it is connected: a BYE
		s.says(y, call.Ended{Leg: y}, call.Updated{Leg: y}, call.Informed{Leg: y})
		s.asked(x, "")
		s.says(x, call.Ended{Leg: x})
		s.ended(cause.Normal(cause.Callee))
	})
}

func TestDialCallerCancels(t *testing.T) {
	play(t, forks("x", "y"), func(s *scene) {
		x, y := s.leg("x"), s.leg("y")
		s.says(x, call.Rang{Leg: x, Status: 180})
		s.says(s.caller, call.Ended{Leg: s.caller, Cause: cause.Cancelled()})
		s.asked(x, "hangup 487 cancelled")
		s.asked(y, "hangup 487 cancelled")
		s.asked(s.caller, "ring 180")
		if r := s.ended(cause.Cancelled()); r.IsAnswered() {
			t.Error("the call counts as answered")
		}
	})
}

func TestDialCancelCrossesAnswer(t *testing.T) {
	t.Run("cancel first", func(t *testing.T) {
		play(t, nil, func(s *scene) {
			x := s.leg("x")
			s.says(s.caller, call.Ended{Leg: s.caller, Cause: cause.Cancelled()}, call.Connected{Leg: x, Description: described("x")})
			s.asked(x, "hangup 487 cancelled")
			s.asked(s.caller, "")
			s.ended(cause.Cancelled())
		})
	})
	t.Run("answer first", func(t *testing.T) {
		play(t, nil, func(s *scene) {
			x := s.leg("x")
			s.says(x, call.Connected{Leg: x, Description: described("x")}, call.Ended{Leg: s.caller, Cause: cause.Cancelled()})
			s.asked(s.caller, "answer x") // which the leg, being dead already, does not do
			s.asked(x, "hangup 487 cancelled")
			if r := s.ended(cause.Cancelled()); r.IsAnswered() {
				t.Error("a cancelled call counts as answered")
			}
		})
	})
}

func TestDialCallerCannotBeAnswered(t *testing.T) {
	for _, tt := range []struct {
		why      cause.Cause
		answered bool
	}{
		{cause.Overloaded(), false},        // no port for it
		{cause.NotAcceptable(), false},     // no way to say the answer
		{cause.NotAcknowledged(), true},    // the answer went out
		{cause.Normal(cause.Caller), true}, // hung up at once; the BYE stands for the ACK
	} {
		play(t, nil, func(s *scene) {
			x := s.leg("x")
			s.says(x, call.Connected{Leg: x, Description: described("x")})
			s.says(s.caller, call.Ended{Leg: s.caller, Cause: tt.why})
			s.asked(x, fmt.Sprintf("hangup %d %s", tt.why.SIP, tt.why.Words))
			if r := s.ended(tt.why); r.IsAnswered() != tt.answered {
				t.Errorf("%v: answered %t", tt.why, r.IsAnswered())
			}
		})
	}
	// Once it is confirmed, it was an answered call whatever its end.
	play(t, nil, func(s *scene) {
		s.connect()
		s.says(s.caller, call.Ended{Leg: s.caller, Cause: cause.ConnectionLost()})
		if r := s.ended(cause.ConnectionLost()); !r.IsAnswered() {
			t.Error("an answered call counts as not answered")
		}
	})
}

func TestDialNoAnswer(t *testing.T) {
	play(t, forks("x", "y"), func(s *scene) {
		x, y := s.leg("x"), s.leg("y")
		s.says(x, call.Rang{Leg: x, Status: 180})
		pass(30*time.Second - time.Millisecond)
		s.asked(x, "")
		pass(time.Millisecond)
		s.asked(x, "hangup 480 no answer")
		s.asked(y, "hangup 480 no answer")
		s.asked(s.caller, "ring 180 / hangup 480 no answer")
		s.ended(cause.NoAnswer())
	})
}

func TestDialAnswerInTheLastMoment(t *testing.T) {
	play(t, nil, func(s *scene) {
		x := s.leg("x")
		time.AfterFunc(30*time.Second-1, func() { x.Say(call.Connected{Leg: x, Description: described("x")}) })
		pass(30*time.Second + 1)
		s.asked(s.caller, "answer x")
		s.says(x, call.Ended{Leg: x})
		s.ended(cause.Normal(cause.Callee))
	})
}

// Failures are aggregated: what each fork says, and what the caller is told.
func TestDialFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		say  []cause.Cause
		want cause.Cause
	}{
		{"busy", []cause.Cause{cause.FromSIP(486)}, cause.Busy()},
		{"busy beats unreachable", []cause.Cause{cause.FromSIP(480), cause.FromSIP(486)}, cause.Busy()},
		{"busy beats a server's fault", []cause.Cause{cause.FromSIP(486), cause.FromSIP(500)}, cause.Busy()},
		{"unknown beats a fault", []cause.Cause{cause.FromSIP(503), cause.FromSIP(404)}, cause.FromSIP(404)},
		{"the first of equals", []cause.Cause{cause.FromSIP(415), cause.FromSIP(420)}, cause.FromSIP(415)},
		{"not acceptable", []cause.Cause{cause.FromSIP(488)}, cause.FromSIP(488)},
		{"no words", []cause.Cause{{}}, cause.Unreachable()},
		{"a redirection that nobody follows", []cause.Cause{cause.FromSIP(302)}, cause.Cause{SIP: 480, Q850: 20, Party: cause.Callee, Words: cause.WordsRedirected}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var uris []string
			for i := range tt.say {
				uris = append(uris, fmt.Sprint("x", i))
			}
			play(t, forks(uris...), func(s *scene) {
				for i, why := range tt.say {
					s.asked(s.caller, "")
					l := s.leg(uris[i])
					s.says(l, call.Failed{Leg: l, Cause: why})
					s.asked(l, "") // it has ended by itself
				}
				s.asked(s.caller, fmt.Sprintf("hangup %d %s", tt.want.SIP, tt.want.Words))
				s.ended(tt.want)
			})
		})
	}
}

func TestDialGlobalRefusalStopsAll(t *testing.T) {
	play(t, forks("x", "y", "z"), func(s *scene) {
		x, y, z := s.leg("x"), s.leg("y"), s.leg("z")
		s.says(x, call.Failed{Leg: x, Cause: cause.FromSIP(486)})
		s.says(y, call.Failed{Leg: y, Cause: cause.Declined()})
		s.asked(x, "")
		s.asked(z, "hangup 603 declined")
		s.asked(s.caller, "hangup 603 declined")
		s.ended(cause.Declined())
	})
}

func TestDialLegDiesWhileRinging(t *testing.T) {
	play(t, forks("x", "y"), func(s *scene) {
		x, y := s.leg("x"), s.leg("y")
		s.says(x, call.Ended{Leg: x, Cause: cause.ConnectionLost()})
		s.asked(s.caller, "")
		s.says(y, call.Ended{Leg: y})
		s.asked(s.caller, "hangup 480 unreachable")
		s.ended(cause.Unreachable())
	})
}

func TestDialTargetsThatCannotBeDialled(t *testing.T) {
	play(t, func(s *scene) {
		s.fork.Targets = targets("x", "y")
		s.dialer.Fail = map[string]error{
			"x": errors.New("no flow"),
			"y": fmt.Errorf("offer: %w", &cause.Failure{Cause: cause.Overloaded(), Err: errors.New("no ports")}),
		}
	}, func(s *scene) {
		s.asked(s.caller, "hangup 480 unreachable")
		s.ended(cause.Unreachable())
	})
	play(t, func(s *scene) {
		s.dialer.Fail = map[string]error{"x": &cause.Failure{Cause: cause.Overloaded()}}
	}, func(s *scene) {
		s.asked(s.caller, "hangup 503 overloaded")
		s.ended(cause.Overloaded())
	})
}

func TestDialNobody(t *testing.T) {
	play(t, forks(), func(s *scene) {
		s.asked(s.caller, "hangup 480 unreachable")
		s.ended(cause.Unreachable())
	})
}

func TestDialLegLimit(t *testing.T) {
	var uris []string
	for i := range 70 {
		uris = append(uris, fmt.Sprint("x", i))
	}
	play(t, forks(uris...), func(s *scene) {
		if n := len(s.dialer.Legs()); n != 63 {
			t.Errorf("%d legs besides the caller", n)
		}
		s.says(s.caller, call.Ended{Leg: s.caller})
		s.ended(cause.Cancelled())
	})
}

func TestDialEarlyMedia(t *testing.T) {
	play(t, forks("x", "y"), func(s *scene) {
		x, y := s.leg("x"), s.leg("y")
		s.says(x, call.Rang{Leg: x, Status: 180})
		s.says(y, call.Rang{Leg: y, Status: 183, Early: described("early y")})
		s.asked(s.caller, "ring 180 / ring 183 early y")
		// Another fork's early media is not heard; it is alerting.
		s.says(x, call.Rang{Leg: x, Status: 183, Early: described("early x")})
		s.asked(s.caller, "ring 180")
		s.says(y, call.Rang{Leg: y, Status: 180})
		s.asked(s.caller, "")
		// The one that is heard goes: the next one may be heard.
		s.says(y, call.Failed{Leg: y, Cause: cause.FromSIP(486)})
		s.says(x, call.Rang{Leg: x, Status: 183, Early: described("early x")})
		s.asked(s.caller, "ring 183 early x")
		s.says(x, call.Connected{Leg: x}) // its answer was in a reliable 183
		s.asked(s.caller, "answer early x")
		s.says(x, call.Ended{Leg: x})
		s.ended(cause.Normal(cause.Callee))
	})
}

func TestDialProgressAndQueueing(t *testing.T) {
	play(t, nil, func(s *scene) {
		x := s.leg("x")
		s.says(x, call.Rang{Leg: x, Status: 183}, call.Rang{Leg: x, Status: 182}, call.Rang{Leg: x, Status: 182}, call.Rang{Leg: x, Status: 181}, call.Rang{Leg: x, Status: 180})
		s.asked(s.caller, "ring 183 / ring 182 / ring 181 / ring 180")
		s.noticed("started rang")
		s.says(s.caller, call.Ended{Leg: s.caller})
		s.ended(cause.Cancelled())
	})
}

func TestDialChangesWhileRingingAreRefused(t *testing.T) {
	play(t, nil, func(s *scene) {
		x := s.leg("x")
		s.says(s.caller, call.Updated{Leg: s.caller, Offer: described("new")})
		s.says(x, call.Updated{Leg: x, Offer: described("new")})
		s.asked(s.caller, "refuse 491")
		s.asked(x, "refuse 491")
		s.says(s.caller, call.Informed{Leg: s.caller, ContentType: "text/plain"})
		s.asked(x, "")
		s.says(x, call.Failed{Leg: x, Cause: cause.FromSIP(486)})
		s.ended(cause.Busy())
	})
}

func TestDialAnswerWithoutDescription(t *testing.T) {
	play(t, nil, func(s *scene) {
		x := s.leg("x")
		s.says(x, call.Connected{Leg: x})
		s.asked(x, "hangup 488 not acceptable")
		s.asked(s.caller, "hangup 488 not acceptable")
		s.ended(cause.NotAcceptable())
	})
}

func TestDialRedirect(t *testing.T) {
	follow := func(s *scene) {
		s.fork.Redirect = func(from call.Target, contacts []string) []call.Target {
			if from.URI != "x" || len(contacts) != 1 {
				t.Errorf("redirected by %+v to %q", from, contacts)
			}
			return targets(contacts...)
		}
	}
	play(t, follow, func(s *scene) {
		x := s.leg("x")
		s.says(x, call.Failed{Leg: x, Cause: cause.FromSIP(302), Contacts: []string{"y"}})
		s.asked(s.caller, "")
		y := s.leg("y")
		s.says(y, call.Connected{Leg: y, Description: described("y")})
		s.asked(s.caller, "answer y")
		s.says(y, call.Ended{Leg: y})
		s.ended(cause.Normal(cause.Callee))
	})
}

func TestDialDelayedOffer(t *testing.T) {
	play(t, delayed, func(s *scene) {
		x := s.leg("x")
		if x.Invite.Offer != nil {
			t.Error("an offer was made up")
		}
		s.says(x, call.Rang{Leg: x, Status: 183, Early: described("preview")})
		s.asked(s.caller, "ring 180") // nothing that the caller could answer yet
		s.noticed("started rang")
		s.says(x, call.Connected{Leg: x, Description: described("x offers")})
		s.asked(s.caller, "answer x offers")
		s.asked(x, "")
		s.noticed("answered")
		// Nothing can be changed before the first exchange is complete.
		s.says(x, call.Updated{Leg: x, Offer: described("too early")})
		s.asked(x, "refuse 491")
		s.says(s.caller, call.Acked{Leg: s.caller, Description: described("a answers")})
		s.asked(x, "acknowledge a answers")
		s.noticed("negotiated")
		s.says(s.caller, call.Ended{Leg: s.caller})
		s.asked(x, "hangup 200 normal")
		s.ended(cause.Normal(cause.Caller))
	})
}

func TestDialDelayedOfferNeverAnswered(t *testing.T) {
	play(t, delayed, func(s *scene) {
		x := s.leg("x")
		s.says(x, call.Connected{Leg: x, Description: described("x offers")})
		s.says(s.caller, call.Acked{Leg: s.caller})
		s.asked(x, "hangup 488 not acceptable")
		s.asked(s.caller, "answer x offers / hangup 488 not acceptable")
		s.ended(cause.NotAcceptable().By(cause.Caller))
	})
}

// Every order of what two phones and the caller may do at about the same time: whatever the order, the caller is
// answered at most once, every leg is left or hung up exactly once, and the call ends.
func TestDialEveryOrder(t *testing.T) {
	type move struct {
		name string
		do   func(s *scene) (*calltestLeg, call.Event)
	}
	moves := []move{
		{"x rings", func(s *scene) (*calltestLeg, call.Event) {
			l := s.leg("x")
			return l, call.Rang{Leg: l, Status: 180}
		}},
		{"x answers", func(s *scene) (*calltestLeg, call.Event) {
			l := s.leg("x")
			return l, call.Connected{Leg: l, Description: described("x")}
		}},
		{"y early", func(s *scene) (*calltestLeg, call.Event) {
			l := s.leg("y")
			return l, call.Rang{Leg: l, Status: 183, Early: described("early")}
		}},
		{"y answers", func(s *scene) (*calltestLeg, call.Event) {
			l := s.leg("y")
			return l, call.Connected{Leg: l, Description: described("y")}
		}},
		{"z declines", func(s *scene) (*calltestLeg, call.Event) {
			l := s.leg("z")
			return l, call.Failed{Leg: l, Cause: cause.FromSIP(603)}
		}},
		{"a cancels", func(s *scene) (*calltestLeg, call.Event) {
			return s.caller, call.Ended{Leg: s.caller, Cause: cause.Cancelled()}
		}},
	}
	orders := 0
	permute(len(moves), func(order []int) {
		orders++
		for _, paced := range []bool{false, true} {
			play(t, forks("x", "y", "z"), func(s *scene) {
				w := newWitness(s)
				name := ""
				for _, i := range order {
					name += moves[i].name + ", "
					l, e := moves[i].do(s)
					if w.alive(l) {
						l.Say(e)
						w.said(l, e)
					}
					if paced {
						pass(time.Millisecond)
						w.look()
					}
				}
				pass(time.Millisecond)
				w.look()
				w.check()
				if s.t.Failed() {
					s.t.Logf("order: %s paced: %t", name, paced)
				}
			})
			if t.Failed() {
				t.FailNow()
			}
		}
	})
	if orders != 720 {
		t.Errorf("%d orders", orders)
	}
}
