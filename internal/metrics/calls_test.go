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
