package media

import (
	"fmt"
	"net/netip"
	"time"

	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

// State is a session written down: what another process needs to go on with it on the same ports. It is plain data and
// holds no secrets; keys are the business of the stages that use them. What a chain does is not part of it: the
// call connects the streams again.
type State struct {
	Peer     netip.Addr    `json:"peer"`
	Latching Latching      `json:"latching"`
	Origin   origin        `json:"origin"`
	Remote   description   `json:"remote"`
	CNAME    string        `json:"cname,omitempty"`
	Streams  []StreamState `json:"streams"`
}

// StreamState is one stream of a State.
type StreamState struct {
	Index    int         `json:"index"`
	Kind     string      `json:"kind"`
	Port     uint16      `json:"port"` // of RTP; RTCP is one above
	Host     netip.Addr  `json:"host"` // that the sockets are bound to
	IsRTP    bool        `json:"is_rtp"`
	Received []payload   `json:"received,omitempty"` // what the party was told that it may send
	RTP      LatchState  `json:"rtp"`
	Control  LatchState  `json:"control"`
	Totals   rtp.Totals  `json:"totals"`
	Last     time.Time   `json:"last"` // when the party was last heard
	Counts   [6]uint64   `json:"counts"`
	Crypto   agreement   `json:"crypto"`
	Voice    *VoiceState `json:"voice,omitempty"`
}

// LatchState is what a port has learnt of its party.
type LatchState struct {
	Source netip.AddrPort `json:"source"`
	SSRC   uint32         `json:"ssrc,omitempty"`
	Seq    uint16         `json:"seq,omitempty"`
	Valid  bool           `json:"valid,omitempty"` // SSRC and Seq are set
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
	x := State{Peer: s.peer, Latching: s.policy, Origin: s.origin, Remote: s.remote, CNAME: s.cname}
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
		Counts: [6]uint64{st.packetsIn.Load(), st.packetsOut.Load(), st.bytesIn.Load(), st.bytesOut.Load(),
			st.controlIn.Load(), st.controlOut.Load()},
	}
	if list := st.received.Load(); list != nil {
		x.Received = *list
	}
	x.RTP, x.Totals = st.rtp.state()
	x.Control, _ = st.control.state()
	if last := max(st.rtp.last.Load(), st.control.last.Load()); last > 0 {
		x.Last = st.session.engine.epoch.Add(time.Duration(last))
	}
	if a := st.crypto.Load(); a != nil {
		x.Crypto = *a
	}
	x.Voice = st.voiceState()
	return x
}

func (p *port) state() (LatchState, rtp.Totals) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &p.latch
	return LatchState{Source: l.source, SSRC: l.ssrc, Seq: l.seq, Valid: l.rtp}, p.in.totals()
}

// Restore takes a session up again that another process wrote down: on the same ports, with the same learnt
// addresses, the same o= line and the same counts. A party hears nothing of it but the pause. The streams are not connected:
// bridge or play as before. The error names the port that is not free.
func (e *Engine) Restore(x State) (*Session, error) {
	s, err := e.NewSession(SessionConfig{Peer: x.Peer, Latching: x.Latching})
	if err != nil {
		return nil, err
	}
	s.origin, s.remote, s.cname = x.Origin, x.Remote, x.CNAME
	s.held.Store(x.Remote.held())
	for _, saved := range x.Streams {
		if err := s.restore(saved); err != nil {
			s.Close()
			return nil, fmt.Errorf("restore %s stream %d: %w", saved.Kind, saved.Index, err)
		}
	}
	return s, nil
}

func (s *Session) restore(x StreamState) error {
	if x.Port == 0 || x.Port&1 != 0 || x.Index < 0 || x.Index >= sdp.MaxMedia || s.stream(x.Index) != nil {
		return fmt.Errorf("port %d of m-line %d cannot be", x.Port, x.Index)
	}
	st := s.newStream(x.Index, x.Kind)
	st.isRTP.Store(x.IsRTP)
	st.received.Store(&x.Received)
	st.agree(func(a *agreement) { *a = x.Crypto })
	now := s.engine.now()
	st.rtp.restore(x.RTP, now)
	st.control.restore(x.Control, now)
	st.rtp.in.prior = x.Totals
	if !x.Last.IsZero() {
		// Zero would read as "never".
		st.rtp.last.Store(max(1, int64(x.Last.Sub(s.engine.epoch))))
	}
	st.packetsIn.Store(x.Counts[0])
	st.packetsOut.Store(x.Counts[1])
	st.bytesIn.Store(x.Counts[2])
	st.bytesOut.Store(x.Counts[3])
	st.controlIn.Store(x.Counts[4])
	st.controlOut.Store(x.Counts[5])
	st.restoreVoice(x.Voice)
	return st.bind(x.Host, x.Port)
}

// restore sets what was learnt; the description was applied before.
func (p *port) restore(x LatchState, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !x.Source.IsValid() {
		return
	}
	p.latch.source, p.latch.fresh = x.Source, false
	p.latch.ssrc, p.latch.seq, p.latch.rtp = x.SSRC, x.Seq, x.Valid
	p.latch.lastAt = now
	p.retarget()
}
