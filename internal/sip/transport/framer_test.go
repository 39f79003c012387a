package transport

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"dialtone/internal/sip"
)

func testFramer() *framer {
	pool := &sync.Pool{New: func() any { b := make([]byte, bigBuffer); return &b }}
	return newFramer(pool, 32<<10)
}

// feed pushes b in pieces whose lengths piece chooses and collects what comes out: messages, "ping", "error".
func feed(r *framer, b []byte, piece func() int) (out []string) {
	for len(b) > 0 {
		n := copy(r.room(), b[:min(max(piece(), 1), len(b))])
		r.pushed(n)
		b = b[n:]
		for {
			msg, ping, err := r.next()
			switch {
			case err != nil:
				return append(out, "error")
			case ping:
				out = append(out, "ping")
				continue
			case msg != nil:
				out = append(out, string(msg))
				continue
			}
			break
		}
	}
	return out
}

func TestFramer(t *testing.T) {
	one := string(options("SIP/2.0/TCP a", "one", 0))
	two := string(options("SIP/2.0/TCP a", "two", 10))
	long := string(options("SIP/2.0/TCP a", "long", 60_000))
	compact := strings.ReplaceAll(two, "Content-Length:", "l :")
	head := strings.Replace(one, "Content-Length: 0", "X: "+strings.Repeat("x", 40_000)+"\r\nContent-Length: 0", 1)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"one", one, []string{one}},
		{"pipelined", one + two + one, []string{one, two, one}},
		{"long body", long + one, []string{long, one}},
		{"two long ones", long + long, []string{long, long}},
		{"compact form", compact, []string{compact}},
		{"CRLF before a message", "\r\n" + one, []string{one}},
		{"ping before a message", "\r\n\r\n" + one, []string{"ping", one}},
		{"pings between", one + "\r\n\r\n\r\n\r\n" + two, []string{one, "ping", "ping", two}},
		{"three CRLFs", "\r\n\r\n\r\n" + one, []string{"ping", one}},
		{"answers to our pings", "\r\n" + one + "\r\n" + two, []string{one, two}},
		{"no Content-Length", strings.Replace(one, "Content-Length", "Content-Size", 1), []string{"error"}},
		{"two Content-Lengths", strings.Replace(one, "\r\n\r\n", "\r\nl: 5\r\n\r\n", 1), []string{"error"}},
		{"negative", strings.Replace(one, "Length: 0", "Length: -1", 1), []string{"error"}},
		{"beyond all bounds", strings.Replace(one, "Length: 0", "Length: 99999999999999999999", 1), []string{"error"}},
		{"too long", strings.Replace(one, "Length: 0", "Length: 65535", 1), []string{"error"}},
		{"endless head", strings.Repeat("X: y\r\n", 20_000), []string{"error"}},
		{"head too long", head, []string{"error"}},
		{"incomplete", one[:len(one)-1], nil},
	} {
		for name, piece := range map[string]func() int{
			"whole":  func() int { return 1 << 20 },
			"bytes":  func() int { return 1 },
			"pieces": func() int { return 1 + rand.IntN(3000) },
		} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				got := feed(testFramer(), []byte(c.in), piece)
				if strings.Join(got, "|") != strings.Join(c.want, "|") {
					t.Errorf("%d out, want %d: %.200q", len(got), len(c.want), got)
				}
			})
		}
	}
}

func TestFramerHoldsLittleWhenIdle(t *testing.T) {
	r := testFramer()
	feed(r, options("SIP/2.0/TCP a", "long", 50_000), func() int { return 1000 })
	r.room()
	if r.big != nil || len(r.buf) != smallBuffer {
		t.Errorf("an idle stream holds %d bytes", len(r.buf))
	}
}

// FuzzFramer: however a stream is cut into pieces, the same comes out; and every message is one that sip.Frame agrees
// with, taken from the stream in order.
func FuzzFramer(f *testing.F) {
	one := options("SIP/2.0/TCP a", "one", 3)
	f.Add(one, uint64(1))
	f.Add(append([]byte("\r\n\r\n\r\n"), append(one, one...)...), uint64(2))
	f.Add([]byte("INVITE a SIP/2.0\r\nl: 2\r\n\r\nabOPTIONS"), uint64(3))
	f.Add([]byte("A\r\nContent-Length: 70000\r\n\r\n"), uint64(4))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		draw := rand.New(rand.NewPCG(seed, 0))
		whole := feed(testFramer(), b, func() int { return 1 << 20 })
		cut := feed(testFramer(), b, func() int { return 1 + draw.IntN(40) })
		if strings.Join(whole, "|") != strings.Join(cut, "|") {
			t.Fatalf("whole %q, in pieces %q", whole, cut)
		}
		rest := b
		for _, m := range whole {
			if m == "ping" || m == "error" {
				continue
			}
			i := bytes.Index(rest, []byte(m))
			if i < 0 || len(bytes.Trim(rest[:i], "\r\n")) > 0 {
				t.Fatalf("%q does not follow in the stream", m)
			}
			if _, total, err := sip.Frame([]byte(m)); err != nil || total != len(m) {
				t.Fatalf("%q: Frame says %d, %v", m, total, err)
			}
			rest = rest[i+len(m):]
		}
	})
}
