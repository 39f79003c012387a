package tone

import (
	"fmt"
	"testing"
	"time"
)

// Every tone of every country has its frequencies, and none of them another.
func TestGoertzelFindsEachTone(t *testing.T) {
	for _, code := range append(Countries(), "XX") {
		p := Country(code)
		for name, c := range map[string]Cadence{"dial": p.Dial, "ringback": p.Ringback, "busy": p.Busy, "congestion": p.Congestion, "information": p.Information} {
			pcm := play(c, 12*time.Second)
			at := 0
			for i, b := range c {
				n := int(b.Duration * Rate / time.Second)
				if b.Duration == 0 {
					n = Rate
				}
				middle := pcm[at+n/4 : at+n-n/4]
				for _, hz := range []float64{350, 400, 425, 440, 450, 480, 620, 950, 1400, 1800} {
					want := hz == b.Tone.Hz[0] || hz == b.Tone.Hz[1]
					level := Goertzel(middle, hz)
					near := false
					for _, other := range b.Tone.Hz {
						near = near || other > 0 && other != hz && other-hz < 60 && hz-other < 60
					}
					if want && (level < b.Tone.DBm0-1.5 || level > b.Tone.DBm0+1.5) || !want && !near && level > progressLevel-25 {
						t.Errorf("%s %s, burst %d: %v Hz at %.1f dBm0, wanted: %v", code, name, i, hz, level, want)
					}
				}
				at += n
			}
		}
	}
}

// ITU-T E.180 Supplement 2, as texts that can be compared with it.
func TestCountryTables(t *testing.T) {
	want := map[string][4]string{ // dial, ringback, busy, congestion
		"US": {"350+440", "440+480 2-4", "480+620 0.5-0.5", "480+620 0.25-0.25"},
		"TW": {"350+440", "440+480 1-2", "480+620 0.5-0.5", "480+620 0.25-0.25"},
		"GB": {"350+440", "400+450 0.4-0.2-0.4-2", "400 0.375-0.375", "400 0.4-0.35-0.225-0.525"},
		"AE": {"350+440", "400+450 0.4-0.2-0.4-2", "400 0.375-0.375", "400 0.4-0.35-0.225-0.525"},
		"DE": {"425", "425 1-4", "425 0.48-0.48", "425 0.24-0.24"},
		"FR": {"440", "440 1.5-3.5", "440 0.5-0.5", "440 0.25-0.25"},
		"IR": {"425", "425 1-4", "425 0.5-0.5", "425 0.25-0.25"},
		"SA": {"425", "425 1.2-4.6", "425 0.5-0.5", "425 0.25-0.25"},
		"EG": {"425x50", "425x50 2-1", "425x50 1-4", "450 0.5-0.5"},
		"IQ": {"400", "400 1-4", "400 0.4-0.4", "400 0.25-0.25"},
		"VN": {"425", "425 1-4", "425 0.5-0.5", "425 0.25-0.25"},
		"CN": {"450", "450 1-4", "450 0.35-0.35", "450 0.7-0.7"},
		"JP": {"400", "400x16 1-2", "400 0.5-0.5", "400 0.5-0.5"},
		"TR": {"450", "450 2-4", "450 0.5-0.5", "450 0.2-0.2-0.2-0.2-0.2-0.2-0.6-0.2"},
		"IN": {"400x25", "400x25 0.4-0.2-0.4-2", "400 0.75-0.75", "400 0.25-0.25"},
	}
	text := func(c Cadence) string {
		first := c[0].Tone
		s := fmt.Sprint(first.Hz[0])
		if first.Hz[1] > 0 {
			s += fmt.Sprint("+", first.Hz[1])
		}
		if first.By > 0 {
			s += fmt.Sprint("x", first.By)
		}
		for i, b := range c {
			if b.Duration > 0 {
				s += fmt.Sprint(map[bool]string{true: " ", false: "-"}[i == 0], b.Duration.Seconds())
			}
		}
		return s
	}
	for code, w := range want {
		p := Country(code)
		if got := [4]string{text(p.Dial), text(p.Ringback), text(p.Busy), text(p.Congestion)}; got != w {
			t.Errorf("%s: %q, want %q", code, got, w)
		}
	}
}

// Each kind of special information tone differs from all others, and all are inside the tolerances of E.180.
func TestInformationTones(t *testing.T) {
	seen := map[string]Failure{}
	for f := range failures {
		c := Information(f)
		key := fmt.Sprint(c)
		if other, twice := seen[key]; twice {
			t.Errorf("%d sounds as %d does", f, other)
		}
		seen[key] = f
		pcm := play(c, 3*time.Second)
		at := 0
		for i, nominal := range []float64{950, 1400, 1800} {
			b := c[i]
			if d := b.Tone.Hz[0] - nominal; d < -50 || d > 50 || b.Duration < 260*ms || b.Duration > 400*ms {
				t.Errorf("%d: segment %d is %v Hz for %v", f, i, b.Tone.Hz[0], b.Duration)
			}
			n := int(b.Duration * Rate / time.Second)
			if level := Goertzel(pcm[at:at+n], b.Tone.Hz[0]); level < informationLevel-0.5 || level > informationLevel+0.5 {
				t.Errorf("%d: segment %d at %.1f dBm0", f, i, level)
			}
			at += n
		}
	}
}
