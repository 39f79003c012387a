package tone

import (
	"math"
	"math/cmplx"
	"slices"
	"time"
)

const (
	blockSize = 1024 // samples of one analysis: 128 ms
	hop       = blockSize / 2
	binHz     = float64(Rate) / blockSize

	// A peak of the spectrum is a tone when it is at least that loud, holds at least that share of the power of its
	// block, and is not that much weaker than the loudest peak.
	leastLevel = -45.0 // dBm0
	leastShare = 0.2
	leastTime  = 200 * time.Millisecond // shorter ones are not reported
	sameHz     = 5.0                    // peaks that close are one tone
	mostTones  = 16                     // different tones remembered
)

// Goertzel is the level in dBm0 of one frequency in pcm: how loud a sine of it would be. The longer the block, the
// sharper: 20 ms tell frequencies 50 Hz apart.
func Goertzel(pcm []int16, hz float64) float64 {
	if len(pcm) == 0 {
		return Level(0)
	}
	return Level(sinePower(pcm, hz))
}

// Found is a tone that was heard.
type Found struct {
	Hz       float64
	DBm0     float64       // mean level while it sounded
	Duration time.Duration // how long it sounded, all bursts together, to within 64 ms
}

// Detector listens to samples as they come and remembers the tones in them. Speech and noise have peaks that wander and
// are reported rarely and shortly; a tone stays.
type Detector struct {
	buffer [blockSize]int16
	filled int
	tones  []heard
}

type heard struct {
	hz     float64 // mean
	power  float64 // sum of mean squares over the blocks
	blocks int
}

// Write takes the next samples.
func (d *Detector) Write(pcm []int16) {
	for len(pcm) > 0 {
		n := copy(d.buffer[d.filled:], pcm)
		d.filled += n
		pcm = pcm[n:]
		if d.filled == blockSize {
			d.analyse()
			copy(d.buffer[:], d.buffer[hop:])
			d.filled = blockSize - hop
		}
	}
}

// analyse looks for tones in the full buffer.
func (d *Detector) analyse() {
	var x [blockSize]complex128
	var total float64
	for i, s := range d.buffer {
		// A Hann window: a peak stays within two bins of its frequency.
		w := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/blockSize)
		x[i] = complex(w*float64(s), 0)
		total += float64(s) * float64(s)
	}
	total /= blockSize
	if Level(total) < leastLevel {
		return
	}
	fourier(x[:])
	var m [blockSize / 2]float64
	for i := range m {
		m[i] = cmplx.Abs(x[i])
	}
	for i := 3; i < len(m)-3; i++ {
		if m[i] <= m[i-1] || m[i] < m[i+1] {
			continue
		}
		// The window spreads the power of a sine over the bins around it; its own power is 3/8 of the whole.
		var sum float64
		for k := i - 2; k <= i+2; k++ {
			sum += m[k] * m[k]
		}
		power := 2 * sum / (blockSize * blockSize) / 0.375
		if power < leastShare*total || Level(power) < leastLevel {
			continue
		}
		d.note(interpolate(m[:], i)*binHz, power)
	}
}

// interpolate is the place of a peak between the bins. For a Hann window the ratio a of the two greatest neighbours
// gives it exactly: (2a-1)/(a+1) bins from the greater.
func interpolate(m []float64, i int) float64 {
	if m[i+1] > m[i-1] {
		a := m[i+1] / m[i]
		return float64(i) + (2*a-1)/(a+1)
	}
	a := m[i-1] / m[i]
	return float64(i) - (2*a-1)/(a+1)
}

// note counts a peak for the tone it belongs to.
func (d *Detector) note(hz, power float64) {
	for i := range d.tones {
		t := &d.tones[i]
		if math.Abs(t.hz-hz) < sameHz {
			t.blocks++
			t.hz += (hz - t.hz) / float64(t.blocks)
			t.power += power
			return
		}
	}
	if len(d.tones) == mostTones {
		// Forget what was heard least: of speech there are always new ones.
		least := 0
		for i := range d.tones {
			if d.tones[i].blocks < d.tones[least].blocks {
				least = i
			}
		}
		d.tones = slices.Delete(d.tones, least, least+1)
	}
	d.tones = append(d.tones, heard{hz, power, 1})
}

// Tones lists what was heard for 200 ms or more, longest first.
func (d *Detector) Tones() []Found {
	var found []Found
	for _, t := range d.tones {
		f := Found{
			Hz:       t.hz,
			DBm0:     Level(t.power / float64(t.blocks)),
			Duration: time.Duration(t.blocks) * hop * time.Second / Rate,
		}
		if f.Duration >= leastTime {
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b Found) int { return int(b.Duration - a.Duration) })
	return found
}

// Hz lists the frequencies of Tones rounded to whole numbers.
func (d *Detector) Hz() []int {
	hz := []int{}
	for _, f := range d.Tones() {
		hz = append(hz, int(math.Round(f.Hz)))
	}
	return hz
}

// Heard tells whether a tone within 5 Hz of hz was heard.
func (d *Detector) Heard(hz float64) bool {
	return slices.ContainsFunc(d.Tones(), func(f Found) bool { return math.Abs(f.Hz-hz) < sameHz })
}

// fourier is the discrete Fourier transform in place; len(x) is a power of two.
func fourier(x []complex128) {
	for i, j := 1, 0; i < len(x); i++ {
		bit := len(x) >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j ^= bit
		if i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for size := 2; size <= len(x); size *= 2 {
		sin, cos := math.Sincos(-2 * math.Pi / float64(size))
		step := complex(cos, sin)
		for start := 0; start < len(x); start += size {
			w := complex(1, 0)
			for k := start; k < start+size/2; k++ {
				a, b := x[k], x[k+size/2]*w
				x[k], x[k+size/2] = a+b, a-b
				w *= step
			}
		}
	}
}
