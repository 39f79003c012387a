// Package ogg reads and writes the Ogg container with Opus in it.
//
// It owns pages, packets, the headers of Ogg Opus, and packets of two streams side by side (self-delimiting framing). It
// does not encode or decode Opus. A page is written whole or not at all and a damaged one is
// noticed by its checksum, so a file that a crash cut is readable up to its last whole page.
//
// No goroutines; a Reader or Writer belongs to one goroutine at a time. RFC 3533 (Ogg), RFC 7845 (Ogg Opus), RFC 6716
// appendix B.
package ogg

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFormat is wrapped by the errors of files that are no Ogg Opus.
var ErrFormat = errors.New("unsupported Ogg file")

// Flags of a page.
const (
	Continued = 1 // its first packet began on the page before
	First     = 2
	Last      = 4
)

const (
	headerSize  = 27
	maxSegments = 255
	maxPacket   = 256 << 10 // bytes of a packet that is read; tags may hold a picture, sound takes 2 KiB
)

// Page is one page of a stream.
//
//	0 "OggS" | 4 version | 5 flags | 6 granule position (8) | 14 serial (4) | 18 sequence (4) | 22 checksum (4)
//	26 number of segments | 27 lengths of the segments ... | body
type Page struct {
	Flags    byte
	Granule  int64 // for Opus: samples at 48 kHz up to the end of the page; -1 when no packet ends on it
	Serial   uint32
	Sequence uint32
	Lacing   []byte // lengths of the segments; a packet ends with the first below 255
	Body     []byte
}

// Append prints the page.
func (p *Page) Append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, "OggS\x00"...)
	dst = append(dst, p.Flags)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.Granule))
	dst = binary.LittleEndian.AppendUint32(dst, p.Serial)
	dst = binary.LittleEndian.AppendUint32(dst, p.Sequence)
	dst = append(dst, 0, 0, 0, 0, byte(len(p.Lacing)))
	dst = append(dst, p.Lacing...)
	dst = append(dst, p.Body...)
	binary.LittleEndian.PutUint32(dst[at+22:], checksum(0, dst[at:]))
	return dst
}

// checksum is the CRC of RFC 3533 §6: polynomial 0x04c11db7, not reflected, no inversion.
func checksum(sum uint32, b []byte) uint32 {
	for _, x := range b {
		sum = sum<<8 ^ crcTable[byte(sum>>24)^x]
	}
	return sum
}

var crcTable = makeTable() // never changes

func makeTable() (t [256]uint32) {
	for i := range t {
		sum := uint32(i) << 24
		for range 8 {
			if sum&0x80000000 != 0 {
				sum = sum<<1 ^ 0x04c11db7
			} else {
				sum <<= 1
			}
		}
		t[i] = sum
	}
	return t
}

// PageReader reads page by page.
type PageReader struct {
	in   *bufio.Reader
	buf  [headerSize + maxSegments + maxSegments*255]byte
	page Page
	// Read is how many bytes the pages had that were read so far.
	Read int64
}

// NewPageReader reads pages of any streams.
func NewPageReader(in io.Reader) *PageReader { return &PageReader{in: bufio.NewReader(in)} }

// Next returns the next page, valid until the next call; io.EOF at the end of the file or when its last page is cut
// short, an error that wraps ErrFormat for what is no page or a damaged one.
func (r *PageReader) Next() (*Page, error) {
	head := r.buf[:headerSize]
	if _, err := io.ReadFull(r.in, head); err != nil {
		return nil, endOf(err)
	}
	if string(head[:5]) != "OggS\x00" {
		return nil, fmt.Errorf("%w: no page at byte %d", ErrFormat, r.Read)
	}
	segments := int(head[26])
	lacing := r.buf[headerSize : headerSize+segments]
	if _, err := io.ReadFull(r.in, lacing); err != nil {
		return nil, endOf(err)
	}
	size := 0
	for _, n := range lacing {
		size += int(n)
	}
	body := r.buf[headerSize+segments : headerSize+segments+size]
	if _, err := io.ReadFull(r.in, body); err != nil {
		return nil, endOf(err)
	}
	want := binary.LittleEndian.Uint32(head[22:])
	clear(head[22:26])
	if checksum(0, r.buf[:headerSize+segments+size]) != want {
		return nil, fmt.Errorf("%w: damaged page at byte %d", ErrFormat, r.Read)
	}
	r.Read += int64(headerSize + segments + size)
	r.page = Page{
		Flags: head[5], Granule: int64(binary.LittleEndian.Uint64(head[6:])), Serial: binary.LittleEndian.Uint32(head[14:]),
		Sequence: binary.LittleEndian.Uint32(head[18:]), Lacing: lacing, Body: body,
	}
	return &r.page, nil
}

func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return fmt.Errorf("read Ogg page: %w", err)
}
