package media

import (
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/quality"
)

// lookTime is how often the sessions are looked after: consent to send, quality.
const lookTime = 2 * time.Second

// QualityNotice tells that a party has been heard badly, or hears us badly, for ten seconds, or that this is over.
type QualityNotice struct {
	Inbound bool    // what the party sends; else what it receives, by its reports
	Raised  bool    // else cleared
	MOS     float64 // of the last seconds
	LossPct float64 // of the last seconds, 0 to 100
}

// watch is what is remembered of a stream between two looks at it. The engine's watcher owns it.
type watch struct {
	in, out  quality.Alarm
	received uint64 // at the last look
	lost     uint64
	lostOut  uint64
	sentOut  uint64
	blocks   uint32 // reports of the party that were judged
}

// attend looks after the sessions until the engine is closed. With none it sleeps.
func (e *Engine) attend() {
	defer close(e.attended)
	timer := time.NewTimer(lookTime)
	defer timer.Stop()
	var open []*Session
	for {
		clear(open) // a session that has gone must not be kept by a look at it
		open = open[:0]
		e.mu.Lock()
		for s := range e.sessions {
			open = append(open, s)
		}
		e.mu.Unlock()
		var due <-chan time.Time
		if len(open) > 0 {
			timer.Reset(lookTime)
			due = timer.C
		}
		select {
		case <-e.quit:
			return
		case <-e.occupied:
			continue
		case <-due:
		}
		now := time.Now()
		for _, s := range open {
			s.look(now)
		}
	}
}

// look looks after one session.
func (s *Session) look(now time.Time) {
	if s.closed.Load() {
		return
	}
	for _, st := range s.Streams() {
		if st.base.Load() == nil {
			st.rtp.consents(s.engine.now())
			st.rtp.overdue(s.engine.now())
			st.control.overdue(s.engine.now())
			st.fasten(s.engine.now())
		}
		if st.isVoice() {
			st.judge(now)
		}
	}
}

// judge scores the last seconds of a stream, both ways.
func (st *Stream) judge(now time.Time) {
	p := st.carrier().rtp
	p.mu.Lock()
	in := st.in.totals()
	jitter, speech, known := st.in.receiver.Jitter(), st.in.speech, st.in.known
	burst := st.in.burst
	p.mu.Unlock()
	payload, spoken := st.spoken(speech, known)
	if !spoken {
		return
	}
	if st.watch == nil {
		st.watch = new(watch)
	}
	w := st.watch
	received, lost := in.Received-w.received, in.Lost-min(in.Lost, w.lost)
	w.received, w.lost = in.Received, in.Lost
	f := &st.feedback
	f.mu.Lock()
	rtt, jitterOut, lostOut, heard, view := f.rtt, f.jitter, uint64(max(0, f.before+f.lost)), f.blocks > 0, f.view
	blocks := f.blocks
	f.mu.Unlock()
	if received+lost > 0 {
		loss := percent(lost, received+lost)
		mos := score(payload, loss, milliseconds(rtt), milliseconds(jitter), burstRatio(lossFigures(burst)))
		st.notice(&w.in, true, mos, loss, now)
	}
	// The party reports every few seconds; what it says counts once, for all that was sent since it spoke last.
	if !heard || blocks == w.blocks {
		return
	}
	w.blocks = blocks
	sent := st.out.departed().packets
	if lostOut >= w.lostOut && sent > w.sentOut {
		loss := percent(lostOut-w.lostOut, sent-w.sentOut)
		mos := score(payload, loss, milliseconds(rtt), float64(jitterOut)*1000/float64(payload.ClockRate), view.burstRatio())
		st.notice(&w.out, false, mos, loss, now)
	}
	w.sentOut, w.lostOut = sent, lostOut
}

func (st *Stream) notice(a *quality.Alarm, inbound bool, mos, loss float64, now time.Time) {
	raised, cleared := a.Sample(mos, now)
	if tell := st.session.onSound.Load(); tell != nil && (raised || cleared) {
		(*tell)(QualityNotice{Inbound: inbound, Raised: raised, MOS: mos, LossPct: loss})
	}
}

// tuning lets an encoder follow what the party reports. The talker's lock guards it.
type tuning struct {
	encoder codec.Tuner // nil: there is nothing to tune
	adapt   quality.Adapt
}

// tune takes the loss that the party reports of what we say ourselves.
func (t *talker) tune(lossPct float64, rtt, jitter time.Duration, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tuning.encoder == nil {
		return
	}
	bitrate, loss, fec, changed := t.tuning.adapt.Report(lossPct, rtt, jitter, now)
	if !fec {
		loss = 0
	}
	if changed {
		t.tuning.encoder.Tune(loss, bitrate)
	}
}
