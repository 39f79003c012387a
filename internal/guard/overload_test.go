package guard

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// plant is a server in virtual time: one queue, and work of which each request costs 1/capacity seconds, or a part of it
// when it is refused. What is refused is refused when it is taken from the queue.
type plant struct {
	capacity float64 // requests a second
	refusal  float64 // cost of a refusal, of a request's
	mix      [Ranks]float64
	rng      *rand.Rand

	load  Load
	queue []time.Duration // when they arrived
	rank  []Rank
	now   time.Duration
	busy  time.Duration // until then
	ready time.Duration
	count [Ranks]uint32
	last  time.Duration // wait of the last one taken
}

// outcome is what a second came to.
type outcome struct {
	done, refused [Ranks]int
	worst         time.Duration // wait of what was done
	share         []float64     // Refused at each sample
}

// run offers rate requests a second for d.
func (p *plant) run(rate float64, d time.Duration) (o outcome) {
	const tick = 100 * time.Microsecond
	sample := p.now
	for end := p.now + d; p.now < end; p.now += tick {
		for n := rate * tick.Seconds(); n > 0; n-- {
			if n < 1 && p.rng.Float64() > n {
				break
			}
			if len(p.queue) < 6000 { // what a socket buffer holds
				u, r := p.rng.Float64(), Rank(0)
				for u -= p.mix[r]; u > 0 && r < Ranks-1; u -= p.mix[r] {
					r++
				}
				p.queue, p.rank = append(p.queue, p.now), append(p.rank, r)
			}
		}
		for len(p.queue) > 0 && p.ready <= p.now {
			r, wait := p.rank[0], p.now-p.queue[0]
			p.queue, p.rank = p.queue[1:], p.rank[1:]
			p.last = wait
			p.count[r]++
			cost := 1 / p.capacity
			if p.rng.Float64() < p.load.Share(r) {
				o.refused[r]++
				cost *= p.refusal
			} else {
				o.done[r]++
				o.worst = max(o.worst, wait)
			}
			p.ready = max(p.ready, p.now-tick) + time.Duration(cost*float64(time.Second))
		}
		if p.now-sample >= samplePeriod {
			delay := p.last
			if len(p.queue) == 0 {
				delay = 0
			}
			p.load = p.load.Next(delay, DefaultTarget, p.now-sample, &p.count)
			p.count, sample = [Ranks]uint32{}, p.now
			o.share = append(o.share, p.load.Refused)
		}
	}
	return o
}

func sum(n [Ranks]int) (s int) {
	for _, v := range n {
		s += v
	}
	return s
}

// spread is mean and standard deviation.
func spread(v []float64) (mean, deviation float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		deviation += (x - mean) * (x - mean) / float64(len(v))
	}
	return mean, math.Sqrt(deviation)
}

func newPlant(capacity, refusal float64, mix [Ranks]float64) *plant {
	return &plant{capacity: capacity, refusal: refusal, mix: mix, rng: rand.New(rand.NewPCG(1, 2))}
}

// TestSettles: offered more than it can do, the server does nearly all that it can, the delay stays near the target, and
// the share moves little once it has settled.
func TestSettles(t *testing.T) {
	for _, capacity := range []float64{500, 5000, 30000} {
		for _, times := range []float64{1.2, 1.5, 2, 3} {
			t.Run(fmt.Sprintf("%v/s %v times", capacity, times), func(t *testing.T) {
				p := newPlant(capacity, 0.1, [Ranks]float64{RankCall: 1})
				p.run(capacity/2, time.Second)
				start := p.run(capacity*times, 3*time.Second)
				then := p.run(capacity*times, 10*time.Second)
				// What is left when the refusals are paid: x + 0.1(times-x) = 1.
				can := capacity * (1 - 0.1*times) / 0.9
				got := float64(sum(then.done)) / 10
				mean, deviation := spread(then.share)
				t.Logf("%.0f of %.0f a second, worst wait at first %v, then %v; refused %.2f±%.3f", got, can, start.worst, then.worst, mean, deviation)
				if got < 0.95*can {
					t.Errorf("%.0f a second, could do %.0f", got, can)
				}
				if start.worst > 600*time.Millisecond || then.worst > 4*DefaultTarget {
					t.Errorf("waits of %v at first, then %v", start.worst, then.worst)
				}
				if deviation > 0.12 {
					t.Errorf("the share swings by %.3f around %.2f", deviation, mean)
				}
			})
		}
	}
}

// TestRest: a server that can do its work refuses nothing, not even in bursts, and after an overload it stops at once.
func TestRest(t *testing.T) {
	p := newPlant(5000, 0.1, [Ranks]float64{RankStranger: 0.5, RankKnown: 0.5})
	for range 20 { // 60 ms of work at once, every half second
		o := p.run(15000, 20*time.Millisecond)
		o2 := p.run(1000, 480*time.Millisecond)
		if n := sum(o.refused) + sum(o2.refused); n > 0 {
			t.Fatalf("%d refused in a burst of 60 ms", n)
		}
	}
	p.run(15000, 5*time.Second)
	p.run(2000, time.Second)
	if o := p.run(2000, 5*time.Second); sum(o.refused) > 0 || p.load.Refused != 0 {
		t.Errorf("a second after the overload %d are refused, share %.2f", sum(o.refused), p.load.Refused)
	}
}

// TestOrder: what is dear lives as long as there is something cheaper to refuse.
func TestOrder(t *testing.T) {
	mix := [Ranks]float64{0.4, 0.2, 0.2, 0.1, 0.1}
	for _, c := range []struct {
		times float64
		whole []Rank // nothing of these is refused
		none  []Rank // next to nothing of these is done
	}{
		{0.9, []Rank{RankStranger, RankNew, RankCall, RankKnown, RankAnswer}, nil},
		{1.3, []Rank{RankNew, RankCall, RankKnown, RankAnswer}, nil},
		{2, []Rank{RankCall, RankKnown, RankAnswer}, []Rank{RankStranger}},
		{3, []Rank{RankKnown, RankAnswer}, []Rank{RankStranger, RankNew}},
		{4, []Rank{RankAnswer}, []Rank{RankStranger, RankNew}},
	} {
		p := newPlant(5000, 0.02, mix)
		p.run(5000*c.times, 4*time.Second)
		o := p.run(5000*c.times, 10*time.Second)
		part := func(r Rank) float64 { return float64(o.refused[r]) / float64(max(1, o.refused[r]+o.done[r])) }
		t.Logf("%v times: refused %.3f %.3f %.3f %.3f %.3f", c.times, part(0), part(1), part(2), part(3), part(4))
		for _, r := range c.whole {
			if part(r) > 0.02 {
				t.Errorf("%v times: %.3f of rank %v are refused", c.times, part(r), r)
			}
		}
		for _, r := range c.none {
			if part(r) < 0.95 {
				t.Errorf("%v times: only %.3f of rank %v are refused", c.times, part(r), r)
			}
		}
	}
}

// TestShare: the arithmetic of shares.
func TestShare(t *testing.T) {
	mix := [Ranks]float64{0.5, 0.25, 0, 0.25, 0}
	for _, c := range []struct {
		refused float64
		want    [Ranks]float64
	}{
		{0, [Ranks]float64{}},
		{0.25, [Ranks]float64{0.5}},
		{0.5, [Ranks]float64{1}},
		{0.625, [Ranks]float64{1, 0.5}},
		{0.75, [Ranks]float64{1, 1}},
		{0.875, [Ranks]float64{1, 1, 1, 0.5}},
		{1, [Ranks]float64{1, 1, 1, 1}},
	} {
		l := Load{Refused: c.refused, Mix: mix}
		for r := range Ranks {
			if got := l.Share(r); math.Abs(got-c.want[r]) > 1e-9 {
				t.Errorf("of %v: rank %v %v, want %v", c.refused, r, got, c.want[r])
			}
		}
	}
	if l := (Load{Refused: 1}); l.Share(RankStranger) != 0 {
		t.Error("refuses before it knows what there is")
	}
}

func newOverload(t testing.TB, delay *time.Duration) *Overload {
	o, err := NewOverload(OverloadConfig{Delay: func() time.Duration { return *delay }}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestOverload: the shell around the controller: asked at most every 10 ms, decisions by hash, silent at rest.
func TestOverload(t *testing.T) {
	asked, delay := 0, time.Duration(0)
	o, err := NewOverload(OverloadConfig{Delay: func() time.Duration { asked++; return delay }}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	now := epoch
	for range 1000 {
		now = now.Add(time.Millisecond)
		if o.Watch(now) {
			t.Fatal("busy at rest")
		}
	}
	if asked < 95 || asked > 101 {
		t.Errorf("asked %d times in a second", asked)
	}
	delay = 2 * DefaultTarget
	for range 300 {
		now = now.Add(time.Millisecond)
		if o.Watch(now) {
			o.Refuses(RankCall, 1<<63)
			o.Refuses(RankStranger, 1<<63)
		}
	}
	s := o.State(now)
	if s.Share[RankStranger] < 0.5 || s.Share[RankStranger] < s.Share[RankCall] || s.Delay != delay || s.Target != DefaultTarget {
		t.Errorf("overloaded: %+v", s)
	}
	if !o.Refuses(RankStranger, 0) || o.Refuses(RankAnswer, 1<<40) {
		t.Error("wrong decisions")
	}
	if p := o.Percent(); p < 30 || p > 100 {
		t.Errorf("%d percent", p)
	}
	delay = 0
	now = now.Add(10 * time.Second)
	if s := o.State(now); s.Delay != 0 || s.Share != [Ranks]float64{} {
		t.Errorf("what nobody has looked at for long: %+v", s)
	}
	o.Watch(now)
	if o.Refuses(RankStranger, 0) || o.Percent() != 0 {
		t.Error("still refuses after a pause")
	}
}

func TestOverloadConfig(t *testing.T) {
	none := func() time.Duration { return 0 }
	for _, c := range []OverloadConfig{{}, {Target: -1, Delay: none}} {
		if _, err := NewOverload(c, epoch); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func TestWatchAllocatesNothing(t *testing.T) {
	delay := time.Second
	o, now := newOverload(t, &delay), epoch
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(5 * time.Millisecond)
		o.Watch(now)
		o.Refuses(RankNew, 77)
		o.Count(RankNew)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRankNames(t *testing.T) {
	want := []string{"stranger", "new", "call", "known", "answer"}
	if len(want) != int(Ranks) {
		t.Fatalf("%d ranks", Ranks)
	}
	for i, w := range want {
		if got := Rank(i).String(); got != w {
			t.Errorf("rank %d is %q, want %q", i, got, w)
		}
	}
}

// TestUpperTenth: the quantile of what has been added to a histogram.
func TestUpperTenth(t *testing.T) {
	edges := []float64{math.Inf(-1), 0, 0.001, 0.01, 0.1, math.Inf(1)}
	for _, c := range []struct {
		added []uint64
		want  time.Duration
	}{
		{[]uint64{0, 0, 0, 0, 0}, 0},
		{[]uint64{0, 100, 0, 0, 0}, 0},
		{[]uint64{0, 91, 9, 0, 0}, 0},
		{[]uint64{0, 80, 9, 11, 0}, 10 * time.Millisecond},
		{[]uint64{0, 0, 0, 0, 16}, 100 * time.Millisecond},
		{[]uint64{0, 0, 0, 0, 15}, 0}, // too few to say anything
	} {
		before, now := []uint64{9, 9, 9, 9, 9}, make([]uint64, 5)
		for i := range now {
			now[i] = before[i] + c.added[i]
		}
		if got := upperTenth(now, before, edges); got != c.want {
			t.Errorf("%v: %v, want %v", c.added, got, c.want)
		}
	}
}

// TestScheduler: asking the runtime costs no memory.
func TestScheduler(t *testing.T) {
	s := NewScheduler()
	s.Delay()
	if n := testing.AllocsPerRun(100, func() { s.then = time.Now().Add(-2 * schedulerPeriod); s.Delay() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestIsBusy: only who keeps its processors busy waits for its own work.
func TestIsBusy(t *testing.T) {
	const period = 20 * time.Millisecond
	for _, c := range []struct {
		worked     time.Duration
		processors int
		want       bool
	}{
		{period, 1, true}, {period * 8 / 10, 1, true}, {period / 2, 1, false}, {0, 1, false},
		{period, 2, false}, {2 * period, 2, true}, {period * 16 / 10, 2, true},
	} {
		if got := isBusy(c.worked, period, c.processors); got != c.want {
			t.Errorf("%v of %d processors in %v: %v", c.worked, c.processors, period, got)
		}
	}
}

func BenchmarkWatch(b *testing.B) {
	delay := time.Duration(0)
	o, now := newOverload(b, &delay), epoch
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		o.Watch(now)
	}
}

func BenchmarkScheduler(b *testing.B) {
	s := NewScheduler()
	b.ReportAllocs()
	for b.Loop() {
		s.then = time.Now().Add(-2 * schedulerPeriod)
		s.Delay()
	}
}

// TestRefusalsAreBounded: so many are answered between two samples, and as many again after the next.
func TestRefusalsAreBounded(t *testing.T) {
	start := time.Now()
	o, err := NewOverload(OverloadConfig{Delay: func() time.Duration { return time.Second }}, start)
	if err != nil {
		t.Fatal(err)
	}
	for sample := range 3 {
		o.Watch(start.Add(time.Duration(sample) * samplePeriod))
		answered := 0
		for range 1000 {
			if o.MayAnswer() {
				answered++
			}
		}
		if answered != 100 {
			t.Errorf("sample %d: %d refusals of 1000 were answered, want 100", sample, answered)
		}
	}
}
