package player

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/hajimehoshi/go-mp3"

	"dialtone/internal/media/wav"
)

// uploadRate is what uploads are kept at: all that a telephone with wideband hears.
const uploadRate = 16000

// ErrBig is for uploads of more bytes than Config allows.
var ErrBig = errors.New("sound file is too big")

// Convert turns an upload into what is played: 16-bit PCM at 16000 samples a second, mono, in WAVE. It takes what Load
// takes, and MP3. name tells what has no header of its own. Errors wrap ErrFormat, ErrLong or ErrBig, or come from in
// or out.
func (l *Library) Convert(in io.Reader, name string, out io.WriteSeeker) (err error) {
	capped := &cappedReader{in: in, left: l.config.Upload}
	r := bufio.NewReader(capped)
	var s stream
	if isMP3(r, name) {
		s, err = openMP3(r)
	} else {
		s, err = l.open(r, name, uploadRate)
	}
	if err != nil {
		return fmt.Errorf("convert sound: %w", capped.cause(err))
	}
	w, err := wav.NewWriter(out, uploadRate)
	if err != nil {
		return fmt.Errorf("convert sound: %w", err)
	}
	if err = s.each(uploadRate, l.most(uploadRate), w.Write); err == nil {
		err = w.Flush()
	}
	if err = capped.cause(err); err != nil {
		return fmt.Errorf("convert sound: %w", err)
	}
	return nil
}

// cappedReader fails with ErrBig beyond its size, and remembers that it did: decoders take the end of a file for granted.
type cappedReader struct {
	in   io.Reader
	left int64
	err  error
}

func (c *cappedReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.in.Read(p)
	if c.left -= int64(n); c.left < 0 {
		c.err = ErrBig
		return 0, c.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// cause is the error to be told: that of reading, if there was one.
func (c *cappedReader) cause(err error) error {
	if c.err != nil {
		return c.err
	}
	return formatError(err)
}

// isMP3 looks for a tag or a frame, or goes by the name.
func isMP3(r *bufio.Reader, name string) bool {
	b, _ := r.Peek(4) // what is too short is something else
	switch {
	case len(b) < 4, string(b) == "RIFF", string(b) == "OggS":
		return false
	case string(b[:3]) == "ID3":
		return true
	}
	return strings.EqualFold(filepath.Ext(name), ".mp3")
}

// openMP3 reads MPEG audio layer III, mixed to mono.
func openMP3(r *bufio.Reader) (s stream, err error) {
	// The library takes the length of a tag on trust, as memory; so tags are passed over here.
	if err := skipTags(r); err != nil {
		return s, err
	}
	var d *mp3.Decoder
	err = guarded(func() (err error) {
		d, err = mp3.NewDecoder(onlyReader{r})
		return err
	})
	if err != nil {
		return s, fmt.Errorf("%w: MP3: %w", ErrFormat, err)
	}
	var block [4096]byte
	return stream{d.SampleRate(), func(pcm []int16) (n int, err error) {
		want := min(4*len(pcm), len(block))
		var got int
		err = guarded(func() (err error) {
			got, err = io.ReadFull(d, block[:want])
			return err
		})
		for n = range got / 4 {
			left, right := int16(binary.LittleEndian.Uint16(block[4*n:])), int16(binary.LittleEndian.Uint16(block[4*n+2:]))
			pcm[n] = int16((int(left) + int(right)) / 2)
		}
		n = got / 4
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return n, err
		case errors.Is(err, io.ErrUnexpectedEOF):
			return n, io.EOF
		}
		return n, fmt.Errorf("%w: MP3: %w", ErrFormat, err)
	}}, nil
}

// onlyReader hides everything else, so that the library does not read the file twice.
type onlyReader struct{ io.Reader }

// skipTags passes over ID3v2 tags.
func skipTags(r *bufio.Reader) error {
	for {
		b, err := r.Peek(10)
		if err != nil || string(b[:3]) != "ID3" {
			return nil //nolint:nilerr // what is too short for a tag is not one
		}
		// ID3v2.4 §3.1: four times seven bits; a footer repeats the header.
		size := 10 + int(b[6]&127)<<21 + int(b[7]&127)<<14 + int(b[8]&127)<<7 + int(b[9]&127)
		if b[5]&0x10 != 0 {
			size += 10
		}
		if _, err := r.Discard(size); err != nil {
			return fmt.Errorf("%w: MP3: nothing behind the tag", ErrFormat)
		}
	}
}

// errPanic is for a file that the MP3 library stumbles over.
var errPanic = errors.New("damaged file")

// guarded turns a panic of the MP3 library, which reads files of strangers, into an error of that one file.
func guarded(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	return f()
}
