// Package tone makes the tones of the telephone network and finds tones in what was heard.
//
// It owns levels, cadences, the call progress and special information tones of countries as data, the keys of telephones
// (DTMF) and the tones of fax machines (Fax) both ways, and detection by Goertzel and Fourier sums.
// It does not packetize, encode or play: it fills and reads linear PCM at 8 kHz. No goroutines; a Generator or Detector
// belongs to one goroutine at a time. Levels are in dBm0: 0 dBm0 is 3.14 dB below the strongest sine that A-law can
// carry (G.711 §4).
package tone

import (
	"math"
	"time"
)

// Rate is the sampling rate of all samples here, in Hz.
const Rate = 8000

// overload is the level of a full-scale sine in dBm0.
const overload = 3.14

// A Tone is the sum of sines of one level each; without frequencies it is silence.
type Tone struct {
	Hz   [2]float64 // 0 for none
	DBm0 float64    // level of each of the sines, without its modulation
	// By is the frequency in Hz with which the amplitude goes up and down by the share Depth; 0 is not at all.
	By, Depth float64
}

// A Burst is a tone for a while. Duration 0 is for ever.
type Burst struct {
	Tone     Tone
	Duration time.Duration
}

// A Cadence is a row of bursts that repeats.
type Cadence []Burst

// Sine is one frequency without end.
func Sine(hz, dBm0 float64) Cadence { return Cadence{{Tone: Tone{Hz: [2]float64{hz}, DBm0: dBm0}}} }

// Amplitude is the peak sample value of a sine of that level.
func Amplitude(dBm0 float64) float64 { return 32767 * math.Pow(10, (dBm0-overload)/20) }

// Level is the level in dBm0 of a signal with the given mean square of its samples; silence is -100.
func Level(meanSquare float64) float64 {
	if meanSquare <= 0 {
		return -100
	}
	return max(-100, 10*math.Log10(2*meanSquare/(32767*32767))+overload)
}

// Generator plays a cadence, without a click at the joins of its buffers.
type Generator struct {
	cadence Cadence
	burst   int
	left    int // samples of the burst that are still to come; -1 for ever
	osc     [2]oscillator
	by      oscillator
}

// oscillator is a sine by rotation of a vector: cheap, and exact for hours when put back on the circle now and then.
type oscillator struct {
	amplitude float64
	re, im    float64
	cos, sin  float64
}

// NewGenerator starts a cadence at its beginning. An empty cadence is silence.
func NewGenerator(c Cadence) *Generator {
	g := &Generator{cadence: c}
	if len(c) > 0 {
		g.enter(0)
	}
	return g
}

// enter starts burst i with phase 0.
func (g *Generator) enter(i int) {
	b := g.cadence[i]
	g.burst = i
	g.left = int(int64(b.Duration) * Rate / int64(time.Second))
	if b.Duration <= 0 {
		g.left = -1
	} else if g.left == 0 {
		g.left = 1
	}
	for k, hz := range b.Tone.Hz {
		g.osc[k] = oscillator{}
		if hz > 0 {
			sin, cos := math.Sincos(2 * math.Pi * hz / Rate)
			g.osc[k] = oscillator{amplitude: Amplitude(b.Tone.DBm0), re: 1, cos: cos, sin: sin}
		}
	}
	g.by = oscillator{}
	if b.Tone.By > 0 {
		sin, cos := math.Sincos(2 * math.Pi * b.Tone.By / Rate)
		g.by = oscillator{amplitude: b.Tone.Depth, re: 1, cos: cos, sin: sin}
	}
}

// Read fills pcm with the next samples.
func (g *Generator) Read(pcm []int16) {
	if len(g.cadence) == 0 {
		clear(pcm)
		return
	}
	for i := range pcm {
		if g.left == 0 {
			g.enter((g.burst + 1) % len(g.cadence))
		}
		if g.left > 0 {
			g.left--
		}
		s := (g.osc[0].next() + g.osc[1].next()) * (1 + g.by.next())
		pcm[i] = int16(max(-32768, min(32767, math.Round(s))))
	}
	g.osc[0].normalize()
	g.osc[1].normalize()
	g.by.normalize()
}

func (o *oscillator) next() float64 {
	if o.amplitude == 0 {
		return 0
	}
	s := o.im * o.amplitude
	o.re, o.im = o.re*o.cos-o.im*o.sin, o.re*o.sin+o.im*o.cos
	return s
}

func (o *oscillator) normalize() {
	if o.amplitude > 0 {
		r := 1 / math.Hypot(o.re, o.im)
		o.re *= r
		o.im *= r
	}
}
