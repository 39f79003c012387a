package turn

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// connect opens a bare stream to the server.
func (l *lab) connect() net.Conn {
	l.t.Helper()
	c, err := l.client.Dial(l.t.Context(), netip.AddrPortFrom(ourselves, 3478))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = c.Close() })
	return c
}

// isClosed reports whether the server has closed a stream by some time.
func isClosed(c net.Conn, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, c)
	ne, timeout := err.(net.Error)
	return !(timeout && ne.Timeout())
}

// Frames whose length wraps around in 16 bits, and other rubbish, end a stream; Pion's own reader would spin on them.
func TestHostileFrames(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		for name, text := range map[string]string{
			"channel data that wraps": "\x40\x00\xff\xfc\x00\x00\x00\x00\x00\x00\x00\x00",
			"STUN that wraps":         "\x00\x01\xff\xec\x21\x12\xa4\x42",
			"long channel data":       "\x40\x00\x80\x00",
			"length that is odd":      "\x00\x01\x00\x02\x21\x12\xa4\x42",
			"HTTP":                    "GET / HTTP/1.1\r\n\r\n",
			"TLS":                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
			"two high bits":           "\xff\xff\xff\xff",
		} {
			c := l.connect()
			if _, err := c.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if !isClosed(c, time.Second) {
				t.Errorf("%s: the stream lives on", name)
			}
		}
		if n := l.s.Stats(); n.Streams != 0 || n.Refused["frame"] != 7 {
			t.Errorf("%+v", n)
		}
	})
}

func TestStreamTimes(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		if c := l.connect(); isClosed(c, strangerTime-time.Second) || !isClosed(c, 2*time.Second) {
			t.Error("a silent stranger")
		}
		slow := l.connect()
		if _, err := slow.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		if isClosed(slow, frameTime-time.Second) || !isClosed(slow, 2*time.Second) {
			t.Error("half a frame")
		}
		client := l.dial(TCP, l.good())
		if _, err := l.allocate(client); err != nil {
			t.Fatal(err)
		}
		wait(2 * time.Hour)
		if n := l.s.Stats(); n.Streams != 1 || n.Allocations != 1 {
			t.Errorf("a client that is known: %+v", n)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	inLab(t, func(c *Config) { c.Limits.StreamsPerSource = 3 }, func(t *testing.T, l *lab) {
		var first net.Conn
		for i := range 5 {
			c := l.connect()
			if i == 0 {
				first = c
			}
			if closed := isClosed(c, time.Second); closed != (i >= 3) {
				t.Errorf("stream %d: closed %v", i, closed)
			}
		}
		_ = first.Close()
		wait(time.Second)
		if isClosed(l.connect(), time.Second) {
			t.Error("a place that came back")
		}
	})
}

// pieces is a connection that gives what it has in small pieces.
type pieces struct {
	net.Conn
	text []byte
	step int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(len(p.text), p.step)])
	p.text = p.text[n:]
	return n, nil
}

func (*pieces) SetReadDeadline(time.Time) error { return nil }

// Whatever arrives on a stream: what is read are whole frames one after another as they were sent, none is empty or longer
// than its room, and how they were cut does not matter.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x21\x12\xa4\x42ABCDEFGHIJKL\x40\x00\x00\x05hello\x00\x00\x00"), uint8(3))
	f.Add([]byte("\x40\x00\xff\xfc"), uint8(1))
	f.Add([]byte("\x40\x00\x00\x00\x40\x01\x00\x01a\x00\x00\x00"), uint8(2))
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		s := &Server{}
		l := &streamListener{s: s}
		x := &stream{Conn: &pieces{text: text, step: int(step) + 1}, l: l}
		var all []byte
		b := make([]byte, datagramBytes)
		for {
			n, err := x.frame(b)
			if err != nil {
				break
			}
			if n < channelHeader || n+padding(n) >= len(b) {
				t.Fatalf("a frame of %d bytes", n)
			}
			if length := int(binary.BigEndian.Uint16(b[2:])); n != length+channelHeader && n != length+stunHeader {
				t.Fatalf("%d bytes for a length of %d", n, length)
			}
			all = append(all, b[:n+padding(n)]...)
		}
		if !bytes.HasPrefix(text, all) {
			t.Fatalf("%q is no beginning of %q", all, text)
		}
		frameLength(append([]byte{}, append(text, 0, 0, 0, 0)...))
	})
}

// A handshake that does not come, or fails, ends the connection: Pion itself would keep it.
func TestHandshakesThatFail(t *testing.T) {
	inLab(t, secure(t), func(t *testing.T, l *lab) {
		for name, text := range map[string]string{"silence": "", "no TLS": "\x00\x01\x00\x00\x21\x12\xa4\x42............", "half a hello": "\x16\x03\x01\x02\x00"} {
			c, err := l.client.Dial(t.Context(), netip.AddrPortFrom(ourselves, 5349))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if !isClosed(c, strangerTime+6*time.Second) {
				t.Errorf("%s: the connection lives on", name)
			}
			_ = c.Close()
		}
		wait(time.Second)
		if n := l.s.Stats().Streams; n != 0 {
			t.Errorf("%d streams", n)
		}
	})
}
