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
	Kind      string         `json:"kind"`
	RTP       netip.AddrPort `json:"rtp"`     // as written; port 0 removed, unspecified address old hold
	Control   netip.AddrPort `json:"control"` // without regard to Mux
	Mux       bool           `json:"mux,omitempty"`
	IsRTP     bool           `json:"is_rtp,omitempty"`
	Crypto    string         `json:"crypto,omitempty"` // "", "sdes", "dtls-srtp", "srtp"
	Direction string         `json:"direction"`        // as the party sees it
	Payloads  []payload      `json:"payloads,omitempty"`
}

// receives reports whether packets may be sent to the party at all. a=sendonly does not forbid it here: who puts
// whom on hold is between the parties, and music on hold goes to a party that said recvonly.
func (d destination) receives() bool {
	return d.RTP.Port() != 0 && d.RTP.Addr().IsValid() && !d.RTP.Addr().IsUnspecified()
}

// reachable is an address that a description names, or nothing when no party can be there: it must not make us send to
// a group of hosts, or to services of our own machine.
func reachable(named netip.AddrPort, signalled netip.Addr) netip.AddrPort {
	a := named.Addr()
	switch {
	case !a.IsValid(), a.IsUnspecified(), named.Port() == 0, a.IsMulticast(), a == broadcast,
		a.IsLoopback() && !signalled.IsLoopback():
		return netip.AddrPort{}
	}
	return named
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// mutes reports whether the party does not want to hear what we say ourselves.
func (d destination) mutes() bool {
	return d.Direction == sdp.SendOnly.String() || d.Direction == sdp.Inactive.String()
}

// SetRemote takes the party's own description: where its media goes and which sources may speak for it. signalling is
// the address that the description came from; the zero Addr keeps the one known before.
//
// The destination is the address in the description until a packet of the party arrives (see Latching). A repeated
// description changes nothing; one with another version lets the party move once; one with another address
// forgets what was learnt.
func (s *Session) SetRemote(theirs *sdp.Description, signalling netip.Addr) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if !signalling.IsValid() {
		signalling = s.remote.Signalled
	}
	if !signalling.IsValid() {
		signalling = s.peer.WithZone("")
	}
	s.previous = s.remote
	s.apply(describe(theirs, signalling.Unmap().WithZone("")))
	return nil
}

// Rollback undoes the last SetRemote: the offer that it came with was refused, and the session stays as it was
// (RFC 3261 §14.2). What was learnt from packets in between is forgotten where the address differs.
func (s *Session) Rollback() {
	if s.closed.Load() || s.previous.Origin == "" {
		return
	}
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
	for i := range theirs.Media {
		m := &theirs.Media[i]
		to := destination{
			RTP:     theirs.Address(i),
			Control: theirs.RTCPAddress(i),
			Mux:     m.RTCPMux(),
			IsRTP:   m.IsRTP(),
			Crypto:  cryptoOf(theirs, m),
			Kind:    strings.Clone(m.Kind), Direction: theirs.Direction(i).String(),
		}
		if !carriable(m) {
			to.RTP = netip.AddrPort{}
		}
		to.Payloads = payloadsOf(m)
		d.Media[i] = to
	}
	return d
}
