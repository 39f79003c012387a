package tone

import (
	"strings"
	"time"
)

// Plan is the call progress tones of a country.
type Plan struct {
	Dial        Cadence
	Ringback    Cadence
	Busy        Cadence
	Congestion  Cadence // also "reorder": no way to the number
	Information Cadence // special information tone: see Information
}

// progressLevel is the level of call progress tones; ITU-T Q.35 has them at -10 dBm0 or a little below.
const progressLevel = -13

// informationLevel is that of special information tones (E.180 §7).
const informationLevel = -24

// Countries lists the codes that have tones of their own in Country.
func Countries() []string {
	return []string{"AE", "CA", "CN", "DE", "EG", "FR", "GB", "IE", "IN", "IQ", "IR", "JP", "SA", "TR", "TW", "US", "VN"}
}

const ms = time.Millisecond

// Country is the tones of an ISO 3166 country code, after the list that ITU-T publishes as Supplement 2 to E.180. Unknown
// countries get 425 Hz with the cadences that E.180 recommends.
func Country(code string) Plan {
	p := progress(strings.ToUpper(code))
	p.Information = Information(Unclassified)
	return p
}

func progress(code string) Plan {
	switch code {
	case "US", "CA", "TW":
		p := Plan{
			Dial:       Cadence{{pair(350, 440), 0}},
			Ringback:   onOff(pair(440, 480), 2000*ms, 4000*ms),
			Busy:       onOff(pair(480, 620), 500*ms, 500*ms),
			Congestion: onOff(pair(480, 620), 250*ms, 250*ms),
		}
		if code == "TW" {
			p.Ringback = onOff(pair(440, 480), 1000*ms, 2000*ms)
		}
		return p
	case "GB", "IE", "AE":
		return Plan{
			Dial:       Cadence{{pair(350, 440), 0}},
			Ringback:   onOff(pair(400, 450), 400*ms, 200*ms, 400*ms, 2000*ms),
			Busy:       onOff(single(400), 375*ms, 375*ms),
			Congestion: onOff(single(400), 400*ms, 350*ms, 225*ms, 525*ms),
		}
	case "JP":
		return Plan{
			Dial:       Cadence{{single(400), 0}},
			Ringback:   onOff(modulated(400, 16), 1000*ms, 2000*ms),
			Busy:       onOff(single(400), 500*ms, 500*ms),
			Congestion: onOff(single(400), 500*ms, 500*ms), // as busy
		}
	case "IN":
		return Plan{
			Dial:       Cadence{{modulated(400, 25), 0}},
			Ringback:   onOff(modulated(400, 25), 400*ms, 200*ms, 400*ms, 2000*ms),
			Busy:       onOff(single(400), 750*ms, 750*ms),
			Congestion: onOff(single(400), 250*ms, 250*ms),
		}
	case "EG":
		return Plan{
			Dial:       Cadence{{modulated(425, 50), 0}},
			Ringback:   onOff(modulated(425, 50), 2000*ms, 1000*ms),
			Busy:       onOff(modulated(425, 50), 1000*ms, 4000*ms),
			Congestion: onOff(single(450), 500*ms, 500*ms),
		}
	}
	return simple(code)
}

// simple are the tones of one frequency.
func simple(code string) Plan {
	hz, ringback, busy, congestion := 425.0, []time.Duration{1000 * ms, 4000 * ms}, []time.Duration{500 * ms, 500 * ms}, []time.Duration{250 * ms, 250 * ms}
	switch code {
	case "FR":
		hz, ringback = 440, []time.Duration{1500 * ms, 3500 * ms}
	case "DE":
		busy, congestion = []time.Duration{480 * ms, 480 * ms}, []time.Duration{240 * ms, 240 * ms}
	case "CN":
		hz, busy, congestion = 450, []time.Duration{350 * ms, 350 * ms}, []time.Duration{700 * ms, 700 * ms}
	case "TR":
		hz, ringback = 450, []time.Duration{2000 * ms, 4000 * ms}
		congestion = []time.Duration{200 * ms, 200 * ms, 200 * ms, 200 * ms, 200 * ms, 200 * ms, 600 * ms, 200 * ms}
	case "SA":
		ringback = []time.Duration{1200 * ms, 4600 * ms}
	case "IQ":
		hz, busy = 400, []time.Duration{400 * ms, 400 * ms}
	default: // IR, VN and what is not known: as E.180 recommends
	}
	t := single(hz)
	return Plan{Dial: Cadence{{t, 0}}, Ringback: onOff(t, ringback...), Busy: onOff(t, busy...), Congestion: onOff(t, congestion...)}
}

// Failure is why a call fails, as a special information tone tells machines.
type Failure uint8

// The kinds of special information tones. Unclassified is the tone of E.180 for people; the others are the code of North
// America inside its tolerances (Bellcore SR-2275): two frequencies and two lengths for each of the first two segments.
const (
	Unclassified    Failure = iota
	VacantCode              // the number does not exist
	Intercept               // the number was changed or is out of service
	NoCircuit               // of this network
	NoCircuitBeyond         // of another network
	Reorder                 // dialled wrongly, or a fault, of this network
	ReorderBeyond           // of another network
	Ineffective             // anything else

	failures
)

// Information is the special information tone of a failure, with a second of silence behind.
func Information(f Failure) Cadence {
	// E.180 §7: 950, 1400 and 1800 Hz (50 Hz either way), each for 330 ms (70 ms either way), no more than 30 ms between.
	const low, high, short, long = 0, 1, 274 * ms, 380 * ms
	single := func(hz float64) Tone { return Tone{Hz: [2]float64{hz}, DBm0: informationLevel} }
	first, second := [2]float64{913.8, 985.2}, [2]float64{1370.6, 1428.5}
	segments := func(hz1 int, d1 time.Duration, hz2 int, d2 time.Duration) Cadence {
		return Cadence{{single(first[hz1]), d1}, {single(second[hz2]), d2}, {single(1776.7), long}, {Tone{}, 1000 * ms}}
	}
	switch f {
	case VacantCode:
		return segments(high, long, low, short)
	case Intercept:
		return segments(low, short, low, short)
	case NoCircuit:
		return segments(high, long, high, long)
	case NoCircuitBeyond:
		return segments(low, long, low, long)
	case Reorder:
		return segments(low, short, high, long)
	case ReorderBeyond:
		return segments(high, short, low, long)
	case Ineffective:
		return segments(low, long, high, short)
	}
	return Cadence{{single(950), 330 * ms}, {single(1400), 330 * ms}, {single(1800), 330 * ms}, {Tone{}, 1000 * ms}}
}

func single(hz float64) Tone { return Tone{Hz: [2]float64{hz}, DBm0: progressLevel} }

func pair(low, high float64) Tone { return Tone{Hz: [2]float64{low, high}, DBm0: progressLevel} }

// modulated is what E.180 writes as "400x25".
func modulated(hz, by float64) Tone {
	return Tone{Hz: [2]float64{hz}, DBm0: progressLevel, By: by, Depth: 0.9}
}

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
