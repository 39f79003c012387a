package media

import (
	"testing"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// compound is what one RTCP datagram of ours says.
type compound struct {
	report rtp.Report
	cname  string
	bye    bool
}

func readCompound(t *testing.T, b []byte) compound {
	t.Helper()
	if err := rtp.CheckControl(b); err != nil {
		t.Fatalf("malformed compound: %v", err)
	}
	var c compound
	for len(b) > 0 {
		p, rest, err := rtp.NextControl(b)
		if err != nil {
			t.Fatal(err)
		}
		b = rest
		switch p.Type {
		case rtp.TypeSenderReport, rtp.TypeReceiverReport:
			if err := c.report.Parse(p); err != nil {
				t.Fatal(err)
			}
		case rtp.TypeSourceDescription:
			chunks, err := rtp.ParseSourceDescription(p)
			if err != nil || len(chunks) != 1 || chunks[0].SSRC != c.report.SSRC {
				t.Fatalf("description %v %v", chunks, err)
			}
			c.cname = string(chunks[0].Items[0].Text)
		case rtp.TypeBye:
			c.bye = true
		}
	}
	return c
}

// A stream that ends here gets reports at the times of RFC 3550 §6.2, with the sender's facts while we speak, the
// receiver's always, one CNAME, and BYE at the end.
func TestReportsOfAnEnd(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		var times []time.Time
		l.net.Tap(func(f network.Frame) {
			if f.To == above(a.address()) {
				times = append(times, f.At)
			}
		})
		begin := time.Now()
		if err := x.s.Listen(&tape{}); err != nil {
			t.Fatal(err)
		}
		play, err := x.s.Play(&ramp{n: 3000}) // a minute
		if err != nil {
			t.Fatal(err)
		}
		go a.talk(x.to, 0xa, 1, 3000)
		wait(5 * time.Second)
		if err := a.rtcp.WriteTo(senderReport(0xa, 0x11112222_33334444), above(x.to)); err != nil {
			t.Fatal(err)
		}
		<-play.Done()
		l.net.Tap(nil)
		wait(0)
		media, reports := a.heard()
		if len(reports) < 7 || len(reports) > 24 {
			t.Fatalf("%d reports in a minute", len(reports))
		}
		// RFC 3550 §6.2, §6.3.1: five seconds, halved for the first, times 0.5 to 1.5, divided by 1.21828.
		previous := begin
		for i, at := range times {
			gap, low, high := at.Sub(previous), 2052*time.Millisecond, 6157*time.Millisecond
			if i == 0 {
				low, high = low/2, high/2
			}
			if gap < low || gap > high {
				t.Errorf("report %d came after %v", i, gap)
			}
			previous = at
		}
		var p rtp.Packet
		if err := p.Parse(media[0].Data); err != nil {
			t.Fatal(err)
		}
		for i, b := range reports {
			c := readCompound(t, b.Data)
			r := c.report
			if !r.FromSender || r.SSRC != p.SSRC || c.cname != x.s.cname || c.bye {
				t.Fatalf("report %d: %+v", i, c)
			}
			// The RTP and the NTP time are the same moment.
			sent := rtp.Time(r.Sender.NTP).Sub(begin)
			if want := uint32(sent.Milliseconds()) / 20; r.Sender.Packets < want-1 || r.Sender.Packets > want+1 {
				t.Errorf("report %d at %v: %d packets", i, sent, r.Sender.Packets)
			}
			if d := int32(r.Sender.Timestamp-p.Timestamp) - int32(sent.Milliseconds()*8); d < -170 || d > 170 {
				t.Errorf("report %d at %v: timestamp off by %d", i, sent, d)
			}
			if len(r.Blocks) != 1 || r.Blocks[0].SSRC != 0xa || r.Blocks[0].CumulativeLost != 0 {
				t.Errorf("report %d: blocks %+v", i, r.Blocks)
			}
			if late := sent > 5*time.Second; late != (r.Blocks[0].LSR == 0x22223333) {
				t.Errorf("report %d at %v: LSR %x", i, sent, r.Blocks[0].LSR)
			} else if late && absolute(rtp.Span(r.Blocks[0].DLSR)-(sent-5*time.Second)) > time.Millisecond {
				t.Errorf("report %d at %v: DLSR %v", i, sent, rtp.Span(r.Blocks[0].DLSR))
			}
		}
		wait(30 * time.Second) // silence: receiver reports
		_, reports = a.heard()
		if last := readCompound(t, reports[len(reports)-1].Data); last.report.FromSender {
			t.Error("a sender report long after the last packet")
		}
		x.s.Close()
		wait(time.Second)
		if _, reports = a.heard(); len(reports) != 1 || !readCompound(t, reports[0].Data).bye {
			t.Errorf("%d datagrams at the end, want one with BYE", len(reports))
		}
	})
}

func absolute(d time.Duration) time.Duration { return max(d, -d) }

// A relayed leg hears nothing of ours: neither reports nor BYE.
func TestNoReportsOfARelay(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		a.talk(x.to, 1, 1, 3000)
		x.s.Close()
		y.s.Close()
		wait(time.Second)
		_, toA := a.heard()
		_, toB := b.heard()
		if len(toA)+len(toB) != 0 {
			t.Errorf("%d and %d RTCP datagrams", len(toA), len(toB))
		}
	})
}

// The round trip of a leg that ends here comes from the reports that answer ours.
func TestRoundTripOfAnEnd(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		l.net.Default(network.Conditions{Delay: 40 * time.Millisecond})
		a := l.phone(alice, 4000)
		x := l.end(a, "rtcp-mux")
		if _, err := x.s.Play(&ramp{n: 500}); err != nil {
			t.Fatal(err)
		}
		a.talk(x.to, 0xa, 1, 250)
		media, _ := a.heard()
		var last []byte
		for _, p := range media {
			if rtp.Classify(p.Data) == rtp.RTCP {
				last = p.Data
			}
		}
		if last == nil {
			t.Fatal("no report in five seconds")
		}
		r := readCompound(t, last).report
		sent := rtp.Time(r.Sender.NTP)
		held := time.Since(sent) - 40*time.Millisecond
		a.send(senderReport(0xa, 1, rtp.ReportBlock{SSRC: r.SSRC, LSR: rtp.Middle(r.Sender.NTP), DLSR: rtp.Delay(held)}), x.to)
		wait(time.Second)
		if rtt := x.s.Stats()[0].RTTMS; rtt < 79.9 || rtt > 80.1 {
			t.Errorf("round trip %v ms, want 80", rtt)
		}
	})
}
