// Package wav reads and writes sound files of the RIFF/WAVE form and brings them to the 8 kHz of the telephone.
//
// It owns the file format and the mix of two channels to one; codec/resample changes the sampling rate. It does not open,
// name or find files, and plays nothing. No goroutines; a Reader or Writer belongs to one goroutine at a time.
package wav

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/codec/resample"
)

// The format tags of RFC 2361 that are read.
const (
	tagPCM        = 1
	tagALaw       = 6
	tagMuLaw      = 7
	tagExtensible = 0xfffe
)

// Bounds of what a header may make us do.
const (
	maxChunks     = 1024     // chunks before the samples
	maxFormatSize = 1 << 16  // bytes of the "fmt " chunk
	maxSkip       = 64 << 20 // bytes of other chunks before the samples
)

// ErrFormat is wrapped by the errors of files that are no WAVE file or one of a kind that is not read.
var ErrFormat = errors.New("unsupported sound file")

// Reader reads the samples of a WAVE file: 16-bit PCM, A-law or mu-law, one or two channels. Two are mixed into one.
type Reader struct {
	// Rate is the sampling rate in Hz.
	Rate int
	// Channels is 1 or 2.
	Channels int
	// Encoding is "PCM16", "PCMA" or "PCMU".
	Encoding string

	in      *bufio.Reader
	left    int64 // bytes of samples that the header promises
	block   [1024]byte
	decoder func(b []byte) int // one sample
	width   int                // bytes of one sample
}

// NewReader reads the header. The error wraps ErrFormat, unless it comes from r.
func NewReader(r io.Reader) (*Reader, error) {
	f := &Reader{in: bufio.NewReader(r)}
	var head [12]byte
	if _, err := io.ReadFull(f.in, head[:]); err != nil {
		return nil, headerError(err, "no RIFF header")
	}
	if string(head[:4]) != "RIFF" || string(head[8:]) != "WAVE" {
		return nil, fmt.Errorf("%w: no RIFF header", ErrFormat)
	}
	var skipped int64
	for range maxChunks {
		var chunk [8]byte
		if _, err := io.ReadFull(f.in, chunk[:]); err != nil {
			return nil, headerError(err, "no samples")
		}
		size := int64(binary.LittleEndian.Uint32(chunk[4:]))
		switch string(chunk[:4]) {
		case "fmt ":
			if err := f.readFormat(size); err != nil {
				return nil, err
			}
			continue
		case "data":
			if f.Rate == 0 {
				return nil, fmt.Errorf("%w: samples before their format", ErrFormat)
			}
			f.left = size
			return f, nil
		}
		if skipped += size; skipped > maxSkip {
			return nil, fmt.Errorf("%w: too much before the samples", ErrFormat)
		}
		if _, err := io.CopyN(io.Discard, f.in, size+size&1); err != nil {
			return nil, headerError(err, "no samples")
		}
	}
	return nil, fmt.Errorf("%w: too many chunks", ErrFormat)
}

// headerError tells a file that ends too early from one that cannot be read.
func headerError(err error, reason string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %s", ErrFormat, reason)
	}
	return fmt.Errorf("read WAVE header: %w", err)
}

// readFormat takes the "fmt " chunk:
//
//	0 tag | 2 channels | 4 rate | 8 bytes a second | 12 bytes a frame | 14 bits | 16 extension size | 24 real tag ...
func (f *Reader) readFormat(size int64) error {
	if size < 16 || size > maxFormatSize {
		return fmt.Errorf("%w: format of %d bytes", ErrFormat, size)
	}
	b := make([]byte, size+size&1)
	if _, err := io.ReadFull(f.in, b); err != nil {
		return headerError(err, "format cut short")
	}
	tag, bits := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[14:])
	if tag == tagExtensible && size >= 26 {
		tag = binary.LittleEndian.Uint16(b[24:])
	}
	rate := binary.LittleEndian.Uint32(b[4:])
	f.Channels = int(binary.LittleEndian.Uint16(b[2:]))
	switch {
	case tag == tagPCM && bits == 16:
		f.Encoding, f.width = "PCM16", 2
		f.decoder = func(b []byte) int { return int(int16(binary.LittleEndian.Uint16(b))) }
	case tag == tagALaw && bits == 8:
		f.Encoding, f.width = "PCMA", 1
		f.decoder = func(b []byte) int { return int(g711.DecodeALaw(b[0])) }
	case tag == tagMuLaw && bits == 8:
		f.Encoding, f.width = "PCMU", 1
		f.decoder = func(b []byte) int { return int(g711.DecodeMuLaw(b[0])) }
	default:
		return fmt.Errorf("%w: encoding %d with %d bits; wanted is 16-bit PCM, A-law or mu-law", ErrFormat, tag, bits)
	}
	if f.Channels < 1 || f.Channels > 2 {
		return fmt.Errorf("%w: %d channels", ErrFormat, f.Channels)
	}
	if !resample.Supported(int(rate)) {
		return fmt.Errorf("%w: %d samples a second", ErrFormat, rate)
	}
	f.Rate = int(rate)
	return nil
}

// Read fills pcm with the next samples, one channel at Rate. It returns io.EOF when there are none left; a file that
// ends before its header says so ends there.
func (f *Reader) Read(pcm []int16) (int, error) {
	frame := f.width * f.Channels
	n := 0
	for n < len(pcm) {
		want := min((len(pcm)-n)*frame, len(f.block)/frame*frame)
		want = int(min(int64(want), f.left/int64(frame)*int64(frame)))
		if want == 0 {
			break
		}
		got, err := io.ReadFull(f.in, f.block[:want])
		f.left -= int64(got)
		for at := 0; at+frame <= got; at += frame {
			s := f.decoder(f.block[at:])
			if f.Channels == 2 {
				s = (s + f.decoder(f.block[at+f.width:])) / 2
			}
			pcm[n] = int16(s)
			n++
		}
		if err != nil {
			f.left = 0
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return n, fmt.Errorf("read WAVE samples: %w", err)
			}
		}
	}
	if n == 0 && len(pcm) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Load reads a whole file as 8 kHz samples. More than limit of them (no limit when 0) are an error.
func Load(r io.Reader, limit int) ([]int16, error) { return LoadAt(r, codec.Rate, limit) }

// LoadAt is Load for samples at another rate, in Hz.
func LoadAt(r io.Reader, rate, limit int) ([]int16, error) {
	f, err := NewReader(r)
	if err != nil {
		return nil, err
	}
	resampler, err := resample.New(f.Rate, rate)
	if err != nil {
		return nil, err
	}
	var pcm []int16
	var block [4096]int16
	for {
		n, err := f.Read(block[:])
		pcm = resampler.Write(pcm, block[:n])
		if errors.Is(err, io.EOF) {
			pcm = resampler.Flush(pcm)
		}
		if limit > 0 && len(pcm) > limit {
			return nil, fmt.Errorf("%w: longer than %d seconds", ErrFormat, limit/rate)
		}
		if errors.Is(err, io.EOF) {
			return pcm, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
