package media

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// scratch is the clock's room for one frame and its packets.
type scratch struct {
	frame  [frameSamples]int16
	packet [rtp.HeaderSize + frameSamples]byte
	report [512]byte
	batch  [1]network.Packet
}

// talker is what we ourselves say on a stream: a source of PCM, key presses, or the party's own words coming back. It has one
// SSRC and one run of sequence numbers for the life of the stream, whatever it says.
type talker struct {
	st       *Stream
	reporter reporter
	slot     int64 // on the clock, whose lock guards it

	mu      sync.Mutex
	sender  rtp.Sender
	base    uint32 // RTP timestamp at engine time 0
	playing *Playing
	list    *[]payload // the party's payloads that voice and event were chosen from
	voice   voice
	event   payload
	keys    []key // waiting to be pressed; the first may be under way
	ticking bool  // on the clock
	silent  bool  // no audio packet went out in the last frame
	closed  bool
}

// talk returns the stream's talker, making it when there is none.
func (st *Stream) talk() *talker {
	if t := st.talker.Load(); t != nil {
		return t
	}
	t := &talker{st: st, base: rand.Uint32(), silent: true}
	t.sender = rtp.Sender{SSRC: rand.Uint32(), Sequence: uint16(rand.Uint32()), ClockRate: 8000}
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

// tick says what is due at a tick of the clock, in milliseconds of engine time.
func (t *talker) tick(tick int64, s *scratch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.playing == nil && len(t.keys) == 0 || t.closed {
		t.ticking, t.silent = false, true
		t.st.session.engine.clock.remove(t)
		return
	}
	t.choose()
	// The timestamp is that of the clock: a pause, a late tick and silence all show as the time that they took.
	t.sender.Timestamp = t.base + uint32(tick*frameSamples/slotCount)
	pressing := t.press(tick, s)
	if t.playing == nil {
		t.silent = true
		return
	}
	frame := s.frame[:]
	if err := t.playing.source.ReadFrame(frame); err != nil {
		t.playing.end(err)
		t.playing, t.silent = nil, true
		return
	}
	// RFC 4733 §2.5.1.2: while an event lasts its packets take the place of the audio.
	if pressing || t.voice.codec == nil || t.st.mute.Load() {
		t.silent = true
		return
	}
	t.speak(frame, tick, s)
}

// speak sends one frame.
func (t *talker) speak(frame codec.Frame, tick int64, s *scratch) {
	payload := t.voice.codec.Encode(s.packet[rtp.HeaderSize:rtp.HeaderSize], frame)
	// RFC 3551 §4.1: the marker is set on the first packet after silence.
	p := rtp.Packet{PayloadType: t.voice.payload.Type, Marker: t.silent, Payload: payload}
	t.silent = false
	t.sender.Stamp(&p, frameSamples, time.Duration(tick)*time.Millisecond)
	t.send(&p, s)
}

// send prints a packet that is numbered and passes it to the party.
func (t *talker) send(p *rtp.Packet, s *scratch) {
	s.batch[0] = network.Packet{Data: p.Append(s.packet[:0])}
	t.st.send(s.batch[:])
}

// choose picks the payload types that the party takes. The caller holds t.mu.
func (t *talker) choose() {
	list := t.st.wanted.Load()
	if list == nil {
		list = t.st.received.Load()
	}
	if list == t.list {
		return
	}
	t.list, t.voice, t.event = list, voice{}, payload{}
	if list == nil {
		return
	}
	for _, p := range *list {
		if codec := codecOf(p); codec != nil && t.voice.codec == nil {
			t.voice = voice{codec: codec, payload: p}
		}
		if p.isEvent() && p.ClockRate == 8000 && t.event.Name == "" {
			t.event = p
		}
	}
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
	length  time.Duration
	encoder rtp.EventEncoder
	next    rtp.EventPacket
	more    bool  // next is to be sent
	begun   bool  // the encoder runs
	from    int64 // tick at which it began
	until   int64 // tick at which the next key may begin, once it is over
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
		k.encoder = rtp.NewEventEncoder(k.code, 10, k.length, t.sender.Timestamp, 8000)
		k.next, k.more = k.encoder.Next()
	}
	for k.more && tick-k.from >= k.next.At.Milliseconds() {
		if t.event.Name != "" && !t.st.mute.Load() {
			var body [rtp.EventSize]byte
			p := rtp.Packet{PayloadType: t.event.Type, Marker: k.next.Marker, Timestamp: k.next.Timestamp,
				Payload: k.next.Event.Append(body[:0])}
			t.sender.StampEvent(&p)
			t.send(&p, s)
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
