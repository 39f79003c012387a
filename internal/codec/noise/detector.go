package noise

import "dialtone/internal/codec"

// Thresholds of the detector in dB.
const (
	floorRise   = 1.0   // a second: how fast the floor follows noise that grows
	lowestFloor = -65.0 // dBov
	highFloor   = -36.0 // dBov: what is 10 dB louder is never taken for noise
	onset       = 10.0  // above the floor: speech begins
	release     = 6.0   // above the floor: speech goes on
)

// hangover is how long speech goes on after its last loud frame, in seconds: ends of words are quiet.
const hangover = 0.2

// Detector tells speech from the noise behind it by the level alone: it follows the floor of the noise and takes what
// stands out for speech. Make it with NewDetector.
type Detector struct {
	rate   int
	floor  float64 // dBov
	known  bool
	active bool
	left   float64 // seconds of hangover
}

// NewDetector makes the detector of a stream of rate Hz.
func NewDetector(rate int) *Detector { return &Detector{rate: rate, floor: lowestFloor} }

// Active reports whether there is speech in a frame of 10 ms or more, or was within the last 200 ms.
func (d *Detector) Active(pcm codec.Frame) bool {
	if len(pcm) == 0 {
		return d.active
	}
	seconds := float64(len(pcm)) / float64(d.rate)
	l := level(pcm)
	switch {
	case !d.known:
		d.known = true
		d.floor = l
	case l < d.floor:
		// Down within some 100 ms: one quiet frame is no pause yet.
		d.floor += (l - d.floor) * min(1, 10*seconds)
	default:
		d.floor += min(floorRise*seconds, l-d.floor)
	}
	d.floor = min(max(d.floor, lowestFloor), highFloor)

	switch above := l - d.floor; {
	case above > onset, d.active && above > release:
		d.active, d.left = true, hangover
	case d.active:
		if d.left -= seconds; d.left <= 0 {
			d.active = false
		}
	}
	return d.active
}

// Floor is the level that is taken for noise, in dBov.
func (d *Detector) Floor() float64 { return d.floor }
