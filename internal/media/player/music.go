package player

import (
	"math"

	"dialtone/internal/codec"
)

// Music is a short loop of music that is made here: nobody else has a right in it. It is computed at first use. The rate
// is in samples a second.
func (l *Library) Music(rate int) (*Sound, error) {
	if rate != 8000 && rate != 16000 && rate != 48000 {
		return nil, ErrRate
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.music[rate]
	if s == nil {
		s = &Sound{PCM: compose(rate), Rate: rate}
		l.music[rate] = s
	}
	return s, nil
}

// The piece: eight bars of four chords, broken into eighths over a bass, at 96 beats a minute; 20 s.
const (
	bars       = 8
	eighths    = 8
	eighthTime = 60.0 / 96 / 2 // seconds
	peak       = 0.25          // of full scale: -9 dBm0 at the loudest, about -20 on the whole
)

// chords are semitones from middle C: the bass, then four voices upwards.
func chords() [4][5]int {
	return [4][5]int{
		{-12, 4, 7, 11, 14}, // C major seventh with the ninth
		{-15, 0, 4, 7, 12},  // A minor seventh
		{-19, 0, 4, 9, 12},  // F major seventh
		{-17, -1, 2, 5, 9},  // G seventh with the ninth
	}
}

// compose adds up the notes. Those that sound beyond the end go on at the beginning: the loop has no seam.
func compose(rate int) codec.Frame {
	total := int(bars * eighths * eighthTime * float64(rate))
	sum := make([]float64, total)
	figure := [eighths]int{1, 2, 3, 4, 3, 2, 4, 2}
	for bar := range bars {
		chord := chords()[bar%4]
		at := float64(bar*eighths) * eighthTime
		strike(sum, rate, at, chord[0], 1.0, 1.6)
		strike(sum, rate, at+4*eighthTime, chord[0]+7, 0.6, 1.2)
		for i, voice := range figure {
			loud := 0.55
			if i%4 == 0 {
				loud = 0.75
			}
			if bar >= 4 && i == eighths-1 {
				voice = 3 // the second half ends its bars differently
			}
			strike(sum, rate, at+float64(i)*eighthTime, chord[voice], loud, 0.9)
		}
	}
	top := 0.0
	for _, x := range sum {
		top = max(top, math.Abs(x))
	}
	pcm := make(codec.Frame, total)
	for i, x := range sum {
		pcm[i] = int16(math.Round(x / top * peak * 32767))
	}
	return pcm
}

// strike adds a note: three partials that die away, the higher the sooner, like a bar that is struck.
func strike(sum []float64, rate int, at float64, semitone int, loud, seconds float64) {
	hz := 261.63 * math.Pow(2, float64(semitone)/12)
	from := int(at * float64(rate))
	for i := range int(3 * seconds * float64(rate)) {
		t := float64(i) / float64(rate)
		attack := min(1, t/0.008)
		// The end of what dies away is cut by a slope, not by an edge.
		end := min(1, (3*seconds-t)/0.05)
		x := math.Exp(-t/seconds*2.5)*math.Sin(2*math.Pi*hz*t) +
			0.35*math.Exp(-t/seconds*5)*math.Sin(4*math.Pi*hz*t) +
			0.12*math.Exp(-t/seconds*9)*math.Sin(6*math.Pi*hz*t)
		sum[(from+i)%len(sum)] += loud * attack * end * x
	}
}
