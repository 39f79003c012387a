package metrics

import (
	"testing"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/media"
)

func TestEndedCallsAreCounted(t *testing.T) {
	m := New(Config{})
	r := &call.Record{Direction: call.Inbound, Cause: cause.Busy(), Legs: []call.LegRecord{
		{Streams: []media.StreamStats{{MOSIn: 4.4, MOSOut: 0}, {MOSIn: 2, MOSOut: 3}}}, {},
	}}
	m.Observe(call.CallStarted{Record: r})
	m.Observe(call.CallEnded{Record: r})
	want(t, page(t, m),
		`dialtone_calls_total{cause="`+cause.Busy().Words+`",direction="in"} 1`,
		`dialtone_call_mos_count 3`,
		`dialtone_call_mos_bucket{le="2"} 1`,
	)
}

func TestCallsThatSoundBad(t *testing.T) {
	m := New(Config{})
	tell := func(id, leg string, inbound, raised bool) {
		m.Observe(call.CallSounded{Record: &call.Record{ID: id}, Leg: leg, QualityNotice: media.QualityNotice{Inbound: inbound, Raised: raised}})
	}
	want := func(alarms uint64, calls int) {
		t.Helper()
		if a, c := m.poor.read(); a != alarms || c != calls {
			t.Errorf("%d alarms, %d calls; want %d and %d", a, c, alarms, calls)
		}
	}
	tell("1", "a", true, true)
	tell("1", "a", false, true)
	tell("1", "b1", true, true)
	tell("2", "a", true, true)
	want(4, 2)
	tell("1", "a", true, false)
	tell("1", "a", false, false)
	want(4, 2)
	tell("1", "b1", true, false)
	want(4, 1)
	tell("3", "a", true, false) // raised in a process before this one
	want(4, 1)
	m.Observe(call.CallEnded{Record: &call.Record{ID: "2"}})
	want(4, 0)
}
