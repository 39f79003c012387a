package ogg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// Head is the identification header of Ogg Opus.
type Head struct {
	Channels int // as they are played
	PreSkip  int // samples at 48 kHz to be thrown away at the start
	Rate     int // of what was encoded, for information
	Gain     int // dB in 1/256, to be applied by the player
	Streams  int // Opus streams in a packet
	Coupled  int // of these, stereo ones
}

// Append prints the header.
//
//	0 "OpusHead" | 8 version | 9 channels | 10 pre-skip | 12 rate | 16 gain | 18 mapping family
//	19 streams | 20 coupled | 21 mapping of each channel: unless the family is 0
//
// RFC 7845 §5.1.1.2: two streams that know nothing of each other are family 1.
func (h Head) Append(dst []byte) []byte {
	dst = append(dst, "OpusHead\x01"...)
	dst = append(dst, byte(h.Channels))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h.PreSkip))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Rate))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(int16(h.Gain)))
	if h.Streams == 1 {
		return append(dst, 0)
	}
	dst = append(dst, 1, byte(h.Streams), byte(h.Coupled))
	for i := range h.Channels {
		dst = append(dst, byte(i))
	}
	return dst
}

// ParseHead reads the header: of one stream with one or two channels, or of two streams with one channel each.
func ParseHead(b []byte) (Head, error) {
	// RFC 7845 §5.1: the upper four bits of the version tell what is incompatible.
	if len(b) < 19 || string(b[:8]) != "OpusHead" || b[8]&0xf0 != 0 {
		return Head{}, fmt.Errorf("%w: no Opus header", ErrFormat)
	}
	h := Head{
		Channels: int(b[9]), PreSkip: int(binary.LittleEndian.Uint16(b[10:])), Rate: int(binary.LittleEndian.Uint32(b[12:])),
		Gain: int(int16(binary.LittleEndian.Uint16(b[16:]))), Streams: 1,
	}
	switch {
	case b[18] == 0 && (h.Channels == 1 || h.Channels == 2):
		h.Coupled = h.Channels - 1
		return h, nil
	case b[18] == 1 && h.Channels <= 2 && len(b) >= 21+h.Channels:
		h.Streams, h.Coupled = int(b[19]), int(b[20])
		if h.Streams == 1 && h.Coupled == h.Channels-1 || h.Streams == 2 && h.Coupled == 0 && h.Channels == 2 {
			return h, nil
		}
	}
	return Head{}, fmt.Errorf("%w: %d channels of mapping family %d", ErrFormat, h.Channels, b[18])
}

// AppendTags prints the comment header (RFC 7845 §5.2) without comments.
func AppendTags(dst []byte, vendor string) []byte {
	dst = append(dst, "OpusTags"...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(vendor)))
	dst = append(dst, vendor...)
	return binary.LittleEndian.AppendUint32(dst, 0)
}

// errFraming is for packets with more frames than our own have.
var errFraming = fmt.Errorf("%w: more frames in a packet of two streams than are read", ErrFormat)

// AppendPair puts the packets of two streams side by side. The first must be of one frame, as an encoder makes for
// 20 ms.
//
// RFC 6716 appendix B: all but the last tell their length, behind the first byte.
func AppendPair(dst, first, second []byte) ([]byte, error) {
	if len(first) == 0 || len(second) == 0 || first[0]&3 != 0 {
		return dst, errFraming
	}
	dst = append(dst, first[0])
	// RFC 6716 §3.2.1: lengths from 252 take two bytes.
	n := len(first) - 1
	switch {
	case n > 1275:
		return dst, errFraming
	case n < 252:
		dst = append(dst, byte(n))
	default:
		low := 252 + n&3
		dst = append(dst, byte(low), byte((n-low)/4))
	}
	dst = append(dst, first[1:]...)
	return append(dst, second...), nil
}

// SplitPair takes apart what AppendPair put together; the first packet is appended to dst.
func SplitPair(dst, packet []byte) (first, second []byte, err error) {
	if len(packet) < 2 || packet[0]&3 != 0 {
		return dst, nil, errFraming
	}
	n, rest := int(packet[1]), packet[2:]
	if n >= 252 {
		if len(rest) == 0 {
			return dst, nil, errFraming
		}
		n, rest = n+4*int(rest[0]), rest[1:]
	}
	if len(rest) <= n {
		return dst, nil, errFraming
	}
	first = append(append(dst, packet[0]), rest[:n]...)
	return first, rest[n:], nil
}

// Writer puts Opus packets into pages. It only makes bytes; they are written elsewhere.
type Writer struct {
	page    Page
	started bool // something stands on the page
	granule int64
}

// NewWriter appends the two header pages of a stream to dst.
func NewWriter(dst []byte, h Head, vendor string) (*Writer, []byte) {
	w := &Writer{}
	w.page.Serial = rand.Uint32()
	w.page.Lacing = make([]byte, 0, maxSegments)
	// RFC 7845 §3: each header has a page of its own.
	w.page.Flags = First
	w.lace(h.Append(nil))
	dst = w.flush(dst)
	w.lace(AppendTags(nil, vendor))
	return w, w.flush(dst)
}

// ErrPacket is for a packet that is longer than Opus allows.
var ErrPacket = errors.New("packet is too long for a page")

// Write adds a packet that lasts the given number of samples at 48 kHz, and appends the page to dst when it is full.
func (w *Writer) Write(dst, packet []byte, samples int) ([]byte, error) {
	segments := len(packet)/255 + 1
	if segments > maxSegments {
		return dst, ErrPacket
	}
	if len(w.page.Lacing)+segments > maxSegments {
		dst = w.flush(dst)
	}
	w.lace(packet)
	w.granule += int64(samples)
	return dst, nil
}

// Flush appends the page begun, if there is one.
func (w *Writer) Flush(dst []byte) []byte {
	if !w.started {
		return dst
	}
	return w.flush(dst)
}

// Close appends the last page.
func (w *Writer) Close(dst []byte) []byte {
	w.page.Flags |= Last
	return w.flush(dst)
}

func (w *Writer) lace(packet []byte) {
	n := len(packet)
	for ; n >= 255; n -= 255 {
		w.page.Lacing = append(w.page.Lacing, 255)
	}
	w.page.Lacing = append(w.page.Lacing, byte(n))
	w.page.Body = append(w.page.Body, packet...)
	w.started = true
}

func (w *Writer) flush(dst []byte) []byte {
	w.page.Granule = w.granule
	dst = w.page.Append(dst)
	w.page.Sequence++
	w.page.Flags, w.page.Lacing, w.page.Body, w.started = 0, w.page.Lacing[:0], w.page.Body[:0], false
	return dst
}

// Reader reads the packets of an Ogg Opus file.
type Reader struct {
	Head Head

	pages  *PageReader
	serial uint32
	lacing []byte // of the page, not read yet
	body   []byte
	packet []byte
}

// NewReader reads the headers. The error wraps ErrFormat, unless it comes from in.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{pages: NewPageReader(in)}
	p, err := r.pages.Next()
	if err == nil && p.Flags&First == 0 {
		err = fmt.Errorf("%w: begins in the middle", ErrFormat)
	}
	if err != nil {
		return nil, headerError(err)
	}
	r.serial, r.lacing, r.body = p.Serial, p.Lacing, p.Body
	head, err := r.Next()
	if err != nil {
		return nil, headerError(err)
	}
	if r.Head, err = ParseHead(head); err != nil {
		return nil, err
	}
	if _, err := r.Next(); err != nil { // the tags
		return nil, headerError(err)
	}
	return r, nil
}

func headerError(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: no Opus header", ErrFormat)
	}
	return err
}

// Next returns the next packet, valid until the next call; io.EOF at the end. Pages of other streams are passed over.
func (r *Reader) Next() ([]byte, error) {
	r.packet = r.packet[:0]
	for {
		for len(r.lacing) > 0 {
			n := int(r.lacing[0])
			r.packet = append(r.packet, r.body[:n]...)
			r.lacing, r.body = r.lacing[1:], r.body[n:]
			if len(r.packet) > maxPacket {
				return nil, fmt.Errorf("%w: packet of more than %d bytes", ErrFormat, maxPacket)
			}
			if n < 255 {
				return r.packet, nil
			}
		}
		p, err := r.pages.Next()
		if err != nil {
			return nil, err
		}
		if p.Serial != r.serial {
			continue
		}
		if p.Flags&Continued == 0 {
			r.packet = r.packet[:0] // what was begun is not continued: lost
		}
		r.lacing, r.body = p.Lacing, p.Body
	}
}
