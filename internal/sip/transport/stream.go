package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"dialtone/internal/sip"
)

// conn is one stream: its worker reads, and whoever sends writes into its queue. What is sent while the worker handles
// messages is written by the worker; anything else by a goroutine that lives as long as something waits.
type conn struct {
	l      *Layer
	f      *Flow
	key    streamKey
	name   string // that the far end has proved, or was opened for
	names  *sentBy
	opened chan struct{} // closed once the stream is open or has failed
	kept   atomic.Bool
	excess int // messages beyond the budget of the source, less those within; the worker's

	mu      sync.Mutex // guards everything below; never held across I/O
	raw     net.Conn
	ws      *websocket.Conn
	queue   []byte
	lengths []int // of the messages in queue
	spare   []byte
	spareN  []int
	busy    bool // somebody writes, or will
	closing error
	err     error
}

// send queues one message. The queue holds back what comes while the stream is being opened.
func (c *conn) send(b []byte) error {
	c.mu.Lock()
	switch {
	case c.err != nil || c.closing != nil:
		c.mu.Unlock()
		return ErrClosed
	case len(c.queue)+len(b) > c.l.limits.Queue:
		c.mu.Unlock()
		c.l.Stats.SlowReaders.Add(1)
		// Not here: the sender may hold locks that HandleClosed wants.
		c.l.spawn(func() { c.end(ErrSlow) })
		return ErrSlow
	}
	c.queue = append(c.queue, b...)
	c.lengths = append(c.lengths, len(b))
	start := !c.busy
	c.busy = true
	c.mu.Unlock()
	if start && !c.l.spawn(c.flush) {
		return ErrClosed
	}
	return nil
}

// begin makes the worker the writer, unless somebody writes already; end of its turn is flush.
func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy {
		return false
	}
	c.busy = true
	return true
}

// flush writes until the queue is empty. Only the one who has made busy true calls it.
func (c *conn) flush() {
	c.mu.Lock()
	for c.err == nil && len(c.queue) > 0 {
		out, lengths := c.queue, c.lengths
		c.queue, c.lengths = c.spare[:0], c.spareN[:0]
		raw, ws := c.raw, c.ws
		c.mu.Unlock()
		err := c.write(raw, ws, out, lengths)
		c.mu.Lock()
		c.spare, c.spareN = out[:0], lengths[:0]
		if cap(out) > 16<<10 { // an idle stream holds no big buffers
			c.spare = nil
		}
		if err != nil {
			c.mu.Unlock()
			c.end(err)
			c.mu.Lock()
		}
	}
	if cap(c.queue) > 16<<10 && len(c.queue) == 0 {
		c.queue = nil
	}
	c.busy = false
	closing := c.closing
	c.mu.Unlock()
	if closing != nil {
		c.end(closing)
	}
}

func (c *conn) write(raw net.Conn, ws *websocket.Conn, out []byte, lengths []int) error {
	if ws == nil {
		if err := raw.SetWriteDeadline(time.Now().Add(c.l.limits.Write)); err != nil {
			return err
		}
		_, err := raw.Write(out)
		return err
	}
	ctx, cancel := context.WithTimeout(c.l.ctx, c.l.limits.Write)
	defer cancel()
	for _, n := range lengths {
		// RFC 7118 §4.2: one message per frame, text or binary; a text frame must be UTF-8 (RFC 6455 §5.6).
		kind := websocket.MessageText
		if !utf8.Valid(out[:n]) {
			kind = websocket.MessageBinary
		}
		if err := ws.Write(ctx, kind, out[:n]); err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// closeSoon closes the stream once what waits is written.
func (c *conn) closeSoon(why error) {
	if c.mark(why, false) {
		c.l.spawn(c.flush)
	}
}

// closeNow is closeSoon for the worker, which writes itself: mine tells that it is the writer already.
func (c *conn) closeNow(why error, mine bool) {
	if c.mark(why, mine) {
		c.flush()
	}
}

// mark notes that the stream is to be closed, and reports whether the caller is the one to flush.
func (c *conn) mark(why error, mine bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing == nil {
		c.closing = why
	}
	if !c.busy {
		c.busy, mine = true, true
	}
	return mine
}

// end closes the stream at once, and tells above.
func (c *conn) end(why error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = why
	raw, ws := c.raw, c.ws
	c.queue, c.lengths = nil, nil
	c.mu.Unlock()
	if ws != nil {
		ws.CloseNow()
	}
	if raw != nil {
		raw.Close()
	}
	c.l.streams.remove(c)
	c.open()
	defer c.l.recovered(c.f)
	c.l.c.Handler.HandleClosed(c.f, why)
}

// open tells those in Flow.Wait that the matter is decided.
func (c *conn) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.opened:
	default:
		close(c.opened)
	}
}

// attach gives an open connection to the stream and lets what waits go. It reports whether the stream still lives.
func (c *conn) attach(raw net.Conn, ws *websocket.Conn) bool {
	c.mu.Lock()
	c.raw, c.ws = raw, ws
	dead := c.err != nil
	c.mu.Unlock()
	if dead {
		raw.Close()
		return false
	}
	return true
}

// serve is the worker of a TCP or TLS stream: it reads until the stream ends.
func (c *conn) serve() {
	l := c.l
	r := newFramer(&l.buffers, l.limits.Head)
	defer r.free()
	var m sip.Message
	var since time.Time // when the message that is under way began
	for {
		now := time.Now()
		kept := c.kept.Load()
		deadline := now.Add(c.patience())
		if r.partial() {
			if since.IsZero() {
				since = now
			}
			deadline = since.Add(l.limits.Message)
		} else {
			since = time.Time{}
		}
		if err := c.raw.SetReadDeadline(deadline); err != nil {
			c.end(err)
			return
		}
		n, err := c.raw.Read(r.room())
		r.pushed(n)
		if n > 0 {
			mine := c.begin()
			taken, bad := c.takeAll(r, &m)
			if taken {
				since = time.Time{}
			}
			if bad != nil {
				c.closeNow(bad, mine)
				return
			}
			if mine {
				c.flush()
			}
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if !kept && c.kept.Load() && !r.partial() {
					continue // somebody has vouched for it since the wait began
				}
				l.Stats.SlowSenders.Add(1)
				err = errIdle
			} else if err == io.EOF {
				err = ErrClosed
			}
			c.end(err)
			return
		}
	}
}

// patience is how long the stream may be silent.
func (c *conn) patience() time.Duration {
	if c.kept.Load() {
		return c.l.limits.Kept
	}
	return c.l.limits.Idle
}

// takeAll handles the messages that are complete. It reports whether there was any, and why the stream cannot be
// followed any more.
func (c *conn) takeAll(r *framer, m *sip.Message) (taken bool, bad error) {
	for {
		msg, ping, err := r.next()
		switch {
		case err != nil:
			if c.l.admit(c.f.remote, time.Now()) {
				c.malformed(m, msg, err)
			}
			return taken, errMalform
		case ping:
			// RFC 5626 §4.4.1: a double CRLF is answered by a single one.
			c.l.Stats.KeepAlives.Add(1)
			taken = true
			ok, bad := c.admit()
			if bad != nil {
				return taken, bad
			}
			if ok {
				_ = c.send([]byte("\r\n"))
			}
		case msg == nil:
			return taken, nil
		default:
			taken = true
			ok, bad := c.admit()
			if bad != nil {
				return taken, bad
			}
			// A message that could be framed but is no request to answer ends the stream too: what follows it is
			// unlikely to be better.
			if ok && !c.l.take(c.f, m, msg, time.Now()) && !m.Answerable() {
				return taken, errMalform
			}
		}
	}
}

// maxExcess is how many messages more than its source may send a stream may bring before it is closed. A datagram that is
// not wanted costs little to drop; a stream that is read to the end costs as much as its sender likes.
const maxExcess = 200

// admit asks whether the source may send another message, keep-alives included, and gives up a stream that goes on
// although it may not. For the worker alone.
func (c *conn) admit() (ok bool, bad error) {
	if c.l.admit(c.f.remote, time.Now()) {
		c.excess = max(0, c.excess-1)
		return true, nil
	}
	if c.excess++; c.excess > maxExcess {
		return false, errFlood
	}
	return false, nil
}

// malformed hands up what could not be framed.
func (c *conn) malformed(m *sip.Message, b []byte, why error) {
	defer c.l.recovered(c.f)
	c.l.Stats.Received[c.f.kind].Add(1)
	c.l.Stats.Malformed.Add(1)
	if c.l.c.Tap != nil {
		c.l.c.Tap(c.f, In, b)
	}
	_ = m.Parse(b) // for what can be understood; the error that counts is why
	m.Received, m.Arrived = c.f.remote, time.Now()
	c.l.c.Handler.HandleMalformed(c.f, b, m, why)
}
