package media

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/media/jitter"
	"dialtone/internal/media/tone"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// What a bridge does with a payload type of the party. Values below 128 are the number under which it is passed on.
const (
	converts = 0x80 + iota // decoded, and encoded anew for the other party
	keeps                  // for us alone: keys that the other party is told in another way
)

// conversion is a way from one codec to another.
type conversion struct {
	codecs string // "opus -> pcma"
	reason string
}

// Why a voice is converted.
const (
	noneInCommon = "no codec in common"
	speaksOther  = "the party speaks another codec than the one in common"
)

// conversion describes that of what comes under a payload type.
func (b *bridge) conversion(in payload) *conversion {
	c := &conversion{codecs: strings.ToLower(in.Name) + " -> " + strings.ToLower(b.to.talk().codecName()), reason: noneInCommon}
	if mine, theirs := b.from.wanted.Load(), b.to.wanted.Load(); mine != nil && theirs != nil {
		common := func(p payload) bool { return p.isSpeech() && slices.ContainsFunc(*theirs, p.same) }
		if slices.ContainsFunc(*mine, common) {
			c.reason = speaksOther
		}
	}
	return c
}

// bridge passes what one party says on to another: byte for byte where the two have a codec in common, under another
// payload type where their numbers differ, and through decoder and encoder where they have none.
type bridge struct {
	from, to *Stream
	table    [128]uint8

	talks    atomic.Bool // the party's voice goes through talker
	mu       sync.Mutex
	receiver *jitter.Receiver // nil until something is to be converted
	playing  *Playing
	gone     bool
}

func newBridge(from, to *Stream) *bridge {
	b := &bridge{from: from, to: to}
	for i := range b.table {
		b.table[i] = uint8(i)
	}
	taken := to.wanted.Load()
	if taken == nil || from.Kind() != to.Kind() {
		return b // the other party has not said yet what it takes
	}
	for _, list := range []*[]payload{from.wanted.Load(), from.received.Load()} {
		if list == nil {
			continue
		}
		for _, p := range *list {
			b.table[p.Type&0x7f] = action(p, *taken)
		}
	}
	b.keepEvents()
	return b
}

// keepEvents lets keys be pressed anew for the other party where they cannot go on as they come: beside a voice that is made
// anew they would follow another clock than it does.
//
// Interop: of a key at another clock rate than its voice's Chromium sends the end only, which telephones do not take for a press.
func (b *bridge) keepEvents() {
	list := b.from.received.Load()
	if list == nil {
		list = b.from.wanted.Load()
	}
	if list == nil {
		return
	}
	i := slices.IndexFunc(*list, payload.isSpeech)
	if i < 0 {
		return
	}
	voice := (*list)[i]
	browser := b.from.session.speaksToBrowser(b.from.session.said(b.from.index))
	for _, p := range *list {
		if p.isEvent() && (b.table[voice.Type&0x7f] == converts || browser && p.ClockRate != voice.ClockRate) {
			b.table[p.Type&0x7f] = keeps
		}
	}
}

// action is what is done with a payload for a party that takes these.
func action(p payload, taken []payload) uint8 {
	if i := slices.IndexFunc(taken, p.same); i >= 0 {
		return taken[i].Type & 0x7f
	}
	switch {
	case p.isEvent():
		return keeps
	case p.isSpeech() && canDecode(p) && slices.ContainsFunc(taken, canDecode):
		return converts
	case p.isSpeech():
		return p.Type & 0x7f // whoever can make something of it may
	}
	return keeps
}

// WritePackets implements Output.
func (b *bridge) WritePackets(ps []network.Packet) {
	if !b.from.isRTP.Load() {
		b.to.send(ps)
		return
	}
	now := b.from.carrier().rtp.last.Load() // when these packets came
	kept := 0
	for i := range ps {
		data := ps[i].Data
		pt := data[1] & 0x7f
		switch do := b.table[pt]; {
		case do == converts:
			b.convert(data, now)
			continue
		case do == keeps, b.to.isSounding():
			continue
		case do != pt:
			data[1] = data[1]&0x80 | do
		}
		ps[kept], ps[i] = ps[i], ps[kept]
		kept++
	}
	if kept == 0 {
		return
	}
	if b.talks.Load() && b.speaks(ps[:kept]) {
		b.silence() // the party speaks a common codec again
	}
	b.to.relay(ps[:kept], now)
}

// speaks reports whether there is voice among packets for the other party.
func (b *bridge) speaks(ps []network.Packet) bool {
	return slices.ContainsFunc(ps, func(p network.Packet) bool {
		is, ok := b.to.codec(p.Data[1] & 0x7f)
		return ok && is.isSpeech()
	})
}

// WriteControl implements ControlOutput. Where the media is made anew, each side has RTCP of its own.
func (b *bridge) WriteControl(ps []network.Packet) {
	if b.talks.Load() {
		return
	}
	for i := range ps {
		if !b.to.feedbackTaken.Load() && asksForPicture(ps[i].Data) {
			if tell := b.from.session.onPicture.Load(); tell != nil {
				(*tell)()
			}
		}
		b.translate(ps[i].Data)
	}
	b.to.passedReports(ps)
	b.to.sendControl(ps)
}

// translate makes a compound speak of the sources as the other party sees them.
func (b *bridge) translate(compound []byte) {
	if source, ssrc, stamp, same := b.to.out.relayedAs(); !same {
		shiftReports(compound, source, stamp)
		rtp.MapSSRC(compound, source, ssrc)
	}
	// What the party reports on is what it hears of the other one, perhaps under another name.
	if source, ssrc, _, same := b.from.out.relayedAs(); !same {
		rtp.MapSSRC(compound, ssrc, source)
	}
}

// shiftReports brings the RTP timestamps of sender reports into the run that the party sees (RFC 3550 §6.4.1: it stands for
// the same instant as the NTP timestamp).
func shiftReports(compound []byte, source, stamp uint32) {
	for len(compound) > 0 {
		p, rest, err := rtp.NextControl(compound)
		if err != nil {
			return
		}
		if p.Type == rtp.TypeSenderReport && p.Sender() == source && len(p.Body) >= 16 {
			binary.BigEndian.PutUint32(p.Body[12:], binary.BigEndian.Uint32(p.Body[12:])+stamp)
		}
		compound = rest
	}
}

// convert takes a packet whose codec the other party does not speak.
func (b *bridge) convert(data []byte, now int64) {
	var p rtp.Packet
	if p.Parse(data) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone || b.playing == nil && !b.start() {
		return
	}
	b.receiver.Put(&p, time.Duration(now))
	if b.from.converted.Load() == nil {
		if in, ok := b.from.codec(p.PayloadType); ok {
			b.from.converted.Store(b.conversion(in))
		}
	}
}

// start lets the other party's talker play what comes. The caller holds b.mu.
func (b *bridge) start() bool {
	t := b.to.talk()
	rate, ok := t.rate()
	if !ok {
		return false
	}
	if b.receiver == nil || b.receiver.Rate() != rate {
		receiver, err := b.from.receiver(rate)
		if err != nil {
			return false
		}
		b.receiver = receiver
	}
	playing, err := t.play(&heard{receiver: b.receiver, st: b.from})
	if err != nil {
		return false
	}
	b.playing = playing
	b.talks.Store(true)
	b.from.talk().reporter.start() // what the party sends ends here: it is told how it arrives
	return true
}

// received tells how the jitter buffer has received the party; false while nothing is converted.
func (b *bridge) received() (jitter.Stats, bool) {
	if !b.talks.Load() {
		return jitter.Stats{}, false
	}
	b.mu.Lock()
	receiver := b.receiver
	b.mu.Unlock()
	if receiver == nil {
		return jitter.Stats{}, false
	}
	return receiver.Stats(), true
}

// silence ends the conversion.
func (b *bridge) silence() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.talks.Store(false)
	if b.playing != nil {
		b.playing.Stop()
		b.playing = nil
	}
}

// detach implements detacher.
func (b *bridge) detach() {
	b.silence()
	b.mu.Lock()
	b.gone = true
	b.mu.Unlock()
}

// String implements Output.
func (b *bridge) String() string {
	if what := b.from.converted.Load(); what != nil && b.talks.Load() {
		return "jitter buffer -> " + what.codecs + " -> send " + b.to.exit()
	}
	return "relay " + b.to.exit()
}

// receiver makes a jitter buffer with decoders for what the party sends; rate is that of the PCM.
func (st *Stream) receiver(rate int) (*jitter.Receiver, error) {
	return jitter.New(jitter.Config{Rate: rate, Codec: func(pt uint8) (codec.Spec, codec.Params, bool) {
		p, ok := st.codec(pt)
		if !ok {
			return codec.Spec{}, codec.Params{}, false
		}
		spec, ok := p.spec()
		if !ok {
			// Comfort noise and events are known by their names.
			return codec.Spec{Name: p.Name, ClockRate: int(p.ClockRate), Channels: 1}, codec.Params{}, p.isEvent() || strings.EqualFold(p.Name, "CN")
		}
		return spec, codec.Params{FMTP: p.FMTP}, true
	}})
}

// heard is a party's voice as a Source. A fax that begins to speak freezes the jitter buffer: modems bear no change of the
// delay and nothing that is made up.
type heard struct {
	receiver *jitter.Receiver
	st       *Stream
	fax      tone.Fax
	found    bool
}

// Rate implements Rated.
func (h *heard) Rate() int { return h.receiver.Rate() }

// ReadFrame implements Source.
func (h *heard) ReadFrame(frame codec.Frame) error {
	h.receiver.ReadFrame(frame, time.Duration(h.st.session.engine.now()))
	if h.found || h.receiver.Rate() != codec.Rate {
		return nil
	}
	if kind := h.fax.Write(frame); kind != tone.None {
		h.found = true
		h.receiver.Freeze(true)
		h.st.fax.Store(int32(kind))
	}
	return nil
}

// Bridge connects two sessions: what the party of one says, the party of the other hears, stream by stream in the
// order of the m-lines. Streams that are opened later (by a re-INVITE) join by themselves. A session that was
// bridged with a third one leaves it. What is being played goes on: stop it before.
func Bridge(a, b *Session) {
	if a.bridged == b && b.bridged == a {
		a.link()
		return
	}
	a.unbridge()
	b.unbridge()
	a.bridged, b.bridged = b, a
	a.link()
}

// Unbridge undoes Bridge; packets of both parties end nowhere until their streams are connected again.
func Unbridge(a, b *Session) {
	if a.bridged == b {
		a.unbridge()
	}
}

func (s *Session) unbridge() {
	other := s.bridged
	if other == nil {
		return
	}
	s.bridged, other.bridged = nil, nil
	s.unlink()
	other.unlink()
}

func (s *Session) unlink() {
	for _, st := range s.Streams() {
		if c := st.chain.Load(); c != nil {
			if _, ok := c.out.(*bridge); ok {
				st.Connect(nil)
			}
		}
	}
}

// link connects the streams that both bridged sessions have.
func (s *Session) link() {
	other := s.bridged
	if other == nil {
		return
	}
	for _, st := range s.Streams() {
		far := other.stream(st.index)
		if far == nil {
			continue
		}
		if !s.hushed.Load() || !st.isVoice() {
			st.join(far)
		}
		if !other.hushed.Load() || !far.isVoice() {
			far.join(st)
		}
	}
}

// join passes what st's party says on to far's, unless it does so already as the descriptions now want it: a chain with
// stages keeps them.
func (st *Stream) join(far *Stream) {
	b := newBridge(st, far)
	if c := st.chain.Load(); c != nil {
		if old, ok := c.out.(*bridge); ok && old.to == far {
			if old.table == b.table {
				return
			}
			st.Connect(b, c.stages...)
			return
		}
	}
	far.feeder.Store(st)
	st.Connect(b)
	if st.Kind() == "video" && st.isRTP.Load() {
		st.requestPicture() // whoever sees the party from now on has nothing to begin with
	}
}

// Conveys reports whether the keys that from's party presses reach to's party with its media: as events that both take,
// or as tones in a voice that both speak.
func Conveys(from, to *Session) bool {
	if from == nil || to == nil || from.bridged != to {
		return false
	}
	a, b := from.Audio(), to.Audio()
	if a != nil && a.ears.Load() != nil {
		// They are in the voice, which passes; who takes them in another form is told in that.
		return to.terms.Digits != DigitInfo && !to.TakesEvents()
	}
	return a != nil && b != nil && a.passesEvents(b)
}

// passesEvents reports whether events of the party are passed on to far.
func (st *Stream) passesEvents(far *Stream) bool {
	mine := st.received.Load()
	if mine == nil || far.wanted.Load() == nil {
		return false
	}
	c := st.chain.Load()
	if c == nil {
		return false
	}
	b, ok := c.out.(*bridge)
	if !ok || b.to != far {
		return false
	}
	return slices.ContainsFunc(*mine, func(p payload) bool { return p.isEvent() && b.table[p.Type&0x7f] < converts })
}
