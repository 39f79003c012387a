package tone

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// hearing is what a Fax found and when.
func hearing(pcm []int16) (kinds []Kind, times []time.Duration) {
	var f Fax
	for at := 0; at < len(pcm); at += 160 {
		if k := f.Write(pcm[at:min(at+160, len(pcm))]); k != None {
			kinds = append(kinds, k)
			times = append(times, time.Duration(at+160)*time.Second/Rate)
		}
	}
	return kinds, times
}

// answer is 2100 Hz with what may be on it: the modulation of ANSam, and phase reversals every 450 ms.
func answer(hz, dBm0 float64, modulated, reversed bool, d time.Duration) []int16 {
	pcm := make([]int16, int(d.Seconds()*Rate))
	for i := range pcm {
		s := float64(i) / Rate
		v := Amplitude(dBm0) * math.Sin(2*math.Pi*hz*s)
		if modulated {
			v *= 1 + 0.2*math.Sin(2*math.Pi*15*s)
		}
		if reversed && int(s/0.45)%2 == 1 {
			v = -v
		}
		pcm[i] = int16(v)
	}
	return pcm
}

// delayed puts silence of any length before: blocks need not begin with the tone.
func delayed(pcm []int16, samples int) []int16 {
	return append(make([]int16, samples), pcm...)
}

func TestFaxTonesAreFoundInTime(t *testing.T) {
	for _, level := range []float64{-6, -13, -26, -38} {
		for _, shift := range []int{0, 37, 80} {
			for _, hz := range []float64{1062, 1100, 1138} {
				c := onOff(Tone{Hz: [2]float64{hz}, DBm0: level}, 500*ms, 3000*ms)
				kinds, times := hearing(noisy(delayed(play(c, 7*time.Second), shift), level-15, uint64(shift)))
				limit := 500*ms + time.Duration(shift)*time.Second/Rate
				if fmt.Sprint(kinds) != "[CNG CNG]" || times[0] > limit {
					t.Errorf("CNG of %v Hz at %v dBm0, shift %d: %v at %v", hz, level, shift, kinds, times)
				}
			}
			for _, hz := range []float64{2085, 2100, 2115} {
				for _, modulated := range []bool{false, true} {
					for _, reversed := range []bool{false, true} {
						want := CED
						if modulated {
							want = ANSam
						}
						kinds, times := hearing(noisy(delayed(answer(hz, level, modulated, reversed, 3*time.Second), shift), level-20, uint64(shift)))
						if len(kinds) != 1 || kinds[0] != want || times[0] > 300*ms+time.Duration(shift)*time.Second/Rate {
							t.Errorf("%v of %v Hz at %v dBm0, reversed %v, shift %d: %v at %v", want, hz, level, reversed, shift, kinds, times)
						}
					}
				}
			}
		}
	}
}

// With 3 % of all packets lost nearly every burst of CNG is found by itself, and in three bursts every one; CED always.
func TestFaxTonesAreFoundInLoss(t *testing.T) {
	missed, late := 0, 0
	for seed := range uint64(100) {
		kinds, times := hearing(lossy(delayed(play(FaxCalling(), 11*time.Second), int(seed%160)), 3, seed))
		if len(kinds) == 0 {
			t.Fatalf("seed %d: a call without CNG", seed)
		}
		if len(kinds) < 3 {
			missed++
		}
		if times[0] > 520*ms {
			late++
		}
		kinds, times = hearing(lossy(delayed(play(FaxAnswer(), 2*time.Second), int(seed%160)), 3, seed))
		if len(kinds) == 0 || kinds[0] == CNG || times[0] > 500*ms {
			t.Errorf("seed %d: CED is %v at %v", seed, kinds, times)
		}
	}
	t.Logf("of 100 calls %d missed one burst or more of three, %d the first one", missed, late)
	if missed > 10 || late > 6 {
		t.Errorf("of 100 calls %d missed a burst, %d the first one", missed, late)
	}
}

func TestNothingElseIsFax(t *testing.T) {
	sounds := map[string][]int16{
		"white noise": noisy(make([]int16, 30*Rate), -15, 1), "silence": make([]int16, 10*Rate),
		"1000 Hz": play(Sine(1000, -10), 5*time.Second), "1200 Hz": play(Sine(1200, -10), 5*time.Second), "2000 Hz": play(Sine(2000, -10), 5*time.Second),
		"2225 Hz": play(Sine(2225, -10), 5*time.Second), "short 1100 Hz": play(onOff(Tone{Hz: [2]float64{1100}, DBm0: -10}, 200*ms, 500*ms), 10*time.Second),
		"faint": play(Sine(1100, -50), 5*time.Second),
	}
	for seed := range uint64(5) {
		sounds[fmt.Sprintf("speech %d", seed)] = speech(seed, 30*time.Second)
		sounds[fmt.Sprintf("music %d", seed)] = music(seed, 30*time.Second)
	}
	for _, code := range Countries() {
		p := Country(code)
		for name, c := range map[string]Cadence{"dial": p.Dial, "ringback": p.Ringback, "busy": p.Busy, "congestion": p.Congestion, "information": p.Information} {
			sounds[code+" "+name] = play(c, 12*time.Second)
		}
	}
	for f := range failures {
		sounds[fmt.Sprintf("information %d", f)] = play(Information(f), 6*time.Second)
	}
	for _, key := range []byte(Keys) {
		sounds["key "+string(key)] = play(Key(key, 400*ms, 100*ms), 3*time.Second)
	}
	for name, pcm := range sounds {
		if kinds, times := hearing(pcm); len(kinds) > 0 {
			t.Errorf("%s: %v at %v", name, kinds, times)
		}
	}
}

func TestFaxAllocatesNothing(t *testing.T) {
	var f Fax
	pcm := play(FaxCalling(), 20*ms)
	if n := testing.AllocsPerRun(1000, func() { f.Write(pcm) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkFax20ms(b *testing.B) {
	var f Fax
	pcm := play(FaxCalling(), 20*ms)
	b.ReportAllocs()
	for b.Loop() {
		f.Write(pcm)
	}
}
