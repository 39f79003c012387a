package media

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dialtone/internal/sdp"
)

// SessionConfig is what a session needs to know of its party.
type SessionConfig struct {
	// Peer is the address that the party signals from or is called at. It decides which local address and family the
	// party is told, until its own description says where its media is.
	Peer     netip.Addr
	Latching Latching
	// Terms are what is configured for the party.
	Terms Terms
	// OnFault is told once when the party's media cannot come about: a handshake that failed, another certificate than
	// the signalling has named. It runs on any goroutine: post it to a mailbox and return. May be nil.
	OnFault func(err error)
	// OnQuality is told when a voice stream sounds bad for long, and when it sounds well again. It runs on the engine's
	// watcher: post it to a mailbox and return. May be nil.
	OnQuality func(QualityNotice)
	// OnDigit is called once for each telephone-event press of the party, when it ends: '0'-'9', '*', '#', 'A'-'D' and its
	// length in milliseconds. It runs on a media worker: post it to a mailbox and return. May be nil.
	OnDigit func(digit byte, ms int)
}

// Session is one leg's end of the media. See the package comment for who may call what.
type Session struct {
	engine    *Engine
	peer      netip.Addr
	policy    Latching
	terms     Terms
	onDigit   atomic.Pointer[func(digit byte, ms int)]
	onFault   atomic.Pointer[func(err error)]
	onPicture atomic.Pointer[func()]
	onSound   atomic.Pointer[func(QualityNotice)]

	origin   origin      // of our own descriptions
	remote   description // the party's last
	previous description // the one before, for Rollback
	asked    bool        // remote is an offer that is not answered yet
	refused  error       // why the last stream of an offer was refused
	extended atomic.Bool // offers show the codecs that need a conversion, too
	direct   atomic.Bool // the media goes straight between the parties
	held     atomic.Bool // remote lets no audio flow to the party
	closed   atomic.Bool
	hushed   atomic.Bool // what the party says is not passed on
	cname    string      // in RTCP of our own
	bridged  *Session
	streams  atomic.Pointer[[]*Stream] // immutable, by m-line; nil entries have no port
}

// NewSession makes a session without ports; they are opened by Localize.
func (e *Engine) NewSession(c SessionConfig) (*Session, error) {
	s := &Session{
		engine: e,
		peer:   c.Peer.Unmap(),
		policy: c.Latching,
		terms:  c.Terms,
		// RFC 8866 §5.2: the numeric identifier makes the tuple unique; the version only has to grow.
		origin: origin{ID: uint64(rand.Uint32())<<1 | 1},
	}
	s.OnDigit(c.OnDigit)
	s.OnFault(c.OnFault)
	s.OnQuality(c.OnQuality)
	s.cname = newCNAME()
	if err := e.admit(s); err != nil {
		return nil, err
	}
	return s, nil
}

// OnDigit changes who is told of the party's presses; nil tells nobody.
func (s *Session) OnDigit(f func(digit byte, ms int)) {
	if f == nil {
		s.onDigit.Store(nil)
	} else {
		s.onDigit.Store(&f)
	}
	for _, st := range s.Streams() {
		st.listenForKeys()
	}
}

// OnFault changes who is told when the media cannot come about; nil tells nobody.
func (s *Session) OnFault(f func(err error)) {
	if f == nil {
		s.onFault.Store(nil)
		return
	}
	s.onFault.Store(&f)
}

// OnQuality changes who is told how the party's voice streams sound; nil tells nobody.
func (s *Session) OnQuality(f func(QualityNotice)) {
	if f == nil {
		s.onSound.Store(nil)
		return
	}
	s.onSound.Store(&f)
}

// fail tells the leg, once.
func (s *Session) fail(err error) {
	if f := s.onFault.Swap(nil); f != nil {
		(*f)(err)
	}
}

// Extend lets offers show the codecs that need a conversion: the party has refused those of the other party. It reports
// whether that changes anything.
func (s *Session) Extend() bool { return !s.extended.Swap(true) }

// Streams returns the streams that have ports, in the order of their m-lines.
func (s *Session) Streams() []*Stream {
	all := s.streams.Load()
	if all == nil {
		return nil
	}
	open := make([]*Stream, 0, len(*all))
	for _, st := range *all {
		if st != nil {
			open = append(open, st)
		}
	}
	return open
}

// stream is the stream of an m-line, nil when it has no ports.
func (s *Session) stream(index int) *Stream {
	all := s.streams.Load()
	if all == nil || index >= len(*all) {
		return nil
	}
	return (*all)[index]
}

// Audio is the first audio stream; nil when there is none.
func (s *Session) Audio() *Stream {
	for _, st := range s.Streams() {
		if st.Kind() == "audio" {
			return st
		}
	}
	return nil
}

// adopt publishes a new stream.
func (s *Session) adopt(st *Stream) {
	var grown []*Stream
	if all := s.streams.Load(); all != nil {
		grown = slices.Clone(*all)
	}
	for len(grown) <= st.index {
		grown = append(grown, nil)
	}
	grown[st.index] = st
	s.streams.Store(&grown)
}

// Held reports whether the party's last description lets no audio flow to it: it has put the other side on hold.
func (s *Session) Held() bool { return s.held.Load() }

// LastMedia is when the last RTP or RTCP packet of the party was accepted, or the last check by which it consents to be
// sent to; zero when none was yet.
func (s *Session) LastMedia() time.Time {
	var last int64
	for _, st := range s.Streams() {
		last = max(last, st.last())
	}
	if last == 0 {
		return time.Time{}
	}
	return s.engine.epoch.Add(time.Duration(last))
}

// HeardControl reports whether the party has ever sent RTCP, or checks its way by ICE: only then does its silence on hold
// mean anything.
func (s *Session) HeardControl() bool {
	return slices.ContainsFunc(s.Streams(), func(st *Stream) bool {
		return st.controlIn.Load() > 0 || st.carrier().rtp.consented.Load()
	})
}

// Close stops what is played, says RTCP BYE where we spoke for ourselves, closes the ports and gives them back. No
// handler, sink or source is called once it has returned. It must not be called from one of them.
func (s *Session) Close() {
	if s.closed.Swap(true) {
		return
	}
	s.unbridge()
	for _, st := range s.Streams() {
		st.close()
	}
	s.engine.forget(s)
}

// String prints the chains of the session, one line a stream.
func (s *Session) String() string {
	streams := s.Streams()
	if len(streams) == 0 {
		return "no media"
	}
	lines := make([]string, len(streams))
	for i, st := range streams {
		lines[i] = st.String()
	}
	return strings.Join(lines, "\n")
}

// family is the wildcard address that a stream is bound to. A party in the IPv6 world gets a socket of both families.
func (s *Session) family() netip.Addr {
	if s.party().Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// party is where the party is reached: its signalling address, unless its media is in the other address family.
func (s *Session) party() netip.Addr {
	for _, m := range s.remote.Media {
		if addr := m.RTP.Addr(); addr.IsValid() && !addr.IsUnspecified() && addr.Is4() != s.peer.Is4() {
			return addr
		}
	}
	return s.peer
}

// address is our address in descriptions for the party.
func (s *Session) address() (netip.Addr, error) {
	peer := s.party()
	if s.engine.advertise != nil {
		if public := s.engine.advertise(peer); public.IsValid() {
			return public.Unmap(), nil
		}
	}
	addr, err := s.engine.network.LocalAddrFor(peer)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the local address for %v: %w", peer, err)
	}
	return addr.Unmap().WithZone(""), nil
}

// carriable reports whether this m-line can be carried: anything that is one UDP flow.
func carriable(m *sdp.Media) bool {
	proto := strings.ToUpper(m.Proto)
	return m.Port != 0 && !strings.HasPrefix(proto, "TCP") && !strings.Contains(proto, "/TCP")
}
