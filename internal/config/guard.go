package config

import "time"

// check holds the limits to what they can be: none may be so low that nobody gets in, or so high that it is none.
func (g *Guard) check(fault func(key, format string, args ...any)) {
	for _, n := range []struct {
		key       string
		value     int
		low, high int
	}{
		{"requests_per_second", g.RequestsPerSecond, 1, 1e6},
		{"burst", g.Burst, 0, 1e7},
		{"registrations_failed", g.RegistrationsFailed, 1, 1e6},
		{"probes", g.Probes, 1, 1e6},
		{"sources", g.Sources, 1024, 1 << 24},
		{"connections", g.Connections, 1, 1 << 20},
		{"connections_per_source", g.ConnectionsPerSource, 1, 1 << 20},
		{"handshakes", g.Handshakes, 1, 1 << 16},
		{"unsent", g.Unsent, 64 << 10, 64 << 20},
	} {
		if n.value < n.low {
			fault("guard."+n.key, "%d is less than %d", n.value, n.low)
		}
		if n.value > n.high {
			fault("guard."+n.key, "%d is more than %d", n.value, n.high)
		}
	}
	for _, d := range []struct {
		key       string
		value     Duration
		low, high time.Duration
	}{
		{"first_ban", g.FirstBan, time.Second, 24 * time.Hour},
		{"longest_ban", g.LongestBan, time.Second, 30 * 24 * time.Hour},
		{"handshake_time", g.HandshakeTime, 100 * time.Millisecond, time.Minute},
		{"message_time", g.MessageTime, 100 * time.Millisecond, time.Minute},
		{"stranger_time", g.StrangerTime, time.Second, time.Hour},
		{"connection_time", g.ConnectionTime, time.Minute, 30 * 24 * time.Hour},
	} {
		if d.value.Duration < d.low {
			fault("guard."+d.key, "%s is less than %s", d.value, d.low)
		}
		if d.value.Duration > d.high {
			fault("guard."+d.key, "%s is more than %s", d.value, d.high)
		}
	}
	if d := g.QueueDelay.Duration; d != 0 && d < 5*time.Millisecond || d > 10*time.Second {
		fault("guard.queue_delay", "%s is not between 5ms and 10s, nor 0s", g.QueueDelay)
	}
	if g.LongestBan.Duration < g.FirstBan.Duration {
		fault("guard.longest_ban", "%s is less than first_ban, %s", g.LongestBan, g.FirstBan)
	}
}
