package recorder

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"dialtone/internal/media/wav"
)

// Keyring wraps the key of a file: store/seal has one. place names what the key is for; Open needs the same.
type Keyring interface {
	Seal(place, plain []byte) []byte
	Open(place, sealed []byte) ([]byte, error)
}

// Seal says how a file is encrypted.
type Seal struct {
	Keys  Keyring
	Place []byte // what the recording is; a file that is put in the place of another does not open
	// Chunk is how many bytes of sound are sealed together, 4096 to 1048576; 0 means 65536. A crash costs the last one.
	Chunk int
}

// A sealed file is a header of fixed size, then chunks. The key of each file is random and its chunks are numbered, so
// no nonce comes twice; a chunk is never written again. The header is authenticated with each chunk. The last chunk is
// shorter than the others, maybe empty, so that a file that was cut is told from one that ended.
//
//	 0                 8     9         10         11  12     16      20                22
//	+-----------------+-----+---------+----------+---+------+-------+-----------------+-------------+---------+
//	| "DTSEALED"      | 1   | coding  | channels | 0 | rate | chunk | length of key   | wrapped key | 0 ...   |
//	+-----------------+-----+---------+----------+---+------+-------+-----------------+-------------+---------+
//	256: chunk 0, tag (16) | chunk 1, tag (16) | ...
//
// Of WAVE the samples alone are sealed: the header in front of them depends on how many there are.
const (
	sealMagic   = "DTSEALED"
	sealVersion = 1
	sealHeader  = 256
	sealKeyAt   = 22
	tagSize     = 16
	keySize     = 32

	defaultChunk = 64 << 10
	leastChunk   = 4 << 10
	mostChunk    = 1 << 20
)

// ErrSealed is returned for a sealed file that does not open: damaged, altered, or sealed with a key that is missing.
var ErrSealed = errors.New("sealed recording does not open")

// codings are the encodings in the header of a sealed file.
func codings() []string { return []string{1: "PCM16", 2: "PCMA", 3: "opus"} }

// sealed is a file being written.
type sealed struct {
	file   File
	coder  coder
	aead   cipher.AEAD
	header []byte
	chunk  int
	plain  []byte // not sealed yet, less than a chunk
	out    []byte
	count  uint64 // chunks written
	at     int64
	bytes  int64 // of sound
}

func newSealed(f File, c coder, s *Seal) (*sealed, error) {
	w := &sealed{file: f, coder: c, chunk: s.Chunk, at: sealHeader}
	if w.chunk == 0 {
		w.chunk = defaultChunk
	}
	if w.chunk < leastChunk || w.chunk > mostChunk {
		return nil, fmt.Errorf("seal in chunks of %d bytes: 4096 to 1048576", w.chunk)
	}
	key := make([]byte, keySize)
	defer clear(key)
	_, _ = rand.Read(key) // never fails
	wrapped := s.Keys.Seal(s.Place, key)
	if len(wrapped) > sealHeader-sealKeyAt {
		return nil, fmt.Errorf("wrapped key of %d bytes is too long", len(wrapped))
	}
	is := c.format()
	w.header = append(w.header, sealMagic...)
	w.header = append(w.header, sealVersion, codingOf(is.Encoding), byte(is.Channels), 0)
	w.header = binary.BigEndian.AppendUint32(w.header, uint32(is.Rate))
	w.header = binary.BigEndian.AppendUint32(w.header, uint32(w.chunk))
	w.header = binary.BigEndian.AppendUint16(w.header, uint16(len(wrapped)))
	w.header = append(w.header, wrapped...)
	w.header = append(w.header, make([]byte, sealHeader-len(w.header))...)
	var err error
	if w.aead, err = newAEAD(key); err != nil {
		return nil, err
	}
	if is.Encoding == "opus" {
		w.plain = c.begin(w.plain)
	}
	_, err = f.WriteAt(w.header, 0)
	return w, err
}

func codingOf(encoding string) byte {
	for i, name := range codings() {
		if name == encoding {
			return byte(i)
		}
	}
	return 0
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// nonce is that of a chunk: its number.
func nonce(dst []byte, chunk uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 0), chunk)
}

func (w *sealed) write(channels [][]int16, n int) error {
	before := len(w.plain)
	var err error
	if w.plain, err = w.coder.encode(w.plain, channels, n); err != nil {
		return err
	}
	w.bytes += int64(len(w.plain) - before)
	if w.bytes > w.coder.most() {
		return ErrFull
	}
	return w.sealFull()
}

// sealFull writes all chunks that are full.
func (w *sealed) sealFull() error {
	for len(w.plain) >= w.chunk {
		if err := w.seal(w.plain[:w.chunk]); err != nil {
			return err
		}
		w.plain = w.plain[:copy(w.plain, w.plain[w.chunk:])]
	}
	return nil
}

func (w *sealed) seal(plain []byte) error {
	var n [12]byte
	w.out = w.aead.Seal(w.out[:0], nonce(n[:0], w.count), plain, w.header)
	if _, err := w.file.WriteAt(w.out, w.at); err != nil {
		return err
	}
	w.count++
	w.at += int64(len(w.out))
	return nil
}

func (w *sealed) flush() error {
	w.plain = w.coder.flush(w.plain)
	return w.sealFull()
}

func (w *sealed) close(whole bool) error {
	var err error
	if whole {
		w.plain = w.coder.close(w.plain)
		if err = w.sealFull(); err == nil {
			err = w.seal(w.plain)
		}
		if err == nil {
			err = w.file.Sync()
		}
	}
	clear(w.plain[:cap(w.plain)])
	if closed := w.file.Close(); err == nil {
		err = closed
	}
	return err
}

// sealedHead is a header that was read.
type sealedHead struct {
	is      wav.Format
	chunk   int
	wrapped []byte
	raw     []byte
}

// parseSealed reads the header. The error wraps ErrSealed.
func parseSealed(b []byte) (sealedHead, error) {
	fail := func(what string) (sealedHead, error) { return sealedHead{}, fmt.Errorf("%w: %s", ErrSealed, what) }
	if len(b) != sealHeader || string(b[:8]) != sealMagic || b[8] != sealVersion {
		return fail("no header")
	}
	names := codings()
	if b[9] == 0 || int(b[9]) >= len(names) {
		return fail("unknown encoding")
	}
	h := sealedHead{
		is:    wav.Format{Encoding: names[b[9]], Channels: int(b[10]), Rate: int(binary.BigEndian.Uint32(b[12:]))},
		chunk: int(binary.BigEndian.Uint32(b[16:])), raw: b,
	}
	key := int(binary.BigEndian.Uint16(b[20:]))
	if h.chunk < leastChunk || h.chunk > mostChunk || key > sealHeader-sealKeyAt || h.is.Channels == 0 {
		return fail("header out of range")
	}
	if h.is.Encoding != "opus" {
		if err := h.is.Validate(); err != nil {
			return fail(err.Error())
		}
	}
	h.wrapped = b[sealKeyAt : sealKeyAt+key]
	return h, nil
}
