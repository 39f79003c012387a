package recorder

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Reader gives the bytes of a recording as a player wants them, WAVE or Ogg, whether it is sealed or not. It is an
// io.ReadSeeker and io.ReaderAt, so http.ServeContent can answer for any range of it. ReadAt may be called from several
// goroutines, Read and Seek from one.
type Reader struct {
	*io.SectionReader
	// Encoding is "PCM16", "PCMA" or "opus"; empty for a file that is not sealed.
	Encoding string
	// Complete tells that a sealed recording was ended in order and nothing is missing at its end.
	Complete bool

	close func() error
}

// Close closes the file.
func (r *Reader) Close() error { return r.close() }

// ContentType is the media type of what is read.
func (r *Reader) ContentType() string {
	var head [4]byte
	if _, err := r.ReadAt(head[:], 0); err == nil && string(head[:]) == "OggS" {
		return "audio/ogg"
	}
	return "audio/wav"
}

// Open opens a recording. Seal needs only keys and place; nil opens what is not sealed. A sealed file of a crash is read
// up to its last whole chunk.
func Open(path string, seal *Seal) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	info, err := f.Stat()
	var r *Reader
	if err == nil {
		r, err = open(f, info.Size(), seal)
	}
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", errors.Join(err, f.Close()))
	}
	r.close = f.Close
	return r, nil
}

func open(f io.ReaderAt, size int64, seal *Seal) (*Reader, error) {
	if seal == nil {
		return &Reader{SectionReader: io.NewSectionReader(f, 0, size), Complete: true}, nil
	}
	raw := make([]byte, sealHeader)
	if _, err := f.ReadAt(raw, 0); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: no header", ErrSealed)
		}
		return nil, err
	}
	h, err := parseSealed(raw)
	if err != nil {
		return nil, err
	}
	key, err := seal.Keys.Open(seal.Place, h.wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	defer clear(key)
	c := &chunks{file: f, head: h, have: -1}
	if c.aead, err = newAEAD(key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	complete, err := c.measure(size)
	if err != nil {
		return nil, err
	}
	if h.is.Encoding != "opus" {
		c.bytes -= c.bytes % int64(h.is.BlockSize())
		c.front = h.is.AppendHeader(nil, c.bytes)
	}
	return &Reader{
		SectionReader: io.NewSectionReader(c, 0, int64(len(c.front))+c.bytes), Encoding: h.is.Encoding, Complete: complete,
	}, nil
}

// chunks reads a sealed file at any place. It keeps the chunk that was read last.
type chunks struct {
	file  io.ReaderAt
	head  sealedHead
	aead  cipher.AEAD
	front []byte // what stands before the sound
	bytes int64  // of sound
	full  int64  // chunks that are full; the last one, if it is there, comes behind

	mu     sync.Mutex
	have   int64 // number of the chunk in plain; -1 for none
	plain  []byte
	sealed []byte
}

// measure finds out how much there is, and whether the end is the end.
func (c *chunks) measure(size int64) (complete bool, err error) {
	whole := int64(c.head.chunk + tagSize)
	c.full = (size - sealHeader) / whole
	rest := (size - sealHeader) % whole
	c.bytes = c.full * int64(c.head.chunk)
	if rest < tagSize {
		return false, nil
	}
	c.sealed = make([]byte, rest)
	if _, err := c.file.ReadAt(c.sealed, sealHeader+c.full*whole); err != nil {
		return false, err
	}
	var n [12]byte
	last, err := c.aead.Open(nil, nonce(n[:0], uint64(c.full)), c.sealed, c.head.raw)
	if err != nil {
		// Deviation: what a crash left of a chunk looks like one that was altered. The recording counts as cut.
		return false, nil //nolint:nilerr // that is what Complete says
	}
	c.plain, c.have = last, c.full
	c.bytes += int64(len(last))
	return true, nil
}

// ReadAt implements io.ReaderAt over what stands in front and the sound.
func (c *chunks) ReadAt(p []byte, at int64) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(p) {
		where := at + int64(n)
		if where < int64(len(c.front)) {
			n += copy(p[n:], c.front[where:])
			continue
		}
		where -= int64(len(c.front))
		if where >= c.bytes {
			return n, io.EOF
		}
		if err := c.load(where / int64(c.head.chunk)); err != nil {
			return n, err
		}
		part := c.plain[where%int64(c.head.chunk):]
		part = part[:min(int64(len(part)), c.bytes-where)]
		n += copy(p[n:], part)
	}
	return n, nil
}

// load decrypts a chunk. The caller holds c.mu.
func (c *chunks) load(i int64) error {
	if c.have == i {
		return nil
	}
	size := int64(c.head.chunk + tagSize)
	length := size
	if i == c.full {
		length = c.bytes%int64(c.head.chunk) + tagSize
	}
	if int64(cap(c.sealed)) < length {
		c.sealed = make([]byte, size)
	}
	c.sealed = c.sealed[:length]
	c.have = -1
	if _, err := c.file.ReadAt(c.sealed, sealHeader+i*size); err != nil {
		return fmt.Errorf("read sealed recording: %w", err)
	}
	var n [12]byte
	plain, err := c.aead.Open(c.plain[:0], nonce(n[:0], uint64(i)), c.sealed, c.head.raw)
	if err != nil {
		return fmt.Errorf("%w: chunk %d is damaged", ErrSealed, i)
	}
	c.plain, c.have = plain, i
	return nil
}
