package call_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"dialtone/internal/call"
	"dialtone/internal/call/calltest"
	"dialtone/internal/cause"
	"dialtone/internal/sdp"
)

// quick is a leg that answers at once and forgets what it is asked.
type quick struct {
	*calltest.Leg
	description *sdp.Description
}

func (quick) Ring(int, *sdp.Description) {}
func (quick) Answer(*sdp.Description)    {}
func (quick) Hangup(cause.Cause)         {}

type quickDialer struct{ description *sdp.Description }

func (d quickDialer) Dial(_ context.Context, i call.Invite) (call.Leg, error) {
	l := quick{calltest.NewLeg(i.Leg, i.Mailbox), nil}
	i.Mailbox.Post(call.Rang{Leg: l, Status: 180})
	i.Mailbox.Post(call.Connected{Leg: l, Description: d.description})
	return l, nil
}

// hold starts n calls that are answered and then held, and returns their callers.
func hold(r *call.Registry, n int, answered *sync.WaitGroup) []quick {
	d := quickDialer{described("answer")}
	callers := make([]quick, n)
	answered.Add(n)
	for i := range callers {
		m := call.NewMailbox()
		a := quick{calltest.NewLeg("a", m), nil}
		callers[i] = a
		r.Start(call.Setup{Caller: a, Mailbox: m, Offer: described("offer"), Dialled: "102", MaxForwards: 70}, func(ctx context.Context, c *call.Call) cause.Cause {
			leg, why := c.Dial(ctx, d, call.Fork{Targets: []call.Target{{URI: "sip:102@192.0.2.9", Line: "102", Device: "102"}}})
			answered.Done()
			if leg == nil {
				return why
			}
			return c.Bridge(ctx, leg)
		})
	}
	answered.Wait()
	return callers
}

// A held call, with its legs, mailbox, facts and stack, must stay below heldCallLimit.
func TestHeldCallIsSmall(t *testing.T) {
	const n = 4000
	r := call.NewRegistry(call.Config{MediaTimeout: 0})
	used := func() uint64 {
		runtime.GC()
		runtime.GC() // the second one sees the stacks that the first has shrunk
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()
	var answered sync.WaitGroup
	callers := hold(r, n, &answered)
	each := (used() - before) / n
	for _, a := range callers {
		a.Say(call.Ended{Leg: a})
	}
	r.Drain(t.Context())
	t.Logf("%d bytes for each held call", each)
	if each > heldCallLimit {
		t.Errorf("a held call takes %d bytes, more than %d", each, heldCallLimit)
	}
}

// BenchmarkCall is a whole call without signalling: start, ring, answer, hang up.
func BenchmarkCall(b *testing.B) {
	r := call.NewRegistry(call.Config{})
	d := quickDialer{described("answer")}
	offer := described("offer")
	var ended atomic.Int64
	b.ReportAllocs()
	for b.Loop() {
		m := call.NewMailbox()
		a := quick{calltest.NewLeg("a", m), nil}
		r.Start(call.Setup{Caller: a, Mailbox: m, Offer: offer, Dialled: "102", MaxForwards: 70}, func(ctx context.Context, c *call.Call) cause.Cause {
			defer ended.Add(1)
			leg, why := c.Dial(ctx, d, call.Fork{Targets: []call.Target{{URI: "sip:102@192.0.2.9", Line: "102", Device: "102"}}})
			if leg == nil {
				return why
			}
			a.Say(call.Ended{Leg: a})
			return c.Bridge(ctx, leg)
		})
	}
	r.Drain(b.Context())
	if ended.Load() == 0 {
		b.Error("no call was made")
	}
}

func BenchmarkMailbox(b *testing.B) {
	m := call.NewMailbox()
	a := calltest.NewLeg("a", m)
	r := call.NewRegistry(call.Config{})
	done := make(chan struct{}, 1)
	r.Start(call.Setup{Caller: a, Mailbox: m, Offer: described("o")}, echoing)
	event := call.Do{F: func() { done <- struct{}{} }}
	b.ReportAllocs()
	for b.Loop() {
		m.Post(event)
		<-done
	}
	a.Say(call.Ended{Leg: a})
	r.Drain(b.Context())
}
