package recorder

import (
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/media/tone"
)

// Source gives 20 ms of PCM at 8000 samples a second a call.
type Source interface {
	ReadFrame(frame codec.Frame) error
}

// Beep is a Source that adds the tone by which a party knows that the call is recorded: 1400 Hz, 200 ms every 15 s unless
// told otherwise, 20 dB below the loudest. It belongs to one goroutine.
type Beep struct {
	in        Source
	generator *tone.Generator
	frame     codec.Frame
}

// NewBeep adds the tone to what the party hears, first at once and then every so often; 0 means 15 s.
func NewBeep(in Source, every time.Duration) *Beep {
	const length = 200 * time.Millisecond
	if every <= 0 {
		every = 15 * time.Second
	}
	pause := max(every-length, length)
	return &Beep{in: in, frame: make(codec.Frame, codec.FrameSamples), generator: tone.NewGenerator(tone.Cadence{
		{Tone: tone.Tone{Hz: [2]float64{1400}, DBm0: -20}, Duration: length}, {Duration: pause},
	})}
}

// ReadFrame implements the interface of sources.
func (b *Beep) ReadFrame(frame codec.Frame) error {
	if err := b.in.ReadFrame(frame); err != nil {
		return err
	}
	b.frame = b.frame[:min(len(frame), cap(b.frame))]
	b.generator.Read(b.frame)
	for i, s := range b.frame {
		frame[i] = int16(max(-32768, min(32767, int(frame[i])+int(s))))
	}
	return nil
}
