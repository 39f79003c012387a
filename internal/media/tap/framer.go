package tap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
)

// Encoding is how the samples of a message are written.
type Encoding uint8

// The encodings of messages.
const (
	L16  Encoding = 1 // RFC 3551 §4.5.11: 16 bits, most significant byte first
	PCMA Encoding = 2 // G.711, 8000 samples a second
	PCMU Encoding = 3
)

// Message is 20 ms of one direction, as it is sent:
//
//	0 direction | 1 encoding | 2 sequence (2) | 4 time (4) | 8 samples
//
// All numbers have their most significant byte first.
type Message struct {
	Direction Direction
	Encoding  Encoding
	Sequence  uint16 // of this direction, one more for each message; a hole is what was dropped
	Time      uint32 // milliseconds since the Framer began, when the last sample came
	Samples   []byte
}

const messageHeader = 8

// ErrMessage is for bytes that are no message.
var ErrMessage = errors.New("not a message of sound")

// Append prints the message.
func (m *Message) Append(dst []byte) []byte {
	dst = append(dst, byte(m.Direction), byte(m.Encoding))
	dst = binary.BigEndian.AppendUint16(dst, m.Sequence)
	dst = binary.BigEndian.AppendUint32(dst, m.Time)
	return append(dst, m.Samples...)
}

// Parse reads a message; Samples stay part of b.
func (m *Message) Parse(b []byte) error {
	if len(b) < messageHeader {
		return fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	*m = Message{Direction(b[0]), Encoding(b[1]), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), b[messageHeader:]}
	switch {
	case m.Direction != Said && m.Direction != Heard:
		return fmt.Errorf("%w: direction %d", ErrMessage, m.Direction)
	case m.Encoding < L16 || m.Encoding > PCMU:
		return fmt.Errorf("%w: encoding %d", ErrMessage, m.Encoding)
	case m.Encoding == L16 && len(m.Samples)%2 != 0:
		return fmt.Errorf("%w: half a sample", ErrMessage)
	}
	return nil
}

// Decode appends the samples.
func (m *Message) Decode(dst codec.Frame) codec.Frame {
	switch m.Encoding {
	case L16:
		for at := 0; at+1 < len(m.Samples); at += 2 {
			dst = append(dst, int16(binary.BigEndian.Uint16(m.Samples[at:])))
		}
	case PCMA:
		for _, b := range m.Samples {
			dst = append(dst, g711.DecodeALaw(b))
		}
	case PCMU:
		for _, b := range m.Samples {
			dst = append(dst, g711.DecodeMuLaw(b))
		}
	}
	return dst
}

// FramerConfig says what messages a Framer makes.
type FramerConfig struct {
	Encoding Encoding
	Rate     int // of the frames, in samples a second; 0 means 8000
	Queue    int // messages that wait at most; 0 means 50, half a second of both directions
}

// Framer is a Listener that turns both directions into messages of 20 ms, which wait for Next. When the queue is full the
// oldest makes place.
type Framer struct {
	encoding Encoding
	samples  int // of a message
	began    time.Time
	wake     chan struct{} // holds one: there is something in the queue

	mu      sync.Mutex // held for copies of frames
	parts   [2]part
	ring    [][]byte // messages; the memory stays
	first   int
	count   int
	dropped int64
	closed  bool
}

// part is the message that a direction is filling.
type part struct {
	pcm      codec.Frame
	sequence uint16
}

// NewFramer makes a Framer.
func NewFramer(c FramerConfig) (*Framer, error) {
	if c.Rate == 0 {
		c.Rate = codec.Rate
	}
	if c.Queue == 0 {
		c.Queue = 50
	}
	if c.Encoding < L16 || c.Encoding > PCMU || c.Encoding != L16 && c.Rate != codec.Rate || c.Rate%50 != 0 || c.Rate < 8000 || c.Rate > 48000 {
		return nil, fmt.Errorf("encoding %d with %d samples a second", c.Encoding, c.Rate)
	}
	if c.Queue < 1 || c.Queue > 10000 {
		return nil, fmt.Errorf("queue of %d messages", c.Queue)
	}
	f := &Framer{encoding: c.Encoding, samples: c.Rate / 50, began: time.Now(), wake: make(chan struct{}, 1), ring: make([][]byte, c.Queue)}
	for i := range f.parts {
		f.parts[i].pcm = make(codec.Frame, 0, f.samples)
	}
	for i := range f.ring {
		f.ring[i] = make([]byte, 0, messageHeader+2*f.samples)
	}
	return f, nil
}

// WriteTap implements Listener.
func (f *Framer) WriteTap(d Direction, frame codec.Frame) {
	if d != Said && d != Heard {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &f.parts[d-1]
	for len(frame) > 0 && !f.closed {
		n := min(len(frame), f.samples-len(p.pcm))
		p.pcm = append(p.pcm, frame[:n]...)
		frame = frame[n:]
		if len(p.pcm) == f.samples {
			f.push(d, p)
		}
	}
}

// push puts the message of a direction into the queue. The caller holds f.mu.
func (f *Framer) push(d Direction, p *part) {
	if f.count == len(f.ring) {
		f.first = (f.first + 1) % len(f.ring)
		f.count--
		f.dropped++
	}
	slot := &f.ring[(f.first+f.count)%len(f.ring)]
	m := Message{Direction: d, Encoding: f.encoding, Sequence: p.sequence, Time: uint32(time.Since(f.began).Milliseconds())}
	*slot = f.encode(m.Append((*slot)[:0]), p.pcm)
	f.count++
	p.sequence++
	p.pcm = p.pcm[:0]
	f.nudge()
}

func (f *Framer) encode(dst []byte, pcm codec.Frame) []byte {
	for _, s := range pcm {
		switch f.encoding {
		case L16:
			dst = binary.BigEndian.AppendUint16(dst, uint16(s))
		case PCMA:
			dst = append(dst, g711.EncodeALaw(s))
		case PCMU:
			dst = append(dst, g711.EncodeMuLaw(s))
		}
	}
	return dst
}

func (f *Framer) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Next appends the oldest message to dst, and waits for one. It returns io.EOF when the Framer is closed and empty, or the
// error of ctx. One goroutine at a time calls it.
func (f *Framer) Next(ctx context.Context, dst []byte) ([]byte, error) {
	for {
		f.mu.Lock()
		if f.count > 0 {
			dst = append(dst, f.ring[f.first]...)
			f.first = (f.first + 1) % len(f.ring)
			f.count--
			f.mu.Unlock()
			return dst, nil
		}
		closed := f.closed
		f.mu.Unlock()
		if closed {
			return dst, io.EOF
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return dst, ctx.Err()
		}
	}
}

// Dropped is how many messages were dropped because Next was not called in time.
func (f *Framer) Dropped() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dropped
}

// Close ends it: nothing more is taken, and Next returns io.EOF when all was fetched.
func (f *Framer) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.nudge()
}
