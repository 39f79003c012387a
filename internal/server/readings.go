package server

import (
	"sync"
	"time"

	"dialtone/internal/media"
	"dialtone/internal/metrics"
)

// tally is what the media engine has counted, as it was at most a second ago: one page asks for many of its figures, and
// each count goes through all sessions.
type tally struct {
	mu       sync.Mutex
	at       time.Time
	counters media.Counters
}

func (t *tally) read(engine *media.Engine) media.Counters {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); t.at.IsZero() || now.Sub(t.at) >= time.Second {
		t.at, t.counters = now, engine.Counters()
	}
	return t.counters
}

// mediaReadings are the metrics of the media plane.
func (s *Server) mediaReadings() []metrics.Reading {
	t := new(tally)
	one := func(name, help string, counter bool, value func(media.Counters) float64) metrics.Reading {
		return metrics.Reading{Name: name, Help: help, Counter: counter, Values: func() map[string]float64 {
			return map[string]float64{"": value(t.read(s.media))}
		}}
	}
	return []metrics.Reading{
		{Name: "rtp_dropped_total", Help: "Packets at ports of our media that went no further, by reason.", Label: "reason", Counter: true,
			Values: func() map[string]float64 {
				c := t.read(s.media)
				return map[string]float64{"foreign": float64(c.Foreign), "malformed": float64(c.Malformed),
					"unauthentic": float64(c.Unauthentic), "unsent": float64(c.Unsent)}
			}},
		one("media_sessions", "Legs that have media.", false, func(c media.Counters) float64 { return float64(c.Sessions) }),
		one("media_ports_used", "Port pairs for media that are in use.", false, func(c media.Counters) float64 { return float64(c.PortsUsed) }),
		one("media_conversions", "Streams whose codec is converted now.", false,
			func(c media.Counters) float64 { return float64(c.Conversions) }),
		one("ice_streams", "Streams whose party proves by ICE where it is.", false, func(c media.Counters) float64 { return float64(c.ICE) }),
		one("ice_consent_lost_total", "Times that a party stopped checking where its media goes.", true,
			func(c media.Counters) float64 { return float64(c.ConsentLost) }),
		{Name: "srtp_streams", Help: "Encrypted streams, by how their keys came about.", Label: "method", Values: func() map[string]float64 {
			c := t.read(s.media)
			return map[string]float64{media.SDES: float64(c.SDES), media.DTLS: float64(c.DTLS)}
		}},
		{Name: "dtls_handshakes_total", Help: "DTLS handshakes for keys of SRTP, by their result.", Label: "result", Counter: true, Values: func() map[string]float64 {
			c := t.read(s.media)
			return map[string]float64{"ok": float64(c.Handshakes), "failed": float64(c.HandshakesFailed)}
		}},
	}
}
