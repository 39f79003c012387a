package transport

import (
	"bytes"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
)

// TestFloodOnAStream: keep-alives are messages to the guard, and a stream that goes on beyond the budget of its source is
// closed instead of being read for ever; one that is within it most of the time is not.
func TestFloodOnAStream(t *testing.T) {
	request := options("SIP/2.0/TCP a", "c", 0)
	for _, c := range []struct {
		name   string
		what   []byte
		budget int64 // how many messages are admitted; after that none
		of     int   // every so many-th is refused, 0 none before the budget is used
		closed bool
	}{
		{"keep-alives", []byte("\r\n\r\n"), 10, 0, true},
		{"requests", request, 10, 0, true},
		{"within the budget", []byte("\r\n\r\n"), 1 << 30, 0, false},
		{"now and then too much", request, 1 << 30, 3, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64
				w := newWorld(t, func(config *Config) {
					config.Admit = func(netip.AddrPort, time.Time) bool {
						n := asked.Add(1)
						return n <= c.budget && (c.of == 0 || n%int64(c.of) != 0)
					}
				})
				conn := w.dial(t)
				over := make(chan struct{})
				go func() { // the answers
					defer close(over)
					b := make([]byte, 4096)
					for {
						if _, err := conn.Read(b); err != nil {
							return
						}
					}
				}()
				done := make(chan struct{})
				defer close(done)
				go func() { // the recorder's news
					for {
						select {
						case <-w.h.news:
						case <-done:
							return
						}
					}
				}()
				var err error
				for n := 0; n < 2000 && err == nil; n++ {
					_, err = conn.Write(c.what)
					if n%50 == 0 {
						<-time.After(time.Millisecond)
					}
				}
				synctest.Wait()
				closed := false
				select {
				case <-over:
					closed = true
				case <-time.After(time.Second):
				}
				if closed != c.closed {
					t.Errorf("closed: %v, after %d messages", closed, asked.Load())
				}
				if c.closed && asked.Load() > c.budget+maxExcess+2 {
					t.Errorf("%d messages were looked at", asked.Load())
				}
				conn.Close()
				synctest.Wait()
			})
		})
	}
}

// TestFloodOfPings: the pings of a WebSocket are messages to the guard, too.
func TestFloodOfPings(t *testing.T) {
	var asked atomic.Int64
	l := start(t, Config{Network: network.NewOS(network.OSConfig{}), Handler: newRecorder(),
		Listeners: []Listener{{Kind: WS, Addr: netip.AddrPortFrom(loopback, 0)}},
		Admit:     func(netip.AddrPort, time.Time) bool { return asked.Add(1) <= 10 }})
	ws, _, err := browser(t, "ws://"+l.Addrs(WS)[0].String(), nil, "sip")
	if err != nil {
		t.Fatal(err)
	}
	ws.CloseNow()
	asked.Store(0)
	raw, err := net.Dial("tcp", l.Addrs(WS)[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_, _ = raw.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n"))
	go func() { // ends when the stream is closed
		_, _ = raw.Write(bytes.Repeat([]byte{0x89, 0x80, 0, 0, 0, 0}, 200_000))
	}()
	said, after := ends(raw)
	if pongs := bytes.Count([]byte(said), []byte{0x8a, 0}); pongs > 10 || asked.Load() > 100_000 || after > 4*time.Second {
		t.Errorf("%d pongs, %d asked, closed after %v", pongs, asked.Load(), after)
	}
}
