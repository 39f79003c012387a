package media

import "dialtone/internal/sdp"

// SetDirect lets the media of the session go straight between the parties: from the next description on, the other party's
// own addresses and keys stand in what this party is told, and no ports are opened. Taken back, the next description brings
// the media here. Both sessions of a call are direct, or none.
func (s *Session) SetDirect(on bool) { s.direct.Store(on) }

// IsDirect reports whether the media of the session does not pass here: nothing can be heard, measured or missed.
func (s *Session) IsDirect() bool { return s.direct.Load() && len(s.Streams()) == 0 }

// CanBeDirect reports whether the party can be reached where its description says, as far as we can tell: the address of its
// media is the one that it signals from, so no NAT stands between (RFC 7362 §3); and no ICE, whose lite half we are.
func (s *Session) CanBeDirect() bool {
	if len(s.remote.Media) == 0 {
		return false
	}
	for i := range s.remote.Media {
		m := &s.remote.Media[i]
		if m.RTP.Port() == 0 {
			continue
		}
		if m.checked() || m.RTP.Addr().IsUnspecified() || m.RTP.Addr() != s.remote.Signalled {
			return false
		}
	}
	return true
}

// pass is the other party's description with nothing changed but its o= line, which goes on from ours.
func (s *Session) pass(theirs *sdp.Description) *sdp.Description {
	ours := theirs.Clone()
	addr := s.peer
	for i := range ours.Media {
		if a := theirs.Address(i).Addr(); a.IsValid() {
			addr = a
			break
		}
	}
	s.sign(ours, addr)
	return ours
}

// directStats is what is known of streams that do not pass here: what the parties have agreed on.
func (s *Session) directStats() []StreamStats {
	var list []StreamStats
	for i := range s.remote.Media {
		m := &s.remote.Media[i]
		if m.RTP.Port() == 0 {
			continue
		}
		x := StreamStats{Kind: m.Kind, Remote: m.RTP}
		for _, p := range m.Payloads {
			if p.isSpeech() {
				x.Codec = p.Name
				break
			}
		}
		switch {
		case len(m.Fingerprints) > 0:
			x.Crypto = DTLS
		case len(m.Crypto) > 0:
			x.Crypto = SDES
		}
		list = append(list, x)
	}
	return list
}
