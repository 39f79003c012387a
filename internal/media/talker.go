package media

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/resample"
	"dialtone/internal/media/tone"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// scratch is the clock's room for one frame and its packets.
type scratch struct {
	frame  [maxRate / 50]int16
	packet [maxPacket]byte
	report [512]byte
	batch  [1]network.Packet
}

const (
	maxRate   = 48000 // Hz, of the sources that are played
	maxPacket = 2048  // bytes: 60 ms of linear sound at 16 kHz, and room for encryption
)

// talker is what we ourselves say on a stream: a source of PCM, key presses, or the party's own words coming back. It has one
// SSRC and one run of sequence numbers for the life of the stream, whatever it says.
type talker struct {
	st       *Stream
	reporter reporter
	slot     int64       // on the clock, whose lock guards it
	sounding atomic.Bool // a key is pressed as a tone: nobody else is heard

	mu      sync.Mutex
	sender  rtp.Sender
	base    uint32 // RTP timestamp at engine time 0, for a clock of 8 kHz
	playing *Playing
	list    *[]payload // the party's payloads that voice and event were chosen from
	ours    *[]payload // and ours
	voice   voice
	event   payload
	keys    []key // waiting to be pressed; the first may be under way
	ticking bool  // on the clock
	silent  bool  // no audio packet went out in the last frame
	closed  bool
	tuning  tuning
}

// voice is the codec in which we speak to a party.
type voice struct {
	payload payload
	encoder codec.Encoder // nil: the party takes none that is made here
	rate    int           // of its PCM, in Hz
	length  int           // samples a packet
	pcm     codec.Frame   // less than a packet, waiting
	from    int           // rate of what is resampled
	bring   *resample.Resampler
	made    codec.Frame // by the resampler
}

// talk returns the stream's talker, making it when there is none.
func (st *Stream) talk() *talker {
	if t := st.talker.Load(); t != nil {
		return t
	}
	t := &talker{st: st, base: rand.Uint32(), silent: true}
	t.sender = rtp.Sender{SSRC: rand.Uint32(), Sequence: uint16(rand.Uint32() >> 17), ClockRate: 8000}
	t.reporter.talker = t
	if !st.talker.CompareAndSwap(nil, t) {
		return st.talker.Load()
	}
	return t
}

// start puts the talker on the clock. The caller holds t.mu.
func (t *talker) start() {
	if t.ticking || t.closed {
		return
	}
	t.ticking = true
	t.st.session.engine.clock.add(t)
	t.reporter.start()
}

// place implements paced.
func (t *talker) place() *int64 { return &t.slot }

// tick implements paced: it says what is due.
func (t *talker) tick(tick int64, s *scratch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.playing == nil && len(t.keys) == 0 || t.closed {
		t.ticking, t.silent = false, true
		t.st.session.engine.clock.remove(t)
		return
	}
	t.choose()
	pressing := t.press(tick, s)
	if t.playing == nil {
		t.silent = t.silent || !pressing
		return
	}
	frame := codec.Frame(s.frame[:t.playing.rate/framesPerSecond])
	if err := t.playing.source.ReadFrame(frame); err != nil {
		t.playing.end(err)
		t.playing, t.silent = nil, true
		return
	}
	// RFC 4733 §2.5.1.2: while an event lasts its packets take the place of the audio.
	if pressing || t.voice.encoder == nil || t.st.mute.Load() {
		t.silent = t.silent || !t.sounding.Load()
		return
	}
	t.speak(frame, t.playing.rate, tick, s)
}

// speak sends one frame, in as many packets as the party's packet time makes of it.
func (t *talker) speak(frame codec.Frame, rate int, tick int64, s *scratch) {
	v := &t.voice
	waiting := len(v.pcm)
	v.pcm = append(v.pcm, v.resampled(frame, rate)...)
	// The timestamp is that of the clock: a pause, a late tick and silence all show as the time that they took.
	clock := int64(v.payload.ClockRate)
	now := uint32(tick*clock/1000) - uint32(int64(waiting)*clock/int64(v.rate))
	at := 0
	for ; len(v.pcm)-at >= v.length; at += v.length {
		payload := v.encoder.Encode(s.packet[rtp.HeaderSize:rtp.HeaderSize], v.pcm[at:at+v.length])
		if len(payload) == 0 {
			t.silent = true // discontinuous transmission
			continue
		}
		// RFC 3551 §4.1: the marker is set on the first packet after silence.
		p := rtp.Packet{PayloadType: v.payload.Type, Marker: t.silent, Payload: payload}
		t.silent = false
		t.sender.ClockRate = v.payload.ClockRate
		t.sender.Timestamp = t.base + now + uint32(int64(at)*clock/int64(v.rate))
		t.sender.Stamp(&p, uint32(int64(v.length)*clock/int64(v.rate)), time.Duration(tick)*time.Millisecond)
		t.send(&p, s, v.payload.ClockRate)
	}
	v.pcm = append(v.pcm[:0], v.pcm[at:]...)
}

// resampled brings a frame to the rate of the codec. The result is valid until the next call.
func (v *voice) resampled(frame codec.Frame, rate int) codec.Frame {
	if rate == v.rate {
		return frame
	}
	if v.bring == nil || v.from != rate {
		r, err := resample.NewStream(rate, v.rate)
		if err != nil {
			return nil
		}
		v.bring, v.from = r, rate
	}
	v.made = v.bring.Write(v.made[:0], frame)
	return v.made
}

// send prints a packet that is numbered and passes it to the party.
func (t *talker) send(p *rtp.Packet, s *scratch, rate uint32) {
	s.batch[0] = network.Packet{Data: p.Append(s.packet[:0])}
	t.st.originate(s.batch[:], rate)
}

// framesPerSecond is how many frames of 20 ms a second has.
const framesPerSecond = 50

// choose picks the payload types that the party takes. The caller holds t.mu.
func (t *talker) choose() {
	list, ours := t.st.wanted.Load(), t.st.received.Load()
	if list == nil {
		list = ours
	}
	if list == t.list && ours == t.ours {
		return
	}
	before := t.voice
	t.list, t.ours, t.voice, t.event = list, ours, voice{}, payload{}
	if list == nil {
		return
	}
	// RFC 3264 §6.1: of a stream that goes both ways, the formats of either description are those that its side both sends
	// and takes. Interop: who answers with a codec that was not offered is taken at its word.
	agreed := *list
	if ours != nil {
		agreed = slices.DeleteFunc(slices.Clone(agreed), func(p payload) bool { return !slices.ContainsFunc(*ours, p.same) })
		if !slices.ContainsFunc(agreed, payload.isSpeech) {
			agreed = *list
		}
	}
	for _, p := range agreed {
		if t.voice.encoder == nil && p.isSpeech() {
			t.voice = newVoice(p, int(t.st.ptime.Load()), before)
		}
		if p.isEvent() && p.ClockRate == 8000 && t.event.Name == "" {
			t.event = p
		}
	}
	t.tuning.encoder, _ = t.voice.encoder.(codec.Tuner)
}

// newVoice makes the encoder of a payload, or keeps the one before when nothing has changed but the list that it stands in.
func newVoice(p payload, ptime int, before voice) voice {
	spec, ok := p.spec()
	if !ok || spec.NewEncoder == nil {
		return voice{}
	}
	ptime = packetTime(ptime)
	rate := nearestRate(spec.Rates, wideRate)
	if before.payload == p && before.length == rate*ptime/1000 && before.encoder != nil {
		return before
	}
	encoder, err := spec.NewEncoder(codec.Params{Rate: rate, FMTP: p.FMTP, PTime: ptime})
	if err != nil { // not every codec makes packets of every length
		ptime = packetTime(0)
		encoder, err = spec.NewEncoder(codec.Params{Rate: rate, FMTP: p.FMTP, PTime: ptime})
	}
	if err != nil {
		return voice{}
	}
	return voice{payload: p, encoder: encoder, rate: rate, length: rate * ptime / 1000}
}

// wideRate is the rate at which codecs work that leave the choice: what telephones call wideband.
const wideRate = 16000

// nearestRate is the lowest of the rates that is no lower than want, else the highest.
func nearestRate(rates []int, want int) int {
	for _, r := range rates {
		if r >= want {
			return r
		}
	}
	return rates[len(rates)-1]
}

// packetTime is what we send for the packet time that a party asks for: what codecs can do.
func packetTime(ms int) int {
	switch {
	case ms <= 0:
		return 20
	case ms < 20:
		return 10
	case ms >= 60:
		return 60
	}
	return ms / 10 * 10
}

// rate is the rate of the PCM that the party's codec takes; false when there is none that is made here.
func (t *talker) rate() (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.choose()
	return t.voice.rate, t.voice.encoder != nil
}

// codecName is the codec in which we speak; "" none.
func (t *talker) codecName() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.voice.payload.Name
}

// echoed renumbers a packet of the party as our own. The caller holds t.mu.
func (t *talker) echoed(b []byte, now int64) {
	var p rtp.Packet
	if p.Parse(b) != nil {
		return
	}
	t.sender.Timestamp = p.Timestamp
	t.sender.Stamp(&p, 0, time.Duration(now))
	binary.BigEndian.PutUint16(b[2:], p.Sequence)
	binary.BigEndian.PutUint32(b[8:], p.SSRC)
}

// close ends what is played and says BYE.
func (t *talker) close() {
	t.mu.Lock()
	playing, spoke := t.playing, t.sender.Sent()
	t.playing, t.keys, t.closed = nil, nil, true
	t.mu.Unlock()
	if playing != nil {
		playing.end(ErrClosed)
	}
	t.reporter.stop(spoke)
}

// key is a press that waits or is under way.
type key struct {
	code    uint8
	beep    *tone.Generator // what is sounded is no key
	length  time.Duration
	encoder rtp.EventEncoder
	next    rtp.EventPacket
	more    bool            // next is to be sent
	begun   bool            // the encoder runs
	from    int64           // tick at which it began
	tone    *tone.Generator // where it is pressed as a tone
	until   int64           // tick at which the next key may begin, once it is over
}

// keyPause is between two presses, so that the party's detector sees two.
const keyPause = 100 // milliseconds

// press sends what is due of the key presses and reports whether one is under way. The caller holds t.mu.
func (t *talker) press(tick int64, s *scratch) bool {
	if len(t.keys) == 0 {
		return false
	}
	k := &t.keys[0]
	if !k.begun {
		k.begun, k.from = true, tick
		t.sender.Timestamp = t.base + uint32(tick*frameSamples/slotCount)
		k.encoder = rtp.NewEventEncoder(k.code, 10, k.length, t.sender.Timestamp, 8000)
		k.next, k.more = k.encoder.Next()
	}
	if t.event.Name == "" || k.beep != nil {
		return t.sound(k, tick, s)
	}
	for k.more && tick-k.from >= k.next.At.Milliseconds() {
		if !t.st.mute.Load() {
			var body [rtp.EventSize]byte
			p := rtp.Packet{PayloadType: t.event.Type, Marker: k.next.Marker, Timestamp: k.next.Timestamp,
				Payload: k.next.Event.Append(body[:0])}
			t.sender.StampEvent(&p)
			t.send(&p, s, t.event.ClockRate)
		}
		if k.next, k.more = k.encoder.Next(); !k.more {
			k.until = tick + keyPause
		}
	}
	if k.more {
		return tick-k.from < k.length.Milliseconds()
	}
	if tick >= k.until {
		t.keys = slices.Delete(t.keys, 0, 1)
	}
	return false
}

// sound presses a key as a tone in the voice, for parties that take no events, and reports whether it is under way. The caller
// holds t.mu.
func (t *talker) sound(k *key, tick int64, s *scratch) bool {
	if t.voice.encoder == nil {
		t.keys = slices.Delete(t.keys, 0, 1)
		return false
	}
	pause := int64(keyPause)
	switch {
	case k.tone != nil:
	case k.beep != nil:
		k.tone = k.beep
		t.sounding.Store(true)
	default:
		letter := rtp.Key(k.code)
		k.tone = tone.NewGenerator(tone.Key(letter, max(k.length, leastTone*time.Millisecond), keyPause*time.Millisecond))
		t.sounding.Store(true)
	}
	if k.beep != nil {
		pause = 0
	}
	elapsed := tick - k.from
	frame := s.frame[:frameSamples]
	switch length := max(k.length.Milliseconds(), leastTone); {
	case elapsed < length+pause:
		k.tone.Read(frame)
	default:
		t.keys = slices.Delete(t.keys, 0, 1)
		t.sounding.Store(false)
		return false
	}
	if !t.st.mute.Load() {
		t.speak(frame, codec.Rate, tick, s)
	}
	return true
}

// leastTone is how long a tone must last for every detector to take it, in milliseconds (ITU-T Q.24).
const leastTone = 80

// isSounding reports whether a key is pressed towards the party as a tone, in place of what the other party says.
func (st *Stream) isSounding() bool {
	t := st.talker.Load()
	return t != nil && t.sounding.Load()
}
