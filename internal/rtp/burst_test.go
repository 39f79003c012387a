package rtp

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// pattern feeds one sign for each packet: 1 received, 0 lost, X discarded.
func pattern(b *BurstGap, signs string) {
	for _, s := range signs {
		switch s {
		case '1':
			b.Packet()
		case '0':
			b.Lost()
		case 'X':
			b.Discarded()
		}
	}
}

// The example of RFC 3611 §4.7.2, whose drawing has one packet less than its text.
func TestBurstGapOfTheRFC(t *testing.T) {
	b := BurstGap{PacketTime: 10 * time.Millisecond}
	pattern(&b, "11110111111111111111111X111X1011110111111111111111111X111111111")
	f := b.Figures()
	want := Figures{LossRate: 3.0 / 63, DiscardRate: 3.0 / 63, BurstDensity: 4.0 / 12, GapDensity: 2.0 / 51,
		BurstDuration: 120 * time.Millisecond, GapDuration: (230 + 280) / 2 * time.Millisecond, Bursts: 1, Gaps: 2, Expected: 63, Gmin: 16}
	if f != want {
		t.Errorf("%+v, want %+v", f, want)
	}
}

func TestBurstGap(t *testing.T) {
	received := func(n int) string { return strings.Repeat("1", n) }
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		signs          string
		bursts, gaps   uint64
		burst, gap     time.Duration
		density, apart float64 // in bursts, in gaps
	}{
		"nothing":                   {},
		"all well":                  {received(50), 0, 1, 0, 1000 * ms, 0, 0},
		"first lost":                {"0" + received(16), 0, 1, 0, 340 * ms, 0, 1.0 / 17},
		"last lost":                 {received(16) + "0", 0, 1, 0, 340 * ms, 0, 1.0 / 17},
		"one lost alone":            {"0", 0, 1, 0, 20 * ms, 0, 1},
		"two lost alone":            {"00", 1, 0, 40 * ms, 0, 1, 0},
		"two, fifteen between":      {"0" + received(15) + "X", 1, 0, 340 * ms, 0, 2.0 / 17, 0},
		"two, sixteen between":      {"0" + received(16) + "0", 0, 1, 0, 360 * ms, 0, 2.0 / 18},
		"burst, then one":           {"00" + received(20) + "0" + received(20), 1, 1, 40 * ms, 820 * ms, 1, 1.0 / 41},
		"two bursts":                {received(4) + "00" + received(16) + "0101" + received(40), 2, 3, 50 * ms, 406667 * time.Microsecond, 4.0 / 5, 0},
		"everything lost":           {strings.Repeat("0", 30), 1, 0, 600 * ms, 0, 1, 0},
		"at the moment of a report": {received(30) + "0" + received(3) + "0", 1, 1, 100 * ms, 600 * ms, 2.0 / 5, 0},
	} {
		b := BurstGap{PacketTime: 20 * ms}
		pattern(&b, tt.signs)
		f := b.Figures()
		if f.Bursts != tt.bursts || f.Gaps != tt.gaps || f.BurstDuration != tt.burst || (f.GapDuration-tt.gap).Abs() > ms ||
			f.BurstDensity != tt.density || f.GapDensity != tt.apart {
			t.Errorf("%s: %+v, want %+v", name, f, tt)
		}
		if again := b.Figures(); again != f {
			t.Errorf("%s: reading changes the figures: %+v", name, again)
		}
	}
}

func TestLatePacketIsDiscarded(t *testing.T) {
	var b BurstGap
	pattern(&b, "1110")
	b.Late()
	b.Late()
	if f := b.Figures(); f.LossRate != 0 || f.DiscardRate != 0.25 {
		t.Errorf("%+v", f)
	}
}

// byDefinition finds bursts by the words of RFC 3611 §4.7.2, with all packets at hand.
func byDefinition(signs string, gmin int) (bursts, burstPackets, burstMissing, gaps, gapPackets, gapMissing int) {
	inBurst := make([]bool, len(signs))
	last := -1
	for i := range signs {
		if signs[i] == '1' {
			continue
		}
		if last >= 0 && i-last-1 < gmin {
			for k := last; k <= i; k++ {
				inBurst[k] = true
			}
		}
		last = i
	}
	for i := range signs {
		starts := i == 0 || inBurst[i] != inBurst[i-1]
		missing := signs[i] != '1'
		switch {
		case inBurst[i]:
			burstPackets++
			bursts += count(starts)
			burstMissing += count(missing)
		default:
			gapPackets++
			gaps += count(starts)
			gapMissing += count(missing)
		}
	}
	return
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// appendix is the algorithm of RFC 3611 A.2, line by line.
type appendix struct {
	losses, discards, pkt, lost        float64
	c11, c13, c14, c22, c23, c33, gmin float64
}

func (a *appendix) event(sign byte) {
	switch sign {
	case '0':
		a.losses++
	case 'X':
		a.discards++
	default:
		a.pkt++
		return
	}
	if a.pkt >= a.gmin {
		if a.lost == 1 {
			a.c14++
		} else {
			a.c13++
		}
		a.lost = 1
		a.c11 += a.pkt
	} else {
		a.lost++
		if a.pkt == 0 {
			a.c33++
		} else {
			a.c23++
			a.c22 += a.pkt - 1
		}
	}
	a.pkt = 0
}

// figures are densities, and durations in packets. The "lgap" that A.2 subtracts is its gap length, and its total leaves
// out that the packets of one transition are two.
func (a *appendix) figures() (burstDensity, gapDensity, burst, gap, lossRate, discardRate float64) {
	c31, c32 := a.c13, a.c23
	total := a.c11 + a.c14 + a.c13 + a.c22 + a.c23 + c31 + c32 + a.c33
	p32, p23 := c32/(c31+c32+a.c33), 1.0
	if a.c22+a.c23 >= 1 {
		p23 = 1 - a.c22/(a.c22+a.c23)
	}
	gap = (a.c11 + a.c14 + a.c13) / a.c13
	return p23 / (p23 + p32), a.c14 / (a.c11 + a.c14), total/a.c13 - gap, gap, a.losses / total, a.discards / total
}

// series makes a long series of packets from a channel with a good and a bad state.
func series(random *rand.Rand, n int, toBad, toGood, lossGood, lossBad float64) string {
	signs := make([]byte, n)
	bad := false
	for i := range signs {
		if bad && random.Float64() < toGood || !bad && random.Float64() < toBad {
			bad = !bad
		}
		loss := lossGood
		if bad {
			loss = lossBad
		}
		switch {
		case random.Float64() >= loss:
			signs[i] = '1'
		case random.IntN(4) == 0:
			signs[i] = 'X'
		default:
			signs[i] = '0'
		}
	}
	return string(signs)
}

func TestBurstGapIsWhatTheDefinitionSays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		gmin := 1 + random.IntN(20)
		signs := series(random, random.IntN(400), 0.02, 0.1, random.Float64()*0.1, random.Float64())
		b := BurstGap{PacketTime: time.Second, Gmin: uint8(gmin)}
		pattern(&b, signs)
		f := b.Figures()
		bursts, burstPackets, burstMissing, gaps, gapPackets, gapMissing := byDefinition(signs, gmin)
		want := Figures{
			LossRate:      share(uint64(strings.Count(signs, "0")), uint64(len(signs))),
			DiscardRate:   share(uint64(strings.Count(signs, "X")), uint64(len(signs))),
			BurstDensity:  share(uint64(burstMissing), uint64(burstPackets)),
			GapDensity:    share(uint64(gapMissing), uint64(gapPackets)),
			BurstDuration: mean(uint64(burstPackets), uint64(bursts), time.Second),
			GapDuration:   mean(uint64(gapPackets), uint64(gaps), time.Second),
			Bursts:        uint64(bursts), Gaps: uint64(gaps), Expected: uint64(len(signs)), Gmin: uint8(gmin),
		}
		if f != want {
			t.Fatalf("round %d, Gmin %d, %s:\n%+v, want\n%+v", round, gmin, signs, f, want)
		}
	}
}

// The algorithm of the appendix infers some counts from others, so it agrees over long series within a few percent.
func TestBurstGapAgreesWithTheAppendix(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 3))
		signs := series(random, 200_000, 0.002, 0.03, 0.003, 0.1+0.1*float64(seed))
		b := BurstGap{PacketTime: time.Second}
		a := appendix{gmin: 16}
		pattern(&b, signs)
		for i := range signs {
			a.event(signs[i])
		}
		f := b.Figures()
		burstDensity, gapDensity, burst, gap, loss, discard := a.figures()
		for _, x := range []struct {
			name      string
			got, want float64
		}{
			{"burst density", f.BurstDensity, burstDensity}, {"gap density", f.GapDensity, gapDensity},
			{"burst duration", f.BurstDuration.Seconds(), burst}, {"gap duration", f.GapDuration.Seconds(), gap},
			{"loss rate", f.LossRate, loss}, {"discard rate", f.DiscardRate, discard},
		} {
			if math.Abs(x.got-x.want) > 0.05*x.want {
				t.Errorf("seed %d: %s %v, the appendix has %v", seed, x.name, x.got, x.want)
			}
		}
	}
}

func TestBurstGapAllocatesNothing(t *testing.T) {
	var b BurstGap
	if n := testing.AllocsPerRun(100, func() {
		pattern(&b, "1110X")
		b.Late()
		b.Figures()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
