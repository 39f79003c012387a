package listen

import (
	"fmt"
	"time"
)

// Gates are what the system promises of the sound of a call that goes through it. A field that is 0 is not checked.
type Gates struct {
	Score     float64       // at least
	SegSNR    float64       // in dB, at least
	Drop      float64       // at most, under the score of the call without the system or the network in between
	Gap       time.Duration // longest silence where there is speech
	Delay     time.Duration // at most
	Drift     float64       // of the delay in an hour, at most, in ms
	LevelDB   float64       // apart from 0, at most
	Advantage float64       // at least, over the score of the other way to do it
}

// Added delay is the part of the machine itself, without packet times and network.
const (
	RelayDelay     = 2 * time.Millisecond  // 99 % of packets relayed
	TranscodeDelay = 25 * time.Millisecond // under a frame of 20 ms and 5 ms
)

// Transcoded is what G.711 to Opus, or back, must reach.
func Transcoded() Gates {
	return Gates{Score: 3.8, SegSNR: 6, Delay: 250 * time.Millisecond, LevelDB: 2}
}

// Buffered is what a jitter buffer must keep at 30 ms of jitter and 1 % of loss.
func Buffered() Gates { return Gates{Drop: 0.3, Drift: 20} }

// Concealed is what concealment must win over silence at 5 % of loss.
func Concealed() Gates { return Gates{Advantage: 0.1} }

// Through is what a call must be that nothing was done to: one direction works, at its level, without holes.
func Through() Gates { return Gates{Score: 4.2, Gap: 10 * time.Millisecond, LevelDB: 1} }

// Check says in words what r misses, "" when it passes. baseline is the call that Drop and Advantage are measured against.
func (g Gates) Check(r, baseline Result) string {
	wrong := ""
	miss := func(bad bool, format string, arguments ...any) {
		if bad {
			wrong += fmt.Sprintf(format+"; ", arguments...)
		}
	}
	miss(g.Score > 0 && r.Score < g.Score, "score %.2f is under %.2f", r.Score, g.Score)
	miss(g.SegSNR > 0 && r.SegSNR < g.SegSNR, "segmental SNR of %.1f dB is under %.1f", r.SegSNR, g.SegSNR)
	miss(g.Drop > 0 && baseline.Score-r.Score > g.Drop, "score %.2f is more than %.2f under %.2f", r.Score, g.Drop, baseline.Score)
	miss(g.Gap > 0 && r.GapMS > milliseconds(g.Gap), "silence of %.0f ms where there is speech", r.GapMS)
	miss(g.Delay > 0 && r.DelayMS > milliseconds(g.Delay), "delay of %.1f ms is over %v", r.DelayMS, g.Delay)
	miss(g.Drift > 0 && max(r.DriftPPM, -r.DriftPPM)*3.6 > g.Drift, "delay moves by %.0f ms in an hour", r.DriftPPM*3.6)
	miss(g.LevelDB > 0 && max(r.LevelDB, -r.LevelDB) > g.LevelDB, "level is off by %.1f dB", r.LevelDB)
	miss(g.Advantage > 0 && r.Score-baseline.Score < g.Advantage, "score %.2f is less than %.2f over %.2f", r.Score, g.Advantage, baseline.Score)
	return wrong
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Identical tells where two sequences of payloads differ first: -1 for nowhere. A call that is not transcoded leaves as it came.
// Lost packets at the end are a difference.
func Identical(sent, received [][]byte) int {
	for i := range max(len(sent), len(received)) {
		if i >= len(sent) || i >= len(received) || string(sent[i]) != string(received[i]) {
			return i
		}
	}
	return -1
}

// OneWay tells whether what was heard is nothing: less than a tenth of the speech has any sound at all.
func OneWay(reference, heard []int16, rate int) bool {
	r := Compare(reference, heard, rate)
	return r.Speech > 0 && r.Heard < 0.1
}
