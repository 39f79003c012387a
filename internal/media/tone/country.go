package tone

import (
	"strings"
	"time"
)

// Plan is the call progress tones of a country.
type Plan struct {
	Dial       Cadence
	Ringback   Cadence
	Busy       Cadence
	Congestion Cadence // also "reorder": no way to the number
}

// progressLevel is the level of call progress tones; ITU-T Q.35 has them at -10 dBm0 or a little below.
const progressLevel = -13

// Country is the tones of an ISO 3166 country code, after the list that ITU-T publishes with E.180. Unknown countries
// get 425 Hz with the cadences that E.180 recommends.
func Country(code string) Plan {
	const ms = time.Millisecond
	switch strings.ToUpper(code) {
	case "US", "CA":
		return Plan{
			Dial:       Cadence{{pair(350, 440), 0}},
			Ringback:   onOff(pair(440, 480), 2000*ms, 4000*ms),
			Busy:       onOff(pair(480, 620), 500*ms, 500*ms),
			Congestion: onOff(pair(480, 620), 250*ms, 250*ms),
		}
	case "TW":
		return Plan{
			Dial:       Cadence{{pair(350, 440), 0}},
			Ringback:   onOff(pair(440, 480), 1000*ms, 2000*ms),
			Busy:       onOff(pair(480, 620), 500*ms, 500*ms),
			Congestion: onOff(pair(480, 620), 250*ms, 250*ms),
		}
	case "GB", "IE":
		return Plan{
			Dial:       Cadence{{pair(350, 440), 0}},
			Ringback:   onOff(pair(400, 450), 400*ms, 200*ms, 400*ms, 2000*ms),
			Busy:       onOff(single(400), 375*ms, 375*ms),
			Congestion: onOff(single(400), 400*ms, 350*ms, 225*ms, 525*ms),
		}
	case "FR":
		return Plan{
			Dial:       Cadence{{single(440), 0}},
			Ringback:   onOff(single(440), 1500*ms, 3500*ms),
			Busy:       onOff(single(440), 500*ms, 500*ms),
			Congestion: onOff(single(440), 250*ms, 250*ms),
		}
	case "DE":
		return Plan{
			Dial:       Cadence{{single(425), 0}},
			Ringback:   onOff(single(425), 1000*ms, 4000*ms),
			Busy:       onOff(single(425), 480*ms, 480*ms),
			Congestion: onOff(single(425), 240*ms, 240*ms),
		}
	}
	return Plan{
		Dial:       Cadence{{single(425), 0}},
		Ringback:   onOff(single(425), 1000*ms, 4000*ms),
		Busy:       onOff(single(425), 500*ms, 500*ms),
		Congestion: onOff(single(425), 250*ms, 250*ms),
	}
}

func single(hz float64) Tone { return Tone{Hz: [2]float64{hz}, DBm0: progressLevel} }

func pair(low, high float64) Tone { return Tone{Hz: [2]float64{low, high}, DBm0: progressLevel} }

// onOff is the tone and silence in turn.
func onOff(t Tone, times ...time.Duration) Cadence {
	c := make(Cadence, len(times))
	for i, d := range times {
		c[i].Duration = d
		if i%2 == 0 {
			c[i].Tone = t
		}
	}
	return c
}
