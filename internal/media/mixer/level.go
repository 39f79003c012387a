package mixer

import (
	"slices"

	"dialtone/internal/codec"
)

const (
	// speech is the mean square from which a frame counts as speech: -45 dBm0, as tone.Level counts.
	speech = 8200
	// hangover is how many periods somebody counts as talking after the last frame of speech: 500 ms bridges the gaps in
	// a sentence.
	hangover = 25
	// A score falls by 1/16 a period: 14 dB a second. It rises at once, so that a first word is not clipped.
	decay = 4
	// advantage is what one who is mixed already has over one who is not: 6 dB in power.
	advantage = 4
)

// measure notes the level of a frame of period n. The caller holds Mixer.mixing.
func (v *voice) measure(n uint64, frame codec.Frame) {
	var sum int64
	for _, s := range frame {
		sum += int64(s) * int64(s)
	}
	v.wanted = sum > 0
	power := sum / int64(len(frame))
	v.power.Store(power)
	v.score = max(power, v.score-v.score>>decay)
	if power >= speech {
		v.loudAt = n
		v.talking.Store(true)
	} else if n > v.loudAt+hangover {
		v.talking.Store(false)
		v.score = power // who is silent for longer makes place for a soft voice at once
	}
}

// quiet is measure for a voice that says nothing.
func (v *voice) quiet() {
	v.score = 0
	v.power.Store(0)
	v.talking.Store(false)
}

// choose marks who is mixed in this period. The caller holds m.mixing.
func (m *Mixer) choose(voices []*voice) {
	clear(m.chosen)
	m.chosen = m.chosen[:0]
	for _, v := range voices {
		switch {
		case !v.wanted:
			continue
		case v.member == nil:
			v.chosen = true // announcements are always heard
			continue
		case v.whisper.Load() != nil:
			continue // heard by one, beside the others
		}
		m.chosen = append(m.chosen, v)
	}
	if len(m.chosen) > m.loudest {
		for _, v := range m.chosen {
			v.rank = v.score
			if v.was {
				v.rank *= advantage
			}
		}
		// Stable: among equals those stay in front who were there first.
		slices.SortStableFunc(m.chosen, func(a, b *voice) int {
			switch {
			case a.rank > b.rank:
				return -1
			case a.rank < b.rank:
				return 1
			}
			return 0
		})
		m.chosen = m.chosen[:m.loudest]
	}
	for _, v := range m.chosen {
		v.chosen = true
	}
}
