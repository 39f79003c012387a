package trace

import (
	"testing"

	"dialtone/internal/call"
)

func TestJoinerJoinsTheLegsOfACall(t *testing.T) {
	r := openRing(t, t.TempDir(), 0)
	defer closeRing(t, r)
	for _, leg := range []string{"a", "b", "c", "stranger"} {
		r.Tap(In, "udp", local, alice, []byte(leg), noon, message(leg, "INVITE sip:"+leg+" SIP/2.0"))
	}
	leg := func(id string) call.LegRecord { return call.LegRecord{Info: call.LegInfo{SIPCallID: id}} }
	started := &call.Record{ID: "call", Legs: []call.LegRecord{leg("a")}}
	rang := &call.Record{ID: "call", Legs: []call.LegRecord{leg("a"), leg(""), leg("b")}}
	ended := &call.Record{ID: "call", Legs: []call.LegRecord{leg("a"), leg("b"), leg("c")}}
	for _, step := range []struct {
		notice call.Notice
		want   int
	}{
		{call.CallStarted{Record: started}, 1},
		{call.CallHeld{Record: ended}, 1},
		{call.CallRang{Record: rang}, 2},
		{call.CallAnswered{Record: rang}, 2},
		{call.CallEnded{Record: ended}, 3},
	} {
		Joiner{r}.Observe(step.notice)
		if got := len(ladder(t, r, "call")); got != step.want {
			t.Errorf("%d messages after %T, want %d", got, step.notice, step.want)
		}
	}
}
