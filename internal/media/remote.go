package media

import (
	"net/netip"
	"strings"

	"dialtone/internal/sdp"
)

// description is what is kept of the party's last description. It is plain data, so that it can be written down.
type description struct {
	Origin    string        `json:"origin"` // o= line, to tell a new version from a repetition
	Signalled netip.Addr    `json:"signalled"`
	Media     []destination `json:"media"`
}

// destination is one m-line of the party.
type destination struct {
	Kind         string            `json:"kind"`
	Proto        string            `json:"proto"`
	RTP          netip.AddrPort    `json:"rtp"`     // as written; port 0 removed, unspecified address old hold
	Control      netip.AddrPort    `json:"control"` // without regard to Mux
	Mux          bool              `json:"mux,omitempty"`
	IsRTP        bool              `json:"is_rtp,omitempty"`
	Direction    string            `json:"direction"`          // as the party sees it
	Feedback     bool              `json:"feedback,omitempty"` // it takes requests for pictures by RTCP (RFC 4585)
	Payloads     []payload         `json:"payloads,omitempty"`
	PTime        int               `json:"ptime,omitempty"` // milliseconds; 0 unsaid
	MID          string            `json:"mid,omitempty"`
	Carrier      int               `json:"carrier"`           // index of the m-line whose port carries this one (RFC 9143); its own without
	Bundled      bool              `json:"bundled,omitempty"` // it stands in a bundle, alone or with others
	Crypto       []sdp.Crypto      `json:"crypto,omitempty"`
	Fingerprints []sdp.Fingerprint `json:"fingerprints,omitempty"`
	Setup        sdp.Setup         `json:"setup,omitempty"`
	ICE          credentials       `json:"ice,omitzero"`

	Reports *sdp.ExtendedReports `json:"reports,omitempty"` // a=rtcp-xr; nil when the party says nothing of it
}

// credentials are ICE's of one side of a stream (RFC 8839 §5.4); empty where it does not speak ICE.
type credentials struct {
	Ufrag string `json:"ufrag,omitempty"`
	Pwd   string `json:"pwd,omitempty"`
}

// checked reports whether the party proves by ICE where it is: a browser, or an endpoint that speaks like one.
func (d destination) checked() bool {
	return d.ICE.Ufrag != "" && strings.HasPrefix(d.Proto, "UDP/TLS/")
}

// receives reports whether packets may be sent to the party at all. a=sendonly does not forbid it here: who puts
// whom on hold is between the parties, and music on hold goes to a party that said recvonly.
func (d destination) receives() bool {
	if d.checked() {
		return d.RTP.Port() != 0 // where to is not for the description to say
	}
	return d.RTP.Port() != 0 && d.RTP.Addr().IsValid() && !d.RTP.Addr().IsUnspecified()
}

// reachable is an address that a description names, or nothing when no party can be there: it must not make us send to
// a group of hosts, or to services of our own machine.
func reachable(named netip.AddrPort, signalled netip.Addr) netip.AddrPort {
	a := named.Addr().Unmap()
	switch {
	case !a.IsValid(), a.IsUnspecified(), named.Port() == 0, a.IsMulticast(), a == broadcast,
		a.IsLoopback() && !signalled.IsLoopback():
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, named.Port())
}

// reachable is reachable for somebody who signals from elsewhere also as to the addresses of this machine: of its ports only those of
// our media are for others. A call that comes back to us through a proxy names them.
func (e *Engine) reachable(named netip.AddrPort, signalled netip.Addr) netip.AddrPort {
	to := reachable(named, signalled)
	if to.IsValid() && to.Addr() != signalled && !e.ports.covers(to.Port()) && e.owns(to.Addr()) && !e.owns(signalled) {
		return netip.AddrPort{}
	}
	return to
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// mutes reports whether the party does not want to hear what we say ourselves.
func (d destination) mutes() bool {
	return d.Direction == sdp.SendOnly.String() || d.Direction == sdp.Inactive.String()
}

// RemoteOffer takes an offer of the party: where its media goes, which sources may speak for it, how it would have the
// streams encrypted. signalling is the address that the description came from; the zero Addr keeps the one known before.
// The error says why the offer cannot be agreed to (ErrPlain, ErrEncrypted, ErrSuite); the session is as it was then.
//
// The destination is the address in the description until a packet of the party arrives (see Latching). A repeated
// description changes nothing; one with another version lets the party move once; one with another address
// forgets what was learnt. Keys take effect with Answer. The m-lines of a bundle, which may leave some of their attributes
// to the first, are given them.
func (s *Session) RemoteOffer(theirs *sdp.Description, signalling netip.Addr) error {
	if err := s.hear(theirs, signalling); err != nil {
		return err
	}
	s.asked = true
	return nil
}

// RemoteAnswer takes the party's answer to our offer, as RemoteOffer does; a further answer (of another branch, or in the
// 2xx) takes the place of the one before. Keys take effect at once.
func (s *Session) RemoteAnswer(theirs *sdp.Description, signalling netip.Addr) error {
	if err := s.hear(theirs, signalling); err != nil {
		return err
	}
	s.asked = false
	return s.secure()
}

func (s *Session) hear(theirs *sdp.Description, signalling netip.Addr) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if !signalling.IsValid() {
		signalling = s.remote.Signalled
	}
	if !signalling.IsValid() {
		signalling = s.peer.WithZone("")
	}
	unfold(theirs)
	d := describe(theirs, signalling.Unmap().WithZone(""))
	if err := s.terms.admits(&d); err != nil {
		return err
	}
	s.previous = s.remote
	s.apply(d)
	return nil
}

// Rollback undoes the last RemoteOffer: it was refused, and the session stays as it was (RFC 3261 §14.2). What was
// learnt from packets in between is forgotten where the address differs.
func (s *Session) Rollback() {
	if s.closed.Load() || s.previous.Origin == "" {
		return
	}
	s.asked = false
	s.apply(s.previous)
}

func (s *Session) apply(d description) {
	changed := d.Origin != s.remote.Origin
	s.remote = d
	s.held.Store(d.held())
	for _, st := range s.Streams() {
		if st.index < len(d.Media) {
			st.direct(d.Media[st.index], d.Signalled, changed)
		}
	}
}

// held reports whether there is audio and none of it may flow to the party.
func (d description) held() bool {
	held := false
	for _, m := range d.Media {
		if m.Kind != "audio" || m.RTP.Port() == 0 {
			continue
		}
		if !m.mutes() {
			return false
		}
		held = true
	}
	return held
}

// describe reads what the media plane needs out of a description.
func describe(theirs *sdp.Description, signalling netip.Addr) description {
	o := theirs.Origin
	d := description{Signalled: signalling, Media: make([]destination, len(theirs.Media))}
	d.Origin = originText(o)
	carriers, bundled := bundles(theirs)
	for i := range theirs.Media {
		m := &theirs.Media[i]
		to := destination{
			Kind: strings.Clone(m.Kind), Proto: strings.ToUpper(m.Proto), Direction: theirs.Direction(i).String(),
			RTP: theirs.Address(i), Control: theirs.RTCPAddress(i), Mux: m.RTCPMux(), IsRTP: m.IsRTP(),
			Payloads: payloadsOf(m), PTime: m.PTime(), Carrier: carriers[i], Bundled: bundled[i],
			Fingerprints: theirs.Fingerprints(i), Setup: theirs.Setup(i),
		}
		_, to.Feedback = m.Attribute("rtcp-fb")
		to.Feedback = to.Feedback || strings.HasSuffix(to.Proto, "F")
		mid, _ := m.Attribute("mid")
		to.MID = strings.Clone(mid)
		for _, c := range m.Cryptos() {
			c.Suite = strings.Clone(c.Suite)
			to.Crypto = append(to.Crypto, c)
		}
		if agent, ok := theirs.ICE(i); ok && !agent.Mismatch && !agent.Lite {
			to.ICE = credentials{strings.Clone(agent.Ufrag), strings.Clone(agent.Pwd)}
		}
		if x, ok := theirs.ExtendedReports(i); ok {
			to.Reports = new(x.Clone())
		}
		if !carriable(m) {
			to.RTP = netip.AddrPort{}
		}
		d.Media[i] = to
	}
	return d
}

// unfold writes out at each m-line of a bundle what it may leave to the one whose port it shares (RFC 9143 §7.1.3, of the
// categories TRANSPORT and IDENTICAL in RFC 8859), so that from then on an m-line speaks for itself.
func unfold(theirs *sdp.Description) {
	carriers, _ := bundles(theirs)
	for i, carrier := range carriers {
		if carrier == i {
			continue
		}
		m, base := &theirs.Media[i], &theirs.Media[carrier]
		if _, only := m.Attribute("bundle-only"); only && m.Port == 0 { // RFC 9143 §6
			m.Port, m.PortCount, m.Conn = base.Port, base.PortCount, base.Conn
		}
		m.RemoveAttributes("bundle-only")
		for _, name := range [...]string{"fingerprint", "setup", "ice-ufrag", "ice-pwd", "rtcp-mux"} {
			if _, own := m.Attribute(name); own {
				continue
			}
			for _, a := range base.Attributes {
				if a.Name == name {
					m.Attributes = append(m.Attributes, a)
				}
			}
		}
	}
}

// bundles tells for each m-line which one's port carries it, the first of its group (RFC 9143 §7.2), and whether it is in one.
func bundles(theirs *sdp.Description) (carriers []int, bundled []bool) {
	carriers, bundled = make([]int, len(theirs.Media)), make([]bool, len(theirs.Media))
	byMID := make(map[string]int, len(theirs.Media))
	for i := range theirs.Media {
		carriers[i] = i
		if mid, ok := theirs.Media[i].Attribute("mid"); ok {
			byMID[mid] = i
		}
	}
	for _, a := range theirs.Attributes {
		members, found := strings.CutPrefix(a.Value, "BUNDLE ")
		if a.Name != "group" || !found {
			continue
		}
		first := -1
		for _, mid := range strings.Fields(members) {
			i, known := byMID[mid]
			switch {
			case !known || !theirs.Media[i].IsRTP():
				continue
			case first < 0:
				first = i
			default:
				carriers[i] = first
			}
			bundled[i] = true
		}
	}
	return carriers, bundled
}
