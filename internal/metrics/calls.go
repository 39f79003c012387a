package metrics

import "dialtone/internal/call"

// Observe implements call.Observer: it counts calls at their end, with the scores of their legs, and those that sound bad
// meanwhile.
func (m *Metrics) Observe(n call.Notice) {
	if sounded, is := n.(call.CallSounded); is {
		m.poor.sounded(sounded)
		return
	}
	ended, is := n.(call.CallEnded)
	if !is {
		return
	}
	r := ended.Record
	m.poor.ended(r.ID)
	m.CallEnded(string(r.Direction), r.Cause.Words)
	for i := range r.Legs {
		for _, s := range r.Legs[i].Streams {
			for _, mos := range [...]float64{s.MOSIn, s.MOSOut} {
				if mos > 0 { // 0 is unknown
					m.CallMOS(mos)
				}
			}
		}
	}
}
