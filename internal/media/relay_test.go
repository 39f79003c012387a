package media

import (
	"slices"
	"testing"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

func sameBytes(t *testing.T, what string, got []network.Packet, want [][]byte) {
	t.Helper()
	if !slices.EqualFunc(payloads(got), want, slices.Equal) {
		t.Errorf("%s: %d packets arrived, %d sent, or their bytes differ", what, len(got), len(want))
	}
}

func TestRelayPassesBytes(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		fromA := a.talk(x.to, 0xa, 65500, 100)
		fromB := b.talk(y.to, 0xb, 1, 100)
		wait(time.Second)
		toA, _ := a.heard()
		toB, _ := b.heard()
		sameBytes(t, "a to b", toB, fromA)
		sameBytes(t, "b to a", toA, fromB)
		for _, p := range toB {
			if p.Addr != y.to {
				t.Fatalf("b hears from %v, was told %v", p.Addr, y.to)
			}
		}
		stats := x.s.Stats()[0]
		if stats.PacketsIn != 100 || stats.PacketsOut != 100 || stats.Lost != 0 || stats.BytesIn != 17200 || stats.Codec != "PCMU" {
			t.Errorf("stats %+v", stats)
		}
		if stats.MOSIn < 4.3 || stats.MOSOut != 0 {
			t.Errorf("MOS in %v (clean), out %v (unknown)", stats.MOSIn, stats.MOSOut)
		}
		if c := l.e.Counters(); c.PacketsIn != 200 || c.PacketsOut != 200 || c.Sessions != 2 || c.PortsUsed != l.pairs(2) || c.Foreign != 0 {
			t.Errorf("counters %+v", c)
		}
		want := "audio 198.51.100.1:4000 -> " + x.s.Streams()[0].local().String() + " -> relay " + y.s.Streams()[0].local().String() +
			" -> " + b.address().String()
		if x.s.String() != want {
			t.Errorf("chain %q, want %q", x.s.String(), want)
		}
	})
}

func TestUnbridgeStopsTheFlow(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		a.talk(x.to, 1, 1, 3)
		Unbridge(x.s, y.s)
		wait(time.Second)
		b.heard()
		a.talk(x.to, 1, 4, 3)
		wait(time.Second)
		if got, _ := b.heard(); len(got) != 0 {
			t.Errorf("%d packets passed an undone bridge", len(got))
		}
		if x.s.String() == "" || x.s.Streams()[0].chain.Load() != nil {
			t.Errorf("chain %v", x.s)
		}
		Bridge(y.s, x.s)
		sent := a.talk(x.to, 1, 7, 3)
		wait(time.Second)
		got, _ := b.heard()
		sameBytes(t, "after bridging again", got, sent)
	})
}

func TestRelayCloseMidway(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		a.talk(x.to, 1, 1, 3)
		y.s.Close()
		a.talk(x.to, 1, 4, 3)
		x.s.Close()
		x.s.Close()
		a.talk(x.to, 1, 7, 3)
		c := l.e.Counters()
		if c.PacketsIn != 6 || c.PacketsOut != 3 || c.Sessions != 0 || c.PortsUsed != 0 {
			t.Errorf("counters %+v", c)
		}
		if _, err := x.s.Offer(a.describe()); err != ErrClosed {
			t.Errorf("localize a closed session: %v", err)
		}
	})
}

func TestRelayBetweenFamilies(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob6, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		if x.to.Addr() != exchange4 || y.to.Addr() != exchange6 {
			t.Fatalf("a was told %v, b %v", x.to, y.to)
		}
		if y.told.Origin.AddrType != "IP6" || y.told.Conn.AddrType != "IP6" {
			t.Errorf("description for b:\n%s", y.told)
		}
		fromA := a.talk(x.to, 0xa, 1, 20)
		fromB := b.talk(y.to, 0xb, 1, 20)
		wait(time.Second)
		toA, _ := a.heard()
		toB, _ := b.heard()
		sameBytes(t, "IPv4 to IPv6", toB, fromA)
		sameBytes(t, "IPv6 to IPv4", toA, fromB)
	})
}

// report is a compound with a sender report and a name.
func senderReport(ssrc uint32, ntp uint64, blocks ...rtp.ReportBlock) []byte {
	r := rtp.Report{SSRC: ssrc, FromSender: true, Sender: rtp.SenderInfo{NTP: ntp}, Blocks: blocks}
	return rtp.AppendCNAME(r.Append(nil), ssrc, "phone")
}

func TestControlBetweenMuxAndSeparate(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe("rtcp-mux"), b.describe())
		if !x.told.Media[0].RTCPMux() {
			t.Error("a offered rtcp-mux and was not answered with it")
		}
		a.talk(x.to, 0xa, 1, 2)
		b.talk(y.to, 0xb, 1, 2)
		a.heard()
		b.heard()

		muxed := senderReport(0xa, 1<<40)
		a.send(muxed, x.to)
		separate := senderReport(0xb, 2<<40)
		if err := b.rtcp.WriteTo(separate, above(y.to)); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		mediaA, controlA := a.heard()
		mediaB, controlB := b.heard()
		sameBytes(t, "to b on its RTCP port", controlB, [][]byte{muxed})
		sameBytes(t, "to b on its RTP port", mediaB, nil)
		sameBytes(t, "to a on its RTP port", mediaA, [][]byte{separate})
		sameBytes(t, "to a on its RTCP port", controlA, nil)
		if x.s.LastMedia().IsZero() || !x.s.HeardControl() || !y.s.HeardControl() {
			t.Error("RTCP was not noted")
		}
	})
}

// RFC 3550 §6.4.1, Figure 2: the report comes back 11.375 s after the sender report passed, 5.25 s of which it was
// held.
func TestRoundTripVector(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe("rtcp-mux"), b.describe("rtcp-mux"))
		a.talk(x.to, 0xa, 1, 10)
		a.send(senderReport(0xa, 0xb44db705_20000000), x.to)
		wait(11375 * time.Millisecond)
		b.send(senderReport(0xb, 0, rtp.ReportBlock{SSRC: 0xa, CumulativeLost: 2, Jitter: 80, LSR: 0xb7052000, DLSR: 0x00054000}), y.to)
		wait(time.Second)
		stats := y.s.Stats()[0]
		if stats.RTTMS < 6125 || stats.RTTMS > 6126 {
			t.Errorf("round trip of b's leg %v ms, want 6125", stats.RTTMS)
		}
		if stats.JitterOutMS != 10 || stats.LossOutPct != 20 {
			t.Errorf("b reports jitter %v ms, want 10; loss %v %%, want 20 (2 of 10)", stats.JitterOutMS, stats.LossOutPct)
		}
		if stats.MOSOut == 0 || stats.MOSOut > 3 {
			t.Errorf("MOS towards b %v with 20 %% loss", stats.MOSOut)
		}
		if other := x.s.Stats()[0]; other.RTTMS != 0 {
			t.Errorf("round trip of a's leg %v ms from b's report", other.RTTMS)
		}
	})
}

// What is lost on one leg is not charged to the other one.
func TestLossIsThatOfTheLeg(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe("rtcp-mux"), b.describe("rtcp-mux"))
		for seq := range uint16(100) {
			if seq%10 != 5 {
				a.send(packet(0xa, seq), x.to)
			}
			wait(20 * time.Millisecond)
		}
		b.send(senderReport(0xb, 0, rtp.ReportBlock{SSRC: 0xa, CumulativeLost: 10}), y.to)
		wait(time.Second)
		in, out := x.s.Stats()[0], y.s.Stats()[0]
		if in.Lost != 10 || in.LossPct != 10 {
			t.Errorf("a's leg lost %d (%v %%), want 10", in.Lost, in.LossPct)
		}
		if out.LossOutPct != 0 {
			t.Errorf("b's leg lost %v %%, want 0", out.LossOutPct)
		}
	})
}

// T.38 and other streams that are no RTP pass as bytes.
func TestRelayOfUDPTL(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		fax := func(p *phone) string {
			return "v=0\no=- 1 1 IN IP4 " + p.host.Addr().String() + "\ns=-\nc=IN IP4 " + p.host.Addr().String() +
				"\nt=0 0\nm=image " + p.number() + " udptl t38\na=T38FaxVersion:0\n"
		}
		x, y := l.call(a, b, parse(t, fax(a)), parse(t, fax(b)))
		sent := [][]byte{{0, 1, 2, 3}, {0x80, 200, 0}, {1}}
		for _, b := range sent {
			a.send(b, x.to)
		}
		wait(time.Second)
		got, _ := b.heard()
		sameBytes(t, "udptl", got, sent)
		if k := y.s.Streams()[0].Kind(); k != "image" {
			t.Errorf("stream is %q", k)
		}
	})
}

// A re-INVITE that adds a stream to a bridged call opens and joins it.
func TestStreamAddedWhileBridged(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		av, bv := l.phoneOn(a.host, 4002), l.phoneOn(b.host, 5002)
		withVideo := func(p, v *phone) string {
			return p.describe().String() + "m=video " + v.number() + " RTP/AVP 96\na=rtpmap:96 VP8/90000\n"
		}
		offer, answer := parse(t, withVideo(a, av)), parse(t, withVideo(b, bv))
		x.says(offer, alice)
		y.tell(offer)
		y.says(answer, bob)
		x.tell(answer)
		video := packet(7, 1)
		video[1] = 96
		av.send(video, x.told.Address(1))
		wait(time.Second)
		got, _ := bv.heard()
		sameBytes(t, "video", got, [][]byte{video})
		if x.to != x.told.Address(0) {
			t.Error("the audio port has moved")
		}
	})
}
