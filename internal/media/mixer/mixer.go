// Package mixer is the conference bridge: everybody hears everybody but himself.
//
// It owns the mix of a conference: levels, who speaks, who is mixed, limiting, gain, mute, deaf, whisper, announcements.
// It does not own the members' streams, codecs, or the conference as a service (who may join, pins, announcements' text).
//
// It has no goroutine and no clock. Members are pulled by the clocks that play to them; the first one that comes for a
// new period of 20 ms makes its mix, which reads each input exactly once. Package period has the rule that makes members
// at different phases and late ones share periods. Everything here may be called from any goroutine.
//
// An input that fails is left out; its member goes on hearing. One that takes long again and again is not read for a
// second. Both lock out nobody: settings, Join and Leave do not wait for a mix. A mix waits for its inputs, though, which
// must not block.
package mixer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/media/period"
)

// Source gives 20 ms of PCM a call; io.EOF ends it. It must not block. One with a method Rate() int says at how many
// samples a second, others work at 8000.
type Source interface {
	ReadFrame(frame codec.Frame) error
}

// Config says how a conference sounds.
type Config struct {
	Rate    int // samples a second of the mix: 8000 or 16000; 0 means 8000
	Loudest int // how many speakers are mixed at a time, all others are heard as nothing; 0 means 6
}

// ErrFrame is for a frame of another length than 20 ms.
var ErrFrame = errors.New("frame is not 20 ms")

// Mixer is one conference.
type Mixer struct {
	rate    int
	samples int // of a frame
	loudest int

	mu     sync.Mutex
	voices atomic.Pointer[[]*voice] // immutable, replaced as a whole under mu
	closed atomic.Bool

	mixing sync.Mutex // held while a mix is made or read; guards what follows, and the frames of the voices
	newest uint64     // the period that was mixed last; they count from 1
	slots  [period.History]slot
	chosen []*voice // scratch: who is mixed
}

// slot is one period.
type slot struct {
	total    []int32     // sum of all that are mixed, unlimited
	shared   codec.Frame // the same, limited: what those hear who do not speak
	rendered bool        // shared is there
	privates []private   // heard by one member only, not in total
}

// private is what one member alone hears in a period. Who that is stays with the period: a late reader must not hear
// what was said to another.
type private struct {
	voice *voice
	to    *Member
}

// New makes an empty conference.
func New(c Config) (*Mixer, error) {
	if c.Rate == 0 {
		c.Rate = 8000
	}
	if c.Loudest == 0 {
		c.Loudest = 6
	}
	if c.Rate != 8000 && c.Rate != 16000 {
		return nil, fmt.Errorf("a conference mixes at 8000 or 16000 samples a second, not %d", c.Rate)
	}
	if c.Loudest < 1 {
		return nil, fmt.Errorf("mix %d speakers: at least one", c.Loudest)
	}
	m := &Mixer{rate: c.Rate, samples: c.Rate / 50, loudest: c.Loudest}
	for i := range m.slots {
		m.slots[i].total = make([]int32, m.samples)
		m.slots[i].shared = make(codec.Frame, m.samples)
	}
	m.voices.Store(&[]*voice{})
	return m, nil
}

// ErrClosed is for joining a conference that is over.
var ErrClosed = errors.New("conference is closed")

// Join adds a member that says what in gives (nil: says nothing) and hears at rate samples a second; 0 means the rate of
// the mix.
func (m *Mixer) Join(in Source, rate int) (*Member, error) {
	if rate == 0 {
		rate = m.rate
	}
	v, err := m.newVoice(in)
	if err != nil {
		return nil, err
	}
	ear, err := newConverter(m.rate, rate)
	if err != nil {
		return nil, err
	}
	member := &Member{mixer: m, rate: rate, voice: v, ear: ear}
	if ear != nil {
		member.heard = make(codec.Frame, m.samples)
	}
	v.member = member
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return nil, ErrClosed
	}
	old := *m.voices.Load()
	if !slices.ContainsFunc(old, func(v *voice) bool { return v.member != nil }) {
		member.fresh.Store(true)
	}
	m.add(old, v)
	return member, nil
}

// add publishes the list with one more. The caller holds m.mu.
func (m *Mixer) add(old []*voice, v *voice) {
	list := append(slices.Clone(old), v)
	m.voices.Store(&list)
}

// remove takes a voice out of the next mix.
func (m *Mixer) remove(v *voice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v.gone.Store(true)
	old := *m.voices.Load()
	if i := slices.Index(old, v); i >= 0 {
		list := slices.Delete(slices.Clone(old), i, i+1)
		m.voices.Store(&list)
	}
}

// Close ends the conference: members and announcements get io.EOF.
func (m *Mixer) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed.Store(true)
	for _, v := range *m.voices.Load() {
		v.gone.Store(true)
		v.end(io.EOF)
	}
	m.voices.Store(&[]*voice{})
}

// Speakers appends the members that talk now, loudest first.
func (m *Mixer) Speakers(dst []*Member) []*Member {
	n := len(dst)
	for _, v := range *m.voices.Load() {
		if v.member != nil && v.talking.Load() {
			dst = append(dst, v.member)
		}
	}
	slices.SortStableFunc(dst[n:], func(a, b *Member) int { return int(b.voice.power.Load() - a.voice.power.Load()) })
	return dst
}

// mix makes period n: reads all inputs, chooses who is heard, adds them up. The caller holds m.mixing.
func (m *Mixer) mix(n uint64) {
	m.newest = n
	s := &m.slots[n%period.History]
	clear(s.total)
	clear(s.privates)
	s.privates, s.rendered = s.privates[:0], false
	voices := *m.voices.Load()
	at := time.Now()
	for _, v := range voices {
		v.gather(n)
		// How long it took only says something of a source that reads more than memory; the clock is cheap.
		now := time.Now()
		v.judge(now.Sub(at))
		at = now
	}
	m.choose(voices)
	for _, v := range voices {
		v.place(n, s)
	}
}

// hear fills the frame with what the member hears in period n. The caller holds m.mixing.
func (m *Mixer) hear(member *Member, n uint64, frame codec.Frame) {
	s := &m.slots[n%period.History]
	if member.deaf.Load() {
		clear(frame)
		return
	}
	v := member.voice
	spokenTo := slices.ContainsFunc(s.privates, func(p private) bool { return p.to == member })
	speaks := v.mixedAt[n%period.History] == n
	if !speaks && !spokenTo {
		if !s.rendered {
			limit(s.shared, s.total)
			s.rendered = true
		}
		copy(frame, s.shared)
		return
	}
	if !spokenTo {
		limitWithout(frame, s.total, v.frames[n%period.History])
		return
	}
	for i, x := range s.total {
		if speaks {
			x -= int32(v.frames[n%period.History][i])
		}
		for _, p := range s.privates {
			if p.to == member {
				x += int32(p.voice.frames[n%period.History][i])
			}
		}
		frame[i] = soft(x)
	}
}

// The limiter leaves samples alone up to knee and bends what is louder so that it never reaches beyond the range: no
// wrap, no click, and no state, so that all who hear the same get the same.
const (
	knee = 24576 // 2.5 dB below full scale
	room = 32767 - knee
)

// soft limits one sample.
func soft(x int32) int16 {
	if uint32(x+knee) <= 2*knee {
		return int16(x)
	}
	if x > 0 {
		d := int64(x - knee)
		return int16(knee + room*d/(d+room))
	}
	d := int64(-x) - knee
	return int16(-knee - room*d/(d+room))
}

func limit(dst codec.Frame, sum []int32) {
	dst = dst[:len(sum)]
	for i, x := range sum {
		if uint32(x+knee) <= 2*knee {
			dst[i] = int16(x)
		} else {
			dst[i] = soft(x)
		}
	}
}

func limitWithout(dst codec.Frame, sum []int32, own codec.Frame) {
	dst, own = dst[:len(sum)], own[:len(sum)]
	for i, x := range sum {
		x -= int32(own[i])
		if uint32(x+knee) <= 2*knee {
			dst[i] = int16(x)
		} else {
			dst[i] = soft(x)
		}
	}
}

// scaled is a sample with a gain in 1/4096, clipped to the range.
func scaled(s int16, gain int32) int16 {
	return int16(max(math.MinInt16, min(math.MaxInt16, int64(s)*int64(gain)>>gainBits)))
}
