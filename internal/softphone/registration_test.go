package softphone

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// scripted is a registrar that does what a test says.
type scripted struct {
	conn   network.PacketConn
	answer func(n int, m *sip.Message) *sip.Builder // n counts from 1; nil is silence
	at     []time.Time
	seen   []*sip.Message
	pings  int
}

// serve answers until the socket is closed.
func (s *scripted) serve() {
	b := make([]byte, 64<<10)
	for {
		ps := []network.Packet{{Data: b}}
		if _, err := s.conn.ReadBatch(ps); err != nil {
			return
		}
		if strings.TrimSpace(string(ps[0].Data)) == "" {
			s.pings++
			continue
		}
		var m sip.Message
		if m.Parse(ps[0].Data) != nil || !m.IsRequest() {
			continue
		}
		m.Received = ps[0].Addr
		s.at, s.seen = append(s.at, time.Now()), append(s.seen, m.Clone())
		if answer := s.answer(len(s.seen), &m); answer != nil {
			_ = s.conn.WriteTo(answer.Append(nil), ps[0].Addr)
		}
	}
}

// register opens a phone before a scripted registrar.
func register(t *testing.T, answer func(n int, m *sip.Message) *sip.Builder) (*Phone, *scripted) {
	t.Helper()
	net := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})
	conn, err := net.Host(netip.MustParseAddr("192.0.2.1")).ListenPacket(netip.MustParseAddrPort("192.0.2.1:5060"), false)
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{conn: conn, answer: answer}
	go s.serve()
	p, err := New(Config{Network: net.Host(netip.MustParseAddr("192.0.2.2")), Server: "192.0.2.1", User: "101", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, s
}

// accept is a 200 that keeps the binding for so many seconds.
func accept(m *sip.Message, seconds string) *sip.Builder {
	contact, _ := m.Header(sip.HContact)
	return sip.NewResponse(m, 200, "", "tag").Add(sip.HContact, "<sip:101@203.0.113.7>;expires=7").
		Add(sip.HContact, string(contact), ";expires=", seconds)
}

func challenge(m *sip.Message, algorithm string) *sip.Builder {
	return sip.NewResponse(m, 401, "", "tag").
		Add(sip.HWWWAuthenticate, `Digest realm="r", nonce="n`+fmt.Sprint(m.CSeq())+`", qop="auth", algorithm=`, algorithm)
}

func TestRegistrationIsRefreshed(t *testing.T) {
	for _, algorithm := range []string{"MD5", "SHA-256"} {
		t.Run(algorithm, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := register(t, func(n int, m *sip.Message) *sip.Builder {
					if !m.Has(sip.HAuthorization) {
						return challenge(m, algorithm)
					}
					return accept(m, "100")
				})
				if err := p.Register(t.Context()); err != nil {
					t.Fatal(err)
				}
				<-time.After(1000 * time.Second)
				synctest.Wait()
				if n := len(s.seen); n < 12 || n > 17 { // a refresh each 70 to 90 seconds, and the two at the beginning
					t.Errorf("%d REGISTERs in 1000 s", n)
				}
				for i := 2; i < len(s.at); i++ {
					if d := s.at[i].Sub(s.at[i-1]); d < 70*time.Second || d > 91*time.Second {
						t.Errorf("refreshed after %v", d)
					}
					if !s.seen[i].Has(sip.HAuthorization) || s.seen[i].CSeq() <= s.seen[i-1].CSeq() || string(s.seen[i].CallID()) != string(s.seen[0].CallID()) {
						t.Errorf("refresh %d is not of the same registration: %s", i, s.seen[i].Bytes())
					}
				}
				if s.pings < 30 || s.pings > 45 {
					t.Errorf("%d keep-alives in 1000 s", s.pings)
				}
				p.Close()
				last := s.seen[len(s.seen)-1]
				if e, _ := last.Uint(sip.HExpires); e != 0 || last.Method() != sip.REGISTER {
					t.Errorf("the registration is not ended: %s", last.Bytes())
				}
			})
		})
	}
}

func TestRegistrationTakesTheLeastInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := register(t, func(n int, m *sip.Message) *sip.Builder {
			if e, _ := m.Uint(sip.HExpires); e != 0 && e < 7200 {
				return sip.NewResponse(m, 423, "", "tag").Add(sip.HMinExpires, "7200")
			}
			return accept(m, "7200")
		})
		if err := p.Register(t.Context()); err != nil {
			t.Error(err)
		}
		if e, _ := s.seen[1].Uint(sip.HExpires); len(s.seen) != 2 || e != 7200 {
			t.Errorf("asked %d times, last for %d s", len(s.seen), e)
		}
	})
}

// A registrar that refuses for ever is asked more and more rarely, and as it wishes.
func TestRegistrationBacksOff(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(n int, m *sip.Message) *sip.Builder
		least  time.Duration // between the first two tries
		status int           // that the person is told
	}{
		{"refused", func(_ int, m *sip.Message) *sip.Builder { return sip.NewResponse(m, 403, "", "tag") }, 15 * time.Second, 403},
		{"overloaded", func(_ int, m *sip.Message) *sip.Builder {
			return sip.NewResponse(m, 503, "", "tag").Add(sip.HRetryAfter, "100")
		}, 100 * time.Second, 503},
		{"wrong password", func(_ int, m *sip.Message) *sip.Builder { return challenge(m, "MD5") }, 0, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := register(t, c.answer)
				if err := p.Register(t.Context()); !errors.Is(err, ErrRefused) || statusOf(err) != c.status {
					t.Errorf("register: %v", err)
				}
				<-time.After(6 * time.Hour)
				synctest.Wait()
				if n := len(s.seen); n < 10 || n > 60 {
					t.Errorf("asked %d times in 6 hours", n)
				}
				if d := s.at[1].Sub(s.at[0]); d < c.least {
					t.Errorf("asked again after %v", d)
				}
			})
		})
	}
}

func TestRegistrationComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := register(t, func(n int, m *sip.Message) *sip.Builder {
			if n > 1 && n < 40 {
				return nil // the server is away
			}
			return accept(m, "60")
		})
		if err := p.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-time.After(30 * time.Minute)
		synctest.Wait()
		if n := len(s.seen); n < 60 {
			t.Errorf("%d REGISTERs after the server is back", n)
		}
	})
}

func TestRegisterGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := register(t, func(int, *sip.Message) *sip.Builder { return nil })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := p.Register(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("register: %v", err)
		}
	})
}

func TestWait(t *testing.T) {
	for failures := range 100 {
		full := min(maxWait, baseWait<<min(failures, 16))
		for range 100 {
			if d := wait(failures); d < full/2 || d > full {
				t.Fatalf("after %d failures %v", failures, d)
			}
		}
	}
}

// A phone on a stream comes back when the server has closed it.
func TestRegistrationOutlivesItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})
		listener, err := net.Host(netip.MustParseAddr("192.0.2.1")).Listen(netip.MustParseAddrPort("192.0.2.1:5060"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		arrived := make(chan time.Time, 100)
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				b := make([]byte, 64<<10)
				n, _ := c.Read(b)
				var m sip.Message
				if m.Parse(b[:n]) == nil {
					_, _ = c.Write(accept(&m, "3600").Append(nil))
					arrived <- time.Now()
				}
				select {
				case <-time.After(time.Minute):
				case <-t.Context().Done():
				}
				_ = c.Close()
			}
		}()
		p, err := New(Config{Network: net.Host(netip.MustParseAddr("192.0.2.2")), Server: "192.0.2.1", Transport: transport.TCP,
			User: "101", Password: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		if err := p.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
		last := <-arrived
		for range 5 {
			at := <-arrived
			if d := at.Sub(last) - time.Minute; d < 15*time.Second || d > 31*time.Second {
				t.Errorf("came back %v after the stream was closed", d)
			}
			last = at
		}
	})
}
