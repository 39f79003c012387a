package media

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"dialtone/internal/media/tone"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

var (
	// ErrNoAudio means that the session has no audio stream with a port.
	ErrNoAudio = errors.New("session has no audio stream")
	// ErrNoCodec means that the party takes no codec that is made here.
	ErrNoCodec = errors.New("party takes no codec that we speak")
	// ErrNoEvents means that the party takes neither telephone-events nor a voice that tones could be in.
	ErrNoEvents = errors.New("party takes no telephone-events and no tones")
	// ErrStopped is how a player ends that was stopped or replaced.
	ErrStopped = errors.New("playing was stopped")
)

// Playing is a source that is being played.
type Playing struct {
	talker *talker
	source Source
	rate   int // of its frames, in Hz
	once   sync.Once
	done   chan struct{}
	err    error
}

// Done is closed when the source has ended or was stopped.
func (p *Playing) Done() <-chan struct{} { return p.done }

// Err says how it ended, once Done is closed: io.EOF when the source had no more, ErrStopped, ErrClosed, or the
// source's own error.
func (p *Playing) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop ends it. The source is not read once Stop has returned.
func (p *Playing) Stop() {
	p.talker.mu.Lock()
	if p.talker.playing == p {
		p.talker.playing = nil
	}
	p.talker.mu.Unlock()
	p.end(ErrStopped)
}

func (p *Playing) end(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.done)
	})
}

// Play plays the source to the party on the first audio stream, in place of what was played before. Nothing else
// should be sent on the stream meanwhile: Unbridge first.
func (s *Session) Play(source Source) (*Playing, error) {
	st, err := s.speaking()
	if err != nil {
		return nil, err
	}
	return st.talk().play(source)
}

// play is Session.Play.
func (t *talker) play(source Source) (*Playing, error) {
	p := &Playing{talker: t, source: source, rate: rateOf(source), done: make(chan struct{})}
	t.mu.Lock()
	t.choose()
	if t.voice.encoder == nil {
		t.mu.Unlock()
		return nil, ErrNoCodec
	}
	old := t.playing
	t.playing = p
	t.start()
	t.mu.Unlock()
	if old != nil {
		old.end(ErrStopped)
	}
	return p, nil
}

// DigitLength is how long a key is pressed when nothing else is said.
const DigitLength = 100 * time.Millisecond

// SendDigit presses a key towards the party: '0'-'9', '*', '#', 'A'-'D'; as events where the party takes them, else, and where
// the terms ask for it, as tones. Presses queue up; what is played pauses meanwhile. length 0 means DigitLength.
func (s *Session) SendDigit(digit byte, length time.Duration) error {
	code, ok := rtp.KeyCode(digit)
	if !ok {
		return fmt.Errorf("%q is no telephone key", digit)
	}
	st, err := s.speaking()
	if err != nil {
		return err
	}
	if length <= 0 {
		length = DigitLength
	}
	t := st.talk()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.choose()
	if t.event.Name == "" && t.voice.encoder == nil {
		return ErrNoEvents
	}
	t.keys = append(t.keys, key{code: code, length: length})
	t.start()
	return nil
}

// Beep sounds a tone to the party for a while, 80 ms at least, in place of whatever else it would hear meanwhile.
func (s *Session) Beep(t tone.Tone, length time.Duration) error {
	st, err := s.speaking()
	if err != nil {
		return err
	}
	k := key{beep: tone.NewGenerator(tone.Cadence{{Tone: t}}), length: length}
	talk := st.talk()
	talk.mu.Lock()
	defer talk.mu.Unlock()
	talk.choose()
	if talk.voice.encoder == nil {
		return ErrNoCodec
	}
	talk.keys = append(talk.keys, k)
	talk.start()
	return nil
}

// VoiceRate is the sampling rate of the codec in which we speak to the party, in Hz; false when there is none that is made
// here.
func (s *Session) VoiceRate() (int, bool) {
	st := s.Audio()
	if st == nil {
		return 0, false
	}
	return st.talk().rate()
}

// TakesEvents reports whether the party takes keys as telephone-events.
func (s *Session) TakesEvents() bool {
	st := s.Audio()
	if st == nil || s.terms.Digits == DigitTones {
		return false
	}
	list := st.wanted.Load()
	return list != nil && slices.ContainsFunc(*list, payload.isEvent)
}

// speaking is the stream that we speak on.
func (s *Session) speaking() (*Stream, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	st := s.Audio()
	if st == nil {
		return nil, ErrNoAudio
	}
	return st, nil
}

// Listen decodes what the party says on the first audio stream and gives it to the sink. It takes the place of what the
// stream was connected to. The former sink is not called once Listen has returned; a nil sink ends listening.
func (s *Session) Listen(sink Sink) error {
	st, err := s.speaking()
	if err != nil {
		return err
	}
	if sink == nil {
		st.Connect(nil)
		return nil
	}
	st.Connect(newDecoder(st, sink))
	st.talk().reporter.start()
	return nil
}

// Echo sends all that the party says on any stream back to it (in a loop of RTP, with our own SSRC and numbers).
func (s *Session) Echo() error {
	if s.closed.Load() {
		return ErrClosed
	}
	for _, st := range s.Streams() {
		st.Connect(echo{st})
		if st.isRTP.Load() {
			st.talk().reporter.start()
		}
	}
	return nil
}

// echo sends packets back to who sent them.
type echo struct{ st *Stream }

func (e echo) String() string { return "echo" }

// WritePackets implements Output.
//
// RFC 3550 §8.2: a source that hears its own SSRC takes it for a loop or a collision, hence the new numbers.
func (e echo) WritePackets(ps []network.Packet) {
	if e.st.isRTP.Load() {
		t := e.st.talk()
		now := e.st.session.engine.now()
		t.mu.Lock()
		for i := range ps {
			t.echoed(ps[i].Data, now)
		}
		t.mu.Unlock()
	}
	if !e.st.mute.Load() {
		e.st.originate(ps, e.st.outRate())
	}
}

func (st *Stream) voiceState() *VoiceState {
	t := st.talker.Load()
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := st.session.engine.now()
	return &VoiceState{
		SSRC:      t.sender.SSRC,
		Sequence:  t.sender.Sequence,
		Timestamp: t.base + samplesAt(now),
		At:        st.session.engine.epoch.Add(time.Duration(now)).Round(0),
	}
}

// restoreVoice goes on with the numbers of another process, a little further on: what it sent after it was written down
// must not come twice.
func (st *Stream) restoreVoice(x *VoiceState) {
	if x == nil {
		return
	}
	const ahead = 100
	t := st.talk()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sender.SSRC, t.sender.Sequence = x.SSRC, x.Sequence+ahead
	elapsed := max(0, time.Since(x.At)).Milliseconds() * frameSamples / slotCount
	t.base = x.Timestamp + uint32(elapsed) - samplesAt(st.session.engine.now())
}

// samplesAt is engine time in samples of 8 kHz.
func samplesAt(now int64) uint32 {
	return uint32(now / int64(tickTime) * frameSamples / slotCount)
}

// chance is a number in [0, 1).
func chance() float64 { return rand.Float64() }
