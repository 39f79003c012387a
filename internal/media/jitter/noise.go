package jitter

import (
	"math"

	"dialtone/internal/codec"
)

const (
	noiseOrder = 12 // coefficients that are used at most
	// loudest is the RMS of noise that is made up without the party having asked for it.
	loudest = 100
)

// comfort makes noise: as the party describes it (RFC 3389), else as loud as the quietest that was heard of it.
type comfort struct {
	seed     uint32
	floor    float64 // mean square of the quietest packets, rising slowly
	measured bool

	told        bool // by the party
	level       float64
	reflections [noiseOrder]float64
	order       int
	state       [noiseOrder + 1]float64
}

// set takes a payload of RFC 3389.
func (c *comfort) set(payload []byte) {
	if len(payload) == 0 {
		return
	}
	// RFC 3389 §3.1: seven bits of level in -dBov, against a square wave of full scale.
	c.told = true
	c.level = 32767 * math.Pow(10, -float64(payload[0]&0x7f)/20)
	c.order = min(len(payload)-1, noiseOrder)
	gain := 1.0
	for i := range c.order {
		k := 0.0
		// RFC 3389 §3.2: index 255 is reserved.
		if n := payload[1+i]; n != 255 {
			k = 258 * (float64(n) - 127) / 32768
		}
		c.reflections[i] = k
		gain *= 1 - k*k
	}
	// What goes into an all-pole filter comes out louder by the inverse of this.
	c.level *= math.Sqrt(gain)
}

// heard measures a packet of speech.
func (c *comfort) heard(pcm codec.Frame) {
	var energy int64
	for _, s := range pcm {
		energy += int64(s) * int64(s)
	}
	mean := float64(energy) / float64(len(pcm))
	if !c.measured || mean < c.floor {
		c.floor, c.measured = mean, true
	} else {
		c.floor += (mean - c.floor) / 1024
	}
	c.told = false
}

// fill makes noise.
func (c *comfort) fill(pcm codec.Frame, rate int) {
	level, order := c.level, c.order
	if !c.told {
		level, order = min(math.Sqrt(c.floor), loudest), 0
	}
	if level < 1 {
		clear(pcm)
		return
	}
	amplitude := level * math.Sqrt(3) / (1 << 31) // of an even distribution
	for i := range pcm {
		c.seed ^= c.seed << 13
		c.seed ^= c.seed >> 17
		c.seed ^= c.seed << 5
		x := float64(int32(c.seed)) * amplitude
		if order > 0 {
			x = c.lattice(x, order)
		}
		pcm[i] = int16(max(-32768, min(32767, x)))
	}
}

// lattice is the all-pole filter of the reflection coefficients.
func (c *comfort) lattice(x float64, order int) float64 {
	for i := order - 1; i >= 0; i-- {
		k := c.reflections[i]
		x -= k * c.state[i]
		c.state[i+1] = c.state[i] + k*x
	}
	c.state[0] = x
	return x
}
