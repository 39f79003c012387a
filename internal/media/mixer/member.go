package mixer

import (
	"io"
	"math"
	"sync/atomic"

	"dialtone/internal/codec"
	"dialtone/internal/media/period"
	"dialtone/internal/media/tone"
)

// Member is one party of a conference, and a Source of what it hears.
type Member struct {
	mixer *Mixer
	rate  int
	voice *voice
	deaf  atomic.Bool
	fresh atomic.Bool // the only one: what was mixed before is stale

	// Guarded by Mixer.mixing.
	cursor period.Cursor
	ear    *converter  // nil: hears at the rate of the mix
	heard  codec.Frame // at the rate of the mix, when ear is there
}

// Rate is how many samples a second ReadFrame gives.
func (m *Member) Rate() int { return m.rate }

// ReadFrame gives 20 ms of what the member hears, io.EOF once it has left. It is to be called every 20 ms by one
// goroutine at a time.
func (m *Member) ReadFrame(frame codec.Frame) error {
	if m.voice.gone.Load() {
		return io.EOF
	}
	if len(frame) != m.rate/50 {
		return ErrFrame
	}
	x := m.mixer
	x.mixing.Lock()
	defer x.mixing.Unlock()
	if m.fresh.Load() {
		m.fresh.Store(false)
		m.cursor = period.From(x.newest + 1)
	}
	n := m.cursor.Pull(x.newest)
	if n > x.newest {
		x.mix(n)
	}
	if m.ear == nil {
		x.hear(m, n, frame)
		return nil
	}
	x.hear(m, n, m.heard)
	m.ear.convert(frame, m.heard)
	return nil
}

// Leave takes the member out: nobody hears it from the next period on. A read of its input that is under way may still
// end after Leave has returned.
func (m *Member) Leave() {
	m.mixer.remove(m.voice)
	m.voice.end(io.EOF)
}

// Mute: what the member says is not heard. Its input is read all the same.
func (m *Member) Mute(on bool) { m.voice.mute.Store(on) }

// Deafen: the member hears nothing.
func (m *Member) Deafen(on bool) { m.deaf.Store(on) }

// SetGain changes how loud the member is to the others, in dB between -60 and 24.
func (m *Member) SetGain(db float64) {
	db = max(-60, min(24, db))
	m.voice.gain.Store(int32(math.Round(unity * math.Pow(10, db/20))))
}

// Whisper lets only the given member hear this one; nil lets everybody. When that one leaves nobody does: what was said
// to one is never heard by all because of that.
func (m *Member) Whisper(to *Member) { m.voice.whisper.Store(to) }

// Talking tells whether the member speaks, or did within half a second. Who is muted does not.
func (m *Member) Talking() bool { return m.voice.talking.Load() }

// Level is how loud the last 20 ms were in dBm0, after gain and mute; silence is -100.
func (m *Member) Level() float64 { return tone.Level(float64(m.voice.power.Load())) }

// Skipped is how many periods the input was not read because it was slow.
func (m *Member) Skipped() int64 { return m.voice.slow.Load() }

// Err is what the input failed with; nil when it did not, or only had no more.
func (m *Member) Err() error { return m.voice.failure() }

// Announcement is a source that is mixed in beside the members.
type Announcement struct {
	mixer *Mixer
	voice *voice
}

// Announce plays a source to all members, or to one of them alone. It is heard whoever speaks.
func (m *Mixer) Announce(in Source, only *Member) (*Announcement, error) {
	v, err := m.newVoice(in)
	if err != nil {
		return nil, err
	}
	v.only = only
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return nil, ErrClosed
	}
	m.dropEnded()
	m.add(*m.voices.Load(), v)
	return &Announcement{m, v}, nil
}

// dropEnded takes announcements out that are over. The caller holds m.mu.
func (m *Mixer) dropEnded() {
	old := *m.voices.Load()
	list := make([]*voice, 0, len(old)+1)
	for _, v := range old {
		select {
		case <-v.done:
			if v.member == nil {
				continue
			}
		default:
		}
		list = append(list, v)
	}
	m.voices.Store(&list)
}

// Done is closed when the source has ended or was stopped. It ends only while somebody listens: nobody else pulls.
func (a *Announcement) Done() <-chan struct{} { return a.voice.done }

// Err is what the source failed with; nil when it just had no more.
func (a *Announcement) Err() error { return a.voice.failure() }

// Stop ends it.
func (a *Announcement) Stop() {
	a.mixer.remove(a.voice)
	a.voice.end(io.EOF)
}
