package transaction

import (
	"fmt"
	"testing"
)

var (
	stateNames = map[State]string{Calling: "calling", Trying: "trying", Proceeding: "proceeding", Completed: "completed", Confirmed: "confirmed",
		Accepted: "accepted", Terminated: "terminated"}
	eventNames = map[Event]string{Provisional: "1xx", Success: "2xx", Failure: "3-6xx", Request: "request", Ack: "ack", Acknowledged: "acknowledged",
		RetransmitTime: "retry timer", LifetimeTime: "life timer", SendFailed: "send failed"}
	kindNames = map[Kind]string{ClientInvite: "client INVITE", ClientOther: "client other", ServerInvite: "server INVITE", ServerOther: "server other"}
)

type transition struct {
	kind     Kind
	from     State
	event    Event
	reliable bool // false: unreliable transport; both are given where they differ
	both     bool // the same on reliable transports
	to       State
	act      Action
}

// transitions are figures 5 to 8 of RFC 3261 with RFC 6026 §8, each line once. What is not here changes nothing.
var transitions = []transition{
	// Figure 5, RFC 6026 §8.4.
	{ClientInvite, Calling, Provisional, false, true, Proceeding, Deliver | StopRetry | StopLife},
	{ClientInvite, Calling, Success, false, true, Accepted, Deliver | StopRetry | StartLife},
	{ClientInvite, Calling, Failure, false, false, Completed, SendAck | Deliver | StopRetry | StartLife},
	{ClientInvite, Calling, Failure, true, false, Terminated, SendAck | Deliver | End},
	{ClientInvite, Calling, RetransmitTime, false, false, Calling, Resend | StartRetry},
	{ClientInvite, Calling, LifetimeTime, false, true, Terminated, ReportTimeout | End},
	{ClientInvite, Calling, SendFailed, false, true, Terminated, ReportFailure | End},
	{ClientInvite, Proceeding, Provisional, false, true, Proceeding, Deliver | StopRetry | StopLife},
	{ClientInvite, Proceeding, Success, false, true, Accepted, Deliver | StopRetry | StartLife},
	{ClientInvite, Proceeding, Failure, false, false, Completed, SendAck | Deliver | StopRetry | StartLife},
	{ClientInvite, Proceeding, Failure, true, false, Terminated, SendAck | Deliver | End},
	{ClientInvite, Proceeding, LifetimeTime, false, true, Terminated, ReportTimeout | End},
	{ClientInvite, Proceeding, SendFailed, false, true, Terminated, ReportFailure | End},
	{ClientInvite, Completed, Failure, false, true, Completed, SendAck},
	{ClientInvite, Completed, LifetimeTime, false, true, Terminated, End},
	{ClientInvite, Completed, SendFailed, false, true, Terminated, ReportFailure | End},
	{ClientInvite, Accepted, Success, false, true, Accepted, Deliver},
	{ClientInvite, Accepted, LifetimeTime, false, true, Terminated, End},

	// Figure 6.
	{ClientOther, Trying, Provisional, false, true, Proceeding, Deliver | SlowRetry},
	{ClientOther, Trying, Success, false, false, Completed, Deliver | StopRetry | StartLife},
	{ClientOther, Trying, Success, true, false, Terminated, Deliver | End},
	{ClientOther, Trying, Failure, false, false, Completed, Deliver | StopRetry | StartLife},
	{ClientOther, Trying, Failure, true, false, Terminated, Deliver | End},
	{ClientOther, Trying, RetransmitTime, false, false, Trying, Resend | StartRetry},
	{ClientOther, Trying, LifetimeTime, false, true, Terminated, ReportTimeout | End},
	{ClientOther, Trying, SendFailed, false, true, Terminated, ReportFailure | End},
	{ClientOther, Proceeding, Provisional, false, true, Proceeding, Deliver},
	{ClientOther, Proceeding, Success, false, false, Completed, Deliver | StopRetry | StartLife},
	{ClientOther, Proceeding, Success, true, false, Terminated, Deliver | End},
	{ClientOther, Proceeding, Failure, false, false, Completed, Deliver | StopRetry | StartLife},
	{ClientOther, Proceeding, Failure, true, false, Terminated, Deliver | End},
	{ClientOther, Proceeding, RetransmitTime, false, false, Proceeding, Resend | StartRetry},
	{ClientOther, Proceeding, LifetimeTime, false, true, Terminated, ReportTimeout | End},
	{ClientOther, Proceeding, SendFailed, false, true, Terminated, ReportFailure | End},
	{ClientOther, Completed, LifetimeTime, false, true, Terminated, End},

	// Figure 7, RFC 6026 §8.3.
	{ServerInvite, Proceeding, Request, false, true, Proceeding, Resend},
	{ServerInvite, Proceeding, Provisional, false, true, Proceeding, Send},
	{ServerInvite, Proceeding, Success, false, true, Accepted, Send | StartRetry | StartLife},
	{ServerInvite, Proceeding, Failure, false, false, Completed, Send | StartRetry | StartLife},
	{ServerInvite, Proceeding, Failure, true, false, Completed, Send | StartLife},
	{ServerInvite, Proceeding, LifetimeTime, false, true, Terminated, End},
	{ServerInvite, Proceeding, SendFailed, false, true, Terminated, ReportFailure | End},
	{ServerInvite, Completed, Request, false, true, Completed, Resend},
	{ServerInvite, Completed, RetransmitTime, false, true, Completed, Resend | StartRetry},
	{ServerInvite, Completed, Ack, false, false, Confirmed, StopRetry | StartLife},
	{ServerInvite, Completed, Ack, true, false, Terminated, StopRetry | End},
	{ServerInvite, Completed, LifetimeTime, false, true, Terminated, End},
	{ServerInvite, Completed, SendFailed, false, true, Terminated, End},
	{ServerInvite, Confirmed, LifetimeTime, false, true, Terminated, End},
	{ServerInvite, Accepted, Success, false, true, Accepted, Send},
	{ServerInvite, Accepted, RetransmitTime, false, true, Accepted, Resend | StartRetry},
	{ServerInvite, Accepted, Acknowledged, false, true, Accepted, StopRetry},
	{ServerInvite, Accepted, LifetimeTime, false, true, Terminated, ReportTimeout | End},

	// Figure 8.
	{ServerOther, Trying, Provisional, false, true, Proceeding, Send},
	{ServerOther, Trying, Success, false, false, Completed, Send | StartLife},
	{ServerOther, Trying, Success, true, false, Terminated, Send | End},
	{ServerOther, Trying, Failure, false, false, Completed, Send | StartLife},
	{ServerOther, Trying, Failure, true, false, Terminated, Send | End},
	{ServerOther, Trying, LifetimeTime, false, true, Terminated, End},
	{ServerOther, Trying, SendFailed, false, true, Terminated, ReportFailure | End},
	{ServerOther, Proceeding, Request, false, true, Proceeding, Resend},
	{ServerOther, Proceeding, Provisional, false, true, Proceeding, Send},
	{ServerOther, Proceeding, Success, false, false, Completed, Send | StartLife},
	{ServerOther, Proceeding, Success, true, false, Terminated, Send | End},
	{ServerOther, Proceeding, Failure, false, false, Completed, Send | StartLife},
	{ServerOther, Proceeding, Failure, true, false, Terminated, Send | End},
	{ServerOther, Proceeding, LifetimeTime, false, true, Terminated, End},
	{ServerOther, Proceeding, SendFailed, false, true, Terminated, ReportFailure | End},
	{ServerOther, Completed, Request, false, true, Completed, Resend},
	{ServerOther, Completed, LifetimeTime, false, true, Terminated, End},
	{ServerOther, Completed, SendFailed, false, true, Terminated, End},
}

// TestStep walks over every kind, state, event and transport.
func TestStep(t *testing.T) {
	type key struct {
		kind     Kind
		from     State
		event    Event
		reliable bool
	}
	want := map[key]transition{}
	for _, tr := range transitions {
		k := key{tr.kind, tr.from, tr.event, tr.reliable}
		if _, twice := want[k]; twice {
			t.Fatalf("%s in %s on %s stands twice in the table", kindNames[tr.kind], stateNames[tr.from], eventNames[tr.event])
		}
		want[k] = tr
		if tr.both {
			k.reliable = true
			want[k] = tr
		}
	}
	for kind := ClientInvite; kind <= ServerOther; kind++ {
		for from := Calling; from <= Terminated; from++ {
			for event := Provisional; event <= SendFailed; event++ {
				for _, reliable := range []bool{false, true} {
					to, act := Step(kind, from, event, reliable)
					tr, ok := want[key{kind, from, event, reliable}]
					if !ok {
						tr = transition{to: from}
					}
					if to != tr.to || act != tr.act {
						t.Errorf("%s in %s on %s (reliable %v): %s with actions %b, want %s with %b", kindNames[kind], stateNames[from],
							eventNames[event], reliable, stateNames[to], act, stateNames[tr.to], tr.act)
					}
					if (to == Terminated) != (act&End != 0) && from != Terminated {
						t.Errorf("%s in %s on %s: terminated without End, or End without being terminated", kindNames[kind], stateNames[from], eventNames[event])
					}
				}
			}
		}
	}
}

func TestTimers(t *testing.T) {
	d := Timers{}.withDefaults()
	for _, c := range []struct {
		kind Kind
		n    int
		want string
	}{
		{ClientInvite, 0, "500ms"}, {ClientInvite, 1, "1s"}, {ClientInvite, 5, "16s"}, // timer A doubles
		{ClientOther, 0, "500ms"}, {ClientOther, 2, "2s"}, {ClientOther, 3, "4s"}, {ClientOther, 9, "4s"}, // timer E up to T2
		{ServerInvite, 4, "4s"}, // timer G likewise
	} {
		if got := d.retry(c.kind, c.n).String(); got != c.want {
			t.Errorf("retransmission %d of %s after %s, want %s", c.n, kindNames[c.kind], got, c.want)
		}
	}
	for _, c := range []struct {
		kind  Kind
		state State
		want  string
	}{
		{ClientInvite, Calling, "32s"}, {ClientInvite, Completed, "32s"}, {ClientInvite, Accepted, "32s"}, {ClientOther, Trying, "32s"},
		{ClientOther, Completed, "5s"}, {ServerInvite, Completed, "32s"}, {ServerInvite, Confirmed, "5s"}, {ServerInvite, Accepted, "32s"}, {ServerOther, Completed, "32s"},
	} {
		if got := fmt.Sprint(d.lifetime(c.kind, c.state)); got != c.want {
			t.Errorf("%s in %s lasts %s, want %s", kindNames[c.kind], stateNames[c.state], got, c.want)
		}
	}
}
