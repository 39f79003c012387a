package server

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/cdr"
	"dialtone/internal/config"
	"dialtone/internal/media"
	"dialtone/internal/media/turn"
	"dialtone/internal/metrics"
)

// buildTURN binds the listeners of the STUN and TURN server, if there are any.
func (s *Server) buildTURN(context.Context) error {
	c := s.options.Config
	if len(c.TURN.Listen) == 0 {
		return nil
	}
	secret, err := secretFile(c.Data, "turn.key", 32)
	if err != nil {
		return fmt.Errorf("TURN key: %w", err)
	}
	t := turn.Config{
		Network: s.options.Network, Realm: s.turnRealm(), Secret: secret, Lifetime: c.TURN.Lifetime.Duration,
		Ports:  media.PortRange{Min: c.TURN.Ports.First, Max: c.TURN.Ports.Last},
		Policy: turn.Policy{Local: s.isLocal, Media: s.isMedia}, Advertise: s.advertiseMedia, Log: s.log,
	}
	for _, l := range c.TURN.Listen {
		listener := turn.Listener{Transport: turnTransport(l), Addr: l.Addr}
		if listener.Transport == turn.TLS {
			if listener.TLS, err = s.tlsConfig(); err != nil {
				return err
			}
		}
		t.Listeners = append(t.Listeners, listener)
	}
	if s.turn, err = turn.New(t); err != nil {
		return err
	}
	s.onClose(func() error { s.turn.Close(); return nil })
	return nil
}

func turnTransport(l config.TURNListener) turn.Transport {
	switch l.Transport {
	case "tcp":
		return turn.TCP
	case "tls":
		return turn.TLS
	}
	return turn.UDP
}

// turnRealm is what clients of TURN are told that their credentials are for.
func (s *Server) turnRealm() string {
	c := s.options.Config
	for _, name := range append([]string{c.TURN.Realm}, c.SIP.Domains...) {
		if name != "" {
			return name
		}
	}
	if c.Node != "" {
		return c.Node
	}
	return "dialtone"
}

// isMedia reports whether an address and port are those of our media, as parties are told them; with port 0 whether there
// may be any at the address. Loopback is told to nobody outside.
func (s *Server) isMedia(a netip.AddrPort) bool {
	ports, shared := s.options.Config.RTP.Ports, s.options.Config.RTP.Shared
	own := a.Port() >= ports.First && a.Port() <= ports.Last
	if a.Port() != 0 && !own && (!shared.IsValid() || a.Port()&^1 != shared.Port()) {
		return false
	}
	addr := a.Addr()
	return !addr.IsLoopback() && !addr.IsLinkLocalUnicast() && s.isLocal(addr)
}

// turnHost is where clients find the TURN server when its listeners do not say.
func (s *Server) turnHost() string {
	if p := s.options.Config.SIP.Public; p != "" && p != "auto" {
		return p
	}
	addrs := hostAddrs()
	for _, a := range addrs {
		if a.Is4() {
			return a.String()
		}
	}
	if len(addrs) > 0 {
		return addrs[0].String()
	}
	return "127.0.0.1"
}

// turns shows the API the TURN server.
type turns struct{ s *Server }

var _ admin.TURN = turns{}

// TURNCredentials implements admin.TURN.
func (t turns) TURNCredentials(user string) (admin.TURNCredentials, bool) {
	if t.s.turn == nil {
		return admin.TURNCredentials{}, false
	}
	c := t.s.turn.Credentials(user, time.Now())
	return admin.TURNCredentials{URLs: t.s.turn.URLs(t.s.turnHost()), Username: c.Username, Credential: c.Password,
		TTL: int(t.s.turn.Lifetime() / time.Second), Expires: cdr.Time{Time: c.Expires}}, true
}

// turnListening is where the TURN server is bound.
func (s *Server) turnListening() (out []admin.StatusListener) {
	if s.turn == nil {
		return nil
	}
	for _, l := range s.turn.Addrs() {
		out = append(out, admin.StatusListener{URL: l.Transport.String() + "://" + l.Addr.String(), Role: "turn"})
	}
	return out
}

// turnReadings are the metrics of the TURN server; they are absent where there is none.
func (s *Server) turnReadings() []metrics.Reading {
	reading := func(name, help, label string, counter bool, values func(turn.Stats) map[string]float64) metrics.Reading {
		return metrics.Reading{Name: name, Help: help, Label: label, Counter: counter, Values: func() map[string]float64 {
			if s.turn == nil {
				return nil
			}
			return values(s.turn.Stats())
		}}
	}
	return []metrics.Reading{
		reading("turn_allocations", "Allocations of the TURN server that are alive.", "", false, func(n turn.Stats) map[string]float64 {
			return map[string]float64{"": float64(n.Allocations)}
		}),
		reading("turn_bytes_total", "Payload that the TURN server has relayed: in from peers, out to peers.", "direction", true, func(n turn.Stats) map[string]float64 {
			return map[string]float64{metrics.In.String(): float64(n.BytesIn), metrics.Out.String(): float64(n.BytesOut)}
		}),
		reading("turn_refused_total", "What the TURN server has refused, by reason.", "reason", true, func(n turn.Stats) map[string]float64 {
			out := map[string]float64{}
			for reason, count := range n.Refused {
				out[reason] = float64(count)
			}
			return out
		}),
	}
}

// turnLimits are the limits that clients of TURN meet.
func turnLimits() map[string]float64 {
	l := turn.DefaultLimits()
	return map[string]float64{
		"turn_allocations":            float64(l.Allocations),
		"turn_allocations_per_user":   float64(l.PerUser),
		"turn_permissions":            float64(l.Permissions),
		"turn_bandwidth":              float64(l.Bandwidth),
		"turn_requests_per_second":    float64(l.Requests),
		"turn_burst":                  float64(l.Burst),
		"turn_connections":            float64(l.Streams),
		"turn_connections_per_source": float64(l.StreamsPerSource),
	}
}
