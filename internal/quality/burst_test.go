package quality

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestBurstRatio(t *testing.T) {
	for name, tt := range map[string]struct {
		b    Bursts
		want float64
	}{
		"nothing lost":           {Bursts{GapPackets: 1000}, 1},
		"one here and there":     {Bursts{GapDensity: 0.01, GapPackets: 1000}, 1},
		"all lost":               {Bursts{BurstDensity: 1, BurstPackets: 1000}, 1},
		"ten in a row of 100":    {Bursts{BurstDensity: 1, BurstPackets: 10, GapPackets: 90}, 10 * 0.9},
		"long breaks":            {Bursts{BurstDensity: 6.0 / 14, BurstPackets: 14, GapPackets: 1e6}, 6.0 / 2 * (1 - 6/1e6)},
		"many short breaks":      {Bursts{BurstDensity: 0.5, BurstPackets: 40, GapPackets: 17}, 20 / (1 + 20/2.0) * (1 - 20/57.0)},
		"five in a row, 5 alone": {Bursts{BurstDensity: 1, BurstPackets: 5, GapDensity: 5.0 / 500, GapPackets: 500}, 10.0 / 6 * (1 - 10.0/505)},
	} {
		if got := tt.b.Ratio(); math.Abs(got-tt.want) > 0.01 {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// In a channel of two states where a packet is lost after one that was received with p, and received after one that was
// lost with q, the ratio is 1/(p+q): G.107 §7.2.1.
func TestBurstRatioOfAChannel(t *testing.T) {
	for _, tt := range []struct{ p, q float64 }{{0.002, 0.3}, {0.005, 0.2}, {0.01, 0.5}, {0.003, 0.1}, {0.01, 0.9}, {0.1, 0.9}, {0.3, 0.7}, {0.05, 0.3}} {
		b := channel(rand.New(rand.NewPCG(7, 7)), tt.p, tt.q)
		if got, want := b.Ratio(), 1/(tt.p+tt.q); math.Abs(got-want) > 0.05*want {
			t.Errorf("p %v q %v: %.2f, want about %.2f", tt.p, tt.q, got, want)
		}
	}
}

// channel finds the bursts of a long series with a Gmin of 16, by their definition in RFC 3611 §4.7.2.
func channel(random *rand.Rand, p, q float64) Bursts {
	const n, gmin = 400_000, 16
	var at []int // of the lost ones
	for i, lost := 0, false; i < n; i++ {
		lost = random.Float64() < p && !lost || lost && random.Float64() >= q
		if lost {
			at = append(at, i)
		}
	}
	var bursts, packets, inBurst float64
	for i := 0; i < len(at); {
		k := i
		for k+1 < len(at) && at[k+1]-at[k] <= gmin {
			k++
		}
		if k > i {
			bursts++
			packets += float64(at[k] - at[i] + 1)
			inBurst += float64(k - i + 1)
		}
		i = k + 1
	}
	return Bursts{
		BurstDensity: inBurst / packets, BurstPackets: packets / bursts,
		GapDensity: (float64(len(at)) - inBurst) / (n - packets), GapPackets: (n - packets) / (bursts + 1),
	}
}
