package softphone

import (
	"sync"

	"dialtone/internal/codec"
	"dialtone/internal/media"
	"dialtone/internal/media/tone"
)

// ear hears what the other party says: it finds tones, and keeps the samples until somebody fetches them.
type ear struct {
	mu       sync.Mutex
	detector tone.Detector
	keeps    bool
	pcm      []int16
}

// WriteFrame implements media.Sink.
func (e *ear) WriteFrame(frame codec.Frame) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.detector.Write(frame)
	if e.keeps {
		e.pcm = append(e.pcm, frame...)
	}
}

func (e *ear) tones() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.detector.Hz()
}

func (e *ear) heard(hz float64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.detector.Heard(hz)
}

func (e *ear) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.detector = tone.Detector{}
}

// fetch takes the samples that were kept.
func (e *ear) fetch() []int16 {
	e.mu.Lock()
	defer e.mu.Unlock()
	pcm := e.pcm
	e.pcm = nil
	return pcm
}

// voice is what the phone says: samples once and silence behind them, or a tone.
type voice struct {
	pcm       []int16
	generator *tone.Generator
}

// level of the tone, in dBm0.
const level = -13

func newVoice(t Talk) media.Source {
	if t.PCM != nil {
		return &voice{pcm: t.PCM}
	}
	hz := t.Hz
	if hz == 0 {
		hz = 440
	}
	return &voice{generator: tone.NewGenerator(tone.Sine(hz, level))}
}

// ReadFrame implements media.Source.
func (v *voice) ReadFrame(frame codec.Frame) error {
	if v.generator != nil {
		v.generator.Read(frame)
		return nil
	}
	n := copy(frame, v.pcm)
	clear(frame[n:])
	v.pcm = v.pcm[n:]
	return nil
}

var (
	_ media.Source = (*voice)(nil)
	_ media.Sink   = (*ear)(nil)
)
