package media

import (
	"encoding/json"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/media/tone"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// Media is supervised by when the party was last heard, whatever others send.
func TestLastMedia(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, m := l.phone(alice, 4000), l.phone(mallory, 666)
		x := l.end(a)
		if !x.s.LastMedia().IsZero() || x.s.HeardControl() {
			t.Error("heard before anything was said")
		}
		wait(time.Second)
		a.send(packet(1, 1), x.to)
		heard := time.Now().Add(10 * time.Microsecond)
		wait(time.Second)
		m.send(packet(1, 2), x.to)
		a.send([]byte("garbage"), x.to)
		wait(time.Second)
		if got := x.s.LastMedia(); !got.Equal(heard) {
			t.Errorf("last media %v, want %v", got, heard)
		}
		if err := a.rtcp.WriteTo(senderReport(1, 1), above(x.to)); err != nil {
			t.Fatal(err)
		}
		heard = time.Now().Add(10 * time.Microsecond)
		wait(time.Second)
		if got := x.s.LastMedia(); !got.Equal(heard) || !x.s.HeardControl() {
			t.Errorf("RTCP: last media %v, want %v", got, heard)
		}
		if c := l.e.Counters(); c.Foreign != 1 || c.Malformed != 1 {
			t.Errorf("counters %+v", c)
		}
	})
}

func TestHeld(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		for i, c := range []struct {
			attribute, address string
			held               bool
		}{
			{"sendrecv", "198.51.100.1:4000", false},
			{"sendonly", "198.51.100.1:4000", true},
			{"recvonly", "198.51.100.1:4000", false},
			{"inactive", "198.51.100.1:4000", true},
			{"sendrecv", "0.0.0.0:4000", true},
			{"sendrecv", "198.51.100.1:0", false},
		} {
			x.says(describeAt(t, at(c.address), i+2, c.attribute), alice)
			if x.s.Held() != c.held {
				t.Errorf("%s %s: held %v", c.attribute, c.address, x.s.Held())
			}
		}
	})
}

// A refused offer leaves the session as it was.
func TestRollback(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		x.says(describeAt(t, at("198.51.100.1:4444"), 2, "inactive"), alice)
		x.s.Rollback()
		if x.s.Held() {
			t.Error("still held")
		}
		sent := b.talk(y.to, 1, 1, 10)
		wait(time.Second)
		got, _ := a.heard()
		sameBytes(t, "after a refused offer", got, sent)
	})
}

// A second process takes two legs over on the same ports: nothing that the parties send or have been told changes.
func TestRestoreOnTheSamePorts(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe("rtcp-mux"))
		a.talk(x.to, 0xa, 1, 50)
		b.talk(y.to, 0xb, 1, 50)
		saved, err := json.Marshal([]State{x.s.State(), y.s.State()})
		if err != nil {
			t.Fatal(err)
		}
		heard := x.s.LastMedia()
		if err := l.e.Close(); err != nil {
			t.Fatal(err)
		}
		a.heard()
		b.heard()

		second, err := New(l.config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { second.Close() })
		var states []State
		if err := json.Unmarshal(saved, &states); err != nil {
			t.Fatal(err)
		}
		first := x.told
		var legs [2]*Session
		for i := range states {
			if legs[i], err = second.Restore(states[i]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := second.Restore(states[0]); err == nil && !l.config.Shared.IsValid() {
			t.Error("the same ports were taken twice")
		}
		Bridge(legs[0], legs[1])
		if d := heard.Sub(legs[0].LastMedia()); d > time.Second || d < -time.Second {
			t.Errorf("last media %v, was %v", legs[0].LastMedia(), heard)
		}
		m := l.phone(mallory, 666)
		m.send(packet(0xa, 51), x.to)
		fromA := a.talk(x.to, 0xa, 51, 50)
		fromB := b.talk(y.to, 0xb, 51, 50)
		wait(time.Second)
		toA, _ := a.heard()
		toB, _ := b.heard()
		sameBytes(t, "a to b", toB, fromA)
		sameBytes(t, "b to a", toA, fromB)
		if stats := legs[0].Stats()[0]; stats.PacketsIn != 100 || stats.Lost != 0 || stats.Codec != "PCMU" {
			t.Errorf("stats %+v", stats)
		}
		again, err := legs[0].Offer(b.describe("rtcp-mux"))
		if err != nil {
			t.Fatal(err)
		}
		if again.String() != first.String() {
			t.Errorf("a is told\n%s\nwas told\n%s", again, first)
		}
		if c := second.Counters(); c.PortsUsed != l.pairs(2) {
			t.Errorf("%d pairs in use", c.PortsUsed)
		}
	})
}

// What was learnt of a phone behind a NAT, and what was lost before, survives the take-over.
func TestRestoreKeepsWhatWasLearnt(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		public := netip.MustParseAddr("203.0.113.7")
		nat := l.net.NAT(network.NATConfig{Public: public, Filtering: network.AddressAndPortDependent})
		a, b := l.phoneOn(nat.Host(netip.MustParseAddr("10.0.0.5")), 4000), l.phone(bob, 5000)
		x := &leg{phone: a, s: l.session(SessionConfig{Peer: public})}
		x.says(a.describe(), public)
		x.tell(b.describe())
		a.talk(x.to, 1, 1, 5)
		a.talk(x.to, 1, 9, 5) // three are lost
		y := l.end(b)
		states := []State{x.s.State(), y.s.State()}
		x.s.Close()
		y.s.Close()
		var s [2]*Session
		for i := range s {
			var err error
			if s[i], err = l.e.Restore(states[i]); err != nil {
				t.Fatal(err)
			}
		}
		Bridge(s[0], s[1])
		sent := b.talk(y.to, 2, 1, 10)
		wait(time.Second)
		got, _ := a.heard()
		sameBytes(t, "to the phone behind the NAT", got, sent)
		if stats := s[0].Stats()[0]; stats.Lost != 3 || stats.PacketsIn != 10 {
			t.Errorf("stats %+v", stats)
		}
	})
}

// What we say ourselves goes on with the same SSRC, and no sequence number comes twice.
func TestRestoreGoesOnSpeaking(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		if _, err := x.s.Play(&ramp{n: 5000}); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		state := x.s.State()
		wait(time.Second)
		if err := l.e.Close(); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		second, err := New(l.config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { second.Close() })
		s, err := second.Restore(state)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Play(&ramp{n: 50}); err != nil {
			t.Fatal(err)
		}
		wait(2 * time.Second)
		got, _ := a.heard()
		var last rtp.Packet
		for i, b := range got {
			var p rtp.Packet
			if err := p.Parse(b.Data); err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				ahead, time := rtp.SequenceDiff(p.Sequence, last.Sequence), rtp.TimestampDiff(p.Timestamp, last.Timestamp)
				if p.SSRC != last.SSRC || ahead < 1 || ahead > 100 || time < 160 || time > 10000 {
					t.Fatalf("packet %d: SSRC %x then %x, sequence +%d, time +%d", i, last.SSRC, p.SSRC, ahead, time)
				}
			}
			last = p
		}
	})
}

func TestRestoreRefusesNonsense(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		for _, x := range []StreamState{{Kind: "audio"}, {Kind: "audio", Port: 10000, Index: -1}, {Kind: "audio", Port: 10000, Index: 5000}, {Kind: "audio", Port: 10001}} {
			if _, err := l.e.Restore(State{Peer: alice, Streams: []StreamState{x}}); err == nil {
				t.Errorf("%+v was restored", x)
			}
		}
		twice := StreamState{Kind: "audio", Port: 10000, Host: netip.IPv4Unspecified()}
		if _, err := l.e.Restore(State{Peer: alice, Streams: []StreamState{twice, {Kind: "audio", Port: 10002, Host: twice.Host}}}); err == nil {
			t.Error("one m-line was restored twice")
		}
		if c := l.e.Counters(); c.Sessions != 0 || c.PortsUsed != 0 {
			t.Errorf("left behind: %+v", c)
		}
	})
}

// Two exchanges play to each other: what one plays, the other hears, at the right pitch.
func TestToneIsHeard(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		host := l.net.Host(bob)
		far, err := New(Config{Network: host, Workers: 1, Ports: PortRange{20000, 20009}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { far.Close() })
		here, there := l.session(SessionConfig{Peer: bob}), (&lab{t: t, e: far}).session(SessionConfig{Peer: exchange4})
		offer := localized(t, here, at("10.0.0.1:4000"))
		if err := there.RemoteOffer(offer, exchange4); err != nil {
			t.Fatal(err)
		}
		answer := answered(t, there, at("10.0.0.2:4000"))
		if err := here.RemoteAnswer(answer, bob); err != nil {
			t.Fatal(err)
		}
		var detector tone.Detector
		if err := there.Listen(SinkFunc(func(frame codec.Frame) { detector.Write(frame) })); err != nil {
			t.Fatal(err)
		}
		g := tone.NewGenerator(tone.Sine(440, -10))
		play, err := here.Play(SourceFunc(func(frame codec.Frame) error { g.Read(frame); return nil }))
		if err != nil {
			t.Fatal(err)
		}
		wait(2 * time.Second)
		play.Stop()
		wait(time.Second)
		if err := there.Listen(nil); err != nil {
			t.Fatal(err)
		}
		if hz := detector.Hz(); !slices.Equal(hz, []int{440}) || detector.Heard(600) {
			t.Errorf("heard %v Hz, want 440", hz)
		}
	})
}

func TestSamples(t *testing.T) {
	s := Samples{PCM: codec.Frame{1, 2, 3}}
	frame := codec.Frame{9, 9}
	for i, want := range []codec.Frame{{1, 2}, {3, 0}} {
		if err := s.ReadFrame(frame); err != nil || !slices.Equal(frame, want) {
			t.Errorf("frame %d: %v %v, want %v", i, frame, err, want)
		}
	}
	if err := s.ReadFrame(frame); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
