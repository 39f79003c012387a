package media

import (
	"math/rand/v2"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// RequestPicture asks the party for a whole picture of its video by RTCP (RFC 4585 §6.3.1); false when it has none, or takes
// no such requests: ask by the signalling then (RFC 5168).
func (s *Session) RequestPicture() bool {
	for _, st := range s.Streams() {
		if st.Kind() == "video" && st.feedbackTaken.Load() && st.requestPicture() {
			return true
		}
	}
	return false
}

// OnPicture changes who is told that the party asks for a whole picture which cannot be asked for by RTCP on the other
// side. It runs on a media worker: post it to a mailbox and return.
func (s *Session) OnPicture(f func()) {
	if f == nil {
		s.onPicture.Store(nil)
		return
	}
	s.onPicture.Store(&f)
}

// requestPicture sends a PLI about what the party shows, in a compound (RFC 3550 §6.1); false when nothing was shown yet.
func (st *Stream) requestPicture() bool {
	p := st.carrier().rtp
	p.mu.Lock()
	shown, ssrc := st.in.receiver.Valid(), st.in.receiver.SSRC
	p.mu.Unlock()
	if !shown {
		return false
	}
	own := rand.Uint32()
	report := rtp.Report{SSRC: own}
	b := report.Append(make([]byte, 0, 256))
	b = rtp.AppendCNAME(b, own, st.session.cname)
	b = rtp.PictureLossIndication(own, ssrc).Append(b)
	st.sendControl([]network.Packet{{Data: b}})
	return true
}

// asksForPicture reports whether a compound has a PLI or FIR.
func asksForPicture(compound []byte) bool {
	for len(compound) > 0 {
		p, rest, err := rtp.NextControl(compound)
		if err != nil {
			return false
		}
		compound = rest
		if p.Type != rtp.TypePayloadFeedback {
			continue
		}
		if f, err := rtp.ParseFeedback(p); err == nil && (f.Kind() == rtp.PictureLoss || f.Kind() == rtp.IntraRequest) {
			return true
		}
	}
	return false
}
