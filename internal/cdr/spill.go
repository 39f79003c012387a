package cdr

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"dialtone/internal/store"
)

// item is one row on its way to the store: exactly one of the three is set.
type item struct {
	Journal *store.JournalRow   `json:"journal,omitempty"`
	Touch   *store.JournalTouch `json:"touch,omitempty"`
	Record  *store.RecordRow    `json:"record,omitempty"`

	// A journal row that is not encoded yet; only in the queue.
	callID string
	encode func() (store.JournalRow, error)
}

// call is the call that the item is about, and whether it is a journal row.
func (it *item) call() (id string, journal bool) {
	switch {
	case it.Journal != nil:
		return it.Journal.CallID, true
	case it.Record != nil:
		return it.Record.CallID, false
	case it.Touch != nil:
		return it.Touch.CallID, false
	}
	return it.callID, true
}

// valid tells whether exactly one row is set.
func (it *item) valid() bool {
	n := 0
	for _, set := range [...]bool{it.Journal != nil, it.Touch != nil, it.Record != nil} {
		if set {
			n++
		}
	}
	return n == 1
}

// The spill is a file of frames:
//
//	 0               4               8
//	+---------------+---------------+----------------- ...
//	| length, LE    | CRC-32C       | item as JSON
//	+---------------+---------------+----------------- ...
//
// Length and CRC are those of the JSON. A frame that is cut or does not match its CRC ends the file: it is the tail of
// a write that a crash has torn.
const (
	frameHeader = 8
	maxFrame    = 16 << 20
)

func appendFrame(b []byte, it item) ([]byte, error) {
	body, err := json.Marshal(it)
	if err != nil {
		return b, err
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, body...), nil
}

// readFrame returns the item at the start of r and the length of its frame. io.EOF means that r is empty or torn.
func readFrame(r io.Reader) (item, int64, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return item{}, 0, eof(err)
	}
	n := binary.LittleEndian.Uint32(header[:])
	if n > maxFrame {
		return item{}, 0, io.EOF
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return item{}, 0, eof(err)
	}
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(header[4:]) {
		return item{}, 0, io.EOF
	}
	var it item
	if err := json.Unmarshal(body, &it); err != nil || !it.valid() {
		return item{}, 0, io.EOF
	}
	return it, frameHeader + int64(n), nil
}

// eof makes a cut frame the end of the file and lets real read errors through.
func eof(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// spill is the append-only file in which rows wait for a database that is slow or down. It is used by one goroutine.
type spill struct {
	file *os.File
	read int64 // everything before has reached the store
	size int64 // end of the last whole frame
}

// openSpill opens or makes the file, and cuts off a torn tail.
func openSpill(name string) (*spill, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open spill: %w", err)
	}
	s := &spill{file: f}
	for {
		_, n, err := readFrame(io.NewSectionReader(f, s.size, maxFrame+frameHeader))
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read spill: %w", err), f.Close())
		}
		s.size += n
	}
	if err := f.Truncate(s.size); err != nil {
		return nil, errors.Join(fmt.Errorf("cut torn tail of spill: %w", err), f.Close())
	}
	return s, nil
}

func (s *spill) empty() bool { return s.read == s.size }

// append writes the items and returns when they are on the disk. After an error nothing of them counts as written.
func (s *spill) append(items []item) error {
	var b []byte
	for _, it := range items {
		var err error
		if b, err = appendFrame(b, it); err != nil {
			return fmt.Errorf("encode row: %w", err)
		}
	}
	if _, err := s.file.WriteAt(b, s.size); err != nil {
		return fmt.Errorf("write spill: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync spill: %w", err)
	}
	s.size += int64(len(b))
	return nil
}

// next returns up to n of the oldest items and how many bytes they take.
func (s *spill) next(n int) (items []item, length int64, err error) {
	for len(items) < n && s.read+length < s.size {
		it, frame, err := readFrame(io.NewSectionReader(s.file, s.read+length, s.size-s.read-length))
		if err != nil {
			return items, length, fmt.Errorf("read spill: %w", err)
		}
		items = append(items, it)
		length += frame
	}
	return items, length, nil
}

// done counts the oldest bytes as delivered, and empties the file when they were the last. The place is not written
// down: after a crash the file is delivered again from its start, which does no harm (see Saver).
func (s *spill) done(length int64) error {
	s.read += length
	if !s.empty() {
		return nil
	}
	if err := s.file.Truncate(0); err != nil {
		return fmt.Errorf("empty spill: %w", err)
	}
	s.read, s.size = 0, 0
	return nil
}

func (s *spill) close() error { return s.file.Close() }
