package media

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dialtone/internal/media/ice"
	"dialtone/internal/media/srtp"
	"dialtone/internal/sdp"
)

// maxOfferedSuites bounds the a=crypto lines of an offer: each is some ninety bytes of a datagram.
const maxOfferedSuites = 5

// keying is what we have said of a stream's encryption. It belongs to the leg's goroutine.
type keying struct {
	Method string       `json:"method,omitempty"` // "", SDES, DTLS: what our last description says
	Ours   []sdp.Crypto `json:"ours,omitempty"`   // the lines of our last description
	Setup  sdp.Setup    `json:"setup,omitempty"`  // of our last description
}

// suite is a protection profile by its name, when the terms allow it.
func (t *Terms) suite(name string) *srtp.Suite {
	s := srtp.Named(name)
	if s == nil || len(t.Suites) == 0 {
		return s
	}
	if slices.ContainsFunc(t.Suites, func(allowed string) bool { return srtp.Named(allowed) == s }) {
		return s
	}
	return nil
}

// suites are the protection profiles that may be used, the best first.
func (t *Terms) suites() []*srtp.Suite {
	if len(t.Suites) == 0 {
		return srtp.Suites()
	}
	var list []*srtp.Suite
	for _, name := range t.Suites {
		if s := srtp.Named(name); s != nil {
			list = append(list, s)
		}
	}
	return list
}

// offerTransport states how the stream would be carried and encrypted.
func (s *Session) offerTransport(x *section) error {
	m, st, t := x.m, x.stream, &s.terms
	browser := s.speaksToBrowser(x.party)
	// Interop: telephones know RTP/AVP, with a=rtcp-fb beside it; baresip refuses sound with feedback.
	feedback := x.party != nil && strings.HasSuffix(x.party.Proto, "F")
	profile := "RTP/AVP"
	method := ""
	switch {
	case browser:
		profile, method, feedback = "UDP/TLS/RTP/SAVP", DTLS, true
	case t.Protection == Off:
	case st.keys.Method != "" && x.party != nil && x.party.RTP.Port() != 0:
		// What was agreed goes on; RFC 3264 §8.3 lets the transport of a stream not change within a session.
		method, profile = st.keys.Method, strings.TrimSuffix(x.party.Proto, "F")
	case t.Protection == Required && t.Keying == ByHandshake:
		profile, method = "UDP/TLS/RTP/SAVP", DTLS
	case t.Protection == Required:
		profile, method = "RTP/SAVP", SDES
	case t.Private && x.party == nil: // RFC 8643: keys beside plain RTP
		method = SDES
		if t.Keying == ByHandshake {
			method = DTLS
		}
	}
	if m.Proto = profile; feedback {
		m.Proto += "F"
	}
	st.keys.Method = method
	switch method {
	case SDES:
		st.keys.offer(t)
		for _, c := range st.keys.Ours {
			m.Attributes = append(m.Attributes, c.Attribute())
		}
	case DTLS:
		st.keys.Setup = sdp.ActPass // RFC 8842 §5.2
		st.carrier().rtp.await()
		st.carrier().control.await()
		if st.base.Load() == nil {
			s.addFingerprint(m, st)
		}
	}
	// RFC 9143 §7.1.3: what holds for the transport of a bundle stands at its first m-line only.
	if browser && st.base.Load() == nil {
		return s.addICE(m, st, x.party)
	}
	return nil
}

// offer makes lines for all profiles that may be used, or repeats the last ones: an offer that changes nothing must not
// change the keys.
func (k *keying) offer(t *Terms) {
	suites := t.suites()
	if n := min(len(suites), maxOfferedSuites); len(suites) > n {
		suites = suites[:n]
	}
	if len(k.Ours) > 0 {
		return
	}
	for i, suite := range suites {
		k.Ours = append(k.Ours, newCrypto(i+1, suite))
	}
}

// newCrypto makes a line with a fresh key.
func newCrypto(tag int, suite *srtp.Suite) sdp.Crypto {
	key, err := suite.NewKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return sdp.Crypto{Tag: tag, Suite: suite.Name, Key: key}
}

// answerTransport takes the party's choice of carriage and encryption.
func (s *Session) answerTransport(x *section) error {
	m, st, party := x.m, x.stream, x.party
	m.Proto = party.Proto // RFC 3264 §6: as offered
	method := ""
	if e := party.encryption(); e != plain && s.terms.Protection != Off || e == insists {
		method = party.keyed(&s.terms)
	}
	st.keys.Method = method
	switch method {
	case SDES:
		theirs, _ := party.chooseSuite(&s.terms)
		st.keys.answer(theirs, s.terms.suite(theirs.Suite))
		m.Attributes = append(m.Attributes, st.keys.Ours[0].Attribute())
	case DTLS:
		st.keys.Setup = st.answeredSetup(party)
		s.addFingerprint(m, st)
	}
	if party.checked() {
		return s.addICE(m, st, party)
	}
	return nil
}

// answer makes the line that accepts one of the party: RFC 4568 §5.1.2: its tag and suite, a key of our own, which stays
// as long as the suite does.
func (k *keying) answer(theirs sdp.Crypto, suite *srtp.Suite) {
	c := newCrypto(theirs.Tag, suite)
	for _, old := range k.Ours {
		if srtp.Named(old.Suite) == suite {
			c.Key = old.Key
		}
	}
	c.Suite, c.Params = theirs.Suite, theirs.Params
	k.Ours = []sdp.Crypto{c}
}

// answeredSetup is our role in the handshake.
//
// RFC 8842 §5.3: an association that goes on keeps its roles. A browser has proved where it is before the handshake, so we
// begin it; without ICE the party may sit behind a NAT that only its own packets open, so it begins.
func (st *Stream) answeredSetup(party *destination) sdp.Setup {
	if party.Setup != sdp.ActPass {
		return party.Setup.Answer()
	}
	if now := st.carrier().rtp.role(); now != sdp.NoSetup {
		return now
	}
	if party.checked() {
		return sdp.Active
	}
	return sdp.Passive
}

func (s *Session) addFingerprint(m *sdp.Media, st *Stream) {
	m.Attributes = append(m.Attributes, s.engine.identity.Fingerprint().Attribute(), st.keys.Setup.Attribute())
}

// addICE states our end of the stream for a party that checks it. We are an ICE-lite agent: one candidate for each address
// of ours, and all of them known at once.
func (s *Session) addICE(m *sdp.Media, st *Stream, party *destination) error {
	owner := st.carrier()
	var theirs credentials
	if party != nil {
		theirs = party.ICE
	}
	if owner != st {
		theirs = credentials{} // those of the bundle stand at its first m-line
	}
	ours, err := owner.rtp.offerICE(theirs)
	if err != nil {
		return err
	}
	// RFC 8838 §4.1.1: who may trickle to us says so; what is trickled changes nothing for an agent that only answers checks.
	agent := sdp.ICE{Ufrag: ours.Ufrag, Pwd: ours.Pwd, Options: []string{"trickle"}, Ended: true, Candidates: ice.Candidates(s.candidates(owner.local().Port()), 1)}
	m.Attributes = append(m.Attributes, agent.Attributes()...)
	return nil
}

// candidates are the addresses at which a port of ours can be reached: the one that is told to the party, and the local
// one where that differs.
func (s *Session) candidates(port uint16) []netip.AddrPort {
	var list []netip.AddrPort
	add := func(a netip.Addr) {
		a = a.Unmap().WithZone("")
		if at := netip.AddrPortFrom(a, port); a.IsValid() && !a.IsUnspecified() && !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	if a, err := s.address(); err == nil {
		add(a)
	}
	if a, err := s.engine.network.LocalAddrFor(s.peer); err == nil {
		add(a)
	}
	return list
}

// carrierOf is the stream on whose ports an m-line goes that has no stream yet; nil: on its own. A party that offers says
// so itself. A browser is offered one bundle of everything whose payload types can be told apart (RFC 9143 §9.1).
func (s *Session) carrierOf(ours *sdp.Description, i int) *Stream {
	var base *Stream
	if party := s.said(i); s.asked && party != nil {
		if party.Carrier != i {
			base = s.stream(party.Carrier)
		}
	} else if s.terms.Browser && ours.Media[i].IsRTP() {
		for k := range ours.Media[:i] {
			st := s.stream(k)
			if st == nil || !ours.Media[k].IsRTP() {
				continue
			}
			if base == nil {
				base = st.carrier()
			}
			if st.carrier() == base && slices.ContainsFunc(ours.Media[i].Formats, func(f string) bool { return slices.Contains(ours.Media[k].Formats, f) }) {
				return nil
			}
		}
	}
	if base == nil || base.base.Load() != nil {
		return nil
	}
	return base
}

// describeTransport states what holds for the whole description: the ICE-lite agent, and which streams share a port.
func (s *Session) describeTransport(ours *sdp.Description) {
	lite := false
	var group []string
	var carrier *Stream // of the group
	for i := range ours.Media {
		m := &ours.Media[i]
		if _, found := m.Attribute("ice-ufrag"); found {
			lite = true
		}
		party := s.said(i)
		switch {
		case party != nil && party.MID != "":
			m.SetAttribute("mid", party.MID)
		case s.terms.Browser && party == nil:
			if _, found := m.Attribute("mid"); !found {
				m.SetAttribute("mid", strconv.Itoa(i))
			}
		}
		mid, found := m.Attribute("mid")
		st := s.stream(i)
		if !found || st == nil || m.Port == 0 || !s.inBundle(st, party) {
			continue
		}
		if carrier == nil {
			carrier = st.carrier()
		}
		if st.carrier() != carrier {
			continue
		}
		group = append(group, mid)
		if !s.asked && st != carrier && s.said(carrier.index) == nil {
			// RFC 9143 §7.2: a first offer shares no port yet; it says that the stream is to be had in the bundle only.
			m.Port = 0
			m.Attributes = append(m.Attributes, sdp.Attribute{Name: "bundle-only"})
		}
	}
	if lite {
		// RFC 8839 §5.3
		ours.Attributes = append([]sdp.Attribute{{Name: "ice-lite"}}, ours.Attributes...)
	}
	if len(group) > 0 {
		ours.Attributes = append(ours.Attributes, sdp.Attribute{Name: "group", Value: "BUNDLE " + strings.Join(group, " ")})
	}
}

// inBundle tells whether a stream stands in a bundle, alone or with others. An answer puts none there that the party has not.
func (s *Session) inBundle(st *Stream, party *destination) bool {
	switch {
	case party != nil && party.Bundled:
		return true
	case s.asked:
		return false
	}
	return st.base.Load() != nil || party == nil && s.terms.Browser && st.isRTP.Load()
}

// secure puts into force what the last offer and answer agree on.
func (s *Session) secure() error {
	for _, st := range s.Streams() {
		party := s.said(st.index)
		if party == nil || st.base.Load() != nil || !st.isRTP.Load() || party.RTP.Port() == 0 {
			continue
		}
		if err := st.secure(party, &s.terms); err != nil {
			return err
		}
	}
	return nil
}

func (st *Stream) secure(party *destination, t *Terms) error {
	method := st.keys.Method
	if party.encryption() == plain {
		method = ""
	}
	st.crypto.Store(&agreement{Method: method})
	st.rtp.answeredICE(party.ICE)
	ports := [...]*port{st.rtp, st.control}
	for _, p := range ports {
		p.encrypted.Store(method != "")
		if method != DTLS {
			p.dissociate()
		}
	}
	switch method {
	case "":
		for _, p := range ports {
			p.cipher.Store(nil)
		}
	case SDES:
		c, err := st.keys.agree(party, t, st.rtp.cipher.Load())
		if err != nil {
			return err
		}
		for _, p := range ports {
			p.cipher.Store(c)
		}
	case DTLS:
		if len(party.Fingerprints) == 0 {
			return ErrSuite
		}
		client := st.keys.Setup == sdp.Active || st.keys.Setup == sdp.ActPass && party.Setup == sdp.Passive
		st.rtp.associate(client, party.Fingerprints, t.suites())
		if !party.Mux {
			st.control.associate(client, party.Fingerprints, t.suites()) // RFC 5764 §4.1: one for each port
		}
	}
	return nil
}

// agree makes the cipher of the line that both sides have named by its tag.
func (k *keying) agree(party *destination, t *Terms, before *cipher) (*cipher, error) {
	for _, theirs := range party.Crypto {
		i := slices.IndexFunc(k.Ours, func(ours sdp.Crypto) bool {
			return ours.Tag == theirs.Tag && srtp.Named(ours.Suite) == srtp.Named(theirs.Suite)
		})
		if i < 0 || !t.usable(theirs) {
			continue
		}
		k.Ours = k.Ours[i : i+1]
		out, err := secretOf(k.Ours[0])
		if err != nil {
			return nil, err
		}
		in, err := secretOf(theirs)
		if err != nil {
			return nil, err
		}
		return newCipher(out, in, before)
	}
	return nil, ErrSuite
}

func secretOf(c sdp.Crypto) (secret, error) {
	suite, options, err := srtp.Negotiated(c)
	return secret{suite, c.Key, options}, err
}
