package transport

import (
	"bytes"
	"sync"

	"dialtone/internal/sip"
)

const (
	smallBuffer = 1024               // what a stream holds while nothing is under way
	bigBuffer   = sip.MaxMessage + 1 // what it holds while a longer message is
)

var (
	crlfcrlf    = []byte("\r\n\r\n")
	errLongHead = &sip.ParseError{Status: 513, Reason: "Message Too Large"}
)

// framer cuts a stream into messages: RFC 3261 §18.3, with the keep-alives of RFC 5626 §4.4.1 between them. It looks at
// each byte of a head once, however small the pieces are in which it comes.
type framer struct {
	buf        []byte
	start, end int // what is in buf and not yet taken
	scanned    int // bytes after start without the end of a head
	total      int // length of the message at start; 0 while its head is incomplete
	half       bool
	maxHead    int
	pool       *sync.Pool // of *[]byte of bigBuffer
	big        *[]byte    // the one in use
	small      []byte
}

func newFramer(pool *sync.Pool, maxHead int) *framer {
	r := &framer{pool: pool, maxHead: maxHead, small: make([]byte, smallBuffer)}
	r.buf = r.small
	return r
}

// room is where to read to; never empty.
func (r *framer) room() []byte {
	if r.start == r.end {
		r.start, r.end = 0, 0
		if r.big != nil {
			r.free()
		}
	}
	if r.end == len(r.buf) {
		r.grow()
	}
	return r.buf[r.end:]
}

// pushed tells how much was read.
func (r *framer) pushed(n int) { r.end += n }

// partial tells whether the beginning of a message is there.
func (r *framer) partial() bool { return r.start < r.end }

// grow makes room: by moving what is there to the front, or into the big buffer.
func (r *framer) grow() {
	if r.big == nil && r.end-r.start > len(r.buf)/2 {
		r.big = r.pool.Get().(*[]byte)
		r.end = copy(*r.big, r.buf[r.start:r.end])
		r.buf, r.start = *r.big, 0
		return
	}
	r.end = copy(r.buf, r.buf[r.start:r.end])
	r.start = 0
}

// free gives the big buffer back.
func (r *framer) free() {
	if r.big != nil {
		r.pool.Put(r.big)
		r.big, r.buf = nil, r.small
	}
}

// next takes the next message, valid until room or free is called; nil when more bytes are needed. ping asks for a
// CRLF to be sent back (RFC 5626 §4.4.1). After an error the stream cannot be followed; msg is then what
// there is of the message.
func (r *framer) next() (msg []byte, ping bool, err error) {
	if r.total == 0 && r.scanned == 0 {
		switch ping, wait := r.skipLineEnds(); {
		case ping:
			return nil, true, nil
		case wait:
			return nil, false, nil
		}
	}
	data := r.buf[r.start:r.end]
	if r.total == 0 {
		if err := r.measure(data); err != nil {
			return data, false, err
		}
		if r.total == 0 {
			return nil, false, nil
		}
		data = r.buf[r.start:r.end]
	}
	if len(data) < r.total {
		return nil, false, nil
	}
	msg = data[:r.total:r.total]
	r.start += r.total
	r.total, r.scanned = 0, 0
	return msg, false, nil
}

// skipLineEnds takes CRLFs before a message: two make a ping, one is an answer to ours, or (RFC 3261 §7.5) nothing.
func (r *framer) skipLineEnds() (ping, wait bool) {
	for {
		data := r.buf[r.start:r.end]
		switch {
		case len(data) == 0, len(data) == 1 && data[0] == '\r':
			return false, true
		case data[0] != '\r' || data[1] != '\n':
			r.half = false
			return false, false
		}
		r.start += 2
		if r.half = !r.half; !r.half {
			return true, false
		}
	}
}

// measure finds the length of the message, once its head is there.
func (r *framer) measure(data []byte) error {
	from := max(r.scanned-len(crlfcrlf)+1, 0)
	i := bytes.Index(data[from:], crlfcrlf)
	if i < 0 {
		r.scanned = len(data)
		if len(data) > r.maxHead {
			return errLongHead
		}
		return nil
	}
	if from+i+len(crlfcrlf) > r.maxHead {
		return errLongHead
	}
	_, total, err := sip.Frame(data)
	if err != nil {
		return err
	}
	if total == 0 {
		// The body is not complete. In a buffer that any message fits, Frame sees how long it will be.
		if r.big == nil {
			r.big = r.pool.Get().(*[]byte)
			r.end = copy(*r.big, data)
			r.buf, r.start = *r.big, 0
		} else if r.start > 0 {
			r.end = copy(r.buf, data)
			r.start = 0
		}
		if _, total, err = sip.Frame(r.buf); err != nil {
			return err
		}
	}
	r.total = total
	return nil
}
