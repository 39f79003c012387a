package softphone

import (
	"sync"

	"dialtone/internal/codec"
	"dialtone/internal/codec/resample"
	"dialtone/internal/media"
	"dialtone/internal/media/tone"
)

// ear hears what the other party says: it finds tones, and keeps the samples until somebody fetches them.
type ear struct {
	mu       sync.Mutex
	rate     int                 // of what it hears, in Hz; 0: it is not open yet
	narrow   *resample.Resampler // to the 8 kHz of the detector; nil where it is that
	low      []int16
	detector tone.Detector
	keeps    bool
	pcm      []int16
}

// open sets the rate, once, and tells which one it is.
func (e *ear) open(rate int) (got int, first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.rate != 0 {
		return e.rate, false
	}
	e.rate = codec.Rate
	if rate > codec.Rate {
		if narrow, err := resample.NewStream(wideRate, codec.Rate); err == nil {
			e.rate, e.narrow = wideRate, narrow
		}
	}
	return e.rate, true
}

// wideRate is the rate at which a phone hears and records wideband.
const wideRate = 16000

// Rate implements media.RatedSink.
func (e *ear) Rate() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(e.rate, codec.Rate)
}

// WriteFrame implements media.Sink.
func (e *ear) WriteFrame(frame codec.Frame) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.keeps {
		e.pcm = append(e.pcm, frame...)
	}
	if e.narrow != nil {
		e.low = e.narrow.Write(e.low[:0], frame)
		frame = e.low
	}
	e.detector.Write(frame)
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
	rate      int
	generator *tone.Generator
}

// level of the tone, in dBm0.
const level = -13

func newVoice(t Talk) media.Source {
	if t.PCM != nil {
		rate := t.Rate
		if rate == 0 {
			rate = codec.Rate
		}
		return &voice{pcm: t.PCM, rate: rate}
	}
	hz := t.Hz
	if hz == 0 {
		hz = 440
	}
	return &voice{rate: codec.Rate, generator: tone.NewGenerator(tone.Sine(hz, level))}
}

// Rate implements media.Rated.
func (v *voice) Rate() int { return v.rate }

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
	_ media.Rated     = (*voice)(nil)
	_ media.RatedSink = (*ear)(nil)
)
