// Package noise is comfort noise: what fills the pauses of a speaker whose silence is not sent.
//
// It owns the payload that describes the noise behind a speaker (RFC 3389), the measuring and the making of such noise,
// and a detector that tells speech from it. It does not decide when a description is sent: that is with media. A
// Generator, an Analyser and a Detector each belong to one direction of one stream and to one goroutine at a time;
// nothing is allocated after they are made but the growth of dst. Payloads may be hostile.
package noise

import (
	"errors"
	"math"

	"dialtone/internal/codec"
)

// Name is the RTP encoding name.
const Name = "CN"

// PayloadType is the static payload type.
//
// RFC 3389 §4: it is for a clock rate of 8000 Hz; other rates need dynamic ones.
const PayloadType = 13

// MaxOrder is how many reflection coefficients are looked at and made. More say no more about noise at telephone
// bandwidth; a model that is cut off is the best of its order.
const MaxOrder = 10

// ErrPayload is that a payload describes no noise.
var ErrPayload = errors.New("comfort noise payload is empty")

// quietest is the lowest level that can be said, in dBov.
const quietest = -127

// Description says how noise sounds: its level and the shape of its spectrum.
type Description struct {
	Level      float64           // dBov, 0 to -127: a square wave of full scale is 0
	Order      int               // how many coefficients count; none means white
	Reflection [MaxOrder]float64 // between -1 and 1, negative first where low frequencies are louder (as in G.711 Appendix II)
}

// Parse reads the payload of a packet:
//
//	|0|   level     |  N1  |  N2  | ...
func Parse(payload []byte) (Description, error) {
	if len(payload) == 0 {
		return Description{}, ErrPayload
	}
	// RFC 3389 §3.1: the level is that many dB below overload; the upper bit is 0.
	d := Description{Level: -float64(payload[0] & 0x7f)}
	for _, n := range payload[1:] {
		// RFC 3389 §3.2: index 255 is reserved. What comes from there on is not understood.
		if n == 255 || d.Order == MaxOrder {
			break
		}
		d.Reflection[d.Order] = 258 * (float64(n) - 127) / 32768
		d.Order++
	}
	return d, nil
}

// Append appends the payload to dst.
func (d *Description) Append(dst []byte) []byte {
	dst = append(dst, byte(math.Round(min(max(-d.Level, 0), -quietest))))
	for _, k := range d.Reflection[:d.Order] {
		// RFC 3389 §3.2: uniformly quantised, 0 to 254.
		dst = append(dst, byte(min(max(math.Round(k*32768/258)+127, 0), 254)))
	}
	return dst
}

// level is that of samples in dBov.
func level(pcm codec.Frame) float64 {
	var energy float64
	for _, s := range pcm {
		energy += float64(s) * float64(s)
	}
	return dBov(energy / float64(max(len(pcm), 1)))
}

// dBov is a mean square of samples in dB below overload.
func dBov(square float64) float64 {
	return max(10*math.Log10(square/(32768*32768)), quietest)
}

// Analyser measures the noise behind a speaker. The zero value is ready.
type Analyser struct {
	correlation [MaxOrder + 1]float64 // mean products of samples and those 0, 1, 2 ... before
	known       bool
}

// settling is what a new frame counts beside the former ones: half of the noise is that of the last 100 ms, in frames of
// 20 ms.
const settling = 0.13

// Take measures a frame that is known to be a pause, 10 ms or more.
func (a *Analyser) Take(pcm codec.Frame) {
	if len(pcm) <= MaxOrder {
		return
	}
	weight := settling
	if !a.known {
		weight, a.known = 1, true
	}
	for lag := range a.correlation {
		var sum float64
		for i, s := range pcm[lag:] {
			sum += float64(s) * float64(pcm[i])
		}
		a.correlation[lag] += weight * (sum/float64(len(pcm)) - a.correlation[lag])
	}
}

// Describe gives the noise as measured; silence when nothing was.
func (a *Analyser) Describe() Description {
	d := Description{Level: dBov(a.correlation[0])}
	// Levinson and Durbin; a little white noise keeps it away from its edge.
	failure := a.correlation[0]*1.001 + 1
	var predictor, next [MaxOrder + 1]float64
	predictor[0] = 1
	for m := 1; m <= MaxOrder; m++ {
		sum := a.correlation[m]
		for j := 1; j < m; j++ {
			sum += predictor[j] * a.correlation[m-j]
		}
		k := min(max(-sum/failure, -0.999), 0.999)
		next = predictor
		for j := 1; j < m; j++ {
			next[j] += k * predictor[m-j]
		}
		next[m] = k
		predictor = next
		failure *= 1 - k*k
		d.Reflection[m-1] = k
	}
	d.Order = MaxOrder
	return d
}
