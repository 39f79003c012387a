package player

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"dialtone/internal/codec"
	"dialtone/internal/codec/catalog"
	"dialtone/internal/codec/g711"
	"dialtone/internal/codec/opus"
	"dialtone/internal/codec/resample"
	"dialtone/internal/media/ogg"
	"dialtone/internal/media/wav"
)

// ErrFormat is wrapped by the errors of files that are not read.
var ErrFormat = errors.New("unsupported sound file")

// ErrLong is for files that are longer than Config allows.
var ErrLong = errors.New("sound file is too long")

// stream is a file being decoded to mono: Read fills pcm as far as there is something, and gives io.EOF at the end.
type stream struct {
	rate int
	read func(pcm []int16) (int, error)
}

// open finds out what a file is, by its first bytes, or by its name if it has no header. Opus is decoded to the rate
// wanted, all else has the rate of the file.
func (l *Library) open(in io.Reader, name string, rate int) (stream, error) {
	r := bufio.NewReader(in)
	magic, err := r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return stream{}, err
	}
	switch string(magic) {
	case "RIFF":
		f, err := wav.NewReader(r)
		if err != nil {
			return stream{}, err
		}
		return stream{f.Rate, f.Read}, nil
	case "OggS":
		return l.openOpus(r, rate)
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".al", ".alaw", ".pcma":
		return raw(r, g711.DecodeALaw), nil
	case ".ul", ".ulaw", ".mulaw", ".pcmu":
		return raw(r, g711.DecodeMuLaw), nil
	}
	return stream{}, fmt.Errorf("%w: wanted is WAVE, Ogg Opus, or raw G.711 that is named .al or .ul", ErrFormat)
}

// raw reads G.711 without a header.
func raw(in io.Reader, decode func(byte) int16) stream {
	var block [1024]byte
	return stream{8000, func(pcm []int16) (int, error) {
		n, err := in.Read(block[:min(len(pcm), len(block))])
		for i, b := range block[:n] {
			pcm[i] = decode(b)
		}
		return n, err
	}}
}

// openOpus reads Ogg Opus. Two streams, as the recorder writes them, are added up.
func (l *Library) openOpus(in io.Reader, rate int) (stream, error) {
	f, err := ogg.NewReader(in)
	if err != nil {
		return stream{}, err
	}
	o := &opusFile{in: f, rate: rate, skip: f.Head.PreSkip * rate / 48000, gain: 1}
	// RFC 7845 §5.1: the gain is to be applied.
	if f.Head.Gain != 0 {
		o.gain = float32(math.Pow(10, float64(f.Head.Gain)/(20*256)))
	}
	for range f.Head.Streams {
		d, err := l.newOpus(rate)
		if err != nil {
			return stream{}, fmt.Errorf("make Opus decoder: %w", err)
		}
		o.decoders = append(o.decoders, d)
	}
	return stream{rate, o.Read}, nil
}

// decoder decodes the packets of one stream to mono.
type decoder interface {
	Decode(dst codec.Frame, payload []byte) codec.Frame
}

// newOpus makes the decoder that this build has.
func newOpus(rate int) (decoder, error) {
	spec, ok := catalog.Find(opus.Name, opus.ClockRate, 2)
	if !ok || spec.NewDecoder == nil {
		return nil, fmt.Errorf("%w: Opus is not in this build", ErrFormat)
	}
	return spec.NewDecoder(codec.Params{Rate: rate})
}

// opusFile decodes packet by packet.
type opusFile struct {
	in       *ogg.Reader
	decoders []decoder
	rate     int
	skip     int // samples to be thrown away
	gain     float32
	pcm      codec.Frame // of the last packet
	second   codec.Frame
	left     codec.Frame // of pcm, not given yet
	packet   []byte
}

// Read fills pcm as far as there is something.
func (o *opusFile) Read(pcm []int16) (n int, err error) {
	for n < len(pcm) {
		if len(o.left) == 0 {
			if err = o.next(); err != nil {
				break
			}
		}
		k := copy(pcm[n:], o.left)
		o.left = o.left[k:]
		n += k
	}
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// next decodes a packet.
func (o *opusFile) next() error {
	packet, err := o.in.Next()
	if err != nil {
		return err
	}
	first := packet
	if len(o.decoders) == 2 {
		if o.packet, packet, err = ogg.SplitPair(o.packet[:0], packet); err != nil {
			return err
		}
		first = o.packet
	}
	o.pcm = o.decode(o.decoders[0], o.pcm, first)
	if len(o.decoders) == 2 {
		o.second = o.decode(o.decoders[1], o.second, packet)
		for i := range min(len(o.pcm), len(o.second)) {
			o.pcm[i] = clip(int(o.pcm[i]) + int(o.second[i]))
		}
	}
	if o.gain != 1 {
		for i, s := range o.pcm {
			o.pcm[i] = clip(int(max(-1e6, min(1e6, float32(s)*o.gain))))
		}
	}
	k := min(o.skip, len(o.pcm))
	o.skip -= k
	o.left = o.pcm[k:]
	return nil
}

// decode makes exactly what the packet says to last: silence for one that makes no sense.
func (o *opusFile) decode(d decoder, pcm codec.Frame, packet []byte) codec.Frame {
	n := opus.Samples(packet, o.rate)
	if n == 0 {
		return pcm[:0]
	}
	pcm = d.Decode(pcm[:0], packet)
	if len(pcm) < n {
		pcm = append(pcm, make(codec.Frame, n-len(pcm))...)
	}
	return pcm[:n]
}

func clip(x int) int16 { return int16(max(math.MinInt16, min(math.MaxInt16, x))) }

// formatError makes the errors of all formats wrap ErrFormat.
func formatError(err error) error {
	if errors.Is(err, wav.ErrFormat) || errors.Is(err, ogg.ErrFormat) {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// decode reads a whole file to PCM of the rate.
func (l *Library) decode(in io.Reader, name string, rate int) (codec.Frame, error) {
	s, err := l.open(in, name, rate)
	if err != nil {
		return nil, err
	}
	var pcm codec.Frame
	err = s.each(rate, l.most(rate), func(part []int16) error {
		pcm = append(pcm, part...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.Clone(pcm), nil // it is kept: not with the room that was left for more
}

// each calls take with part after part at the rate; the part is valid until it returns. More than most samples are
// ErrLong.
func (s stream) each(rate, most int, take func([]int16) error) error {
	resampler, err := resample.New(s.rate, rate)
	if err != nil {
		return err
	}
	var block [4096]int16
	var out []int16
	total := 0
	for {
		n, err := s.read(block[:])
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		out = resampler.Write(out[:0], block[:n])
		if end {
			out = resampler.Flush(out)
		}
		if total += len(out); total > most {
			return ErrLong
		}
		if err := take(out); err != nil || end {
			return err
		}
	}
}
