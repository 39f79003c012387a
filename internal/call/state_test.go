package call_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/call/calltest"
	"dialtone/internal/cause"
	"dialtone/internal/sdp"
)

// resume is what a restored call does.
func resume(ctx context.Context, c *call.Call) cause.Cause { return c.Bridge(ctx, c.Peer()) }

func TestRestoreRoundTrip(t *testing.T) {
	play(t, forks("x", "y"), func(s *scene) {
		x := s.leg("x")
		s.says(x, call.Rang{Leg: x, Status: 180}, call.Connected{Leg: x, Description: described("x")})
		s.says(x, call.Updated{Leg: x, Offer: calltest.Description("hold", sdp.SendOnly)})
		s.says(s.caller, call.Answered{Leg: s.caller, Description: described("ok")})
		pass(4 * time.Second)
		states := s.seen.States()
		state, err := s.call.Snapshot(s.t.Context())
		if err != nil || len(states) != 2 {
			t.Fatalf("%d states, %v", len(states), err)
		}

		// Another process takes the call up.
		seen, legs := &calltest.Recorder{}, &calltest.Restorer{}
		other := call.NewRegistry(call.Config{Observer: seen})
		c, err := other.Restore(state, legs, resume)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c.ID() != s.call.ID() || !sameFacts(c.Record(), s.call.Record()) {
			t.Errorf("restored %+v\nwas %+v", c.Record(), s.call.Record())
		}
		if _, err := other.Restore(state, legs, resume); err == nil {
			t.Error("one call was restored twice")
		}
		a, b := legs.Legs["a"], legs.Legs["b1"]
		if len(legs.Legs) != 2 || a == nil || b == nil {
			t.Fatalf("legs %v", legs.Legs)
		}
		pass(6 * time.Second)
		b.Say(call.Updated{Leg: b, Offer: described("resume")})
		synctest.Wait()
		s.asked(a, "offer resume")
		a.Say(call.Answered{Leg: a, Description: described("ok")})
		synctest.Wait()
		s.asked(b, "respond ok")
		pass(time.Second)
		a.Say(call.Ended{Leg: a})
		synctest.Wait()
		s.asked(b, "hangup 200 normal")
		if got := strings.Join(seen.Notices(), " "); got != "resumed negotiated ended" {
			t.Errorf("observers were told %q", got)
		}
		ended := seen.Ended()
		if len(ended) != 1 || ended[0].Hold != 10*time.Second || ended[0].Cause != cause.Normal(cause.Caller) || len(ended[0].Legs) != 3 {
			t.Errorf("record %+v", ended)
		}
		s.call.Hangup(cause.Normal(cause.System))
	})
}

// sameFacts compares records by what is written down of them.
func sameFacts(a, b *call.Record) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func TestRestoreNewLegsGetNewNames(t *testing.T) {
	play(t, nil, func(s *scene) {
		s.connect()
		state, err := s.call.Snapshot(s.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.call.Hangup(cause.Normal(cause.System))
		legs, dialer := &calltest.Restorer{}, &calltest.Dialer{}
		other := call.NewRegistry(call.Config{})
		_, err = other.Restore(state, legs, func(ctx context.Context, c *call.Call) cause.Cause {
			if c.Caller() != call.Leg(legs.Legs["a"]) || c.Peer() != call.Leg(legs.Legs["b1"]) {
				t.Error("legs are mixed up")
			}
			_, why := c.Dial(ctx, dialer, call.Fork{Targets: targets("z"), Timeout: time.Second})
			return why
		})
		if err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		if z := dialer.Leg("z"); z == nil || z.ID() != "b2" {
			t.Errorf("new leg %v", z)
		}
	})
}

func TestRestoreRefusesWhatItCannotTakeUp(t *testing.T) {
	play(t, nil, func(s *scene) {
		if _, err := s.call.Snapshot(s.t.Context()); !errors.Is(err, call.ErrNotConnected) {
			t.Errorf("state of a ringing call: %v", err)
		}
		s.connect()
		state, err := s.call.Snapshot(s.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string]string{
			"nothing": "", "no JSON": "{", "another version": strings.Replace(string(state), `"version":1`, `"version":2`, 1),
			"no record": `{"version":1}`, "caller as peer": strings.Replace(string(state), `"peer":"b1"`, `"peer":"a"`, 1), "no peer": strings.Replace(string(state), `"peer":"b1"`, `"peer":"b7"`, 1),
			"no caller": strings.Replace(string(state), `"legs":[{"id":"a","state"`, `"legs":[{"id":"q","state"`, 1),
		} {
			// The last replacement hits the saved legs, which stand last.
			if name == "no caller" {
				i := strings.LastIndex(string(state), `"legs":[`)
				bad = string(state[:i]) + strings.Replace(string(state[i:]), `"id":"a"`, `"id":"q"`, 1)
			}
			r := call.NewRegistry(call.Config{})
			if _, err := r.Restore([]byte(bad), &calltest.Restorer{}, resume); err == nil || r.Len() != 0 {
				t.Errorf("%s: error %v, %d calls", name, err, r.Len())
			}
		}
		legs := &calltest.Restorer{Fail: "b1"}
		if _, err := call.NewRegistry(call.Config{}).Restore(state, legs, resume); err == nil {
			t.Error("a call without its callee was restored")
		}
		s.asked(legs.Legs["a"], "hangup 500 recovered")
		s.call.Hangup(cause.Normal(cause.System))
		synctest.Wait()
		if _, err := s.call.Snapshot(s.t.Context()); !errors.Is(err, call.ErrOver) {
			t.Errorf("state of a call that is over: %v", err)
		}
	})
}

func TestSnapshotGivesUpWithItsContext(t *testing.T) {
	play(t, nil, func(s *scene) {
		s.connect()
		free := make(chan struct{})
		s.call.Post(call.Do{F: func() { <-free }})
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		if _, err := s.call.Snapshot(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(free)
		s.call.Hangup(cause.Normal(cause.System))
	})
}

func TestRegistryListsAndDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := call.NewRegistry(call.Config{})
		if n := r.Drain(t.Context()); n != 0 {
			t.Errorf("an empty registry hung up %d calls", n)
		}
		var legs []*calltest.Leg
		for range 3 {
			m := call.NewMailbox()
			a := calltest.NewLeg("a", m)
			legs = append(legs, a)
			c := r.Start(call.Setup{Caller: a, Mailbox: m, Offer: described("o"), From: call.Side{Number: "1"}}, echoing)
			if got, ok := r.Call(c.ID()); !ok || got != c {
				t.Error("a live call is not found")
			}
			synctest.Wait()
		}
		records := r.Records()
		if r.Len() != 3 || len(records) != 3 || records[0].ID >= records[1].ID || records[1].ID >= records[2].ID || !records[0].IsAnswered() {
			t.Errorf("%d calls, records %+v", r.Len(), records)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		began := time.Now()
		done := make(chan int, 1)
		go func() { done <- r.Drain(ctx) }()
		pass(10 * time.Second)
		legs[0].Say(call.Ended{Leg: legs[0]})
		if cut := <-done; cut != 2 || time.Since(began) != 30*time.Second || r.Len() != 0 {
			t.Errorf("cut %d calls after %v, %d left", cut, time.Since(began), r.Len())
		}
		if got := legs[1].Asked(); !reflect.DeepEqual(got, []string{"answer o", "hangup 503 draining"}) {
			t.Errorf("asked %q", got)
		}
		if n := r.Counters().Started; n != 3 {
			t.Errorf("%d calls started", n)
		}
	})
}

func TestRegistryDrainEndsWithTheLastCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := call.NewRegistry(call.Config{})
		m := call.NewMailbox()
		a := calltest.NewLeg("a", m)
		r.Start(call.Setup{Caller: a, Mailbox: m, Offer: described("o")}, echoing)
		time.AfterFunc(3*time.Second, func() { a.Say(call.Ended{Leg: a}) })
		began := time.Now()
		if cut := r.Drain(t.Context()); cut != 0 || time.Since(began) != 3*time.Second {
			t.Errorf("cut %d calls after %v", cut, time.Since(began))
		}
	})
}

// echoing is a service that answers by itself.
func echoing(_ context.Context, c *call.Call) cause.Cause {
	c.Answer(c.Offer())
	for {
		if _, err := c.Next(time.Time{}); err != nil {
			return c.Cause()
		}
	}
}

func TestStateIsKeptOnceTheLegsHaveOne(t *testing.T) {
	play(t, func(s *scene) { s.caller.NoState = true }, func(s *scene) {
		b := s.leg("x")
		s.says(b, call.Connected{Leg: b, Description: described("x")})
		s.noticed("started answered state: state of leg a: not confirmed yet")
		s.caller.NoState = false
		s.says(s.caller, call.Acked{Leg: s.caller})
		s.noticed("negotiated")
		s.says(s.caller, call.Acked{Leg: s.caller})
		s.noticed("")
		s.says(b, call.Ended{Leg: b})
		s.ended(cause.Normal(cause.Callee))
	})
}

// Whatever is read back, a call comes of it that ends cleanly, or an error.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`{"version":1,"record":{"id":"x","answer":"2026-01-02T03:04:05Z","legs":[{"id":"a"},{"id":"b1"}]},"peer":"b1","legs":[{"id":"a","state":"e30="},{"id":"b1","state":"e30="}]}`))
	f.Add([]byte(`{"version":1,"record":{"id":"x","answer":"2026-01-02T03:04:05Z","legs":[{"id":"a"}]},"legs":[{"id":"a","state":"e30="}]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, state []byte) {
		seen := &calltest.Recorder{}
		r := call.NewRegistry(call.Config{Observer: seen})
		c, err := r.Restore(state, &calltest.Restorer{}, func(ctx context.Context, c *call.Call) cause.Cause {
			if c.Peer() == nil {
				return cause.Normal(cause.System)
			}
			return c.Bridge(ctx, c.Peer())
		})
		if err != nil {
			if r.Len() != 0 {
				t.Error("a call is left")
			}
			return
		}
		c.Hangup(cause.Normal(cause.System))
		r.Drain(t.Context())
		if ended := seen.Ended(); len(ended) != 1 || ended[0].ID != c.ID() || r.Counters().Panics != 0 {
			t.Errorf("ended %v with %d panics", ended, r.Counters().Panics)
		}
	})
}
