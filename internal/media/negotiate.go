package media

import (
	"hash/fnv"
	"net/netip"
	"slices"
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

// Attributes that hold between the other party and us alone: addresses, keys, and what identifies its sources.
var (
	sessionOwn = [...]string{"ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "ice-pacing", "fingerprint", "setup",
		"tls-id", "key-mgmt", "msid-semantic", "rtcp-xr"}
	mediaOwn = [...]string{"candidate", "remote-candidates", "end-of-candidates", "ice-ufrag", "ice-pwd",
		"ice-options", "ice-mismatch", "ice-pacing", "bundle-only", "crypto", "fingerprint", "setup", "tls-id", "connection",
		"key-mgmt", "ssrc", "ssrc-group", "msid", "rtcp-rsize", "rtcp-mux-only"}
	// What only browsers understand, and what they do not need to be told by a telephone.
	browserOwn = [...]string{"mid", "extmap", "extmap-allow-mixed", "rid", "simulcast"}
)

// maxStreams bounds the sockets that one description can make us open; further m-lines are refused.
const maxStreams = 8

// Offer turns what the other party wants into the offer that this session's party gets: our address and ports, our o= line,
// whose version grows only when the content changes, the encryption that the terms ask for, and after the other party's
// codecs those that we can convert. Directions and what nobody here knows pass. Ports are opened for m-lines that have none
// yet. theirs is not changed. The error is ErrNoPorts when the range is exhausted; ports that were opened on the way stay
// with the session.
func (s *Session) Offer(theirs *sdp.Description) (*sdp.Description, error) {
	s.asked = false
	return s.localize(theirs, (*Session).offer)
}

// Answer is Offer for the answer to the party's last RemoteOffer, from the other party's answer. Where that has a codec of the
// offer, the answer has the same ones; else ours is answered with a codec that is converted to one of theirs. The
// error is ErrNoCommonCodec when nothing is left of an offer.
func (s *Session) Answer(theirs *sdp.Description) (*sdp.Description, error) {
	ours, err := s.localize(theirs, (*Session).answer)
	if err != nil {
		return nil, err
	}
	s.asked = false
	if err := s.secure(); err != nil {
		return nil, err
	}
	return ours, nil
}

// localize makes our description; rewrite is what becomes of each m-line that has a stream.
func (s *Session) localize(theirs *sdp.Description, rewrite func(*Session, *section) error) (*sdp.Description, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if s.direct.Load() {
		return s.pass(theirs), nil
	}
	addr, err := s.address()
	if err != nil {
		return nil, err
	}
	ours := theirs.Clone()
	bare := len(ours.Media) == 0 // a section relies on the c= line of the session
	had := theirs.AnyPort()
	for i := range ours.Media {
		if err := s.rewrite(ours, theirs, i, addr, rewrite); err != nil {
			return nil, err
		}
		bare = bare || ours.Media[i].Conn == nil
	}
	if had && !ours.AnyPort() && s.refused != nil {
		return nil, s.refused
	}
	if ours.Conn != nil || bare {
		ours.Conn = sdp.ConnectionTo(addr)
	}
	ours.RemoveAttributes(sessionOwn[:]...)
	ours.Attributes = removeBundle(ours.Attributes)
	s.describeTransport(ours)
	s.sign(ours, addr)
	s.link()
	return ours, nil
}

// section is one m-line on its way from the other party's description into ours.
type section struct {
	theirs  *sdp.Description
	index   int
	m       *sdp.Media // ours, to be rewritten
	stream  *Stream
	party   *destination // what this party has said of the m-line; nil when it has not spoken of it
	foreign bool         // the other party is a browser and this one is not, or the other way about
}

// rewrite makes one m-line ours.
func (s *Session) rewrite(ours, theirs *sdp.Description, i int, addr netip.Addr, with func(*Session, *section) error) error {
	m := &ours.Media[i]
	if m.Conn != nil {
		m.Conn = sdp.ConnectionTo(addr)
	}
	m.Lines = removeConnections(m.Lines)
	browser := isBrowser(theirs, i)
	m.RemoveAttributes(mediaOwn[:]...)
	if !carriable(m) {
		// RFC 3264 §6: a stream that we cannot carry is offered as refused; the m-line keeps its place.
		s.refuse(m, i)
		return nil
	}
	// RFC 3264 §8.4: c=0.0.0.0 was the old way to hold. The party gets a real address and the direction in words.
	if theirs.Address(i).Addr().IsUnspecified() {
		m.SetDirection(theirs.Direction(i))
	}
	st := s.stream(i)
	if st == nil && len(s.Streams()) >= maxStreams {
		s.refuse(m, i)
		return nil
	}
	if st == nil {
		var err error
		if st, err = s.open(i, strings.Clone(m.Kind), m.IsRTP(), s.carrierOf(ours, i)); err != nil {
			return err
		}
	}
	x := section{theirs: theirs, index: i, m: m, stream: st, party: s.said(i)}
	x.foreign = browser != s.speaksToBrowser(x.party)
	if x.foreign {
		m.RemoveAttributes(browserOwn[:]...)
		ours.RemoveAttributes(browserOwn[:]...)
		m.Attributes = slices.DeleteFunc(m.Attributes, isCongestionControl)
	}
	if err := with(s, &x); err != nil {
		return err
	}
	if m.Port == 0 {
		return nil
	}
	m.Port, m.PortCount = int(st.carrier().local().Port()), 0
	s.localizeControl(m, &x)
	st.expect(m)
	return nil
}

// said is what the party's description has of an m-line; nil when nothing.
func (s *Session) said(i int) *destination {
	if i >= len(s.remote.Media) {
		return nil
	}
	return &s.remote.Media[i]
}

// refuse gives an m-line port 0; what identifies it in a bundle stays that of the party.
func (s *Session) refuse(m *sdp.Media, i int) {
	m.Port, m.PortCount = 0, 0
	m.RemoveAttributes("rtcp", "rtcp-mux")
	if party := s.said(i); party != nil {
		m.Proto = party.Proto
	}
}

// isBrowser tells whether a description of the other party was written by a WebRTC endpoint.
func isBrowser(d *sdp.Description, i int) bool {
	_, ice := d.ICE(i)
	return ice && strings.HasPrefix(strings.ToUpper(d.Media[i].Proto), "UDP/TLS/")
}

// speaksToBrowser tells whether this session's party is one.
func (s *Session) speaksToBrowser(party *destination) bool {
	return s.terms.Browser || party != nil && party.checked()
}

// offer makes an m-line that the party is asked to agree to.
func (s *Session) offer(x *section) error {
	m := x.m
	if m.IsRTP() {
		x.offerReports()
		s.offerCodecs(x)
		return s.offerTransport(x)
	}
	return nil
}

// answer makes the m-line that answers the party's own.
func (s *Session) answer(x *section) error {
	m := x.m
	if x.party == nil || x.party.RTP.Port() == 0 {
		s.refuse(m, x.index)
		return nil
	}
	if !m.IsRTP() || !x.party.IsRTP {
		return nil
	}
	if err := s.answerCodecs(x); err != nil {
		// The stream is refused; when it was the last one, the call hears why.
		s.refused = err
		s.refuse(m, x.index)
		return nil
	}
	x.answerReports()
	return s.answerTransport(x)
}

// localizeControl states where RTCP goes.
func (s *Session) localizeControl(m *sdp.Media, x *section) {
	// RFC 5761 §5.1.1: a party that offered one port for both gets it; a party that did not is never asked for it
	// again. Only a party that has not spoken yet is offered what the other one offered.
	mux := m.RTCPMux() || m.IsRTP() && strings.HasPrefix(m.Proto, "UDP/TLS/") // RFC 8834 §4.5
	switch {
	case x.party != nil && x.party.RTP.Port() != 0:
		mux = x.party.Mux
	case x.foreign:
		mux = mux && strings.HasPrefix(m.Proto, "UDP/TLS/") // Interop: few telephones know it
	}
	switch {
	case !mux:
		m.RemoveAttributes("rtcp-mux")
	case !m.RTCPMux():
		m.Attributes = append(m.Attributes, sdp.Attribute{Name: "rtcp-mux"})
	}
	if _, given := m.Attribute("rtcp"); given {
		port := m.Port + 1
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

// removeBundle takes out the grouping of streams onto one port; describeTransport puts ours in.
func removeBundle(attributes []sdp.Attribute) []sdp.Attribute {
	return slices.DeleteFunc(attributes, func(a sdp.Attribute) bool {
		return a.Name == "group" && strings.HasPrefix(a.Value, "BUNDLE")
	})
}

// isCongestionControl reports whether an attribute asks for feedback that needs a header extension which is not passed on
// (transport-wide congestion control).
func isCongestionControl(a sdp.Attribute) bool {
	return a.Name == "rtcp-fb" && strings.HasSuffix(a.Value, " transport-cc")
}

// removeConnections takes out further c= lines of a section.
func removeConnections(lines []sdp.Line) []sdp.Line {
	return slices.DeleteFunc(lines, func(l sdp.Line) bool { return l.Type == 'c' })
}
