// Package player gives what is played: sounds from files, music on hold, a change from one to the other without a click.
//
// It owns decoding of files (WAVE, Ogg Opus, raw G.711), conversion of uploads (MP3, too), the cache of what was decoded,
// loops and gaps, and streams that many hear at one place. It does not own where files are, what they are called, or who
// hears what.
//
// Files are read and decoded before they are played, by whoever calls Load, never on a media clock. What was decoded never
// changes and is shared by all who play it. A Source belongs to one goroutine at a time unless it says otherwise; the only
// goroutine is Stream.Run, which loads what comes next. RFC 7845 (Ogg Opus).
package player

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"dialtone/internal/codec"
)

// Source gives 20 ms of PCM a call, io.EOF when there is no more.
type Source interface {
	ReadFrame(frame codec.Frame) error
}

// Config bounds a Library.
type Config struct {
	Bytes   int64         // of decoded sound that is kept; 0 means 64 MiB
	Longest time.Duration // of one file; 0 means 30 minutes, or less if that is more than Bytes
	Upload  int64         // bytes of a file that is converted; 0 means 64 MiB
}

// Sound is decoded sound. It never changes.
type Sound struct {
	PCM  codec.Frame // not to be written
	Rate int         // samples a second
}

// Duration is how long it lasts.
func (s *Sound) Duration() time.Duration {
	return time.Duration(len(s.PCM)) * time.Second / time.Duration(s.Rate)
}

// Library decodes files and keeps what was decoded. Its methods may be called from any goroutine.
type Library struct {
	config  Config
	newOpus func(rate int) (decoder, error)

	mu     sync.Mutex
	sounds map[key]*entry
	recent *list.List // of *entry, those used last in front
	bytes  int64
	music  map[int]*Sound // by rate
}

// key names a file at a rate; a file that was written anew is another one.
type key struct {
	path     string
	rate     int
	size     int64
	modified time.Time
}

// entry is a sound that is there or being decoded.
type entry struct {
	key   key
	ready chan struct{} // closed when sound or err is there
	sound *Sound
	err   error
	place *list.Element
}

// ErrRate is for a rate that nothing is played at.
var ErrRate = errors.New("sounds are played at 8000, 16000 or 48000 samples a second")

// New makes an empty library.
func New(c Config) *Library {
	if c.Bytes == 0 {
		c.Bytes = 64 << 20
	}
	if c.Longest == 0 {
		c.Longest = 30 * time.Minute
	}
	if c.Upload == 0 {
		c.Upload = 64 << 20
	}
	return &Library{config: c, newOpus: newOpus, sounds: map[key]*entry{}, recent: list.New(), music: map[int]*Sound{}}
}

// Load returns the sound of a file at a rate in samples a second: from memory, or after decoding it. It blocks. Whoever
// wants the same meanwhile waits for the same.
func (l *Library) Load(path string, rate int) (*Sound, error) {
	if rate != 8000 && rate != 16000 && rate != 48000 {
		return nil, ErrRate
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("load sound: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("load sound: %s is no file", path)
	}
	e, mine := l.find(key{path, rate, info.Size(), info.ModTime()})
	if mine {
		e.sound, e.err = l.decodeFile(path, rate)
		e.err = formatError(e.err)
		l.settle(e)
		close(e.ready)
	}
	<-e.ready
	if e.err != nil {
		return nil, fmt.Errorf("load sound %s: %w", path, e.err)
	}
	return e.sound, nil
}

// find returns the entry of a key, and whether the caller has to fill it.
func (l *Library) find(k key) (e *entry, mine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e = l.sounds[k]; e != nil {
		if e.place != nil {
			l.recent.MoveToFront(e.place)
		}
		return e, false
	}
	e = &entry{key: k, ready: make(chan struct{})}
	l.sounds[k] = e
	return e, true
}

// settle keeps what was decoded and drops what was not used for longest, until all fits. Failures are not kept.
func (l *Library) settle(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.err != nil {
		delete(l.sounds, e.key)
		return
	}
	e.place = l.recent.PushFront(e)
	l.bytes += size(e.sound)
	for l.bytes > l.config.Bytes {
		last := l.recent.Remove(l.recent.Back()).(*entry)
		delete(l.sounds, last.key)
		l.bytes -= size(last.sound)
	}
}

func size(s *Sound) int64 { return 2 * int64(len(s.PCM)) }

// Kept is how many bytes of decoded sound are in memory for those who will play them.
func (l *Library) Kept() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

func (l *Library) decodeFile(path string, rate int) (*Sound, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	pcm, err := l.decode(f, path, rate)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	return &Sound{PCM: pcm, Rate: rate}, nil
}

// most is how many samples a sound may have.
func (l *Library) most(rate int) int {
	return int(min(int64(l.config.Longest/time.Millisecond)*int64(rate)/1000, l.config.Bytes/2))
}
