package tone

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// pressed is what a DTMF heard: the keys, and how long each was.
func pressed(pcm []int16) (keys string, lengths []time.Duration) {
	var d DTMF
	started := ""
	hear := func(p Press) {
		if p.Ended {
			keys += string(p.Key)
			lengths = append(lengths, p.Length)
		} else {
			started += string(p.Key)
		}
	}
	for at := 0; at < len(pcm); at += 160 {
		d.Write(pcm[at:min(at+160, len(pcm))], hear)
	}
	if len(started) < len(keys) {
		return "ended before it began", nil
	}
	return keys, lengths
}

// keyed is the sound of keys with levels of their two tones and frequencies that are so much off.
func keyed(keys string, row, column, off float64, on, pause time.Duration) []int16 {
	var pcm []int16
	for i := range len(keys) {
		tone := Key(keys[i], 0, 0)[0].Tone
		n := int(on * Rate / time.Second)
		for s := range n {
			x := 2 * math.Pi * (1 + off) * float64(s) / Rate
			v := Amplitude(row)*math.Sin(tone.Hz[0]*x) + Amplitude(column)*math.Sin(tone.Hz[1]*x+1)
			pcm = append(pcm, int16(max(-32768, min(32767, v))))
		}
		pcm = append(pcm, make([]int16, int(pause*Rate/time.Second))...)
	}
	return append(pcm, make([]int16, Rate/5)...)
}

func TestAllKeys(t *testing.T) {
	for _, level := range []float64{-3, -15, -30} {
		for _, twist := range []float64{-6, 0, 6} {
			for _, off := range []float64{-0.015, 0, 0.015} {
				for _, on := range []time.Duration{40 * ms, 65 * ms, 200 * ms} {
					for _, shift := range []int{0, 23} {
						row, column := level, level
						if twist > 0 {
							row -= twist
						} else {
							column += twist
						}
						pcm := delayed(keyed(Keys, row, column, off, on, 40*ms), shift)
						keys, lengths := pressed(noisy(pcm, min(row, column)-15, uint64(shift)))
						if keys != Keys {
							t.Errorf("%v dBm0, twist %v, %v off, %v, shift %d: %q", level, twist, off, on, shift, keys)
							continue
						}
						for i, d := range lengths {
							if d < on-15*ms || d > on+15*ms {
								t.Errorf("%v dBm0, twist %v, %v off, shift %d: key %c of %v is %v long", level, twist, off, shift, Keys[i], on, d)
							}
						}
					}
				}
			}
		}
	}
}

func TestKeysThroughLoss(t *testing.T) {
	wrong := 0
	for seed := range uint64(200) {
		pcm := lossy(delayed(keyed(Keys, -10, -10, 0, 120*ms, 100*ms), int(seed)), 3, seed)
		if keys, _ := pressed(pcm); keys != Keys {
			wrong++
		}
	}
	t.Logf("%d of 3200 keys lost or doubled with 3 %% of all packets lost", wrong)
	if wrong > 6 {
		t.Errorf("%d rows of 200 were not heard as they were", wrong)
	}
}

func TestGenerator(t *testing.T) {
	for _, c := range []struct {
		keys      string
		on, pause time.Duration
	}{{Keys, 100 * ms, 50 * ms}, {"0912", 40 * ms, 40 * ms}, {"11", 80 * ms, 45 * ms}} {
		d := time.Duration(len(c.keys))*(c.on+c.pause) + 200*ms
		if keys, _ := pressed(play(Dial(c.keys, c.on, c.pause), d)); keys != c.keys {
			t.Errorf("%q is heard as %q", c.keys, keys)
		}
	}
	if pcm := play(Key('x', 100*ms, 0), 200*ms); meanSquare(pcm) != 0 {
		t.Error("what is no key sounds")
	}
}

// Keys without a pause between are two; the same one with a short break is one.
func TestKeysThatTouch(t *testing.T) {
	if keys, _ := pressed(keyed("159", -10, -10, 0, 80*ms, 0)); keys != "159" {
		t.Errorf("touching: %q", keys)
	}
	pcm := keyed("5", -10, -10, 0, 120*ms, 0)
	clear(pcm[400:480]) // 10 ms
	if keys, lengths := pressed(pcm); keys != "5" || lengths[0] < 105*ms {
		t.Errorf("broken: %q %v", keys, lengths)
	}
}

func TestNothingElseIsAKey(t *testing.T) {
	sounds := map[string][]int16{
		"noise": noisy(make([]int16, 30*Rate), -15, 3), "silence": make([]int16, 5*Rate),
		"row alone": play(Sine(770, -10), 5*time.Second), "column alone": play(Sine(1336, -10), 5*time.Second),
		"two rows": play(Cadence{{pair(697, 852), 0}}, 5*time.Second), "CNG": play(FaxCalling(), 5*time.Second), "CED": play(FaxAnswer(), 5*time.Second),
		"short": keyed(Keys, -10, -10, 0, 23*ms, 60*ms), "twisted": keyed(Keys, -6, -18, 0, 100*ms, 100*ms), "faint": keyed(Keys, -45, -45, 0, 100*ms, 100*ms),
		"off by 4 %": keyed(Keys, -10, -10, 0.04, 100*ms, 100*ms), "off by -4 %": keyed(Keys, -10, -10, -0.04, 100*ms, 100*ms),
	}
	for _, code := range Countries() {
		p := Country(code)
		for name, c := range map[string]Cadence{"dial": p.Dial, "ringback": p.Ringback, "busy": p.Busy, "congestion": p.Congestion, "information": p.Information} {
			sounds[code+" "+name] = play(c, 12*time.Second)
		}
	}
	for seed := range uint64(5) {
		sounds[fmt.Sprintf("speech %d", seed)] = speech(seed, 30*time.Second)
	}
	for name, pcm := range sounds {
		if keys, _ := pressed(pcm); keys != "" {
			t.Errorf("%s is heard as %q", name, keys)
		}
	}
	talkedOff := 0
	for seed := range uint64(5) {
		keys, _ := pressed(music(seed, 30*time.Second))
		talkedOff += len(keys)
	}
	t.Logf("two minutes and a half of music has %d keys", talkedOff)
	if talkedOff > 1 {
		t.Errorf("two minutes and a half of music has %d keys", talkedOff)
	}
}

func TestDTMFAllocatesNothing(t *testing.T) {
	var d DTMF
	count := 0
	report := func(Press) { count++ }
	pcm := keyed("159D", -10, -10, 0, 60*ms, 60*ms)
	if n := testing.AllocsPerRun(100, func() {
		for at := 0; at+160 <= len(pcm); at += 160 {
			d.Write(pcm[at:at+160], report)
		}
	}); n != 0 || count == 0 {
		t.Errorf("%v allocations, %d reports", n, count)
	}
}

func BenchmarkDTMF20ms(b *testing.B) {
	for name, pcm := range map[string][]int16{"key": play(Key('5', time.Hour, 0), 4*time.Second), "speech": speech(1, 4*time.Second)} {
		b.Run(name, func(b *testing.B) {
			var d DTMF
			b.ReportAllocs()
			for at := 0; b.Loop(); at = (at + 160) % len(pcm) {
				d.Write(pcm[at:at+160], func(Press) {})
			}
		})
	}
}
