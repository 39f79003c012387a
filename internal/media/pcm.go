package media

import (
	"io"

	"dialtone/internal/codec"
)

// Source gives what is played.
type Source interface {
	// ReadFrame fills the frame: 20 ms of linear PCM at 8 kHz. It returns io.EOF when nothing is left, without having
	// filled it. It runs on the clock of all players and must not block, nor call back into the session.
	ReadFrame(frame codec.Frame) error
}

// Rated is a Source whose frames are not at 8 kHz.
type Rated interface {
	Source
	// Rate is the sampling rate of its frames in Hz; it never changes.
	Rate() int
}

// rateOf is the sampling rate of a source.
func rateOf(s Source) int {
	if r, ok := s.(Rated); ok {
		return r.Rate()
	}
	return codec.Rate
}

// Sink takes what is heard.
type Sink interface {
	// WriteFrame takes linear PCM at 8 kHz, 20 ms or less of it. Packets that did not arrive are silence. It runs on a
	// media worker and must not block, nor call back into the session. The frame is valid until it returns.
	WriteFrame(frame codec.Frame)
}

// RatedSink is a Sink whose frames are not at 8 kHz.
type RatedSink interface {
	Sink
	// Rate is the sampling rate that it wants in Hz; it never changes.
	Rate() int
}

// rateFor is the sampling rate of a sink.
func rateFor(s Sink) int {
	if r, ok := s.(RatedSink); ok {
		return r.Rate()
	}
	return codec.Rate
}

// SourceFunc is a function that is a Source.
type SourceFunc func(frame codec.Frame) error

// ReadFrame implements Source.
func (f SourceFunc) ReadFrame(frame codec.Frame) error { return f(frame) }

// SinkFunc is a function that is a Sink.
type SinkFunc func(frame codec.Frame)

// WriteFrame implements Sink.
func (f SinkFunc) WriteFrame(frame codec.Frame) { f(frame) }

// Samples is a Source that plays samples from memory once. The last frame is filled up with silence. Several may share
// the PCM.
type Samples struct {
	PCM codec.Frame // at 8 kHz; what is left to be played
}

// ReadFrame implements Source.
func (s *Samples) ReadFrame(frame codec.Frame) error {
	if len(s.PCM) == 0 {
		return io.EOF
	}
	n := copy(frame, s.PCM)
	clear(frame[n:])
	s.PCM = s.PCM[n:]
	return nil
}
