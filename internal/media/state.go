package media

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dialtone/internal/media/ice"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

// State is a session written down: what another process needs to go on with it on the same ports. It is plain data, and a
// secret where the media is encrypted: keys and rollover counters are in it. What a chain does is not part of it: the
// call connects the streams again.
type State struct {
	Peer     netip.Addr    `json:"peer"`
	Latching Latching      `json:"latching"`
	Terms    Terms         `json:"terms,omitzero"`
	Extended bool          `json:"extended,omitempty"`
	Direct   bool          `json:"direct,omitempty"`
	Origin   origin        `json:"origin"`
	Remote   description   `json:"remote"`
	CNAME    string        `json:"cname,omitempty"`
	Streams  []StreamState `json:"streams"`
}

// StreamState is one stream of a State.
type StreamState struct {
	Index    int           `json:"index"`
	Base     int           `json:"base"` // index of the stream whose ports carry it
	Kind     string        `json:"kind"`
	Port     uint16        `json:"port"`             // of RTP; RTCP is one above
	Host     netip.Addr    `json:"host"`             // that the sockets are bound to
	Shared   bool          `json:"shared,omitempty"` // Port is that of all
	IsRTP    bool          `json:"is_rtp"`
	Received []payload     `json:"received,omitempty"` // what the party was told that it may send
	RTP      PortState     `json:"rtp"`
	Control  PortState     `json:"control"`
	Totals   rtp.Totals    `json:"totals"`
	Last     time.Time     `json:"last"` // when the party was last heard
	Counts   [6]uint64     `json:"counts"`
	Keys     keying        `json:"keys,omitzero"`
	Crypto   agreement     `json:"crypto"`
	Out      OutboundState `json:"out,omitzero"`
	Voice    *VoiceState   `json:"voice,omitempty"`
}

// PortState is what a port has learnt of its party, and the keys that it has agreed on.
type PortState struct {
	Source      netip.AddrPort    `json:"source"`
	SSRC        uint32            `json:"ssrc,omitempty"`
	Seq         uint16            `json:"seq,omitempty"`
	Valid       bool              `json:"valid,omitempty"` // SSRC and Seq are set
	Encrypted   bool              `json:"encrypted,omitempty"`
	Cipher      *CipherState      `json:"cipher,omitempty"`
	ICE         *ice.State        `json:"ice,omitempty"`
	Checked     string            `json:"checked,omitempty"` // user fragment of the party
	Association *AssociationState `json:"association,omitempty"`
}

// AssociationState is a DTLS association that has given its keys.
type AssociationState struct {
	Client       bool              `json:"client"`
	Fingerprints []sdp.Fingerprint `json:"fingerprints"`
}

// VoiceState is what continues when we speak on the stream ourselves.
type VoiceState struct {
	SSRC      uint32    `json:"ssrc"`
	Sequence  uint16    `json:"sequence"`
	Timestamp uint32    `json:"timestamp"` // RTP time at At
	At        time.Time `json:"at"`
}

// State writes the session down as it is now.
func (s *Session) State() State {
	x := State{Peer: s.peer, Latching: s.policy, Terms: s.terms, Extended: s.extended.Load(), Direct: s.direct.Load(), Origin: s.origin, Remote: s.remote, CNAME: s.cname}
	for _, st := range s.Streams() {
		x.Streams = append(x.Streams, st.state())
	}
	return x
}

func (st *Stream) state() StreamState {
	x := StreamState{
		Index: st.index,
		Kind:  st.Kind(),
		Port:  st.local().Port(),
		Host:  st.local().Addr(),
		IsRTP: st.isRTP.Load(),
		Base:  st.carrier().index,
		Keys:  st.keys,
		Out:   st.out.state(st.session.engine.wall),
	}
	in, out := st.arrived(), st.out.departed()
	x.Counts = [6]uint64{in.packets, out.packets, in.bytes, out.bytes, st.controlIn.Load(), st.controlOut.Load()}
	if list := st.received.Load(); list != nil {
		x.Received = *list
	}
	if last := st.last(); last > 0 {
		x.Last = st.session.engine.wall(last)
	}
	if a := st.crypto.Load(); a != nil {
		x.Crypto = *a
	}
	x.Voice = st.voiceState()
	p := st.carrier().rtp
	p.mu.Lock()
	x.Totals = st.in.totals()
	p.mu.Unlock()
	x.Shared = st.carrier().rtp.shared != nil
	if st.carrier() == st {
		x.RTP, x.Control = st.rtp.state(), st.control.state()
	}
	return x
}

func (p *port) state() PortState {
	x := PortState{Encrypted: p.encrypted.Load(), Cipher: p.cipher.Load().state()}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &p.latch
	x.Source, x.SSRC, x.Seq, x.Valid = l.source, l.ssrc, l.seq, l.rtp
	if p.checks != nil {
		agent := p.checks.State()
		x.ICE, x.Checked = &agent, p.checked
	}
	if a := p.association; a != nil {
		x.Association = &AssociationState{Client: a.client, Fingerprints: a.fingerprints}
	}
	return x
}

// Restore takes a session up again that another process wrote down: on the same ports, with the same learnt
// addresses, the same keys, the same o= line and the same counts. A party hears nothing of it but the pause. The streams
// are not connected: bridge or play as before. The error names the port that is not free.
func (e *Engine) Restore(x State) (*Session, error) {
	s, err := e.NewSession(SessionConfig{Peer: x.Peer, Latching: x.Latching, Terms: x.Terms})
	if err != nil {
		return nil, err
	}
	s.origin, s.remote, s.cname = x.Origin, x.Remote, x.CNAME
	s.held.Store(x.Remote.held())
	s.extended.Store(x.Extended)
	s.direct.Store(x.Direct)
	for _, saved := range x.Streams {
		if err := s.restore(saved); err != nil {
			s.Close()
			return nil, fmt.Errorf("restore %s stream %d: %w", saved.Kind, saved.Index, err)
		}
	}
	return s, nil
}

func (s *Session) restore(x StreamState) error {
	if x.Index < 0 || x.Index >= sdp.MaxMedia || s.stream(x.Index) != nil {
		return fmt.Errorf("there is no m-line %d", x.Index)
	}
	st := s.newStream(x.Index, x.Kind)
	st.isRTP.Store(x.IsRTP)
	st.received.Store(&x.Received)
	st.crypto.Store(&x.Crypto)
	st.keys = x.Keys
	st.out.restore(x.Out, s.engine.now())
	st.in.prior = x.Totals
	st.in.tally = tally{x.Counts[0], x.Counts[2]}
	st.out.tally = tally{x.Counts[1], x.Counts[3]}
	st.controlIn.Store(x.Counts[4])
	st.controlOut.Store(x.Counts[5])
	st.restoreVoice(x.Voice)
	if x.Base != x.Index {
		base := s.stream(x.Base)
		if base == nil || base.base.Load() != nil {
			return fmt.Errorf("its port is that of m-line %d, which has none", x.Base)
		}
		st.ride(base)
		return nil
	}
	if x.Port == 0 || x.Port&1 != 0 {
		return fmt.Errorf("port %d of m-line %d cannot be", x.Port, x.Index)
	}
	now := s.engine.now()
	if err := st.rtp.restore(x.RTP, now); err != nil {
		return err
	}
	if err := st.control.restore(x.Control, now); err != nil {
		return err
	}
	if x.RTP.Cipher != nil && x.Control.Cipher != nil && slices.Equal(x.RTP.Cipher.In.Key, x.Control.Cipher.In.Key) {
		st.control.cipher.Store(st.rtp.cipher.Load()) // one key, one replay window
	}
	if !x.Last.IsZero() {
		// Zero would read as "never".
		st.rtp.last.Store(max(1, int64(x.Last.Sub(s.engine.epoch))))
	}
	if x.Shared {
		return st.rejoin(x.Port)
	}
	return st.bind(x.Host, x.Port)
}

// restore sets what was learnt; the description was applied before.
func (p *port) restore(x PortState, now int64) error {
	p.encrypted.Store(x.Encrypted)
	if x.Cipher != nil {
		c, err := restoreCipher(x.Cipher)
		if err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		p.cipher.Store(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.ICE != nil {
		agent, err := ice.Restore(*x.ICE, time.Duration(now))
		if err != nil {
			return fmt.Errorf("ICE: %w", err)
		}
		p.checks, p.checked = agent, x.Checked
	}
	if a := x.Association; a != nil {
		// The keys are there; the party will not begin anew unless it is asked to.
		p.association = &association{client: a.Client, fingerprints: a.Fingerprints, shaken: x.Cipher != nil}
	}
	if x.Source.IsValid() {
		p.latch.source, p.latch.fresh = x.Source, false
		p.latch.ssrc, p.latch.seq, p.latch.rtp = x.SSRC, x.Seq, x.Valid
		p.latch.lastAt = now
	}
	p.retarget()
	return nil
}
