package media

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

// extendedOf is the extended report of a compound.
func extendedOf(t *testing.T, compound []byte) (x rtp.ExtendedReport, ok bool) {
	t.Helper()
	for rest := compound; len(rest) > 0; {
		p, next, err := rtp.NextControl(rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = next
		if p.Type != rtp.TypeExtendedReport {
			continue
		}
		if err := x.Parse(p); err != nil {
			t.Fatal(err)
		}
		ok = true
	}
	return x, ok
}

// lossyTalk sends n packets and leaves out those that lost names.
func (p *phone) lossyTalk(g *leg, first, n int, lost func(i int) bool) {
	for i := range n {
		if !lost(i) {
			p.send(packet(0xa, uint16(first+i)), g.to)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// fiveOfFifty loses five packets in a row out of fifty.
func fiveOfFifty(i int) bool { return i%50 >= 20 && i%50 < 25 }

func TestExtendedReportsOfAnEnd(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a, "rtcp-xr:rcvr-rtt=all voip-metrics pkt-loss-rle")
		if value, _ := x.told.Media[0].Attribute("rtcp-xr"); value != "pkt-loss-rle rcvr-rtt=all voip-metrics" {
			t.Errorf("answered %q", value)
		}
		if err := x.s.Listen(&tape{}); err != nil {
			t.Fatal(err)
		}
		a.lossyTalk(x, 1, 1000, fiveOfFifty)
		_, reports := a.heard()
		if len(reports) < 2 {
			t.Fatalf("%d reports", len(reports))
		}
		last := reports[len(reports)-1].Data
		got, ok := extendedOf(t, last)
		if !ok || len(got.Metrics) != 1 {
			t.Fatalf("no figures: %+v", got)
		}
		m := got.Metrics[0]
		if m.SSRC != 0xa || m.LossRate < 20 || m.LossRate > 30 || m.BurstDensity < 250 || m.BurstDuration != 100 || m.Gmin != 16 {
			t.Errorf("figures %+v", m)
		}
		if mos, ok := m.Conversation(); !ok || mos > 4 || mos < 2 {
			t.Errorf("score %v", mos)
		}
		// The burst ratio of what comes in five by five is close to five.
		s := x.s.Stats()[0]
		if random := score(payload{Name: "PCMU", ClockRate: 8000}, s.LossPct, s.RTTMS, s.JitterMS, 1); s.MOSIn >= random-0.05 || s.Bursts < 19 {
			t.Errorf("score %v with %d bursts, %v were they random", s.MOSIn, s.Bursts, random)
		}
		// We only listen, so there is a reference time, whose answer shows the round trip.
		if got.ReferenceTime == 0 {
			t.Fatal("no reference time")
		}
		answer := rtp.ExtendedReport{SSRC: 0xa, ReferenceTime: 0x01020304_05060708,
			References: []rtp.LastReference{{SSRC: got.SSRC, LRR: rtp.Middle(got.ReferenceTime), DLRR: 0}},
			Metrics:    []rtp.VoIPMetrics{{SSRC: got.SSRC, Gmin: 16, MOSCQ: 32, MOSLQ: 40, RFactor: 127, ExternalR: 127}}}
		compound := rtp.AppendCNAME((&rtp.Report{SSRC: 0xa}).Append(nil), 0xa, "alice")
		if err := a.rtcp.WriteTo(answer.Append(compound), above(x.to)); err != nil {
			t.Fatal(err)
		}
		wait(10 * time.Second)
		if s := x.s.Stats()[0]; s.RTTMS <= 0 {
			t.Errorf("round trip %v", s.RTTMS)
		}
		_, reports = a.heard()
		next, _ := extendedOf(t, reports[len(reports)-1].Data)
		if len(next.References) != 1 || next.References[0].SSRC != 0xa || next.References[0].LRR != 0x03040506 ||
			next.References[0].DLRR == 0 {
			t.Errorf("answer to the party's reference time %+v", next.References)
		}
	})
}

// The party's own view of what it hears wins over our estimate.
func TestViewOfTheParty(t *testing.T) {
	for name, tt := range map[string]struct {
		m    rtp.VoIPMetrics
		want float64
	}{
		"conversing": {rtp.VoIPMetrics{MOSCQ: 32, MOSLQ: 40, RFactor: 90, ExternalR: 127}, 3.2},
		"listening":  {rtp.VoIPMetrics{MOSCQ: 127, MOSLQ: 40, RFactor: 90, ExternalR: 127}, 4},
		"rating":     {rtp.VoIPMetrics{MOSCQ: 127, MOSLQ: 127, RFactor: 60, ExternalR: 127}, 3.1},
		"nothing":    {rtp.VoIPMetrics{MOSCQ: 127, MOSLQ: 127, RFactor: 127, ExternalR: 127}, 0},
		"beyond":     {rtp.VoIPMetrics{MOSCQ: 255, MOSLQ: 0, RFactor: 101, ExternalR: 127}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				a := l.phone(alice, 4000)
				x := l.end(a)
				play, err := x.s.Play(&ramp{n: 100})
				if err != nil {
					t.Fatal(err)
				}
				<-play.Done()
				media, _ := a.heard()
				tt.m.SSRC = binary.BigEndian.Uint32(media[0].Data[8:])
				xr := rtp.ExtendedReport{SSRC: 0xa, Metrics: []rtp.VoIPMetrics{tt.m}}
				compound := xr.Append((&rtp.Report{SSRC: 0xa}).Append(nil))
				if err := a.rtcp.WriteTo(compound, above(x.to)); err != nil {
					t.Fatal(err)
				}
				wait(time.Millisecond)
				if got := x.s.Stats()[0].MOSOut; got < tt.want-0.05 || got > tt.want+0.05 {
					t.Errorf("score %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// Where a voice is converted we speak for ourselves, and the figures are those of the jitter buffer.
func TestExtendedReportsOfAConversion(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		x := l.endpoint(alice, Terms{}, Terms{}, "G722")
		y := l.endpoint(bob, Terms{}, Terms{}, "PCMU")
		if err := l.meet(x, y); err != nil {
			t.Fatal(err)
		}
		x.x.Audio().reports.Store(&sdp.ExtendedReports{VoIPMetrics: true})
		var mu sync.Mutex
		var last rtp.VoIPMetrics
		l.net.Tap(func(f network.Frame) {
			if f.To.Addr() != alice || rtp.Classify(f.Data) != rtp.RTCP {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if got, ok := extendedOf(t, f.Data); ok && len(got.Metrics) == 1 {
				last = got.Metrics[0]
			}
		})
		x.sings(440)
		y.sings(700)
		l.net.Link(x.host, l.host, network.Conditions{Jitter: 30 * time.Millisecond, Loss: 0.05})
		wait(30 * time.Second)
		l.net.Tap(nil)
		mu.Lock()
		defer mu.Unlock()
		buffer := last.Buffer()
		if !buffer.Known || !buffer.Adaptive || buffer.Maximum < 20*time.Millisecond || last.EndSystemDelay < 40 ||
			last.Concealment() != rtp.ConcealmentStandard || last.LossRate < 5 || last.LossRate > 30 {
			t.Errorf("figures %+v", last)
		}
		if got, want := x.x.Stats()[0].TranscodedWhy, noneInCommon; got != want {
			t.Errorf("converted because of %q", got)
		}
	})
}

func TestNoExtendedReportsUnasked(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		if _, said := x.told.Media[0].Attribute("rtcp-xr"); said {
			t.Error("an answer to what was not offered")
		}
		if err := x.s.Listen(&tape{}); err != nil {
			t.Fatal(err)
		}
		a.lossyTalk(x, 1, 500, fiveOfFifty)
		_, reports := a.heard()
		for _, r := range reports {
			if _, ok := extendedOf(t, r.Data); ok {
				t.Error("an extended report")
			}
		}
		if len(reports) == 0 {
			t.Error("no report")
		}
	})
}

func TestExtendedReportsNegotiated(t *testing.T) {
	const voip = "rtcp-xr:voip-metrics"
	for name, tt := range map[string]struct {
		offer, answer string // of the parties
		told          string // the callee
		answered      string // the caller
	}{
		"both":           {voip, voip, "voip-metrics", "voip-metrics"},
		"caller only":    {voip, "", "voip-metrics", "voip-metrics"},
		"callee only":    {"", voip, "-", "-"},
		"neither":        {"", "", "-", "-"},
		"blocks of both": {"rtcp-xr:pkt-loss-rle voip-metrics", "rtcp-xr:pkt-loss-rle", "pkt-loss-rle voip-metrics", "pkt-loss-rle voip-metrics"},
		"round trip":     {"rtcp-xr:rcvr-rtt=sender", "", "rcvr-rtt=sender", "rcvr-rtt=all"},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				a, b := l.phone(alice, 4000), l.phone(bob, 4000)
				with := func(p *phone, attribute string) *sdp.Description {
					if attribute == "" {
						return p.describe()
					}
					return p.describe(attribute)
				}
				x, y := l.call(a, b, with(a, tt.offer), with(b, tt.answer))
				for _, side := range []struct {
					g    *leg
					want string
				}{{y, tt.told}, {x, tt.answered}} {
					got, said := side.g.told.Media[0].Attribute("rtcp-xr")
					if !said {
						got = "-"
					}
					if got != side.want {
						t.Errorf("told %q, want %q", got, side.want)
					}
				}
			})
		})
	}
}

// Another implementation reads our extended reports as we mean them.
func TestExtendedReportsInTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark here")
	}
	var compound []byte
	inLab(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a, "rtcp-xr:rcvr-rtt=all voip-metrics")
		if err := x.s.Listen(&tape{}); err != nil {
			t.Fatal(err)
		}
		first := (&rtp.ExtendedReport{SSRC: 0xa, ReferenceTime: 0x01020304_05060708}).Append((&rtp.Report{SSRC: 0xa}).Append(nil))
		if err := a.rtcp.WriteTo(first, above(x.to)); err != nil {
			t.Fatal(err)
		}
		a.lossyTalk(x, 1, 1000, fiveOfFifty)
		_, reports := a.heard()
		compound = reports[len(reports)-1].Data
	})
	path := filepath.Join(t.TempDir(), "xr.pcap")
	if err := os.WriteFile(path, capture(compound), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tshark, "-r", path, "-d", "udp.port==4001,rtcp", "-V").CombinedOutput()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, out)
	}
	text := string(out)
	for _, want := range []string{"Extended report (RFC 3611)", "VoIP Metrics", "Receiver Reference Time", "DLRR"} {
		if !strings.Contains(text, want) {
			t.Errorf("tshark does not see %q", want)
		}
	}
	for _, bad := range []string{"Malformed", "Expert Info (Error", "Expert Info (Warning"} {
		if strings.Contains(text, bad) {
			t.Errorf("tshark says %q:\n%s", bad, text)
		}
	}
}

// capture is a pcap file with one UDP datagram between ports 4001.
func capture(payload []byte) []byte {
	const rawIPv4 = 228
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4) // version 2.4, no zone, whole packets
	for _, v := range []uint32{4<<16 | 2, 0, 0, 65535, rawIPv4} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	total := 28 + len(payload)
	for _, v := range []uint32{1, 0, uint32(total), uint32(total)} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	ip := []byte{0x45, 0, byte(total >> 8), byte(total), 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}
	length := 8 + len(payload)
	udp := []byte{4001 >> 8, 4001 & 0xff, 4001 >> 8, 4001 & 0xff, byte(length >> 8), byte(length), 0, 0}
	return append(append(append(b, ip...), udp...), payload...)
}
