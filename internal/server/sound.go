package server

import (
	"log/slog"
	"math"

	"dialtone/internal/admin"
	"dialtone/internal/call"
)

// sound tells people how calls sound.
type sound struct{ log *slog.Logger }

// Observe implements call.Observer.
func (w sound) Observe(n call.Notice) {
	s, is := n.(call.CallSounded)
	if !is {
		return
	}
	words := "call sounds well again"
	if s.Raised {
		words = "call sounds bad"
	}
	w.log.Warn(words, "call", s.Record.ID, "leg", s.Leg, "direction", directionOf(s.Inbound), "mos", twoPlaces(s.MOS), "loss", s.LossPct/100)
}

// directionOf is the way of the media, seen from the exchange.
func directionOf(inbound bool) string {
	if inbound {
		return "in"
	}
	return "out"
}

func twoPlaces(f float64) float64 { return math.Round(f*100) / 100 }

// CallSounded is the payload of "call.quality": a leg has sounded bad for ten seconds, or well again for as long.
type CallSounded struct {
	Call      string  `json:"call"`
	Leg       string  `json:"leg"`
	Direction string  `json:"direction"` // "in": what the party sends; "out": what it receives
	MOS       float64 `json:"mos"`       // of the last seconds, 1 to 4.5
	Loss      float64 `json:"loss"`      // share of packets, 0 to 1
	Raised    bool    `json:"raised"`
}

// EventType implements event.Data.
func (CallSounded) EventType() string { return "call.quality" }

func soundedOf(n call.CallSounded) CallSounded {
	return CallSounded{Call: n.Record.ID, Leg: n.Leg, Direction: directionOf(n.Inbound), MOS: twoPlaces(n.MOS),
		Loss: math.Round(n.LossPct*100) / 10_000, Raised: n.Raised}
}

// Media implements admin.Live.
func (l live) Media(id string) (admin.CallMedia, bool) {
	c, ok := l.s.exchange.Calls().Call(id)
	if !ok {
		return admin.CallMedia{}, false
	}
	out := admin.CallMedia{Call: id, Legs: []admin.LegMedia{}}
	devices := map[string]string{}
	for _, leg := range c.Record().Legs {
		devices[leg.ID] = leg.Info.Device
	}
	for _, m := range c.Media() {
		out.Legs = append(out.Legs, admin.LegMedia{ID: m.Leg, Device: known(devices[m.Leg]), Streams: m.Session.Stats(), Chain: m.Session.String()})
	}
	return out, true
}

// scores are how each leg of a call sounds now, both ways, by the ID of the leg.
func (l live) scores(id string) map[string][2]*float64 {
	c, ok := l.s.exchange.Calls().Call(id)
	if !ok {
		return nil
	}
	out := map[string][2]*float64{}
	for _, m := range c.Media() {
		for _, s := range m.Session.Stats() {
			if s.Kind == "audio" {
				out[m.Leg] = [2]*float64{score(s.MOSIn), score(s.MOSOut)}
				break
			}
		}
	}
	return out
}

// score is null while it is unknown.
func score(mos float64) *float64 {
	if mos <= 0 {
		return nil
	}
	return new(twoPlaces(mos))
}
