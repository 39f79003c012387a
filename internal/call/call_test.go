package call_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dialtone/internal/call"
	"dialtone/internal/call/calltest"
	"dialtone/internal/cause"
	"dialtone/internal/sdp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scene is one call between a caller and some targets.
type scene struct {
	t        *testing.T
	config   call.Config
	registry *call.Registry
	seen     *calltest.Recorder
	dialer   *calltest.Dialer
	caller   *calltest.Leg
	call     *call.Call
	fork     call.Fork
}

// play starts a call in virtual time that dials the targets and bridges; act says what the parties do. At the end the
// call must be over.
func play(t *testing.T, prepare func(*scene), act func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, seen: &calltest.Recorder{}, dialer: &calltest.Dialer{}}
		s.fork = call.Fork{Targets: targets("x"), Timeout: 30 * time.Second}
		mailbox := call.NewMailbox()
		s.caller = calltest.NewLeg("a", mailbox)
		setup := call.Setup{
			Caller: s.caller, Mailbox: mailbox, Offer: described("offer"), Dialled: "102", MaxForwards: 70,
			From: call.Side{Number: "101", Line: "101"},
		}
		if prepare != nil {
			prepare(s)
			if s.caller.Panic == "delayed" {
				s.caller.Panic, setup.Offer = "", nil
			}
		}
		s.config.Observer = s.seen
		s.registry = call.NewRegistry(s.config)
		s.call = s.registry.Start(setup, s.serve)
		synctest.Wait()
		act(s)
		synctest.Wait()
		if n := s.registry.Len(); n != 0 {
			t.Errorf("%d calls are still live", n)
			s.call.Hangup(cause.Failed())
			synctest.Wait()
		}
		if n := len(s.seen.Ended()); n != 1 {
			t.Errorf("told of %d ends", n)
		}
	})
}

func (s *scene) serve(ctx context.Context, c *call.Call) cause.Cause {
	leg, why := c.Dial(ctx, s.dialer, s.fork)
	if leg == nil {
		return why
	}
	return c.Bridge(ctx, leg)
}

// delayed lets the caller make no offer.
func delayed(s *scene) { s.caller.Panic = "delayed" }

func forks(uris ...string) func(*scene) {
	return func(s *scene) { s.fork.Targets = targets(uris...) }
}

func targets(uris ...string) []call.Target {
	var ts []call.Target
	for _, u := range uris {
		ts = append(ts, call.Target{URI: u, Line: "102", Device: "dev-" + u})
	}
	return ts
}

func described(name string) *sdp.Description { return calltest.Description(name, sdp.SendRecv) }

func (s *scene) leg(uri string) *calltest.Leg {
	s.t.Helper()
	l := s.dialer.Leg(uri)
	if l == nil {
		s.t.Fatalf("%s was not dialled", uri)
	}
	return l
}

// says lets a leg post events and waits for what they lead to.
func (s *scene) says(l *calltest.Leg, events ...call.Event) {
	s.t.Helper()
	for _, e := range events {
		if !l.Say(e) {
			s.t.Errorf("%T was not taken", e)
		}
	}
	synctest.Wait()
}

// asked compares what a leg was asked with what it should have been, separated by " / ".
func (s *scene) asked(l *calltest.Leg, want string) {
	s.t.Helper()
	if got := strings.Join(l.Asked(), " / "); got != want {
		s.t.Errorf("leg %s was asked %q, want %q", l.ID(), got, want)
	}
}

func (s *scene) noticed(want string) {
	s.t.Helper()
	if got := strings.Join(s.seen.Notices(), " "); got != want {
		s.t.Errorf("observers were told %q, want %q", got, want)
	}
}

// ended checks the cause of the call.
func (s *scene) ended(want cause.Cause) *call.Record {
	s.t.Helper()
	synctest.Wait()
	ended := s.seen.Ended()
	if len(ended) != 1 {
		s.t.Fatalf("told of %d ends", len(ended))
	}
	if ended[0].Cause != want {
		s.t.Errorf("ended with %v, want %v", ended[0].Cause, want)
	}
	return ended[0]
}

// connect lets x ring and answer.
func (s *scene) connect() *calltest.Leg {
	s.t.Helper()
	b := s.leg("x")
	s.says(b, call.Rang{Leg: b, Status: 180}, call.Connected{Leg: b, Description: described("answer")})
	s.asked(s.caller, "ring 180 / answer answer")
	s.says(s.caller, call.Acked{Leg: s.caller})
	return b
}

func TestCallAnsweredAndHungUpByCallee(t *testing.T) {
	play(t, nil, func(s *scene) {
		s.noticed("started")
		b := s.leg("x")
		if b.Invite.Offer == nil || b.Invite.Offer.Name != "offer" || b.Invite.MaxForwards != 69 || b.Invite.To != "102" || b.Invite.From.Number != "101" {
			t.Errorf("invited with %+v", b.Invite)
		}
		pass(time.Second)
		s.says(b, call.Rang{Leg: b, Status: 180})
		s.asked(s.caller, "ring 180")
		s.noticed("rang")
		pass(2 * time.Second)
		s.says(b, call.Connected{Leg: b, Description: described("answer")})
		s.asked(s.caller, "answer answer")
		s.noticed("answered negotiated")
		s.says(s.caller, call.Acked{Leg: s.caller})
		s.asked(b, "")
		pass(10 * time.Second)
		s.says(b, call.Ended{Leg: b, Cause: cause.Normal(cause.Callee)})
		s.asked(s.caller, "hangup 200 normal")
		s.asked(b, "")
		s.noticed("ended")
		r := s.ended(cause.Normal(cause.Callee))
		if r.Ring.Sub(r.Start) != time.Second || r.Answer.Sub(r.Ring) != 2*time.Second || r.End.Sub(r.Answer) != 10*time.Second {
			t.Errorf("times are wrong: %+v", r)
		}
		if len(r.Legs) != 2 || r.Legs[0].ID != "a" || r.Legs[1].ID != "b1" || r.Legs[1].Line != "102" || r.To.Device != "dev-x" || r.Legs[1].Info.SIPCallID != "sip-b1" {
			t.Errorf("legs are wrong: %+v", r.Legs)
		}
	})
}

func TestCallHungUpByCaller(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.says(s.caller, call.Ended{Leg: s.caller, Cause: cause.Normal(cause.Caller)})
		s.asked(b, "hangup 200 normal")
		s.asked(s.caller, "")
		s.ended(cause.Normal(cause.Caller))
	})
}

func TestCallCarriesCausesAcross(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.says(b, call.Ended{Leg: b, Cause: cause.SessionExpired()})
		s.asked(s.caller, "hangup 408 session expired")
		s.ended(cause.SessionExpired())
	})
}

func TestCallMaxDuration(t *testing.T) {
	play(t, func(s *scene) { s.config.MaxDuration = time.Hour }, func(s *scene) {
		b := s.connect()
		pass(time.Hour - time.Millisecond)
		s.asked(b, "")
		pass(time.Millisecond)
		synctest.Wait()
		s.asked(b, "hangup 200 maximum duration")
		s.asked(s.caller, "hangup 200 maximum duration")
		s.ended(cause.MaxDuration())
	})
}

func TestCallHangupFromOutside(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		if s.registry.Hangup("nobody", cause.Normal(cause.System)) {
			t.Error("a call that is not there was hung up")
		}
		if !s.registry.Hangup(s.call.ID(), cause.Normal(cause.System)) {
			t.Error("the call was not found")
		}
		synctest.Wait()
		s.asked(b, "hangup 200 normal")
		s.asked(s.caller, "hangup 200 normal")
		s.ended(cause.Normal(cause.System))
		if s.call.Post(call.Do{F: func() { t.Error("ran after the end") }}) {
			t.Error("a call that is over takes events")
		}
	})
}

func TestCallHangupFromOutsideWhileRinging(t *testing.T) {
	play(t, nil, func(s *scene) {
		s.call.Hangup(cause.Normal(cause.System))
		synctest.Wait()
		s.asked(s.leg("x"), "hangup 200 normal")
		s.asked(s.caller, "hangup 480 unreachable") // an INVITE needs a refusal
		s.ended(cause.Unreachable())
	})
}

func TestCallPanicKillsThisCallOnly(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.call.Post(call.Do{F: func() { panic("fault") }})
		synctest.Wait()
		s.asked(b, "hangup 500 failed")
		s.asked(s.caller, "hangup 500 failed")
		s.ended(cause.Failed())
		if n := s.registry.Counters().Panics; n != 1 {
			t.Errorf("%d panics counted", n)
		}
	})
}

func TestCallPanickingLegDoesNotKeepOthersAlive(t *testing.T) {
	play(t, func(s *scene) { s.caller.Panic = "Hangup" }, func(s *scene) {
		b := s.connect()
		s.call.Hangup(cause.Normal(cause.System))
		synctest.Wait()
		s.asked(b, "hangup 200 normal")
		s.ended(cause.Normal(cause.System))
	})
}

func TestCallMailboxOverflowEndsCall(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		hold := make(chan struct{})
		s.call.Post(call.Do{F: func() { <-hold }})
		synctest.Wait()
		posted := 0
		for s.call.Post(call.Informed{Leg: b}) {
			posted++
		}
		if posted != 4096 {
			t.Errorf("%d events fit", posted)
		}
		close(hold)
		synctest.Wait()
		if asked := b.Asked(); !reflect.DeepEqual(asked, []string{"hangup 503 overloaded"}) {
			t.Errorf("asked %q", asked)
		}
		s.ended(cause.Overloaded())
		if n := s.registry.Counters().Overflows; n != 1 {
			t.Errorf("%d overflows counted", n)
		}
	})
}

// What a leg has put into the mailbox before the end is still run: messages want their answers.
func TestCallRunsTheRest(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		ran := 0
		hold := make(chan struct{})
		s.call.Post(call.Do{F: func() { <-hold }})
		s.call.Hangup(cause.Normal(cause.System))
		s.call.Post(call.Do{F: func() { ran++ }})
		s.call.Post(call.Do{F: func() { panic("fault") }})
		s.call.Post(call.Ended{Leg: b})
		s.call.Post(call.Do{F: func() { ran++ }})
		close(hold)
		synctest.Wait()
		if ran != 2 || s.registry.Counters().Panics != 1 {
			t.Errorf("%d of 2 ran, %d panics", ran, s.registry.Counters().Panics)
		}
		s.asked(b, "hangup 200 normal")
	})
}

func TestCallPressedDigitsAreTold(t *testing.T) {
	play(t, nil, func(s *scene) {
		b := s.connect()
		s.seen.Notices()
		s.says(b, call.Pressed{Leg: b, Digit: '5', DurationMS: 80})
		s.noticed("pressed 5")
		s.says(b, call.Ended{Leg: b})
		s.says(s.caller)
		s.ended(cause.Normal(cause.Callee))
	})
}

func TestCallEventsBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mailbox := call.NewMailbox()
		a := calltest.NewLeg("a", mailbox)
		a.Say(call.Ended{Leg: a, Cause: cause.Cancelled()})
		seen := &calltest.Recorder{}
		r := call.NewRegistry(call.Config{Observer: seen})
		d := &calltest.Dialer{}
		s := scene{dialer: d, fork: call.Fork{Targets: targets("x")}}
		r.Start(call.Setup{Caller: a, Mailbox: mailbox, Offer: described("offer")}, s.serve)
		synctest.Wait()
		if got := d.Leg("x").Asked(); len(got) != 1 || got[0] != "hangup 487 cancelled" {
			t.Errorf("asked %q", got)
		}
		if e := seen.Ended(); len(e) != 1 || e[0].Cause != cause.Cancelled() {
			t.Errorf("ended %v", e)
		}
	})
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
