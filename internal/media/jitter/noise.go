package jitter

import (
	"dialtone/internal/codec"
	"dialtone/internal/codec/noise"
)

// loudest is the level in dBov of noise that is made up without the party having asked for it.
const loudest = -50

// sparing is how many packets without speech there are to one that is measured.
const sparing = 8

// comfort makes noise for the pauses of a party: as it describes it (RFC 3389), else like the quietest packets that were
// heard of it.
type comfort struct {
	generator *noise.Generator
	analyser  noise.Analyser
	floor     float64 // mean square of the quietest packets, rising slowly
	measured  bool
	pauses    int  // packets without speech
	stale     bool // the generator does not know what was measured
}

// set takes a payload of RFC 3389.
func (c *comfort) set(payload []byte) {
	if d, err := noise.Parse(payload); err == nil {
		c.generator.Set(d)
		c.stale = false
	}
}

// heard measures a packet of speech.
func (c *comfort) heard(pcm codec.Frame) {
	if len(pcm) == 0 {
		return
	}
	mean := float64(square(pcm)) / float64(len(pcm))
	if !c.measured || mean < c.floor {
		c.floor, c.measured = mean, true
	} else {
		c.floor += c.floor/256 + 0.01 // a decibel a second
	}
	if mean <= 4*c.floor {
		if c.pauses%sparing == 0 {
			c.analyser.Take(pcm)
		}
		c.pauses++
	}
	c.stale = true
}

// fill makes noise.
func (c *comfort) fill(pcm codec.Frame) {
	if c.stale {
		d := c.analyser.Describe()
		d.Level = min(d.Level, loudest)
		c.generator.Set(d)
		c.stale = false
	}
	c.generator.Append(pcm[:0], len(pcm))
}

// square is the sum of the squares.
func square(pcm codec.Frame) int64 {
	var sum int64
	for _, s := range pcm {
		sum += int64(s) * int64(s)
	}
	return sum
}
