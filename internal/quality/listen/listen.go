// Package listen judges recorded sound: Compare says how what came out of a call differs from what went in, and scores it.
// Speech makes something to send, and the gates hold the results to what the system promises.
//
// It owns the project's own metric, which works in the way of PESQ (ITU-T P.862), though its figures are not those: it
// finds the delay, follows it when it changes, evens out the level, and compares the spectrum on bands as an ear has them,
// frame by frame where somebody speaks. It puts losses of G.711 in the same order as PESQ does, and near its scale. It
// knows nothing of packets; what the packets say is in package quality, tones are found by media/tone.
//
// Pure functions, no goroutines, meant for tests: a minute of sound takes a fraction of a second and a few times its size.
package listen

import (
	"math"
	"time"
)

// Result is how the degraded sound differs from the reference.
type Result struct {
	DelayMS  float64 // of the degraded sound; the median when it changes. Negative when its beginning is missing
	DriftPPM float64 // how much faster the delay grows than time goes: the sampling clocks differ, or something stretches
	LevelDB  float64 // of the degraded sound above that of the reference
	SegSNR   float64 // dB, mean over the frames with speech of -10 to 35 each
	LSD      float64 // dB, log-spectral distance of frames with speech, root mean square over bands, mean over frames
	GapMS    float64 // longest silence where the reference speaks
	Gaps     int     // silences of at least 10 ms where the reference speaks
	Speech   float64 // seconds of speech in the reference
	Heard    float64 // share of the speech where the degraded sound is not silent, 0 to 1
	Bad      float64 // share of the speech that is spoilt, 0 to 1: a frame that is missing counts 1
	Score    float64 // 1 to 4.5, where 4.5 is what cannot be told apart; 1 as well when there is nothing to compare
}

// The score is put near that of PESQ for G.711 with losses: 3.1 for 3 % of silent packets, 2.6 for 5 %, 1.9 for 10 %. Without
// any it is 4.4, where PESQ has 4.0; Opus is at 3.6 to 4.2 from 16 kbit/s on.
const (
	best        = 4.5
	badWeight   = 12.0 // how fast spoilt frames take the score down
	coarse      = 10.0 // dB: distance of frames that are not spoilt which halves the rest of it
	spoiltBy    = 28.0 // times the distance of the best frames: half spoilt
	leastSpoilt = 2.2  // dB
	mostSpoilt  = 4.5  // dB
)

// Compare compares what was heard with what was said, both mono at that rate in Hz, 8000 and more. Beginning and end need not
// agree: what the degraded sound has beyond the reference is left out, what it has not is missing.
func Compare(reference, degraded []int16, rate int) Result {
	if rate < 8000 || len(reference) < rate/10 {
		return Result{Score: 1}
	}
	c := comparison{rate: rate, ref: samples(reference), deg: samples(degraded)}
	c.findSpeech()
	if c.active == 0 {
		return Result{Score: 1}
	}
	c.align()
	c.level()
	r := Result{DelayMS: c.medianDelay(), DriftPPM: c.drift(), LevelDB: -c.gainDB, Speech: float64(c.active) * hop}
	c.measure(&r)
	c.findGaps(&r)
	return r
}

// comparison is the work of one Compare.
type comparison struct {
	rate     int
	ref, deg []float64
	speech   []bool  // of the frames of the reference
	active   int     // of them
	power    float64 // mean square of the reference where it speaks
	lags     []lag   // of the blocks of the reference
	gainDB   float64 // that makes the degraded sound as loud as the reference
}

const (
	frame = 0.020 // s
	hop   = 0.010 // s
)

func (c *comparison) count(seconds float64) int { return int(math.Round(seconds * float64(c.rate))) }

func samples(pcm []int16) []float64 {
	x := make([]float64, len(pcm))
	for i, s := range pcm {
		x[i] = float64(s)
	}
	return x
}

// at are n samples of x from i on, zeros where it has none.
func at(dst, x []float64, i int) {
	for k := range dst {
		dst[k] = 0
		if p := i + k; p >= 0 && p < len(x) {
			dst[k] = x[p]
		}
	}
}

func meanSquare(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	sum := 0.0
	for _, s := range x {
		sum += s * s
	}
	return sum / float64(len(x))
}

// findSpeech marks the frames of the reference in which there is speech: within 30 dB of the loud ones, and above what is
// silence on any line.
func (c *comparison) findSpeech() {
	n, step := c.count(frame), c.count(hop)
	var powers []float64
	for i := 0; i+n <= len(c.ref); i += step {
		powers = append(powers, meanSquare(c.ref[i:i+n]))
	}
	loud := quantile(powers, 0.95)
	threshold := max(loud/1000, silence)
	c.speech = make([]bool, len(powers))
	for i, p := range powers {
		if p > threshold {
			c.speech[i] = true
			c.active++
			c.power += p
		}
	}
	if c.active > 0 {
		c.power /= float64(c.active)
	}
}

// silence is the mean square of what nobody hears: 66 dB under the loudest.
const silence = 16.0 * 16

// level finds how much louder the degraded sound is: the median over the frames with speech, so that missing ones do not
// count.
func (c *comparison) level() {
	n, step := c.count(frame), c.count(hop)
	buffer := make([]float64, n)
	var ratios []float64
	for i, speaks := range c.speech {
		if !speaks {
			continue
		}
		r := meanSquare(c.ref[i*step : i*step+n])
		at(buffer, c.deg, i*step+c.lagAt(i*step))
		if d := meanSquare(buffer); d > silence/16 {
			ratios = append(ratios, 10*math.Log10(r/d))
		}
	}
	c.gainDB = quantile(ratios, 0.5)
}

// measure goes through the frames where either side speaks.
func (c *comparison) measure(r *Result) {
	n, step := c.count(frame), c.count(hop)
	s := newSpectrum(c.rate, n)
	a, b := make([]float64, n), make([]float64, n)
	gain := math.Pow(10, c.gainDB/20)
	floor := c.power / 100
	var distances []float64
	for i, speaks := range c.speech {
		at(a, c.ref, i*step)
		at(b, c.deg, i*step+c.lagAt(i*step))
		for k := range b {
			b[k] *= gain
		}
		if !speaks && meanSquare(b) < c.power/100 {
			continue
		}
		d := s.distance(a, b, floor)
		distances = append(distances, d)
		if speaks {
			r.SegSNR += ratio(a, b)
			r.LSD += d
		}
	}
	r.SegSNR /= float64(c.active)
	r.LSD /= float64(c.active)
	r.Bad, r.Score = score(distances)
}

// score makes a share of spoilt frames and a score of the distances of all frames. What a codec does to every frame is
// something that listeners get used to; it counts by itself, and a frame is spoilt when it is much worse than that.
func score(distances []float64) (bad, score float64) {
	// A tenth of the frames comes through as well as the codec can, whatever is lost.
	usual := quantile(distances, 0.1)
	half := min(max(spoiltBy*usual, leastSpoilt), mostSpoilt)
	spoilt, rest, fine := 0.0, 0.0, 0.0
	for _, d := range distances {
		x := d * d / (half * half)
		b := x * x / (1 + x*x)
		spoilt += b
		rest += (1 - b) * d
		fine += 1 - b
	}
	bad = spoilt / float64(len(distances))
	if fine > 0 {
		rest /= fine
	}
	return bad, 1 + (best-1)/(1+rest/coarse)*math.Exp(-badWeight*bad)
}

// ratio is signal to noise in dB, -10 to 35.
func ratio(ref, deg []float64) float64 {
	signal, noise := 0.0, 0.0
	for i := range ref {
		d := ref[i] - deg[i]
		signal += ref[i] * ref[i]
		noise += d * d
	}
	if noise == 0 {
		return 35
	}
	return min(max(10*math.Log10(signal/noise), -10), 35)
}

// findGaps looks for silence in parts of 5 ms.
func (c *comparison) findGaps(r *Result) {
	const part, shortest = 0.005, 2
	n := c.count(part)
	buffer := make([]float64, n)
	quiet := max(silence/16, c.power/1e5*math.Pow(10, -c.gainDB/10))
	run, heard, all := 0, 0.0, 0.0
	end := func() {
		if run >= shortest {
			r.Gaps++
			r.GapMS = max(r.GapMS, float64(run)*part*1000)
		}
		run = 0
	}
	for i := 0; i+n <= len(c.ref); i += n {
		if meanSquare(c.ref[i:i+n]) <= max(c.power/300, silence) {
			end()
			continue
		}
		all++
		at(buffer, c.deg, i+c.lagAt(i))
		if meanSquare(buffer) <= quiet {
			run++
			continue
		}
		heard++
		end()
	}
	end()
	if all > 0 {
		r.Heard = heard / all
	}
}

// Delay is DelayMS as a duration.
func (r Result) Delay() time.Duration { return time.Duration(r.DelayMS * float64(time.Millisecond)) }
