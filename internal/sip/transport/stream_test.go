package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/sip"
)

// readMessage reads one message off a stream.
func readMessage(r *bufio.Reader) (string, error) {
	var b []byte
	for {
		c, err := r.ReadByte()
		if err != nil {
			return string(b), err
		}
		b = append(b, c)
		if _, total, err := sip.Frame(b); err != nil || total > 0 {
			return string(b), err
		}
	}
}

func TestStreamRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.dial(t)
		r := bufio.NewReader(c)
		var all []byte
		const n = 50
		for i := range n {
			all = append(all, options("SIP/2.0/TCP a", label(i), i*100)...)
		}
		go c.Write(all)
		for i := range n {
			got, err := readMessage(r)
			if err != nil || !strings.Contains(got, label(i)) || !strings.Contains(got, "received=198.51.100.7") {
				t.Fatalf("answer %d: %q, %v", i, got, err)
			}
		}
		f := w.h.list()[0].flow
		if !f.Reliable() || f.Secure() || f.Via() != "SIP/2.0/TCP 192.0.2.1:5060" || f.Remote() != addrPort(c.LocalAddr()) {
			t.Errorf("flow %v, named %s", f, f.Via())
		}
		if _, err := c.Write([]byte("\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		if k, err := r.Read(b); string(b[:k]) != "\r\n" || err != nil {
			t.Errorf("answer to a ping: %q, %v", b[:k], err)
		}
	})
}

// ends waits for the far end to close and says when it did and what it said before.
func ends(c net.Conn) (said string, after time.Duration) {
	start := time.Now()
	b, _ := io.ReadAll(c)
	return string(b), time.Since(start)
}

func TestStreamPatience(t *testing.T) {
	message := options("SIP/2.0/TCP a", "c", 100)
	for _, c := range []struct {
		name     string
		do       func(w *world, c net.Conn)
		min, max time.Duration
	}{
		{"says nothing", func(*world, net.Conn) {}, 30 * time.Second, 30*time.Second + 10*time.Millisecond},
		{"half a message", func(_ *world, c net.Conn) { c.Write(message[:50]) }, 5 * time.Second, 5*time.Second + 10*time.Millisecond},
		{"without its body", func(_ *world, c net.Conn) { c.Write(message[:len(message)-1]) }, 5 * time.Second,
			5*time.Second + 10*time.Millisecond},
		{"byte by byte", func(_ *world, c net.Conn) {
			go func() {
				for _, b := range message {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					<-time.After(time.Second)
				}
			}()
		}, 5 * time.Second, 5*time.Second + 10*time.Millisecond},
		{"kept", func(w *world, c net.Conn) {
			c.Write(message)
			s := <-w.h.news
			<-time.After(29 * time.Second)
			s.flow.Keep() // in the middle of a wait
		}, 2*time.Hour - time.Minute, 2*time.Hour + time.Minute},
		{"closed above", func(w *world, c net.Conn) {
			c.Write(message)
			(<-w.h.news).flow.Close()
		}, 0, 50 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				conn := w.dial(t)
				c.do(w, conn)
				if _, after := ends(conn); after < c.min || after > c.max {
					t.Errorf("closed after %v", after)
				}
				<-time.After(3 * time.Second)
				last := w.h.list()[len(w.h.list())-1]
				if last.summary != "closed" || last.flow.Err() == nil {
					t.Errorf("last heard: %q", last.summary)
				}
				if err := last.flow.Send(message); !errors.Is(err, ErrClosed) {
					t.Errorf("send afterwards: %v", err)
				}
			})
		})
	}
}

func TestStreamMalformed(t *testing.T) {
	good := string(options("SIP/2.0/TCP a", "good", 0))
	for _, c := range []struct {
		name, in string
		want     string // beginning of what is said
		lives    bool
	}{
		{"no Content-Length", strings.Replace(good, "Content-Length: 0\r\n", "", 1), "SIP/2.0 400", false},
		{"lying Content-Length", strings.Replace(good, "Length: 0", "Length: 99999999", 1), "SIP/2.0 400", false},
		{"too long", strings.Replace(good, "Length: 0", "Length: 65530", 1), "SIP/2.0 513", false},
		{"bad CSeq, well framed", strings.Replace(good, "CSeq: 1", "CSeq: x", 1), "SIP/2.0 400", true},
		{"junk", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", false},
		{"framed junk", "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "", false},
		{"endless", strings.Repeat("X: y\r\n", 8000), "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				conn := w.dial(t)
				go conn.Write([]byte(c.in + good))
				said, after := ends(conn)
				if !strings.HasPrefix(said, c.want) {
					t.Errorf("said %q", said)
				}
				if lives := strings.Contains(said, "200 OK"); lives != c.lives || !c.lives && after > time.Second {
					t.Errorf("went on: %v; closed after %v; said %q", lives, after, said)
				}
			})
		})
	}
}

func TestStreamLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Limits.StreamsPerAddress, c.Limits.Streams = 3, 5 })
		other := w.m.Host(otherIP)
		count := func(h *network.Host) (open int) {
			var cs []net.Conn
			for range 6 {
				c, err := h.Dial(t.Context(), sipAddr)
				if err != nil {
					t.Fatal(err)
				}
				cs = append(cs, c)
			}
			for _, c := range cs {
				c.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					open++
				}
			}
			return open
		}
		if got := count(w.client); got != 3 {
			t.Errorf("%d from one address", got)
		}
		if got := count(other); got != 2 {
			t.Errorf("%d more in all", got)
		}
		if got := w.l.Stats.OverLimit.Load(); got != 7 {
			t.Errorf("%d over the limit", got)
		}
		// The idle ones are closed after 30 s, and make room.
		<-time.After(31 * time.Second)
		if got := count(other); got != 3 {
			t.Errorf("%d after the others went", got)
		}
	})
}

func TestSlowReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.dial(t)
		c.Write(options("SIP/2.0/TCP a", "c", 0))
		f := (<-w.h.news).flow
		big := options("SIP/2.0/TCP a", "big", 60_000)
		var err error
		for range 100 {
			if err = f.Send(big); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrSlow) || w.l.Stats.SlowReaders.Load() == 0 {
			t.Errorf("100 long messages to one who does not read: %v", err)
		}
		if s := <-w.h.news; s.summary != "closed" || !errors.Is(s.err, ErrSlow) {
			t.Errorf("told above: %q %v", s.summary, s.err)
		}
		// A writer that is stuck is given up too.
		c2 := w.dial(t)
		c2.Write(options("SIP/2.0/TCP a", "c", 0))
		f = (<-w.h.news).flow
		for range 7 {
			f.Send(big)
		}
		start := time.Now()
		if s := <-w.h.news; s.summary != "closed" || time.Since(start) > 11*time.Second {
			t.Errorf("after %v: %q %v", time.Since(start), s.summary, s.err)
		}
	})
}

// far is a SIP element on the client's host: what a Layer opens streams to.
func far(t *testing.T, h *network.Host, ls ...Listener) (*Layer, *recorder) {
	r := newRecorder()
	return start(t, Config{Network: h, Handler: r, Workers: 1, Listeners: ls}), r
}

func TestConnectOpensOnceAndReuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		_, peer := far(t, w.client, Listener{Kind: TCP, Addr: netip.AddrPortFrom(anyIP, 5060)})
		to := Target{Kind: TCP, Addr: netip.AddrPortFrom(clientIP, 5060)}
		var flows []*Flow
		for i := range 5 { // before the stream is open, and after
			f, err := w.l.Connect(to)
			if err != nil {
				t.Fatal(err)
			}
			if f.Via() != "SIP/2.0/TCP 192.0.2.1:5060" {
				t.Errorf("named %s", f.Via())
			}
			if err := f.Send(options(f.Via(), label(i), 0)); err != nil {
				t.Fatal(err)
			}
			flows = append(flows, f)
			if i == 2 {
				<-time.After(time.Second)
			}
		}
		for i := range 5 {
			if s := <-peer.news; !strings.HasSuffix(s.summary, label(i)) || s.flow != peer.list()[0].flow {
				t.Errorf("message %d was %q", i, s.summary)
			}
			if s := <-w.h.news; s.msg.Status() != 200 || s.flow != flows[i] {
				t.Errorf("answer %d: %q", i, s.summary)
			}
		}
		// The far end reaches us on the same stream, by the address that it sees.
		back := peer.list()[0].flow
		if again, err := back.l.Connect(back.Target()); err != nil || again != back {
			t.Errorf("the far end would open another stream: %v", err)
		}
		// A name that the stream was not opened for gets a stream of its own (RFC 5923).
		named := to
		named.Name = "example.com"
		if f, err := w.l.Connect(named); err != nil || f == flows[0] {
			t.Errorf("reused for another name: %v", err)
		}
	})
}

func TestConnectFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for _, c := range []struct {
			to    string
			after time.Duration
			err   error
		}{
			{"198.51.100.7:9", 10 * time.Millisecond, syscall.ECONNREFUSED},
			{"203.0.113.99:9", 4 * time.Second, nil},
		} {
			start := time.Now()
			f, err := w.l.Connect(Target{Kind: TCP, Addr: netip.MustParseAddrPort(c.to)})
			if err != nil {
				t.Fatal(err)
			}
			f.Send([]byte("x"))
			s := <-w.h.news
			if s.summary != "closed" || s.flow != f || c.err != nil && !errors.Is(s.err, c.err) {
				t.Errorf("%s: %q %v", c.to, s.summary, s.err)
			}
			if d := time.Since(start); d > c.after+10*time.Millisecond {
				t.Errorf("%s: told after %v", c.to, d)
			}
			if err := f.Wait(t.Context()); err == nil {
				t.Errorf("%s: Wait says it is open", c.to)
			}
			if _, err := w.l.Open(t.Context(), f.Target(), 0); err == nil {
				t.Errorf("%s: Open says it is open", c.to)
			}
			<-w.h.news
		}
	})
}

func TestLongRequestsLeaveUDP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		far(t, w.client, Listener{Kind: TCP, Addr: netip.AddrPortFrom(anyIP, 5060)},
			Listener{Kind: UDP, Addr: netip.AddrPortFrom(anyIP, 5060)})
		to := Target{Kind: UDP, Addr: netip.AddrPortFrom(clientIP, 5060)}
		for size, want := range map[int]Kind{100: UDP, 1300: UDP, 1301: TCP} {
			if f, err := w.l.Open(t.Context(), to, size); err != nil || f.Kind() != want {
				t.Errorf("%d bytes: %v, %v", size, f, err)
			}
		}
		// RFC 3261 §18.1.1: where TCP is refused, UDP after all; and that is remembered.
		to.Addr = netip.AddrPortFrom(clientIP, 5999)
		for range 2 {
			if f, err := w.l.Open(t.Context(), to, 2000); err != nil || f.Kind() != UDP {
				t.Errorf("without TCP: %v, %v", f, err)
			}
		}
		if got := w.l.Stats.DialFailures.Load(); got != 1 {
			t.Errorf("tried %d times", got)
		}
		// Where TCP is swallowed, the wait is short.
		to.Addr = netip.MustParseAddrPort("203.0.113.99:5060")
		start := time.Now()
		if f, err := w.l.Open(t.Context(), to, 2000); err != nil || f.Kind() != UDP || time.Since(start) != tcpTrial {
			t.Errorf("TCP swallowed: %v, %v after %v", f, err, time.Since(start))
		}
		f, err := w.l.Send(t.Context(), Target{Kind: UDP, Addr: netip.AddrPortFrom(clientIP, 5060)}, make([]byte, 100_000))
		if err != nil || f.Kind() != TCP {
			t.Errorf("100 KB: %v, %v", f, err)
		}
	})
}

func TestNATRebootIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		nat := w.m.NAT(network.NATConfig{Public: otherIP, Filtering: network.AddressAndPortDependent})
		phone := nat.Host(netip.MustParseAddr("10.0.0.5"))
		c, err := phone.Dial(t.Context(), sipAddr)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(options("SIP/2.0/TCP 10.0.0.5:5060", "c", 0))
		s := <-w.h.news
		if s.flow.Remote().Addr() != otherIP {
			t.Errorf("phone seen at %v", s.flow.Remote())
		}
		again, err := w.l.Connect(Target{Kind: TCP, Addr: s.flow.Remote()})
		if err != nil || again != s.flow {
			t.Errorf("the phone is not reached on its own stream: %v", err)
		}
		nat.Reboot()
		s.flow.Send(options(s.flow.Via(), "in", 0))
		closed := <-w.h.news
		if closed.summary != "closed" || closed.flow != s.flow {
			t.Errorf("after the reboot: %q", closed.summary)
		}
	})
}

// TestStormOfStreams opens, speaks and leaves in all ways at once; nothing may be left over.
func TestStormOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		message := options("SIP/2.0/TCP a", "c", 0)
		done := make(chan struct{})
		for i := range 100 {
			go func() {
				defer func() { done <- struct{}{} }()
				c, err := w.client.Dial(t.Context(), sipAddr)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				switch i % 4 {
				case 0:
					c.Write(message)
				case 1:
					c.Write(message[:30])
				case 2:
					c.Write(message)
					readMessage(bufio.NewReader(c))
				}
			}()
		}
		for range 100 {
			<-done
		}
		<-time.After(10 * time.Minute)
		w.l.streams.mu.Lock()
		defer w.l.streams.mu.Unlock()
		if n := len(w.l.streams.all) + len(w.l.streams.byKey) + len(w.l.streams.from) + w.l.streams.count; n != 0 {
			t.Errorf("left over: %s", fmt.Sprintf("%+v", w.l.streams.from))
		}
	})
}
