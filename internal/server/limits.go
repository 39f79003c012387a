package server

import (
	"maps"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/config"
	"dialtone/internal/guard"
	"dialtone/internal/media"
	"dialtone/internal/metrics"
	"dialtone/internal/proxy"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// streamLimits are those of the transport.
func streamLimits(g config.Guard) transport.Limits {
	return transport.Limits{
		Streams: g.Connections, StreamsPerAddress: g.ConnectionsPerSource, Handshakes: g.Handshakes,
		Handshake: g.HandshakeTime.Duration, Message: g.MessageTime.Duration, Idle: g.StrangerTime.Duration,
		Kept: g.ConnectionTime.Duration, Queue: g.Unsent,
	}
}

// limits are all limits that strangers can meet, by the names of the static file where they stand there. Times are
// seconds.
func (s *Server) limits() map[string]float64 {
	g := s.options.Config.Guard
	burst := g.Burst
	if burst == 0 {
		burst = 2 * g.RequestsPerSecond
	}
	seconds := func(d config.Duration) float64 { return d.Seconds() }
	out := turnLimits()
	maps.Copy(out, map[string]float64{
		"requests_per_second":    float64(g.RequestsPerSecond),
		"burst":                  float64(burst),
		"registrations_failed":   float64(g.RegistrationsFailed),
		"first_ban":              seconds(g.FirstBan),
		"longest_ban":            seconds(g.LongestBan),
		"probes":                 float64(g.Probes),
		"sources":                float64(g.Sources),
		"queue_delay":            seconds(g.QueueDelay),
		"refusals_per_second":    guard.RefusalsPerSecond,
		"connections":            float64(g.Connections),
		"connections_per_source": float64(g.ConnectionsPerSource),
		"handshakes":             float64(g.Handshakes),
		"handshake_time":         seconds(g.HandshakeTime),
		"message_time":           seconds(g.MessageTime),
		"stranger_time":          seconds(g.StrangerTime),
		"connection_time":        seconds(g.ConnectionTime),
		"unsent":                 float64(g.Unsent),
		"message_bytes":          sip.MaxMessage,
		"message_headers":        sip.MaxHeaders,
		"header_bytes":           sip.MaxLine,
		"proxy_lookups":          proxy.MaxLookups,
		"call_events":            call.MailboxLimit,
		"media_handshakes":       media.MaxHandshakes,
		"media_unproven_time":    media.UnprovenTime.Seconds(),
		"media_unproven_rate":    media.UnprovenRate,
	})
	return out
}

// blocked is what the transport has turned away.
func (s *Server) blocked() map[string]uint64 {
	t := &s.transport.Stats
	return map[string]uint64{"connections": t.OverLimit.Load(), "slow": t.SlowSenders.Load() + t.SlowReaders.Load(), "handshake": t.Handshakes.Load()}
}

// readings are the metrics of the door and of the forwarding.
func (s *Server) readings() []metrics.Reading {
	one := func(v float64) map[string]float64 { return map[string]float64{"": v} }
	overload := func() guard.OverloadState {
		if s.overload == nil {
			return guard.OverloadState{}
		}
		return s.overload.State(time.Now())
	}
	byRank := func(value func(guard.OverloadState, guard.Rank) float64) func() map[string]float64 {
		return func() map[string]float64 {
			state, out := overload(), map[string]float64{}
			for r := range guard.Ranks {
				out[r.String()] = value(state, r)
			}
			return out
		}
	}
	return append(append(s.turnReadings(), s.mediaReadings()...), []metrics.Reading{
		{Name: "sip_transactions", Help: "SIP transactions that are alive, lingering ones included.",
			Values: func() map[string]float64 { return one(float64(s.transactions.Len())) }},
		{Name: "queue_delay_seconds", Help: "How long work waited when it was last looked at.",
			Values: func() map[string]float64 { return one(overload().Delay.Seconds()) }},
		{Name: "shed_share", Help: "Share of new work that is refused for want of time, by rank.", Label: "rank",
			Values: byRank(func(state guard.OverloadState, r guard.Rank) float64 { return state.Share[r] })},
		{Name: "shed_total", Help: "Requests that were refused for want of time, by rank.", Label: "rank", Counter: true,
			Values: byRank(func(state guard.OverloadState, r guard.Rank) float64 { return float64(state.Refused[r]) })},
		{Name: "shed_exempted_total", Help: "Emergency calls that passed although others of their rank were refused.", Counter: true,
			Values: func() map[string]float64 { return one(float64(overload().Exempted)) }},
		{Name: "guard_bans_total", Help: "Bans that have begun, by reason.", Label: "reason", Counter: true, Values: func() map[string]float64 {
			counts := s.guard.Counts()
			out := map[string]float64{}
			for _, r := range []guard.Reason{guard.ReasonPassword, guard.ReasonFlood, guard.ReasonProbe, guard.ReasonOperator} {
				out[r.String()] = float64(counts[r])
			}
			return out
		}},
		{Name: "guard_banned", Help: "Sources that are banned now.",
			Values: func() map[string]float64 { return one(float64(len(s.guard.Banned(time.Now())))) }},
		{Name: "proxy_requests_total", Help: "What forwarding listeners have done with requests and responses.", Label: "outcome", Counter: true,
			Values: func() map[string]float64 {
				if s.proxy == nil {
					return nil
				}
				n := &s.proxy.Stats
				return map[string]float64{"forwarded": float64(n.Forwarded.Load()), "refused": float64(n.Refused.Load()),
					"loop": float64(n.Loops.Load()), "dropped": float64(n.Dropped.Load())}
			}},
	}...)
}
