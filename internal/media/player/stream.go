package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/media/period"
)

// StreamConfig is a class of music on hold.
type StreamConfig struct {
	Folder  string        // whose sound files are played; empty, or one without any: Music
	Shuffle bool          // in another order each time, else by name
	Gap     time.Duration // silence between two files
	Rate    int           // samples a second; 0 means 8000
}

// Stream plays the files of a folder for ever, to many at once: all hear the same place. It stands still while nobody
// listens.
type Stream struct {
	library *Library
	config  StreamConfig
	wake    chan struct{} // holds one: what was loaded is being played

	mu     sync.Mutex // guards what follows; held for a copy of a frame
	newest uint64     // period; they count from 1
	frames [period.History]codec.Frame
	is     *Playback
	next   *Playback // is played behind is
	ended  bool
	err    error // of the last file that could not be played
}

// listenFade is how long the music of a new listener rises.
const listenFade = 200 * time.Millisecond

// NewStream makes a stream. Of a folder nothing is heard until Run runs.
func NewStream(l *Library, c StreamConfig) (*Stream, error) {
	if c.Rate == 0 {
		c.Rate = codec.Rate
	}
	s := &Stream{library: l, config: c, wake: make(chan struct{}, 1)}
	for i := range s.frames {
		s.frames[i] = make(codec.Frame, c.Rate/50)
	}
	music, err := l.Music(c.Rate)
	if err != nil {
		return nil, err
	}
	if c.Folder == "" {
		s.is, err = Play(Options{Times: -1, Gap: c.Gap}, music)
	}
	return s, err
}

// Err is why the last file that was left out could not be played; nil while all could.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Run loads the file that comes next while the one before it is played, until ctx ends; then listeners get io.EOF.
func (s *Stream) Run(ctx context.Context) error {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended, s.is, s.next = true, nil, nil
	}()
	var rest []string // of this round
	for ctx.Err() == nil {
		if s.wants() {
			if err := s.prepare(&rest); err != nil {
				return fmt.Errorf("play music: %w", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		}
	}
	return nil
}

// wants tells whether there is nothing to be played next.
func (s *Stream) wants() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next == nil && s.config.Folder != ""
}

// prepare loads what comes next.
func (s *Stream) prepare(rest *[]string) error {
	sound := s.load(rest)
	if sound == nil {
		var err error
		if sound, err = s.library.Music(s.config.Rate); err != nil {
			return err
		}
	}
	gap := &Sound{PCM: make(codec.Frame, samples(s.config.Gap, sound.Rate)), Rate: sound.Rate}
	next, err := Play(Options{}, sound, gap)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = next
	return err
}

// load loads the next file that can be played; nil when there is none in a whole round.
func (s *Stream) load(rest *[]string) *Sound {
	for range 2 {
		if len(*rest) == 0 {
			*rest = s.round()
		}
		for len(*rest) > 0 {
			path := (*rest)[0]
			*rest = (*rest)[1:]
			sound, err := s.library.Load(path, s.config.Rate)
			if err == nil && len(sound.PCM) == 0 {
				err = fmt.Errorf("%s is empty", path)
			}
			if err == nil {
				return sound
			}
			s.note(err)
		}
	}
	return nil
}

func (s *Stream) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// mostFiles is how many files of a folder are played.
const mostFiles = 1000

// round lists the folder in the order of the next round. What was put into it meanwhile is found.
func (s *Stream) round() (paths []string) {
	if s.config.Folder == "" {
		return nil
	}
	entries, err := os.ReadDir(s.config.Folder)
	if err != nil {
		s.note(fmt.Errorf("list music: %w", err))
		return nil
	}
	for _, e := range entries {
		if known(e.Name()) && len(paths) < mostFiles {
			paths = append(paths, filepath.Join(s.config.Folder, e.Name()))
		}
	}
	if s.config.Shuffle {
		rand.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	}
	return paths
}

// known tells by the name whether a file may be a sound; hidden ones are not.
func known(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains([]string{
		".wav", ".opus", ".ogg", ".al", ".alaw", ".pcma", ".ul", ".ulaw", ".mulaw", ".pcmu",
	}, strings.ToLower(filepath.Ext(name)))
}

// make makes the frame of period n. The caller holds s.mu.
func (s *Stream) make(n uint64) {
	s.newest = n
	frame := s.frames[n%period.History]
	if s.is != nil {
		err := s.is.ReadFrame(frame)
		if err == nil {
			return
		}
		s.is = nil
	}
	if s.next == nil {
		clear(frame) // not loaded yet
		return
	}
	s.is, s.next = s.next, nil
	select {
	case s.wake <- struct{}{}:
	default:
	}
	if err := s.is.ReadFrame(frame); err != nil {
		clear(frame)
	}
}

// Listen joins those who hear the stream where it is.
func (s *Stream) Listen() *Listener {
	return &Listener{stream: s, fade: samples(listenFade, s.config.Rate)}
}

// Listener is one who hears a stream.
type Listener struct {
	stream *Stream
	cursor period.Cursor // guarded by Stream.mu
	fade   int
	faded  int
}

// Rate is how many samples a second it gives.
func (l *Listener) Rate() int { return l.stream.config.Rate }

// errFrame is for a frame of another length than 20 ms.
var errFrame = errors.New("frame is not 20 ms")

// ReadFrame gives what all listeners hear at this time.
func (l *Listener) ReadFrame(frame codec.Frame) error {
	s := l.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return io.EOF
	}
	if len(frame) != s.config.Rate/50 {
		return errFrame
	}
	n := l.cursor.Pull(s.newest)
	if n > s.newest {
		s.make(n)
	}
	copy(frame, s.frames[n%period.History])
	if l.faded < l.fade {
		l.faded = fadeIn(frame, l.faded, l.fade)
	}
	return nil
}
