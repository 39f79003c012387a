package media

import (
	"hash/fnv"
	"net/netip"
	"strconv"
	"strings"

	"dialtone/internal/sdp"
)

// origin is what has to be remembered of our last description so that the next one carries the right o= line.
type origin struct {
	ID      uint64 `json:"id"`
	Version uint64 `json:"version"`
	Content uint64 `json:"content"` // hash of the description without its o= line
}

// Attributes that speak of addresses which are no longer those of the description.
var (
	sessionICE = [...]string{"ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "ice-pacing"}
	mediaICE   = [...]string{"candidate", "remote-candidates", "end-of-candidates", "ice-ufrag", "ice-pwd",
		"ice-options", "ice-mismatch", "ice-pacing", "bundle-only"}
)

// Localize turns the other party's description into the one that this session's party gets: our address and ports, our
// o= line, whose version grows only when the content changes, and no trace of the other party's ICE. Everything else
// passes: directions, codecs, keys, fingerprints and what nobody here knows. Ports are opened for m-lines that have none yet.
// theirs is not changed. The error is ErrNoPorts when the range is exhausted; ports that were opened on the way
// stay with the session.
func (s *Session) Localize(theirs *sdp.Description) (*sdp.Description, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	addr, err := s.address()
	if err != nil {
		return nil, err
	}
	ours := theirs.Clone()
	bare := len(ours.Media) == 0 // a section relies on the c= line of the session
	for i := range ours.Media {
		if err := s.localize(ours, theirs, i, addr); err != nil {
			return nil, err
		}
		bare = bare || ours.Media[i].Conn == nil
	}
	if ours.Conn != nil || bare {
		ours.Conn = sdp.ConnectionTo(addr)
	}
	ours.RemoveAttributes(sessionICE[:]...)
	ours.Attributes = removeBundle(ours.Attributes)
	s.sign(ours, addr)
	s.link()
	return ours, nil
}

// maxStreams bounds the sockets that one description can make us open; further m-lines are refused.
const maxStreams = 8

// localize rewrites one m-line.
func (s *Session) localize(ours, theirs *sdp.Description, i int, addr netip.Addr) error {
	m := &ours.Media[i]
	if m.Conn != nil {
		m.Conn = sdp.ConnectionTo(addr)
	}
	m.Lines = removeConnections(m.Lines)
	m.RemoveAttributes(mediaICE[:]...)
	if !carriable(m) {
		// RFC 3264 §6: a stream that we cannot carry is offered as refused; the m-line keeps its place.
		m.Port, m.PortCount = 0, 0
		m.RemoveAttributes("rtcp")
		return nil
	}
	// RFC 3264 §8.4: c=0.0.0.0 was the old way to hold. The party gets a real address and the direction in words.
	if theirs.Address(i).Addr().IsUnspecified() {
		m.SetDirection(theirs.Direction(i))
	}
	st := s.stream(i)
	if st == nil && len(s.Streams()) >= maxStreams {
		m.Port, m.PortCount = 0, 0
		return nil
	}
	if st == nil {
		var err error
		if st, err = s.open(i, strings.Clone(m.Kind)); err != nil {
			return err
		}
	}
	st.expect(m, cryptoOf(theirs, m))
	m.Port, m.PortCount = int(st.local().Port()), 0
	s.localizeControl(m, i, st)
	return nil
}

// localizeControl states where RTCP goes.
func (s *Session) localizeControl(m *sdp.Media, i int, st *Stream) {
	// RFC 5761 §5.1.1: a party that offered one port for both gets it; a party that did not is never asked for it
	// again. Only a party that has not spoken yet is offered what the other one offered.
	mux := m.RTCPMux()
	if i < len(s.remote.Media) && s.remote.Media[i].RTP.Port() != 0 {
		mux = s.remote.Media[i].Mux
	}
	switch {
	case !mux:
		m.RemoveAttributes("rtcp-mux", "rtcp-mux-only")
	case !m.RTCPMux():
		m.Attributes = append(m.Attributes, sdp.Attribute{Name: "rtcp-mux"})
	}
	if _, given := m.Attribute("rtcp"); given {
		port := int(st.local().Port()) + 1
		if mux {
			port--
		}
		m.SetAttribute("rtcp", strconv.Itoa(port))
	}
}

// sign gives our description its o= line.
func (s *Session) sign(ours *sdp.Description, addr netip.Addr) {
	ours.Origin = sdp.Origin{Username: "-"}
	ours.Origin.SetAddress(addr)
	h := fnv.New64a()
	h.Write(ours.Bytes()) //nolint:errcheck // a hash does not fail
	// RFC 3264 §8: the version grows by one when the description differs from the previous one, else it stays.
	if sum := h.Sum64(); sum != s.origin.Content || s.origin.Version == 0 {
		s.origin.Content = sum
		s.origin.Version++
	}
	ours.Origin.SessID, ours.Origin.SessVersion = s.origin.ID, s.origin.Version
}

// removeBundle takes out the grouping of streams onto one port: here every stream has a port of its own
// (RFC 9143 §7.3: an answerer that does not support it leaves the group out).
func removeBundle(attributes []sdp.Attribute) []sdp.Attribute {
	kept := attributes[:0]
	for _, a := range attributes {
		if a.Name == "group" && strings.HasPrefix(a.Value, "BUNDLE") {
			continue
		}
		kept = append(kept, a)
	}
	return kept
}

// removeConnections takes out further c= lines of a section.
func removeConnections(lines []sdp.Line) []sdp.Line {
	kept := lines[:0]
	for _, l := range lines {
		if l.Type != 'c' {
			kept = append(kept, l)
		}
	}
	return kept
}
