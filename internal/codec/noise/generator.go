package noise

import (
	"math"
	"slices"

	"dialtone/internal/codec"
)

// Generator makes noise that sounds as described. Make it with NewGenerator.
type Generator struct {
	wanted, now Description
	amplitude   float64 // of the white noise that is shaped
	memory      [MaxOrder]float64
	seed        uint64
	begun       bool
	until       int // samples until now moves on towards wanted
}

// period is after how many samples the noise moves on towards what is wanted.
const period = 80

// NewGenerator makes a generator that is silent until Set is called. Equal seeds make equal noise.
func NewGenerator(seed uint64) *Generator {
	return &Generator{wanted: Description{Level: quietest}, now: Description{Level: quietest}, seed: seed | 1}
}

// Set says how the noise is to sound from now on. The change from another noise takes some 50 ms.
func (g *Generator) Set(d Description) {
	d.Level = min(max(d.Level, quietest), 0)
	d.Order = min(max(d.Order, 0), MaxOrder)
	for i := range d.Reflection {
		if i >= d.Order {
			d.Reflection[i] = 0
		}
		// Nearer to 1 the noise would be a tone that takes seconds to rise.
		d.Reflection[i] = min(max(d.Reflection[i], -0.99), 0.99)
	}
	g.wanted = d
	if !g.begun {
		g.begun, g.now, g.until = true, d, 0
	}
}

// Append appends n samples of noise.
func (g *Generator) Append(dst codec.Frame, n int) codec.Frame {
	dst = slices.Grow(dst, max(n, 0))
	for range n {
		if g.until--; g.until < 0 {
			g.move()
		}
		s := g.amplitude * g.white()
		// An all-pole lattice: stable for any coefficients between -1 and 1, also on the way from some to others.
		for m := MaxOrder - 1; m >= 0; m-- {
			k := g.now.Reflection[m]
			s -= k * g.memory[m]
			if m+1 < MaxOrder {
				g.memory[m+1] = g.memory[m] + k*s
			}
		}
		g.memory[0] = s
		dst = append(dst, int16(min(max(math.Round(s), math.MinInt16), math.MaxInt16)))
	}
	return dst
}

// move takes a step towards what is wanted.
func (g *Generator) move() {
	const step = 0.2
	g.until = period - 1
	g.now.Level += step * (g.wanted.Level - g.now.Level)
	power := math.Pow(10, g.now.Level/10) * 32768 * 32768
	for i := range g.now.Reflection {
		k := &g.now.Reflection[i]
		*k += step * (g.wanted.Reflection[i] - *k)
		power *= 1 - *k**k // what the lattice will amplify
	}
	g.amplitude = math.Sqrt(power)
}

// white is noise with a mean square of 1: the sum of four even numbers is near enough to a bell.
func (g *Generator) white() float64 {
	// xorshift64*
	g.seed ^= g.seed >> 12
	g.seed ^= g.seed << 25
	g.seed ^= g.seed >> 27
	x := g.seed * 0x2545f4914f6cdd1d
	sum := int(x&0xffff) + int(x>>16&0xffff) + int(x>>32&0xffff) + int(x>>48) - 2*0xffff
	// Each of the four has a variance of (2^16)^2/12.
	return float64(sum) * (1.7320508 / 65536)
}
