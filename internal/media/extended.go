package media

import (
	"time"

	"dialtone/internal/quality"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

// ownReports are the extended reports (RFC 3611) that we send and understand ourselves.
func ownReports() sdp.ExtendedReports {
	return sdp.ExtendedReports{RoundTrip: sdp.RoundTripAll, VoIPMetrics: true}
}

// offerReports passes on what the other party would have, where it says so for all streams at once. Nothing is added: what
// the other party does not ask for would come to it all the same, as long as the parties' own reports pass.
func (x *section) offerReports() {
	if _, own := x.m.Attribute("rtcp-xr"); own {
		return
	}
	if reports, ok := x.theirs.ExtendedReports(x.index); ok {
		x.m.SetExtendedReports(reports)
	}
}

// answerReports agrees to what the other party has agreed to, and to what we do ourselves.
//
// RFC 3611 §5.2: an answer says something of extended reports only where the offer does.
func (x *section) answerReports() {
	if x.party.Reports == nil {
		x.m.RemoveAttributes("rtcp-xr")
		return
	}
	theirs, _ := x.theirs.ExtendedReports(x.index)
	theirs.VoIPMetrics, theirs.RoundTrip = true, sdp.RoundTripAll
	x.m.SetExtendedReports(theirs.AnswerTo(*x.party.Reports))
}

// view is how the party says that it hears us (RFC 3611 §4.7).
type view struct {
	mos    float64 // 1 to 5; 0 unknown
	bursts float64 // burst ratio of what it has lost; 0 unknown
}

// burstRatio is how much more the losses stand together than random ones do; 1 where nothing is known.
func (v *view) burstRatio() float64 {
	if v == nil {
		return 1
	}
	return max(1, v.bursts)
}

// readExtended takes an extended report of the party.
func (st *Stream) readExtended(p rtp.ControlPacket, now int64) {
	var x rtp.ExtendedReport
	if x.Parse(p) != nil {
		st.control.malformed.Add(1)
		return
	}
	if reference, ok := x.Reference(time.Duration(now)); ok {
		port := st.carrier().rtp
		port.mu.Lock()
		st.in.reference = &reference
		port.mu.Unlock()
	}
	f := &st.feedback
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range x.References {
		f.returned(r.LRR, r.DLRR, now)
	}
	for i := range x.Metrics {
		if m := &x.Metrics[i]; st.out.says(m.SSRC) {
			f.view = viewOf(m)
		}
	}
}

// viewOf reads the party's figures: its score of conversing, else of listening, else what its rating factor comes to.
func viewOf(m *rtp.VoIPMetrics) *view {
	v := new(view)
	if mos, ok := m.Conversation(); ok {
		v.mos = mos
	} else if mos, ok := m.Listening(); ok {
		v.mos = mos
	} else if r, ok := m.Rating(); ok {
		v.mos = quality.Score(r)
	}
	v.bursts = burstRatio(m.Figures(), frameTime)
	return v
}

// appendExtended adds the extended report that the party takes, if it takes one, to a compound of ours.
func (st *Stream) appendExtended(dst []byte, ssrc uint32, now int64, speaks bool) []byte {
	wanted := st.reports.Load()
	if wanted == nil {
		return dst
	}
	x := rtp.ExtendedReport{SSRC: ssrc}
	var references [1]rtp.LastReference
	var metrics [1]rtp.VoIPMetrics
	if wanted.RoundTrip != sdp.RoundTripNone {
		if !speaks { // a sender report says it already
			x.ReferenceTime = rtp.NTP(st.session.engine.wall(now))
			st.feedback.sentReport(rtp.Middle(x.ReferenceTime), now)
		}
		// RFC 3611 §5.1: with "sender" only who sends RTP answers.
		if r, ok := st.answerTo(now); ok && (speaks || wanted.RoundTrip == sdp.RoundTripAll) {
			x.References = append(references[:0], r)
		}
	}
	if wanted.VoIPMetrics {
		if r, ok := st.reception(); ok {
			x.Metrics = append(metrics[:0], r.Metrics())
		}
	}
	if x.ReferenceTime == 0 && len(x.References) == 0 && len(x.Metrics) == 0 {
		return dst
	}
	return x.Append(dst)
}

// answerTo is the answer to the party's last reference time.
func (st *Stream) answerTo(now int64) (rtp.LastReference, bool) {
	port := st.carrier().rtp
	port.mu.Lock()
	defer port.mu.Unlock()
	if st.in.reference == nil {
		return rtp.LastReference{}, false
	}
	return st.in.reference.Answer(time.Duration(now)), true
}

// reception is how the party's packets are received: by the jitter buffer where they go through one, else as they come in.
func (st *Stream) reception() (r rtp.Reception, ok bool) {
	port := st.carrier().rtp
	port.mu.Lock()
	in := &st.in
	ssrc, valid, speech, known := in.receiver.SSRC, in.receiver.Valid(), in.speech, in.known
	burst := in.burst
	port.mu.Unlock()
	if !valid {
		return r, false
	}
	figures, packet := lossFigures(burst)
	r.Figures = figures
	if c := st.chain.Load(); c != nil {
		if b, is := c.out.(*bridge); is {
			if stats, converts := b.received(); converts {
				r = stats.Reception()
				r.EndSystemDelay = stats.Nominal + 2*frameTime // a packet of the party, and one of ours
			}
		}
	}
	r.SSRC = ssrc
	st.feedback.mu.Lock()
	r.RoundTrip = st.feedback.rtt
	st.feedback.mu.Unlock()
	if codec, spoken := st.spoken(speech, known); spoken {
		lost := 100 * (r.Figures.LossRate + r.Figures.DiscardRate)
		delay := milliseconds(r.RoundTrip/2 + max(r.EndSystemDelay, frameTime))
		bursts := burstRatio(r.Figures, packet)
		r.R = quality.R(codec.rated(), lost, delay, bursts)
		r.MOSLQ, r.MOSCQ = quality.MOS(codec.rated(), lost, 0, bursts), quality.MOS(codec.rated(), lost, delay, bursts)
	}
	return r, true
}
