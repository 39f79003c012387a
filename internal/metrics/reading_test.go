package metrics

import "testing"

func TestReadings(t *testing.T) {
	m := New(Config{
		Limits:  map[string]float64{"burst": 100, "queue_delay": 0.05},
		Reasons: []string{"rate"},
		Blocked: func() map[string]uint64 { return map[string]uint64{"slow": 3, "rate": 2} },
		Readings: []Reading{
			{Name: "shed_total", Help: "h", Label: "rank", Counter: true, Values: func() map[string]float64 { return map[string]float64{"new": 7, "call": 0} }},
			{Name: "queue_delay_seconds", Help: "h", Values: func() map[string]float64 { return map[string]float64{"": 0.25} }},
			{Name: "absent", Help: "h", Label: "x", Values: func() map[string]float64 { return nil }},
		},
	})
	m.GuardBlocked("rate")
	lines := page(t, m)
	want(t, lines, `dialtone_limit{name="burst"} 100`, `dialtone_limit{name="queue_delay"} 0.05`,
		`dialtone_guard_blocked_total{reason="rate"} 3`, `dialtone_guard_blocked_total{reason="slow"} 3`,
		`dialtone_shed_total{rank="call"} 0`, `dialtone_shed_total{rank="new"} 7`,
		`dialtone_queue_delay_seconds 0.25`)
}
