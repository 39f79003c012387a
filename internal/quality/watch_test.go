package quality

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func start() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

// Scores go in once a second; the letters say when the alarm came and went.
func TestAlarm(t *testing.T) {
	type span struct {
		seconds int
		mos     float64
	}
	for name, tt := range map[string]struct {
		spans           []span
		raised, cleared []int // seconds
	}{
		"good":                {[]span{{60, 4.2}}, nil, nil},
		"at the limit":        {[]span{{60, 3.6}}, nil, nil},
		"bad":                 {[]span{{5, 4.2}, {60, 3.5}}, []int{15}, nil},
		"bad for ten seconds": {[]span{{5, 4.2}, {10, 3.5}, {30, 4}}, nil, nil},
		"bad, good for once":  {[]span{{8, 3}, {1, 3.7}, {8, 3}}, nil, nil},
		"bad, then better":    {[]span{{12, 3}, {60, 3.7}}, []int{10}, nil},
		"bad, then good":      {[]span{{12, 3}, {60, 3.8}}, []int{10}, []int{22}},
		"good, but not long":  {[]span{{12, 3}, {9, 4}, {1, 3.7}, {9, 4}, {1, 2}, {20, 4}}, []int{10}, []int{42}},
		"twice":               {[]span{{12, 3}, {12, 4}, {12, 3}, {12, 4}}, []int{10, 34}, []int{22, 46}},
		"unknown between":     {[]span{{8, 3}, {1, 0}, {8, 3}}, nil, nil},
		"nonsense":            {[]span{{30, math.NaN()}}, nil, nil},
	} {
		var a Alarm
		var raised, cleared []int
		second := 0
		for _, s := range tt.spans {
			for range s.seconds {
				up, down := a.Sample(s.mos, start().Add(time.Duration(second)*time.Second))
				if up {
					raised = append(raised, second)
				}
				if down {
					cleared = append(cleared, second)
				}
				if up == down && up || (up || down) && a.Raised() != up {
					t.Errorf("%s: contradiction at %d s", name, second)
				}
				second++
			}
		}
		if !equal(raised, tt.raised) || !equal(cleared, tt.cleared) {
			t.Errorf("%s: raised at %v, cleared at %v, want %v, %v", name, raised, cleared, tt.raised, tt.cleared)
		}
	}
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestTrunkAlarm(t *testing.T) {
	var a TrunkAlarm
	now := start()
	calls := func(n int, mos float64) (raised, cleared int) {
		for range n {
			up, down := a.Call(mos, now)
			if up {
				raised++
			}
			if down {
				cleared++
			}
		}
		return
	}
	expect := func(what string, raised, cleared, wantRaised, wantCleared int) {
		t.Helper()
		if raised != wantRaised || cleared != wantCleared {
			t.Errorf("%s: raised %d times, cleared %d, want %d, %d", what, raised, cleared, wantRaised, wantCleared)
		}
	}
	up, down := calls(1, 2)
	expect("one bad call", up, down, 0, 0)
	up, down = calls(99, 4)
	expect("one of a hundred", up, down, 0, 0)
	up, down = calls(4, 3.59)
	expect("five of 104", up, down, 0, 0)
	up, down = calls(30, 0)
	expect("unknown ones", up, down, 0, 0)
	up, down = calls(1, 3.59)
	expect("six of 105, more than 5 %", up, down, 1, 0)
	up, down = calls(10, 1)
	expect("more of them", up, down, 0, 0)
	up, down = calls(400, 4)
	expect("many good ones", up, down, 0, 1)
	if n, bad := a.Counts(); n != 515 || bad != 16 {
		t.Errorf("%d calls, %d bad", n, bad)
	}
	now = now.Add(TrunkWindow + 10*time.Second)
	up, down = calls(2, 1)
	expect("two bad ones when all others are past", up, down, 1, 0)
	now = now.Add(TrunkWindow - 20*time.Second)
	if up, down := a.Tick(now); up || down || !a.Raised() {
		t.Error("forgotten within the window")
	}
	now = now.Add(30 * time.Second)
	if up, down := a.Tick(now); up || !down {
		t.Error("not forgotten after the window")
	}
	now = now.Add(-time.Hour)
	up, down = calls(2, 1)
	expect("after the clock was set back", up, down, 1, 0)
}

// The rolling counters agree with a list of all calls, to within one bucket.
func TestTrunkAlarmCountsTheWindow(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var a TrunkAlarm
	var ends []time.Time
	now := start()
	for range 5000 {
		now = now.Add(time.Duration(random.IntN(8000)) * time.Millisecond)
		if random.IntN(500) == 0 {
			now = now.Add(TrunkWindow * 3)
		}
		a.Call(4, now)
		ends = append(ends, now)
		most, least := 0, 0
		for i := len(ends) - 1; i >= 0 && now.Sub(ends[i]) <= TrunkWindow; i-- {
			most++
			if now.Sub(ends[i]) <= TrunkWindow-TrunkWindow/buckets {
				least++
			}
		}
		if n, _ := a.Counts(); n < least || n > most {
			t.Fatalf("%d calls, want %d to %d", n, least, most)
		}
	}
}

type setting struct {
	bitrate int
	hint    float64
	fec     bool
}

func TestAdapt(t *testing.T) {
	const ms = time.Millisecond
	type span struct {
		reports     int // one each five seconds
		loss        float64
		rtt, jitter time.Duration
		want        setting // after the last of them
	}
	full := setting{BitrateFull, 0, false}
	for name, spans := range map[string][]span{
		"no loss":           {{20, 0, 40 * ms, 5 * ms, full}},
		"one percent":       {{20, 1, 40 * ms, 5 * ms, full}},
		"just above":        {{1, 1.5, 40 * ms, 0, setting{BitrateFull, 2, true}}, {20, 1.5, 40 * ms, 0, setting{BitrateFull, 2, true}}},
		"four percent":      {{3, 4, 0, 0, setting{BitrateFull, 5, true}}},
		"six percent":       {{1, 6, 0, 0, setting{BitrateReduced, 10, true}}},
		"twelve percent":    {{1, 12, 0, 0, setting{BitrateLow, 15, true}}},
		"everything lost":   {{1, 100, 0, 0, setting{BitrateLow, 30, true}}},
		"hint falls":        {{2, 9, 0, 0, setting{BitrateReduced, 10, true}}, {8, 0.2, 0, 0, setting{BitrateFull, 2, true}}},
		"nonsense":          {{3, math.NaN(), -5, -5, full}, {3, -3, 0, 0, full}},
		"slow recovery":     {{2, 12, 0, 0, setting{BitrateLow, 15, true}}, {4, 0, 0, 0, setting{BitrateLow, 10, true}}, {40, 0, 0, 0, full}},
		"one step at first": {{1, 12, 0, 0, setting{BitrateLow, 15, true}}, {7, 4, 0, 0, setting{BitrateLow, 10, true}}, {5, 4, 0, 0, setting{BitrateReduced, 10, true}}, {40, 4, 0, 0, setting{BitrateReduced, 10, true}}},
		"a queue":           {{2, 0, 40 * ms, 5 * ms, full}, {1, 0, 500 * ms, 5 * ms, setting{BitrateReduced, 0, false}}, {40, 0, 40 * ms, 5 * ms, full}},
		"jitter":            {{1, 0, 40 * ms, 120 * ms, setting{BitrateReduced, 0, false}}},
		"a long way":        {{20, 0, 600 * ms, 20 * ms, full}},
	} {
		var a Adapt
		now, last := start(), setting{}
		for i, s := range spans {
			for range s.reports {
				var got setting
				var changed bool
				got.bitrate, got.hint, got.fec, changed = a.Report(s.loss, s.rtt, s.jitter, now)
				if changed != (got != last) {
					t.Errorf("%s: changed is %v, %+v after %+v", name, changed, got, last)
				}
				last = got
				now = now.Add(5 * time.Second)
			}
			if last != s.want {
				t.Errorf("%s, span %d: %+v, want %+v", name, i, last, s.want)
			}
		}
	}
}

// A network that is good for the low rate and bad for the full one must not be tried again and again.
func TestAdaptTriesLessOften(t *testing.T) {
	var a Adapt
	now := start()
	rate, tries := BitrateFull, 0
	var last time.Time
	var waits []time.Duration
	for range 12 * 60 * 2 { // two hours
		loss := 0.0
		if rate > BitrateReduced {
			loss = 8
		}
		r, _, _, _ := a.Report(loss, 0, 0, now)
		if r > rate {
			tries++
			if !last.IsZero() {
				waits = append(waits, now.Sub(last))
			}
			last = now
		}
		rate = r
		now = now.Add(5 * time.Second)
	}
	if tries > 30 || tries < 5 {
		t.Errorf("%d tries in two hours", tries)
	}
	if waits[3] < 2*waits[0] {
		t.Errorf("waits do not grow: %v", waits[:4])
	}
}

// Losses that wander about a limit do not make the settings flutter.
func TestAdaptDoesNotFlutter(t *testing.T) {
	for _, around := range []float64{1, 5, 10} {
		random := rand.New(rand.NewPCG(uint64(around), 1))
		var a Adapt
		now, changes := start(), 0
		for range 720 { // an hour
			_, _, _, changed := a.Report(around*(0.7+0.6*random.Float64()), 40*time.Millisecond, 5*time.Millisecond, now)
			if changed {
				changes++
			}
			now = now.Add(5 * time.Second)
		}
		if changes > 20 {
			t.Errorf("about %v %%: %d changes in an hour", around, changes)
		}
	}
}

func TestWatchingAllocatesNothing(t *testing.T) {
	var call Alarm
	var trunk TrunkAlarm
	var adapt Adapt
	now := start()
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Second)
		call.Sample(3, now)
		trunk.Call(3, now)
		adapt.Report(7, 40*time.Millisecond, 5*time.Millisecond, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
