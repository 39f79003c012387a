package media

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/media/dtls"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

// forged hands a port of ours a packet with whatever source address is written on it.
func forged(p *port, from netip.AddrPort, b []byte) {
	p.HandlePackets(p.writer, []network.Packet{{Data: append(make([]byte, 0, len(b)+64), b...), Addr: from}})
}

// record keeps what goes from one host to another.
func record(l *lab, from, to netip.Addr) func() [][]byte {
	var mu sync.Mutex
	var all [][]byte
	l.net.Tap(func(f network.Frame) {
		if f.From.Addr() == from && f.To.Addr() == to {
			mu.Lock()
			all = append(all, append([]byte(nil), f.Data...))
			mu.Unlock()
		}
	})
	return func() [][]byte {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// Whoever writes the party's address on packets, and even replays what he has seen, gets nothing through to the other side of an
// encrypted stream, teaches nothing and takes nothing: each packet is counted and the call goes on.
func TestForgedSourceOnEncryptedStreams(t *testing.T) {
	for _, terms := range []Terms{{Protection: Required}, {Protection: Required, Keying: ByHandshake}} {
		inLab(t, func(t *testing.T, l *lab) {
			x := l.endpoint(alice, terms, terms, "PCMA")
			y := l.endpoint(bob, Terms{Protection: Off}, Terms{}, "PCMA")
			if err := l.meet(x, y); err != nil {
				t.Fatal(err)
			}
			seen := record(l, alice, exchange4)
			x.sings(440)
			y.sings(1000)
			wait(2 * time.Second)
			captured := seen()
			st := x.x.Audio()
			party, before := *st.rtp.target.Load(), st.stats()
			random := rand.New(rand.NewPCG(1, 2))
			injected := 0
			for range 10_000 { // of the party's SSRC and next numbers, with tags by chance
				b := append([]byte(nil), captured[len(captured)-1]...)
				if rtp.Classify(b) != rtp.RTP {
					b = packet(1, 1)
				}
				binary.BigEndian.PutUint16(b[2:], binary.BigEndian.Uint16(b[2:])+uint16(random.IntN(2000)))
				for i := 12; i < len(b); i++ {
					b[i] = byte(random.Uint32())
				}
				forged(st.rtp, party, b)
				injected++
			}
			for _, b := range captured {
				if rtp.Classify(b) == rtp.RTP {
					forged(st.rtp, party, b)                              // replayed
					forged(st.rtp, netip.AddrPortFrom(alice, 31_000), b)  // from another port of his
					forged(st.rtp, netip.AddrPortFrom(mallory, 4_000), b) // from elsewhere
					injected += 3
				}
			}
			for i := range 5_000 { // sources without number, in clear
				forged(st.rtp, party, packet(uint32(i), uint16(i)))
				forged(st.control, above(party), senderReport(uint32(i), 1))
				injected += 2
			}
			after := st.stats()
			if after.PacketsIn != before.PacketsIn || after.Lost != before.Lost {
				t.Errorf("%d packets got in, %d lost", after.PacketsIn-before.PacketsIn, after.Lost-before.Lost)
			}
			if refused := after.Unauthentic + after.Foreign - before.Unauthentic - before.Foreign; int(refused) != injected {
				t.Errorf("%d of %d are counted", refused, injected)
			}
			if at := *st.rtp.target.Load(); at != party {
				t.Errorf("the party is believed at %v", at)
			}
			wait(2 * time.Second)
			x.hears(1000, 440)
			y.hears(440, 1000)
			if s := st.stats(); s.Lost != 0 {
				t.Errorf("%d packets of the party are lost", s.Lost)
			}
		})
	}
}

// Somebody behind the party's own NAT speaks first, or uses a re-INVITE. Encrypted, it gains nothing. In clear the first wins, as
// RFC 7362 §5 says; once the party talks it is not displaced, not by a new description either.
func TestNeighbourBehindTheSameNAT(t *testing.T) {
	near := netip.AddrPortFrom(alice, 31_000)
	inLab(t, func(t *testing.T, l *lab) {
		sdes := Terms{Protection: Required}
		x := l.endpoint(alice, sdes, sdes, "PCMA")
		y := l.endpoint(bob, Terms{Protection: Off}, Terms{}, "PCMA")
		if err := l.meet(x, y); err != nil {
			t.Fatal(err)
		}
		st := x.x.Audio()
		for i := range 100 {
			forged(st.rtp, near, packet(7, uint16(i)))
			forged(st.control, near, senderReport(7, 1))
		}
		if st.rtp.latch.source.IsValid() || st.control.latch.source.IsValid() {
			t.Error("latched to somebody without the key")
		}
		x.sings(440)
		y.sings(1000)
		wait(2 * time.Second)
		x.hears(1000, 440)
		y.hears(440, 1000)
	})
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		a.talk(x.to, 1, 1, 5)
		st := x.s.Audio()
		for version := 2; version < 12; version++ {
			again := describeAt(t, a.address(), version)
			x.says(again, alice)
			y.tell(again)
			y.says(describeAt(t, b.address(), version), bob)
			x.tell(b.describe())
			for i := range 10 {
				forged(st.rtp, near, packet(7, uint16(i)))
			}
			a.talk(x.to, 1, uint16(version*5), 5)
		}
		if at := *st.rtp.target.Load(); at != a.address() {
			t.Errorf("after re-INVITEs the party is believed at %v", at)
		}
		if c := l.e.Counters(); c.Foreign != 100 {
			t.Errorf("%d of 100 packets are counted", c.Foreign)
		}
	})
}

// hello is the first flight of a handshake by somebody with a certificate of his own.
func hello(t *testing.T) []byte {
	t.Helper()
	identity, err := dtls.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan []byte, 1)
	h, err := dtls.Start(dtls.Config{Identity: identity, Client: true, Fingerprints: []sdp.Fingerprint{identity.Fingerprint()}, Send: func(b []byte) {
		select {
		case first <- append([]byte(nil), b...):
		default:
		}
	}}, func(dtls.Keys, error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	return <-first
}

// A stranger begins handshakes before the party does: from elsewhere, from the party's own host with his own certificate, and
// with its address written on hellos, alerts and garbage. The party's handshake gives the keys, and no call is ended.
func TestHandshakeRace(t *testing.T) {
	t.Run("at the address that it names", func(t *testing.T) { handshakeRace(t, func(l *lab) *network.Host { return l.net.Host(alice) }) })
	t.Run("behind a NAT", func(t *testing.T) {
		handshakeRace(t, func(l *lab) *network.Host {
			return l.net.NAT(network.NATConfig{Public: alice}).Host(netip.MustParseAddr("10.0.0.5"))
		})
	})
}

func handshakeRace(t *testing.T, place func(*lab) *network.Host) {
	inLab(t, func(t *testing.T, l *lab) {
		terms := Terms{Protection: Required, Keying: ByHandshake}
		x := l.endpointOn(place(l), alice, terms, terms, "PCMA")
		y := l.endpoint(bob, Terms{Protection: Off}, Terms{}, "PCMA")
		var faults []error
		x.x.OnFault(func(err error) { faults = append(faults, err) })
		first := hello(t)
		garbage := [][]byte{first, first[:len(first)/2], {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1},
			{21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40}, {21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 1, 0}, {20, 254, 253}}
		stop, done := make(chan struct{}), make(chan struct{})
		toStranger := 0
		l.net.Tap(func(f network.Frame) {
			if f.To.Addr() == mallory {
				toStranger++
			}
		})
		l.net.Host(mallory)
		go func() { // on every port that there is, from before the set-up to its end
			defer close(done)
			for {
				for _, st := range x.x.Streams() {
					for i, b := range garbage {
						forged(st.rtp, netip.AddrPortFrom(mallory, uint16(1000+i)), b)
						forged(st.rtp, netip.AddrPortFrom(alice, uint16(40_000+i)), b)
						forged(st.control, netip.AddrPortFrom(alice, uint16(40_000+i)), b)
						if i > 0 {
							forged(st.rtp, *cmpTarget(st), b)
						}
					}
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
		if err := l.meet(x, y); err != nil {
			t.Fatal(err)
		}
		x.sings(440)
		y.sings(1000)
		wait(3 * time.Second)
		close(stop)
		<-done
		wait(2 * time.Second)
		x.hears(1000, 440)
		y.hears(440, 1000)
		if len(faults) > 0 || toStranger > 0 {
			t.Errorf("faults %v, %d packets to the stranger", faults, toStranger)
		}
		if n := len(x.x.Audio().rtp.association.contenders); n != 1 {
			t.Errorf("%d handshakes are left", n)
		}
	})
}

// cmpTarget is where packets for the party go, or its host.
func cmpTarget(st *Stream) *netip.AddrPort {
	if to := st.rtp.target.Load(); to != nil {
		return to
	}
	at := netip.AddrPortFrom(alice, 20000)
	return &at
}

// Handshakes that are begun and left take a quarter of the places at most: a call from another host has room.
func TestHandshakesLeftUnfinished(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.e.handshakes = dtls.NewLimiter(8)
		terms := Terms{Protection: Required, Keying: ByHandshake}
		first := hello(t)
		party := l.endpoint(mallory, terms, terms, "PCMA") // to have its description
		offer, err := party.s.Offer(sdp.Offer(party.caps))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			s := l.session(SessionConfig{Peer: mallory, Terms: terms, OnFault: func(err error) { t.Errorf("a call is ended: %v", err) }})
			if err := s.RemoteOffer(wire(t, offer), mallory); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Answer(describeAt(t, netip.AddrPortFrom(bob, 5000), 1)); err != nil {
				t.Fatal(err)
			}
			forged(s.Audio().rtp, netip.AddrPortFrom(mallory, uint16(1000+i)), first)
		}
		if n := l.e.handshakes.Running(); n != 2 {
			t.Errorf("%d handshakes of one host run, of 8", n)
		}
		x := l.endpoint(alice, terms, terms, "PCMA")
		y := l.endpoint(bob, terms, terms, "PCMA")
		if err := l.meet(x, y); err != nil {
			t.Fatal(err)
		}
		x.sings(440)
		y.sings(1000)
		wait(3 * time.Second)
		x.hears(1000, 440)
		y.hears(440, 1000)
	})
}

// A description that names somebody else gets him what speech takes, for half a minute: what he says himself, or the host that
// signals, ends the limit.
func TestThirdPartyIsNotFlooded(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		victim := l.phone(mallory, 53)
		b := l.phone(bob, 5000)
		l.net.Host(alice)
		a := &phone{l: l, host: victim.host, rtp: victim.rtp, rtcp: victim.rtcp}
		x := &leg{phone: a, s: l.session(SessionConfig{Peer: alice})}
		y := &leg{phone: b, s: l.session(SessionConfig{Peer: bob})}
		offer := describeAt(t, netip.AddrPortFrom(mallory, 53), 1)
		x.says(offer, alice)
		y.tell(offer)
		y.says(b.describe(), bob)
		x.tell(b.describe())
		Bridge(x.s, y.s)

		for i := range 20_000 { // within a second
			b.send(packet(1, uint16(i)), y.to)
			if i%20 == 0 {
				<-time.After(time.Millisecond)
			}
		}
		wait(10 * time.Millisecond)
		if got, _ := victim.heard(); len(got) > UnprovenRate*6/5+1 || len(got) < UnprovenRate {
			t.Errorf("%d packets a second", len(got))
		}
		// New versions, other ports of the victim: all of it is one time.
		for version := 2; version < 40; version++ {
			again := describeAt(t, netip.AddrPortFrom(mallory, 53), version)
			x.says(again, alice)
			y.tell(again)
			y.says(describeAt(t, b.address(), version), bob)
			x.tell(b.describe())
			b.talk(y.to, 1, uint16(version*50), 50)
		}
		victim.heard()
		b.talk(y.to, 1, 3000, 50)
		wait(time.Second)
		if got, _ := victim.heard(); len(got) != 0 {
			t.Errorf("%d packets after half a minute", len(got))
		}
		if c := l.e.Counters(); c.Unsent < 50 {
			t.Errorf("%+v", c)
		}
		// The party is there after all.
		a.talk(x.to, 9, 1, 1)
		sent := b.talk(y.to, 1, 4000, 50)
		wait(time.Second)
		got, _ := victim.heard()
		sameBytes(t, "to a party that has spoken", got, sent)
	})
}

// Two parties name each other's port of ours: what one of them says goes round, and as slowly as the limit lets it. Of other
// ports of this machine none gets anything.
func TestPacketsInCircles(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		px, py := x.s.Audio().local().Port(), y.s.Audio().local().Port()
		circle := func(version int) {
			offer, answer := describeAt(t, netip.AddrPortFrom(exchange4, py), version), describeAt(t, netip.AddrPortFrom(exchange4, px), version)
			x.says(offer, alice)
			y.tell(offer)
			y.says(answer, bob)
			x.tell(answer)
		}
		circle(2)
		round := 0
		var mu sync.Mutex
		l.net.Tap(func(f network.Frame) {
			mu.Lock()
			defer mu.Unlock()
			if f.From.Addr() == exchange4 && f.To.Addr() == exchange4 {
				round++
			}
		})
		for i := range 10 {
			a.send(packet(1, uint16(i)), x.to)
		}
		wait(10 * time.Second)
		mu.Lock()
		if round > 2*11*UnprovenRate {
			t.Errorf("%d packets in ten seconds", round)
		}
		round = 0
		mu.Unlock()

		service := 0
		l.net.Tap(func(f network.Frame) {
			if f.From.Addr() == exchange4 && f.To.Addr() == exchange4 && f.To.Port() == 5060 {
				service++
			}
		})
		offer := describeAt(t, netip.AddrPortFrom(exchange4, 5060), 3)
		x.says(offer, alice)
		y.tell(offer)
		y.says(describeAt(t, b.address(), 3), bob)
		x.tell(b.describe())
		b.talk(y.to, 1, 100, 50)
		wait(time.Second)
		if service != 0 {
			t.Errorf("%d packets to a service of this machine", service)
		}
	})
}

// Reports lie: nothing falls over, the figures stay on their scales, the encoder above its floor, and the other leg's are its own.
func TestLyingReports(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		var mu sync.Mutex
		notices := 0
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		y.s.OnQuality(func(QualityNotice) {
			mu.Lock()
			notices++
			mu.Unlock()
		})
		random := rand.New(rand.NewPCG(3, 4))
		for i := range 1000 {
			a.send(packet(1, uint16(i)), x.to)
			b.send(packet(2, uint16(i)), y.to)
			lie := rtp.ReportBlock{SSRC: random.Uint32(), FractionLost: 255, CumulativeLost: int32(random.Uint32()) >> 8, HighestSequence: random.Uint32(),
				Jitter: random.Uint32(), LSR: random.Uint32(), DLSR: random.Uint32()}
			if i%3 == 0 {
				lie.SSRC, lie.CumulativeLost, lie.Jitter = 2, 1<<23-1, 1<<32-1
			}
			if err := a.rtcp.WriteTo(senderReport(uint32(i%7), random.Uint64(), lie), above(x.to)); err != nil {
				t.Fatal(err)
			}
			<-time.After(20 * time.Millisecond)
			for _, leg := range []*leg{x, y} {
				for _, s := range leg.s.Stats() {
					for what, v := range map[string][3]float64{"loss": {s.LossOutPct, 0, 100}, "loss in": {s.LossPct, 0, 100}, "MOS in": {s.MOSIn, 0, 4.5},
						"MOS out": {s.MOSOut, 0, 4.5}, "round trip": {s.RTTMS, 0, 70_000}} {
						if !(v[0] >= v[1] && v[0] <= v[2]) {
							t.Fatalf("%s is %v", what, v[0])
						}
					}
				}
			}
		}
		ys := y.s.Stats()[0]
		if ys.LossOutPct != 0 || ys.LossPct != 0 || ys.MOSIn < 4 {
			t.Errorf("the other leg: %+v", ys)
		}
		mu.Lock()
		defer mu.Unlock()
		if notices != 0 {
			t.Errorf("%d alarms of the other leg", notices)
		}
	})
}

// An attacker who has seen a browser's checks sends them again from where he is: the voice stays with the browser.
func TestReplayedChecks(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		b := l.browser(alice)
		x := l.session(SessionConfig{Peer: alice})
		if err := x.RemoteOffer(b.describe("actpass"), alice); err != nil {
			t.Fatal(err)
		}
		answer, err := x.Answer(parse(t, "v=0\no=p 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\nm=audio 5000 RTP/AVP 8\nm=video 0 RTP/AVP 96\n"))
		if err != nil {
			t.Fatal(err)
		}
		b.told(answer)
		seen := record(l, alice, exchange4)
		b.check(true, b.theirs.Pwd)
		wait(time.Second)
		st := x.Streams()[0]
		party, captured := *st.rtp.target.Load(), seen()
		l.net.Host(mallory)
		answers := record(l, exchange4, mallory)
		for second := range 60 {
			for _, check := range captured {
				forged(st.rtp, netip.AddrPortFrom(mallory, 7), check)
				forged(st.rtp, party, check) // and as the browser, which is gone by now
			}
			wait(time.Second)
			if to := st.rtp.target.Load(); to != nil && (*to != party || second > 33) {
				t.Fatalf("after %d s packets go to %v", second, to)
			}
		}
		if n := len(answers()); n != 0 {
			t.Errorf("%d packets to the attacker", n)
		}
	})
}

// Without tags RTP can be anybody's: what is taken so moves no latch of a party that is silent.
func TestUntaggedPacketsProveNothing(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		terms := Terms{Protection: Required, Waived: []string{"UNAUTHENTICATED_SRTP"}}
		s := l.session(SessionConfig{Peer: alice, Terms: terms})
		offer := strings.Replace(describeAt(t, at("198.51.100.1:4000"), 1).String(), "RTP/AVP", "RTP/SAVP", 1) +
			fmt.Sprintf("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s UNAUTHENTICATED_SRTP\r\n", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5")
		if err := s.RemoteOffer(parse(t, offer), alice); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Answer(describeAt(t, at("198.51.100.2:5000"), 1)); err != nil {
			t.Fatal(err)
		}
		p := s.Audio().rtp
		for i := range 10 {
			forged(p, netip.AddrPortFrom(mallory, 1), packet(1, uint16(i)))
		}
		if p.latch.source.IsValid() || p.target.Load().Addr() != alice {
			t.Errorf("a third host is taken for the party: %v", p.latch.source)
		}
	})
}
