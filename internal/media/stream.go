package media

import (
	"net/netip"
	"sync/atomic"

	"dialtone/internal/network"
	"dialtone/internal/sdp"
)

// Stream is one m-line's end of the media: a port pair, the chain of what the party sends, and what goes to it.
type Stream struct {
	session *Session
	index   int
	rtp     *port
	control *port

	kind     atomic.Pointer[string] // "audio", "video", "image" ...; an m-line may change from one to another
	isRTP    atomic.Bool            // else the packets are not looked into
	secure   atomic.Bool            // the payload of RTP and RTCP cannot be read here
	mux      atomic.Bool            // RTCP for the party goes to its RTP address
	mute     atomic.Bool            // the party has said that it does not want to receive
	crypto   atomic.Pointer[agreement]
	received atomic.Pointer[[]payload] // what the party was told that it may send
	wanted   atomic.Pointer[[]payload] // what the party has said that it takes, in its order
	chain    atomic.Pointer[chain]
	feeder   atomic.Pointer[Stream] // whose packets are relayed here
	talker   atomic.Pointer[talker] // what we say ourselves
	feedback feedback

	packetsIn, packetsOut atomic.Uint64
	bytesIn, bytesOut     atomic.Uint64
	controlIn, controlOut atomic.Uint64
	unsent                atomic.Uint64
}

// open opens a port pair for an m-line that has none.
func (s *Session) open(index int, kind string) (*Stream, error) {
	st := s.newStream(index, kind)
	if err := st.bind(s.family(), 0); err != nil {
		return nil, err
	}
	return st, nil
}

// newStream makes a stream without ports that knows what the party has said of it so far.
func (s *Session) newStream(index int, kind string) *Stream {
	st := &Stream{session: s, index: index}
	st.kind.Store(&kind)
	st.rtp = newPort(st, false, s.policy)
	st.control = newPort(st, true, s.policy)
	if index < len(s.remote.Media) {
		st.direct(s.remote.Media[index], s.remote.Signalled, true)
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
func (st *Stream) local() netip.AddrPort { return st.rtp.writer.LocalAddr() }

// Kind is the media type of the m-line: "audio", "video", "image" ...
func (st *Stream) Kind() string { return *st.kind.Load() }

// agreement is what the two descriptions of a leg say about encryption.
type agreement struct {
	Ours   string `json:"ours,omitempty"`   // as cryptoOf names it
	Theirs string `json:"theirs,omitempty"` // the same
	Told   bool   `json:"told,omitempty"`   // Ours is set
	Heard  bool   `json:"heard,omitempty"`  // Theirs is set
}

// method is how the stream is encrypted. Keys that only one side has named (RFC 8643, answered without) protect
// nothing.
func (a agreement) method() string {
	switch {
	case !a.Heard:
		return a.Ours
	case a.Told && a.Ours == "":
		return ""
	}
	return a.Theirs
}

// agree changes the agreement; one goroutine at a time does.
func (st *Stream) agree(change func(*agreement)) {
	var a agreement
	if old := st.crypto.Load(); old != nil {
		a = *old
	}
	change(&a)
	st.crypto.Store(&a)
	st.secure.Store(a.method() != "")
}

// expect takes what the party is told that it may send.
func (st *Stream) expect(m *sdp.Media, crypto string) {
	list := payloadsOf(m)
	st.received.Store(&list)
	st.agree(func(a *agreement) { a.Ours, a.Told = crypto, true })
	if st.wanted.Load() == nil {
		st.isRTP.Store(m.IsRTP())
	}
}

// direct takes the party's description of the stream.
func (st *Stream) direct(d destination, signalled netip.Addr, changed bool) {
	if d.Kind != st.Kind() {
		st.kind.Store(&d.Kind)
	}
	st.isRTP.Store(d.IsRTP)
	st.mux.Store(d.Mux)
	st.mute.Store(d.mutes())
	st.agree(func(a *agreement) { a.Theirs, a.Heard = d.Crypto, true })
	st.wanted.Store(&d.Payloads)
	open := d.receives()
	st.rtp.direct(reachable(d.RTP, signalled), open, signalled, changed)
	st.control.direct(reachable(d.Control, signalled), open, signalled, changed)
}

// send passes packets on to the party.
func (st *Stream) send(ps []network.Packet) {
	bytes := 0
	for i := range ps {
		bytes += len(ps[i].Data)
	}
	n := st.rtp.write(ps)
	if n < len(ps) {
		st.unsent.Add(uint64(len(ps) - n))
		if n == 0 {
			return
		}
	}
	st.packetsOut.Add(uint64(n))
	st.bytesOut.Add(uint64(bytes))
}

// sendControl passes RTCP packets on to the party.
func (st *Stream) sendControl(ps []network.Packet) {
	p := st.control
	if st.mux.Load() {
		p = st.rtp
	}
	n := p.write(ps)
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
	port := st.local().Port()
	_ = st.rtp.writer.Close()
	_ = st.control.writer.Close()
	st.session.engine.ports.give(port)
}

// String prints the chain: who speaks, on which port, and where it goes.
func (st *Stream) String() string {
	from := "nobody yet"
	st.rtp.mu.Lock()
	if st.rtp.latch.source.IsValid() {
		from = st.rtp.latch.source.String()
	}
	st.rtp.mu.Unlock()
	return st.Kind() + " " + from + " -> " + st.local().String() + " -> " + st.chain.Load().String()
}
