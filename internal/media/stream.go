package media

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"dialtone/internal/network"
	"dialtone/internal/sdp"
)

// Stream is one m-line's end of the media: a port pair, the chain of what the party sends, and what goes to it. A stream
// of a bundle rides on the ports of another one.
type Stream struct {
	session *Session
	engine  *Engine // the session's
	rtp     *port   // its own; without sockets while it rides on another stream's
	control *port
	isRTP   atomic.Bool            // else the packets are not looked into
	isAudio atomic.Bool            // kind is "audio"
	mux     atomic.Bool            // RTCP for the party goes to its RTP address
	mute    atomic.Bool            // the party has said that it does not want to receive
	chain   atomic.Pointer[chain]  // of what the party sends
	base    atomic.Pointer[Stream] // whose ports carry it; nil: its own
	riders  atomic.Pointer[[]*Stream]
	talker  atomic.Pointer[talker] // what we say ourselves
	ears    keyEars
	unsent  atomic.Uint64

	in  inbound // guarded by the lock of the RTP port that carries the stream
	out outbound

	connecting    sync.Mutex // held while the chain is swapped
	index         int
	ptime         atomic.Int32           // milliseconds a packet that the party asks for; 0 unsaid
	kind          atomic.Pointer[string] // "audio", "video", "image" ...; an m-line may change from one to another
	crypto        atomic.Pointer[agreement]
	received      atomic.Pointer[[]payload]  // what the party was told that it may send
	wanted        atomic.Pointer[[]payload]  // what the party has said that it takes, in its order
	feeder        atomic.Pointer[Stream]     // whose packets are relayed here
	keys          keying                     // the leg's goroutine owns it
	heard         atomic.Pointer[netip.Addr] // the host that the party's packets came from last
	feedback      feedback
	watch         *watch       // the watcher owns it; nil before its first look
	feedbackTaken atomic.Bool  // the party takes requests for pictures by RTCP
	fax           atomic.Int32 // tone.Kind that was found in the party's voice
	tie           tie
	converted     atomic.Pointer[conversion]          // of the party's voice, the last one; nil when there never was one
	reports       atomic.Pointer[sdp.ExtendedReports] // what the party takes beside RTCP's own; nil: nothing

	controlIn, controlOut atomic.Uint64
}

// carrier is the stream whose ports carry this one: mostly itself.
func (st *Stream) carrier() *Stream {
	if base := st.base.Load(); base != nil {
		return base
	}
	return st
}

// carried is the stream of the bundle that a packet belongs to (RFC 9143 §9.2): payload types are unique in a bundle.
func (st *Stream) carried(pt uint8) *Stream {
	riders := st.riders.Load()
	if riders == nil || st.takes(pt) {
		return st
	}
	for _, r := range *riders {
		if r.takes(pt) {
			return r
		}
	}
	return st
}

// takes reports whether a payload type is one of the stream's.
func (st *Stream) takes(pt uint8) bool {
	list := st.received.Load()
	if list == nil {
		return false
	}
	_, found := find(*list, pt)
	return found
}

// open makes the stream of an m-line that has none, on the ports of base or, without one, on a port pair of its own.
func (s *Session) open(index int, kind string, isRTP bool, base *Stream) (*Stream, error) {
	st := s.newStream(index, kind)
	if base != nil {
		st.ride(base)
		return st, nil
	}
	host := s.family()
	if isRTP && st.share(host, s.speaksToBrowser(s.said(index))) {
		return st, nil
	}
	if err := st.bind(host, 0); err != nil {
		return nil, err
	}
	return st, nil
}

// ride puts the stream onto the ports of another one.
func (st *Stream) ride(base *Stream) {
	st.base.Store(base)
	var riders []*Stream
	if old := base.riders.Load(); old != nil {
		riders = slices.Clone(*old)
	}
	riders = append(riders, st)
	base.riders.Store(&riders)
	st.session.adopt(st)
}

// newStream makes a stream without ports that knows what the party has said of it so far.
func (s *Session) newStream(index int, kind string) *Stream {
	st := &Stream{session: s, engine: s.engine, index: index}
	st.become(&kind)
	st.rtp = newPort(st, false, s.policy)
	st.control = newPort(st, true, s.policy)
	if party := s.said(index); party != nil {
		st.direct(*party, s.remote.Signalled, true)
	} else {
		// RFC 3264 §5.1: media may arrive before the answer; until then only the host we call may speak for the party.
		host := s.peer.WithZone("")
		st.rtp.latch.signalled, st.control.latch.signalled = host, host
	}
	return st
}

// bind opens the sockets and gives the stream its place in the session; port 0 takes any pair. From here on packets are
// handled.
func (st *Stream) bind(host netip.Addr, port uint16) error {
	a, b, err := st.session.engine.bind(host, port, st.rtp, st.control)
	if err != nil {
		return err
	}
	st.rtp.writer, st.control.writer = a, b
	for _, w := range []network.PacketWriter{a, b} {
		if m, ok := w.(network.Marker); ok {
			_ = m.Mark(dscp(st.Kind())) // a refusal costs quality, not the call
		}
	}
	if w, ok := a.(network.Widener); ok && st.Kind() == "video" {
		w.Widen(videoBuffer)
	}
	st.session.adopt(st)
	return nil
}

// videoBuffer is room for a key frame that arrives at once. What the system gives by itself is enough for seconds of audio.
const videoBuffer = 512 << 10

// dscp is the class of service of RFC 4594 §4: EF for telephony, AF41 for conversational video.
func dscp(kind string) int {
	switch kind {
	case "audio", "image":
		return 46
	case "video":
		return 34
	}
	return 0
}

func newPort(st *Stream, control bool, policy Latching) *port {
	p := &port{stream: st, control: control}
	p.latch = latch{policy: policy, mute: true}
	return p
}

// local is the address that the RTP socket is bound to.
func (st *Stream) local() netip.AddrPort { return st.carrier().rtp.writer.LocalAddr() }

// last is the engine time at which the party was last heard; 0 never.
func (st *Stream) last() int64 {
	base := st.carrier()
	return max(base.rtp.last.Load(), base.control.last.Load())
}

// Kind is the media type of the m-line: "audio", "video", "image" ...
func (st *Stream) Kind() string { return *st.kind.Load() }

func (st *Stream) become(kind *string) {
	st.kind.Store(kind)
	st.isAudio.Store(*kind == "audio")
}

// agreement is how a stream is encrypted.
type agreement struct {
	Method string `json:"method,omitempty"` // "", SDES, DTLS
}

// expect takes what the party is told that it may send.
func (st *Stream) expect(m *sdp.Media) {
	list := payloadsOf(m)
	st.received.Store(&list)
	if st.wanted.Load() == nil {
		st.isRTP.Store(m.IsRTP())
	}
}

// direct takes the party's description of the stream.
func (st *Stream) direct(d destination, signalled netip.Addr, changed bool) {
	if d.Kind != st.Kind() {
		st.become(&d.Kind)
	}
	st.isRTP.Store(d.IsRTP)
	st.mux.Store(d.Mux)
	st.feedbackTaken.Store(d.Feedback)
	st.mute.Store(d.mutes())
	st.ptime.Store(int32(d.PTime))
	st.wanted.Store(&d.Payloads)
	st.reports.Store(d.Reports)
	st.listenForKeys()
	if st.base.Load() != nil {
		return // the ports follow the stream that carries this one
	}
	// Before anything can be sent there: from the moment at which the address is known, nothing goes out in clear. What was
	// agreed before holds until the new agreement does.
	if e := d.encryption(); st.crypto.Load() == nil && (e == insists || e == offersKeys && st.keys.Method != "") {
		st.rtp.encrypted.Store(true)
		st.control.encrypted.Store(true)
	}
	open := d.receives()
	e := st.session.engine
	st.rtp.direct(e.reachable(d.RTP, signalled), open, signalled, changed)
	st.control.direct(e.reachable(d.Control, signalled), open, signalled, changed)
}

// relay passes packets of the other party on to this one. It may change them in place. now is the engine time at which they
// came.
func (st *Stream) relay(ps []network.Packet, now int64) {
	if !st.isVoice() {
		st.send(ps)
		return
	}
	st.out.relay(ps, now, st.outRate)
	st.transmit(ps)
}

// originate sends a packet of our own to the party. rate is the clock rate of its payload.
func (st *Stream) originate(ps []network.Packet, rate uint32) {
	if !st.isVoice() {
		st.send(ps)
		return
	}
	now := st.session.engine.now()
	for i := range ps {
		st.out.originate(ps[i].Data, now, rate)
	}
	st.transmit(ps)
}

// isVoice reports whether the stream is one run of RTP whatever its sources are. Of video, a receiver learns a new source from
// its first key frame.
func (st *Stream) isVoice() bool { return st.isRTP.Load() && st.isAudio.Load() }

// send puts packets on the wire that keep their numbers. It may change them in place.
func (st *Stream) send(ps []network.Packet) {
	st.out.pass(ps)
	st.transmit(ps)
}

// transmit puts packets on the wire that are counted already. It may change them in place.
func (st *Stream) transmit(ps []network.Packet) {
	if n := st.carrier().rtp.write(ps, false); n < len(ps) {
		st.unsent.Add(uint64(len(ps) - n))
		st.out.refused(ps[n:])
	}
}

// sendControl passes RTCP packets on to the party. It may change them in place.
func (st *Stream) sendControl(ps []network.Packet) {
	p := st.carrier().control
	if st.mux.Load() || st.base.Load() != nil {
		p = st.carrier().rtp
	}
	n := p.write(ps, true)
	st.controlOut.Add(uint64(n))
	if n < len(ps) {
		st.unsent.Add(uint64(len(ps) - n))
	}
}

// close closes the sockets and gives the ports back.
func (st *Stream) close() {
	st.Connect(nil)
	if t := st.talker.Load(); t != nil {
		t.close()
	}
	if st.base.Load() != nil {
		return
	}
	if st.rtp.shared != nil {
		st.rtp.leave()
		st.control.leave()
		st.rtp.dissociate()
		st.control.dissociate()
		return
	}
	port := st.local().Port()
	_ = st.rtp.writer.Close()
	_ = st.control.writer.Close()
	st.rtp.dissociate()
	st.control.dissociate()
	st.session.engine.ports.give(port)
}

// exit prints how packets leave for the party.
func (st *Stream) exit() string {
	p := st.carrier().rtp
	text := st.local().String()
	if c := p.cipher.Load(); c != nil {
		text += " -> encrypt " + c.suite.Name
	} else if p.encrypted.Load() {
		text += " -> no keys yet"
	}
	if to := p.target.Load(); to != nil {
		return text + " -> " + to.String()
	}
	return text + " -> nobody yet"
}

// String prints the chain: who speaks, on which port, and where it goes.
func (st *Stream) String() string {
	from := "nobody yet"
	p := st.carrier().rtp
	p.mu.Lock()
	switch {
	case p.checks != nil:
		if at, ok := p.checks.Selected(); ok {
			from = at.String()
		}
	case p.latch.source.IsValid():
		from = p.latch.source.String()
	}
	p.mu.Unlock()
	text := st.Kind() + " " + from + " -> " + st.local().String() + " -> "
	if c := p.cipher.Load(); c != nil {
		text += "decrypt " + c.suite.Name + " -> "
	}
	return text + st.chain.Load().String()
}
