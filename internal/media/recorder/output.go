package recorder

import (
	"encoding/binary"
	"errors"
	"fmt"

	"dialtone/internal/codec"
	"dialtone/internal/codec/catalog"
	"dialtone/internal/codec/g711"
	"dialtone/internal/codec/opus"
	"dialtone/internal/media/ogg"
	"dialtone/internal/media/wav"
)

// coder turns the channels into the bytes of a format.
type coder interface {
	encode(dst []byte, channels [][]int16, n int) ([]byte, error)
	begin(dst []byte) []byte // what stands in front
	flush(dst []byte) []byte // what is held back
	close(dst []byte) []byte // what ends the file
	// header is what stands in front of that many bytes; empty when the front never changes. It must be as long as begin.
	header(dst []byte, bytes int64) []byte
	format() wav.Format // Encoding "opus" for Ogg
	most() int64        // greatest number of bytes behind the front
}

// output is a file being written.
type output interface {
	write(channels [][]int16, n int) error
	flush() error
	close(whole bool) error
}

// encoder makes one Opus packet of 20 ms; nothing for silence.
type encoder interface {
	Encode(dst []byte, pcm codec.Frame) []byte
}

// errNoOpus is for a build that cannot encode it.
var errNoOpus = errors.New("this build does not encode Opus")

// newOpus makes the encoder that this build has.
func newOpus(rate int) (encoder, error) {
	spec, ok := catalog.Find(opus.Name, opus.ClockRate, 2)
	if !ok || spec.NewEncoder == nil {
		return nil, errNoOpus
	}
	return spec.NewEncoder(codec.Params{Rate: rate})
}

// Encodes is an error unless this build writes the encoding.
func Encodes(encoding string) error {
	if encoding != "opus" {
		return nil
	}
	if spec, ok := catalog.Find(opus.Name, opus.ClockRate, 2); !ok || spec.NewEncoder == nil {
		return errNoOpus
	}
	return nil
}

// newCoder also says how many samples have to be encoded together.
func (e *Engine) newCoder(o Options) (coder, int, error) {
	f := wav.Format{Encoding: o.Encoding, Rate: o.Rate, Channels: o.Channels}
	if o.Channels < 1 || o.Channels > 8 {
		return nil, 0, fmt.Errorf("%d channels", o.Channels)
	}
	switch {
	case o.Rate != 8000 && o.Rate != 16000 && o.Rate != 48000, o.Encoding == "PCMA" && o.Rate != 8000:
		return nil, 0, fmt.Errorf("encoding %s with %d samples a second", o.Encoding, o.Rate)
	case o.Encoding == "PCMA", o.Encoding == "PCM16":
		return &wavCoder{f}, 1, nil
	case o.Encoding == "opus" && o.Channels <= 2:
		c := &opusCoder{is: f, head: ogg.Head{Channels: o.Channels, PreSkip: opusPreSkip, Rate: o.Rate, Streams: o.Channels}}
		for range o.Channels {
			made, err := e.newOpus(o.Rate)
			if err != nil {
				return nil, 0, err
			}
			c.encoders = append(c.encoders, made)
		}
		return c, o.Rate / 50, nil
	}
	return nil, 0, fmt.Errorf("encoding %q with %d channels cannot be written", o.Encoding, o.Channels)
}

// wavCoder writes samples of all channels side by side.
type wavCoder struct{ is wav.Format }

func (c *wavCoder) encode(dst []byte, channels [][]int16, n int) ([]byte, error) {
	for i := range n {
		for _, pcm := range channels {
			if c.is.Encoding == "PCMA" {
				dst = append(dst, g711.EncodeALaw(pcm[i]))
			} else {
				dst = binary.LittleEndian.AppendUint16(dst, uint16(pcm[i]))
			}
		}
	}
	return dst, nil
}

func (c *wavCoder) begin(dst []byte) []byte               { return c.is.AppendHeader(dst, 0) }
func (c *wavCoder) flush(dst []byte) []byte               { return dst }
func (c *wavCoder) close(dst []byte) []byte               { return dst }
func (c *wavCoder) header(dst []byte, bytes int64) []byte { return c.is.AppendHeader(dst, bytes) }
func (c *wavCoder) format() wav.Format                    { return c.is }
func (c *wavCoder) most() int64                           { return c.is.MostBytes() }

// opusPreSkip is what libopus takes to settle, in samples at 48 kHz.
const opusPreSkip = 312

// opusSilence is a packet of 20 ms with nothing in it: a decoder conceals it, which after speech that ended is silence.
const opusSilence = 19 << 3

// opusCoder writes one stream of Opus for each channel, side by side in a packet: the parties of a call have nothing in
// common that a stereo stream could save.
type opusCoder struct {
	is       wav.Format
	head     ogg.Head
	encoders []encoder
	writer   *ogg.Writer
	packets  [2][]byte
	packet   []byte
}

func (c *opusCoder) encode(dst []byte, channels [][]int16, n int) ([]byte, error) {
	unit := c.is.Rate / 50
	for at := 0; at < n; at += unit {
		for i, pcm := range channels {
			c.packets[i] = c.encoders[i].Encode(c.packets[i][:0], pcm[at:at+unit])
			if len(c.packets[i]) == 0 {
				c.packets[i] = append(c.packets[i], opusSilence)
			}
		}
		packet := c.packets[0]
		if len(channels) == 2 {
			var err error
			if c.packet, err = ogg.AppendPair(c.packet[:0], c.packets[0], c.packets[1]); err != nil {
				return dst, fmt.Errorf("write Opus: %w", err)
			}
			packet = c.packet
		}
		var err error
		if dst, err = c.writer.Write(dst, packet, 960); err != nil {
			return dst, fmt.Errorf("write Opus: %w", err)
		}
	}
	return dst, nil
}

func (c *opusCoder) begin(dst []byte) []byte {
	c.writer, dst = ogg.NewWriter(dst, c.head, "dialtone")
	return dst
}

func (c *opusCoder) flush(dst []byte) []byte           { return c.writer.Flush(dst) }
func (c *opusCoder) close(dst []byte) []byte           { return c.writer.Close(dst) }
func (c *opusCoder) header(dst []byte, _ int64) []byte { return dst }
func (c *opusCoder) format() wav.Format                { return c.is }
func (c *opusCoder) most() int64                       { return 1 << 50 }

// plain is a file that anybody can read.
type plain struct {
	file   File
	coder  coder
	buffer []byte
	head   []byte
	front  int64 // bytes that stand in front
	bytes  int64 // behind it
	known  int64 // of them, in the header
}

func newOutput(f File, c coder, s *Seal) (output, error) {
	if s != nil {
		return newSealed(f, c, s)
	}
	p := &plain{file: f, coder: c, head: c.begin(nil)}
	p.front = int64(len(p.head))
	_, err := f.WriteAt(p.head, 0)
	return p, err
}

func (p *plain) write(channels [][]int16, n int) (err error) {
	if p.buffer, err = p.coder.encode(p.buffer[:0], channels, n); err != nil {
		return err
	}
	return p.append()
}

// append puts the buffer behind what is there.
func (p *plain) append() error {
	if len(p.buffer) == 0 {
		return nil
	}
	if p.bytes+int64(len(p.buffer)) > p.coder.most() {
		return ErrFull
	}
	n, err := p.file.WriteAt(p.buffer, p.front+p.bytes)
	if err != nil {
		return err // what was written of it does not count: the header does not know it
	}
	p.bytes += int64(n)
	return nil
}

// flush writes the sound first and then what says that it is there.
func (p *plain) flush() error {
	p.buffer = p.coder.flush(p.buffer[:0])
	if err := p.append(); err != nil {
		return err
	}
	if p.head = p.coder.header(p.head[:0], p.bytes); len(p.head) == 0 || p.known == p.bytes {
		return nil
	}
	_, err := p.file.WriteAt(p.head, 0)
	p.known = p.bytes
	return err
}

func (p *plain) close(whole bool) error {
	var err error
	if whole {
		p.buffer = p.coder.close(p.buffer[:0])
		if err = p.append(); err == nil {
			err = p.flush()
		}
		if err == nil {
			err = p.file.Sync()
		}
	}
	if closed := p.file.Close(); err == nil {
		err = closed
	}
	return err
}
