package trace

import "dialtone/internal/call"

// Joiner tells a ring which SIP legs belong to which call. It implements call.Observer.
type Joiner struct{ Ring *Ring }

// Observe joins the legs that the call has by now. They are joined again at the end of the call, so that a ring which
// has forgotten the beginning of a long one still finds its end.
func (j Joiner) Observe(n call.Notice) {
	var r *call.Record
	switch n := n.(type) {
	case call.CallStarted:
		r = n.Record
	case call.CallRang:
		r = n.Record
	case call.CallAnswered:
		r = n.Record
	case call.CallEnded:
		r = n.Record
	default:
		return
	}
	for i := range r.Legs {
		if id := r.Legs[i].Info.SIPCallID; id != "" {
			j.Ring.Join(r.ID, id)
		}
	}
}
