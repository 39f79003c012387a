package tone

import (
	"math"
	"time"
)

// Kind is a tone of a fax machine or modem.
type Kind uint8

// The kinds.
const (
	None  Kind = iota
	CNG        // a calling fax: 1100 Hz, half a second in 3.5 (T.30 §4.3.3.3.2)
	CED        // an answering fax: 2100 Hz (T.30 §4.3.3.3.1), also with phase reversals (V.25 §4)
	ANSam      // an answering modem or fast fax: 2100 Hz whose level goes up and down 15 times a second (V.8 §5.2)
)

// String is the name of the tone.
func (k Kind) String() string { return [...]string{"none", "CNG", "CED", "ANSam"}[k] }

const (
	faxBlock = 160 // samples of one look: 20 ms

	// A block belongs to a tone when it is that loud (T.30 §4.3.3: receivers hear -43 dBm), when so much of its power is
	// the tone's, and when it is as loud as the blocks before to within a factor.
	faxLevel  = -43.0
	faxShare  = 0.72
	faxSteady = 1.8

	// Each good block counts one, each other one takes faxMiss away: a lost packet does not end a tone.
	faxMiss    = 2
	cngBlocks  = 16 // 320 ms; half a second less 15 % leaves room for one lost packet
	cedBlocks  = 10 // 200 ms: three periods of the 15 Hz of ANSam
	ansamDepth = 0.08
)

// Fax listens for the tones of fax machines in PCM at 8 kHz. The zero value is ready.
type Fax struct {
	buffer [faxBlock]int16
	filled int
	cng    steady
	ced    steady
}

// steady follows one tone.
type steady struct {
	score int
	power float64 // mean of the run
	told  bool
	// The amplitudes of the last good blocks against a sine of 15 Hz.
	at     int
	levels [cedBlocks]float64
}

// Write takes the next samples. found is the tone that has just been recognized: once for each time it sounds. Of several
// in one Write it is the last.
func (f *Fax) Write(pcm []int16) (found Kind) {
	for len(pcm) > 0 {
		n := copy(f.buffer[f.filled:], pcm)
		f.filled += n
		pcm = pcm[n:]
		if f.filled < faxBlock {
			break
		}
		f.filled = 0
		if k := f.look(); k != None {
			found = k
		}
	}
	return found
}

// look judges one block.
func (f *Fax) look() Kind {
	var total float64
	for _, s := range f.buffer {
		total += float64(s) * float64(s)
	}
	total /= faxBlock
	var low, high float64
	if Level(total) >= faxLevel {
		// T.30 §4.3.3: CNG may be 38 Hz off, CED 15 Hz; one look is 50 Hz wide.
		low = max(sinePower(f.buffer[:], 1075), sinePower(f.buffer[:], 1100), sinePower(f.buffer[:], 1125))
		high = max(sinePower(f.buffer[:], 2090), sinePower(f.buffer[:], 2110))
	}
	if f.cng.step(low, total) == cngBlocks && !f.cng.told {
		f.cng.told = true
		return CNG
	}
	if f.ced.step(high, total) == cedBlocks && !f.ced.told {
		f.ced.told = true
		if f.ced.depth() > ansamDepth {
			return ANSam
		}
		return CED
	}
	return None
}

// step counts a block; it returns the score.
func (s *steady) step(power, total float64) int {
	good := total > 0 && power >= faxShare*total
	if good && s.score > 0 && (total > s.power*faxSteady || total < s.power/faxSteady) {
		good = false
	}
	if !good {
		if s.score = max(0, s.score-faxMiss); s.score == 0 {
			*s = steady{}
		}
		return s.score
	}
	s.levels[s.at%cedBlocks] = math.Sqrt(total)
	s.at++
	s.score++
	s.power += (total - s.power) / float64(min(s.score, cedBlocks))
	// The score stops above its threshold, so that a tone that ends is forgotten soon.
	s.score = min(s.score, cngBlocks+4)
	return s.score
}

// depth is how much of the amplitude goes up and down with 15 Hz.
func (s *steady) depth() float64 {
	var re, im, mean float64
	for i, level := range s.levels {
		sin, cos := math.Sincos(2 * math.Pi * 15 * float64(i) * faxBlock / Rate)
		re += level * cos
		im += level * sin
		mean += level
	}
	if mean == 0 {
		return 0
	}
	return 2 * math.Hypot(re, im) / mean
}

// sinePower is the mean square of the part of pcm that is a sine of a frequency.
func sinePower(pcm []int16, hz float64) float64 {
	return goertzel(pcm, 2*math.Cos(2*math.Pi*hz/Rate))
}

// goertzel is the same for 2 cos(2 pi hz / Rate).
func goertzel(pcm []int16, k float64) float64 {
	var s1, s2 float64
	for _, x := range pcm {
		s1, s2 = float64(x)+k*s1-s2, s1
	}
	// |X|^2 of a sine of amplitude A is (A n/2)^2, its mean square A^2/2.
	n := float64(len(pcm))
	return 2 * (s1*s1 + s2*s2 - k*s1*s2) / (n * n)
}

// FaxCalling is CNG as a calling fax sends it.
func FaxCalling() Cadence {
	return onOff(Tone{Hz: [2]float64{1100}, DBm0: progressLevel}, 500*ms, 3000*ms)
}

// FaxAnswer is CED as an answering fax sends it, three seconds of it.
func FaxAnswer() Cadence {
	return Cadence{{Tone{Hz: [2]float64{2100}, DBm0: progressLevel}, 3 * time.Second}, {Tone{}, 0}}
}
