package bindinglog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"dialtone/internal/location"
)

// A frame, after its head:
//
//	+--------+--------+-- - - - --+
//	| length |  CRC   |   rows    |     length and CRC: 4 bytes each, little-endian, of the rows
//	+--------+--------+-- - - - --+
//
// A row is its kind (1 byte), the identifier and, but for an end, the expiry in Unix milliseconds (uvarints), the length
// of what follows (uvarint) and the body or the refresh.
const (
	magic      = "DTBIND1\n" // begins each file
	frameHead  = 8
	frameBytes = 1 << 18 // of rows in a frame, and one row more
	maxFrame   = frameBytes + 1<<24
)

const (
	kindEnd = iota + 1
	kindRefresh
	kindBody
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal fills in the head of a frame.
func seal(frame []byte) {
	rows := frame[frameHead:]
	binary.LittleEndian.PutUint32(frame, uint32(len(rows)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(rows, castagnoli))
}

func appendRow(b []byte, r *location.Row) []byte {
	kind, rest := byte(kindEnd), []byte(nil)
	switch {
	case r.Body != nil:
		kind, rest = kindBody, r.Body
	case r.Refresh != nil:
		kind, rest = kindRefresh, r.Refresh
	}
	b = append(b, kind)
	b = binary.AppendUvarint(b, r.ID)
	if kind == kindEnd {
		return b
	}
	b = binary.AppendUvarint(b, uint64(max(0, r.ExpiresMS)))
	b = binary.AppendUvarint(b, uint64(len(rest)))
	return append(b, rest...)
}

var errRow = errors.New("a row is malformed")

// parseRow reads the first row of b and returns what is behind it. The row points into b.
func parseRow(b []byte) (r location.Row, rest []byte, err error) {
	kind, b := b[0], b[1:]
	number := func() (v uint64) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err = errRow
			return 0
		}
		b = b[n:]
		return v
	}
	r.ID = number()
	if kind == kindEnd {
		return r, b, err
	}
	expires, size := number(), number()
	if err != nil || expires > 1<<62 || size > uint64(len(b)) {
		return location.Row{}, nil, errRow
	}
	r.ExpiresMS = int64(expires)
	switch kind {
	case kindBody:
		r.Body = b[:size:size]
	case kindRefresh:
		r.Refresh = b[:size:size]
	default:
		return location.Row{}, nil, errRow
	}
	return r, b[size:], nil
}

// read gives add the rows of a file with their sizes, up to the first frame that is not sound, and returns where that
// begins. Errors are those of add and of the file.
func read(from io.Reader, add func(r location.Row, size int) error) (sound int64, err error) {
	in := bufio.NewReaderSize(from, frameBytes)
	head := make([]byte, frameHead)
	if ok, err := full(in, head[:len(magic)]); !ok || string(head) != magic {
		return 0, err
	}
	sound = int64(len(magic))
	var rows []byte
	for {
		if ok, err := full(in, head); !ok {
			return sound, err
		}
		length := binary.LittleEndian.Uint32(head)
		if length == 0 || length > maxFrame {
			return sound, nil
		}
		if cap(rows) < int(length) {
			rows = make([]byte, length)
		}
		rows = rows[:length]
		if ok, err := full(in, rows); !ok {
			return sound, err
		}
		if crc32.Checksum(rows, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			return sound, nil
		}
		for left := rows; len(left) > 0; {
			r, rest, err := parseRow(left)
			if err != nil {
				return sound, nil //nolint:nilerr // like a checksum that is wrong
			}
			if err := add(r, len(left)-len(rest)); err != nil {
				return sound, err
			}
			left = rest
		}
		sound += frameHead + int64(length)
	}
}

// full fills b; false when the file ends before.
func full(in io.Reader, b []byte) (bool, error) {
	_, err := io.ReadFull(in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return err == nil, err
}
