package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// headerSize is the length of what stands before the samples of a file that Writer makes.
const headerSize = 44

// Writer writes 16-bit PCM of one channel as it comes. After each Flush the file is complete: what is read of it after
// a crash is everything up to the last Flush.
type Writer struct {
	out     io.WriteSeeker
	buffer  []byte
	written int64 // bytes of samples in the file
	err     error // the first failure; nothing is written after it
}

// NewWriter begins a file at the present position 0 of out, with a valid header for no samples.
func NewWriter(out io.WriteSeeker, rate int) (*Writer, error) {
	w := &Writer{out: out, buffer: make([]byte, 0, 16<<10)}
	h := make([]byte, 0, headerSize)
	h = append(h, "RIFF"...)
	h = binary.LittleEndian.AppendUint32(h, headerSize-8)
	h = append(h, "WAVEfmt "...)
	h = binary.LittleEndian.AppendUint32(h, 16)
	h = binary.LittleEndian.AppendUint16(h, tagPCM)
	h = binary.LittleEndian.AppendUint16(h, 1)
	h = binary.LittleEndian.AppendUint32(h, uint32(rate))
	h = binary.LittleEndian.AppendUint32(h, uint32(2*rate))
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 16)
	h = append(h, "data"...)
	h = binary.LittleEndian.AppendUint32(h, 0)
	if _, err := out.Write(h); err != nil {
		return nil, fmt.Errorf("write WAVE header: %w", err)
	}
	return w, nil
}

// ErrFull says that the file has the 4 GiB that its header can express; nothing more is taken.
var ErrFull = errors.New("sound file is full")

// Write takes samples; a full buffer goes to the file, but only Flush makes it count.
func (w *Writer) Write(pcm []int16) error {
	if w.err != nil {
		return w.err
	}
	if w.written+int64(len(w.buffer)+2*len(pcm)) > math.MaxUint32-headerSize {
		return ErrFull
	}
	for _, s := range pcm {
		w.buffer = binary.LittleEndian.AppendUint16(w.buffer, uint16(s))
		if len(w.buffer) == cap(w.buffer) {
			if err := w.drain(); err != nil {
				return err
			}
		}
	}
	return nil
}

// drain puts the buffer behind the samples of the file.
func (w *Writer) drain() error {
	n, err := w.out.Write(w.buffer)
	w.written += int64(n)
	w.buffer = w.buffer[:0]
	return w.fail(err)
}

// Flush writes what is buffered and then the sizes in the header, in this order: a crash in between leaves the file
// of the Flush before.
func (w *Writer) Flush() error {
	if w.err != nil {
		return w.err
	}
	if err := w.drain(); err != nil {
		return err
	}
	if err := w.putSize(40, w.written); err != nil {
		return err
	}
	if err := w.putSize(4, w.written+headerSize-8); err != nil {
		return err
	}
	_, err := w.out.Seek(headerSize+w.written, io.SeekStart)
	return w.fail(err)
}

func (w *Writer) putSize(at, size int64) error {
	if _, err := w.out.Seek(at, io.SeekStart); err != nil {
		return w.fail(err)
	}
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(size))
	_, err := w.out.Write(b[:])
	return w.fail(err)
}

func (w *Writer) fail(err error) error {
	if err != nil {
		w.err = fmt.Errorf("write WAVE: %w", err)
		return w.err
	}
	return nil
}
