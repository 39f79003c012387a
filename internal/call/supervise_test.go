package call_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/call/calltest"
	"dialtone/internal/cause"
	"dialtone/internal/media"
	"dialtone/internal/network"
	"dialtone/internal/sdp"
)

// phone is a party with real media on an in-memory network.
type phone struct {
	t       *testing.T
	session *media.Session
	conn    network.PacketConn
	to      netip.AddrPort // where it sends RTP
	seq     byte
	heard   int // packets received
}

// studio makes phones.
type studio struct {
	t      *testing.T
	net    *network.Memory
	engine *media.Engine
}

func newStudio(t *testing.T) *studio {
	t.Helper()
	m := network.NewMemory(network.MemoryConfig{Test: t})
	e, err := media.New(media.Config{
		Network: m.Host(netip.MustParseAddr("192.0.2.10")), Workers: 1, Ports: media.PortRange{Min: 10000, Max: 10099},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return &studio{t, m, e}
}

func (s *studio) phone(address string) *phone {
	s.t.Helper()
	addr := netip.MustParseAddr(address)
	conn, err := s.net.Host(addr).ListenPacket(netip.AddrPortFrom(addr, 4000), false)
	if err != nil {
		s.t.Fatal(err)
	}
	session, err := s.engine.NewSession(media.SessionConfig{Peer: addr})
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := sdp.Parse(fmt.Appendf(nil, "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=rtcp-mux\r\n", addr, addr))
	if err != nil {
		s.t.Fatal(err)
	}
	ours, err := session.Offer(d)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := session.RemoteAnswer(d, addr); err != nil {
		s.t.Fatal(err)
	}
	p := &phone{t: s.t, session: session, conn: conn, to: ours.Address(0)}
	go func() {
		batch := []network.Packet{{Data: make([]byte, 1500)}}
		for {
			if _, err := conn.ReadBatch(batch); err != nil {
				return
			}
			p.heard++
			batch[0].Data = batch[0].Data[:1500]
		}
	}()
	s.t.Cleanup(func() { conn.Close() })
	return p
}

// speak sends one RTP packet of 20 ms of A-law silence.
func (p *phone) speak() {
	p.t.Helper()
	p.seq++
	b := make([]byte, 172)
	copy(b, []byte{0x80, 8, 0, p.seq, 0, 0, p.seq, 0, 1, 2, 3, 4})
	if err := p.conn.WriteTo(b, p.to); err != nil {
		p.t.Fatal(err)
	}
}

// report sends an empty RTCP receiver report (RFC 3550 §6.4.2).
func (p *phone) report() {
	p.t.Helper()
	if err := p.conn.WriteTo([]byte{0x80, 201, 0, 1, 1, 2, 3, 4}, p.to); err != nil {
		p.t.Fatal(err)
	}
}

// converse connects two phones with media supervision of 30 s. At the end the call must be over, or is hung up.
func converse(t *testing.T, act func(s *scene, a, b *phone)) {
	t.Helper()
	var a, b *phone
	play(t, func(s *scene) {
		s.config.MediaTimeout = 30 * time.Second
		st := newStudio(s.t)
		a, b = st.phone("198.51.100.1"), st.phone("198.51.100.2")
		s.caller.Session = a.session
		s.dialer.OnDial = func(l *calltest.Leg) { l.Session = b.session }
	}, func(s *scene) {
		s.connect()
		act(s, a, b)
		s.call.Hangup(cause.Normal(cause.System))
	})
}

// during lets the parties act once a second.
func during(n int, act func()) {
	for range n {
		act()
		pass(time.Second)
	}
}

func TestSuperviseMediaPasses(t *testing.T) {
	converse(t, func(s *scene, a, b *phone) {
		a.speak()
		b.speak()
		pass(time.Second)
		if a.heard != 1 || b.heard != 1 {
			t.Errorf("a heard %d packets, b %d", a.heard, b.heard)
		}
	})
}

// heard lets a speak and reports whether b heard it.
func heard(a, b *phone) bool {
	before := b.heard
	a.speak()
	pass(100 * time.Millisecond)
	return b.heard > before
}

func TestMediaOfForks(t *testing.T) {
	var a, x, y *phone
	play(t, func(s *scene) {
		st := newStudio(s.t)
		a, x, y = st.phone("198.51.100.1"), st.phone("198.51.100.2"), st.phone("198.51.100.3")
		s.caller.Session = a.session
		s.fork.Targets = targets("x", "y")
		s.dialer.OnDial = func(l *calltest.Leg) {
			if l.Session = x.session; l.ID() == "b2" {
				l.Session = y.session
			}
		}
	}, func(s *scene) {
		lx, ly := s.leg("x"), s.leg("y")
		if heard(x, a) {
			t.Error("a phone is heard before it has early media")
		}
		s.says(lx, call.Rang{Leg: lx, Status: 183, Early: described("early")})
		if !heard(x, a) || heard(y, a) {
			t.Error("early media does not pass, or that of the wrong phone does")
		}
		s.says(ly, call.Connected{Leg: ly, Description: described("y")})
		if !heard(y, a) || !heard(a, y) || heard(x, a) || heard(a, x) {
			t.Error("the phone that answered is not connected, or another one still is")
		}
		s.says(ly, call.Ended{Leg: ly})
	})
}

func TestMediaStopsWithTheParty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t)
		a, b := st.phone("198.51.100.1"), st.phone("198.51.100.2")
		m := call.NewMailbox()
		caller := calltest.NewLeg("a", m)
		caller.Session = a.session
		d := &calltest.Dialer{OnDial: func(l *calltest.Leg) { l.Session = b.session }}
		r := call.NewRegistry(call.Config{})
		r.Start(call.Setup{Caller: caller, Mailbox: m, Offer: described("o")}, func(ctx context.Context, c *call.Call) cause.Cause {
			leg, _ := c.Dial(ctx, d, call.Fork{Targets: targets("x")})
			c.Bridge(ctx, leg)
			_, _ = c.Next(time.Time{}) // the caller goes on alone
			return cause.Normal(cause.System)
		})
		synctest.Wait()
		l := d.Leg("x")
		l.Say(call.Connected{Leg: l, Description: described("x")})
		synctest.Wait()
		if !heard(a, b) || !heard(b, a) {
			t.Error("the parties do not hear each other")
		}
		l.Say(call.Ended{Leg: l})
		synctest.Wait()
		if heard(a, b) || heard(b, a) {
			t.Error("a party that has left still takes part")
		}
		caller.Say(call.Ended{Leg: caller})
		r.Drain(t.Context())
	})
}

func TestMediaOfRestoredCall(t *testing.T) {
	play(t, nil, func(s *scene) {
		s.connect()
		state, err := s.call.Snapshot(s.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.call.Hangup(cause.Normal(cause.System))
		st := newStudio(s.t)
		a, b := st.phone("198.51.100.1"), st.phone("198.51.100.2")
		r := call.NewRegistry(call.Config{})
		c, err := r.Restore(state, restorer{a, b}, resume)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !heard(a, b) || !heard(b, a) {
			t.Error("the parties of a restored call do not hear each other")
		}
		c.Hangup(cause.Normal(cause.System))
		r.Drain(s.t.Context())
	})
}

func TestSuperviseSilence(t *testing.T) {
	converse(t, func(s *scene, a, b *phone) {
		during(100, func() { a.speak(); b.speak() })
		during(5, a.speak)
		last := time.Now().Add(-time.Second) // of a's last packet
		pass(29*time.Second - time.Millisecond)
		if s.registry.Len() != 1 {
			t.Fatal("ended too early")
		}
		pass(2 * time.Millisecond)
		r := s.ended(cause.MediaTimeout())
		if r.End.Sub(last).Abs() > 10*time.Millisecond {
			t.Errorf("ended %v after the last media", r.End.Sub(last))
		}
		s.asked(s.caller, "hangup 408 media timeout")
		if len(r.Legs[0].Streams) != 1 || r.Legs[0].Streams[0].PacketsIn != 105 || r.Legs[1].Streams[0].PacketsIn != 100 {
			t.Errorf("streams %+v", r.Legs)
		}
	})
}

// TestSuperviseNeverAnyMedia: what never began has not stopped; ten times the patience.
func TestSuperviseNeverAnyMedia(t *testing.T) {
	converse(t, func(s *scene, _, _ *phone) {
		pass(300*time.Second - time.Millisecond)
		if s.registry.Len() != 1 {
			t.Fatal("ended too early")
		}
		pass(2 * time.Millisecond)
		if r := s.ended(cause.MediaTimeout()); !r.End.Equal(r.Answer) {
			t.Errorf("ended %v after the answer", r.End.Sub(r.Answer))
		}
	})
}

func TestSuperviseOneTalksWithoutReports(t *testing.T) {
	converse(t, func(s *scene, a, b *phone) {
		b.speak()
		during(300, a.speak) // b may be muted: nothing says that it is gone
		if s.registry.Len() != 1 {
			t.Error("ended although one party talks and the other never sent RTCP")
		}
	})
}

func TestSupervisePartyWithReportsVanishes(t *testing.T) {
	converse(t, func(s *scene, a, b *phone) {
		during(20, func() { a.speak(); b.speak(); b.report() })
		vanished := time.Now().Add(-time.Second)
		during(28, a.speak)
		if s.registry.Len() != 1 {
			t.Fatal("ended too early")
		}
		during(2, a.speak)
		if r := s.ended(cause.MediaTimeout()); r.End.Sub(vanished).Abs() > 10*time.Millisecond {
			t.Errorf("ended %v after the party vanished", r.End.Sub(vanished))
		}
	})
}

func TestSuperviseReportsKeepSilenceAlive(t *testing.T) {
	converse(t, func(s *scene, a, b *phone) {
		during(100, func() { a.report(); b.report() })
		if s.registry.Len() != 1 {
			t.Error("ended although both parties send RTCP")
		}
	})
}

func TestSuperviseHold(t *testing.T) {
	hold := func(s *scene) {
		s.says(s.caller, call.Updated{Leg: s.caller, Offer: calltest.Description("hold", sdp.Inactive)})
		b := s.leg("x")
		s.says(b, call.Answered{Leg: b, Description: calltest.Description("ok", sdp.Inactive)})
	}
	converse(t, func(s *scene, a, b *phone) {
		during(3, func() { a.speak(); b.speak() })
		hold(s)
		pass(time.Hour)
		if s.registry.Len() != 1 {
			t.Error("a held call was ended for its silence")
		}
	})
	converse(t, func(s *scene, a, b *phone) {
		during(3, func() { a.speak(); b.speak() })
		hold(s)
		pass(time.Hour)
		// The silence of the hold is forgotten when it ends.
		b2 := s.leg("x")
		s.says(s.caller, call.Updated{Leg: s.caller, Offer: described("resume")})
		s.says(b2, call.Answered{Leg: b2, Description: described("ok")})
		pass(30*time.Second - time.Millisecond)
		if s.registry.Len() != 1 {
			t.Fatal("ended for the silence of the hold")
		}
		pass(2 * time.Millisecond)
		s.ended(cause.MediaTimeout())
	})
	converse(t, func(s *scene, a, b *phone) {
		during(3, func() { a.speak(); b.speak(); b.report() })
		hold(s)
		during(40, b.report)
		if s.registry.Len() != 1 {
			t.Fatal("a held party that reports was ended")
		}
		pass(31 * time.Second)
		s.ended(cause.MediaTimeout())
	})
}

func TestSuperviseOff(t *testing.T) {
	var a *phone
	play(t, func(s *scene) {
		st := newStudio(s.t)
		a = st.phone("198.51.100.1")
		s.caller.Session = a.session
	}, func(s *scene) {
		s.connect()
		pass(24 * time.Hour)
		if s.registry.Len() != 1 {
			t.Error("ended without supervision")
		}
		s.call.Hangup(cause.Normal(cause.System))
		synctest.Wait()
	})
}

func TestSuperviseRestoredCallGetsTime(t *testing.T) {
	play(t, nil, func(s *scene) {
		s.connect()
		state, err := s.call.Snapshot(s.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.call.Hangup(cause.Normal(cause.System))
		pass(10 * time.Minute) // until the other process is up
		st := newStudio(s.t)
		seen := &calltest.Recorder{}
		r := call.NewRegistry(call.Config{MediaTimeout: 30 * time.Second, Observer: seen})
		if _, err := r.Restore(state, restorer{caller: st.phone("198.51.100.1")}, resume); err != nil {
			t.Fatal(err)
		}
		pass(29 * time.Second)
		if r.Len() != 1 {
			t.Fatal("ended for a silence that nobody could hear")
		}
		pass(2 * time.Second)
		if e := seen.Ended(); len(e) != 1 || e[0].Cause != cause.MediaTimeout() {
			t.Errorf("ended %v", e)
		}
	})
}

// restorer gives the legs a phone's media.
type restorer struct{ caller, callee *phone }

func (r restorer) RestoreLeg(id string, _ []byte, m *call.Mailbox) (call.Leg, error) {
	l := calltest.NewLeg(id, m)
	switch {
	case id == "a":
		l.Session = r.caller.session
	case r.callee != nil:
		l.Session = r.callee.session
	}
	return l, nil
}
