package server

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/admin/form"
	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/cdr"
	"dialtone/internal/directory"
	"dialtone/internal/sip/transport"
)

// live shows the API what is going on.
type live struct{ s *Server }

var _ admin.Live = live{}

// Calls implements admin.Live.
func (l live) Calls() []admin.Call {
	records := l.s.exchange.Calls().Records()
	out := make([]admin.Call, len(records))
	for i, r := range records {
		out[i] = admin.Call{ID: r.ID, Tenant: r.Tenant.String(), Direction: string(r.Direction), From: r.From.Number, To: r.Dialled,
			State: stateOf(r), Start: cdr.Time{Time: r.Start}, Ring: timeOf(r.Ring), Answer: timeOf(r.Answer)}
		scores := l.scores(r.ID)
		for _, leg := range r.Legs {
			c := admin.CallLeg{ID: leg.ID, Device: known(leg.Info.Device), Remote: leg.Info.Remote, UserAgent: known(leg.Info.UserAgent), SIPCallID: leg.Info.SIPCallID}
			for _, s := range leg.Streams {
				if s.Kind == "audio" {
					c.Codec = known(strings.ToLower(s.Codec))
				}
			}
			c.MOSIn, c.MOSOut = scores[leg.ID][0], scores[leg.ID][1]
			out[i].Legs = append(out[i].Legs, c)
		}
	}
	return out
}

func stateOf(r *call.Record) string {
	switch {
	case r.OnHold:
		return "held"
	case r.IsAnswered():
		return "answered"
	case !r.Ring.IsZero():
		return "ringing"
	}
	return "starting"
}

// known is the text, or null where there is none.
func known(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func timeOf(t time.Time) *cdr.Time {
	if t.IsZero() {
		return nil
	}
	return &cdr.Time{Time: t}
}

// Hangup implements admin.Live.
func (l live) Hangup(id string) bool {
	return l.s.exchange.Calls().Hangup(id, cause.Normal(cause.System))
}

// NextHop implements admin.Live.
func (l live) NextHop(id directory.ID) []form.HopState {
	if l.s.hops == nil {
		return nil
	}
	var out []form.HopState
	for _, state := range l.s.hops.States(id) {
		f := form.HopState{URI: state.URI, State: state.Word}
		if !state.Since.IsZero() {
			f.Since = state.Since.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		out = append(out, f)
	}
	return out
}

// Status implements admin.Live.
func (l live) Status() admin.Status { return l.s.Status() }

// Status tells how the server is.
func (s *Server) Status() admin.Status {
	counts := s.directory.Snapshot().Counts()
	st := admin.Status{Version: Version, Node: s.options.Config.Node, State: "running", Started: cdr.Time{Time: s.started}, Data: s.options.Config.Data,
		Calls: s.exchange.Calls().Len(), Registrations: s.locations.Count(), Tenants: counts.Tenants, Lines: counts.Lines}
	if s.exchange.IsDraining() {
		st.State = "draining"
	}
	st.Listeners = s.listening()
	if n := s.ring.Dropped(); n > 0 {
		st.Warnings = append(st.Warnings, fmt.Sprintf("%d messages are missing in the ladder: the disk is too slow", n))
	}
	if w := s.writer.Stats(); w.Lost > 0 || w.Refused > 0 {
		st.Warnings = append(st.Warnings, fmt.Sprintf("%d call records were lost and %d set aside", w.Lost, w.Refused))
	}
	st.Warnings = append(st.Warnings, s.hopWarnings()...)
	if err := s.locations.SaveError(); err != nil {
		st.Warnings = append(st.Warnings, fmt.Sprintf("%d registrations wait to be saved: %v", s.locations.Unsaved(), err))
	}
	return st
}

// hopWarnings tells which servers behind are no good.
func (s *Server) hopWarnings() (out []string) {
	if s.hops == nil {
		return nil
	}
	for _, state := range s.hops.All() {
		switch state.Word {
		case "down":
			out = append(out, fmt.Sprintf("next hop %s: %s is down", state.Set, state.URI))
		case "loop":
			out = append(out, fmt.Sprintf("next hop %s: %s leads back here", state.Set, state.URI))
		}
	}
	return out
}

// listening is where the server is bound, with the ports that the system gave.
func (s *Server) listening() []admin.StatusListener {
	var out []admin.StatusListener
	seen := map[transport.Kind]int{}
	for _, l := range s.options.Config.SIP.Listen {
		k := transport.ParseKind(l.Transport)
		addrs := s.transport.Addrs(k)
		if n := seen[k]; n < len(addrs) {
			l.Addr = addrs[n]
		}
		seen[k]++
		out = append(out, admin.StatusListener{URL: l.Transport + "://" + l.Addr.String(), Role: string(l.Role)})
	}
	out = append(out, s.turnListening()...)
	for _, h := range s.httpListeners() {
		out = append(out, admin.StatusListener{URL: h.String(), Role: "http"})
	}
	return out
}

// SIPAddr is the address of the first UDP listener, or of the first listener at all, as host:port on this machine.
func (s *Server) SIPAddr() string {
	for _, k := range []transport.Kind{transport.UDP, transport.TCP, transport.TLS, transport.WS, transport.WSS} {
		addrs := s.transport.Addrs(k)
		if len(addrs) == 0 {
			continue
		}
		return reachable(addrs[0])
	}
	return ""
}

// reachable is a bound address as it is reached from this machine.
func reachable(a netip.AddrPort) string {
	if a.Addr().IsUnspecified() {
		return "127.0.0.1:" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}

// URL is where the API is served on this machine; "" when it is not served over HTTP.
func (s *Server) URL() string {
	if listeners := s.httpListeners(); len(listeners) > 0 {
		return listeners[0].URL()
	}
	return ""
}

// Listening describes every listener in one line each, for the log and the terminal.
func (s *Server) Listening() []string {
	var out []string
	for _, l := range s.listening() {
		out = append(out, l.URL+" ("+l.Role+")")
	}
	return out
}
