package guard

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Rank is how dear a request is to a server that cannot do all it is asked for. Those of a lower rank are refused first;
// whatever is not ranked (requests inside dialogs, ACK, CANCEL, responses, emergency calls) is never refused.
type Rank uint8

// The ranks, in the order in which they are refused.
const (
	// RankStranger is a call from a flow on which nobody has authenticated.
	RankStranger Rank = iota
	// RankNew is the registration of an unknown flow, and SUBSCRIBE, OPTIONS, MESSAGE and the like outside dialogs.
	RankNew
	// RankCall is a call from a flow on which somebody has authenticated, or from a trusted network.
	RankCall
	// RankKnown refreshes a registration that is there, from where it was made: refused, the phone would lose it.
	RankKnown
	// RankAnswer answers a challenge of ours: half of the work is done.
	RankAnswer
	Ranks
)

// String is the label of the metric.
func (r Rank) String() string {
	return [...]string{"stranger", "new", "call", "known", "answer"}[r]
}

// The controller. Delays are counted in targets, shares of all ranked requests from 0 to 1.
//
// A queue that is fed rho times as fast as it is served grows by rho-1 seconds a second, and refusing one more hundredth
// slows that by rho hundredths. With the target of 50 ms the loop has a natural frequency of 6 rad/s at rho=1 and is
// damped critically, more so above.
const (
	samplePeriod = 10 * time.Millisecond
	integral     = 0.6  // per second and target
	proportional = 0.32 // per target
	worstExcess  = 8.0  // a delay beyond this many targets says no more than that many
	restless     = -0.5 // targets; while the delay is further below it than this, its changes mean nothing
	longestStep  = 0.05 // seconds that one sample may stand for while it is bad
	memory       = 5    // samples of which the least counts: a burst that drains by itself is no overload
	mixTime      = 0.5  // seconds over which the mix of ranks is averaged
)

// Load is the controller: what it has seen, and what follows from it. The zero value is a server at rest.
type Load struct {
	Refused float64        // share of all ranked requests that is to be refused
	Mix     [Ranks]float64 // shares of the ranks among them; all 0: not known yet

	recent [memory]time.Duration
	at     int
	excess float64 // of the previous step, restless at least
	awake  bool
}

// Next takes one sample: how long work waits now, the target, the time since the last sample, and the requests of each
// rank that have come since.
func (l Load) Next(delay, target, elapsed time.Duration, offered *[Ranks]uint32) Load {
	l.recent[l.at] = delay
	l.at = (l.at + 1) % memory
	standing := delay
	for _, d := range l.recent {
		standing = min(standing, d)
	}
	excess := min(float64(standing)/float64(target)-1, worstExcess)
	near := max(excess, restless)
	if !l.awake {
		l.excess, l.awake = restless, true
	}
	dt := elapsed.Seconds()
	if excess > 0 {
		dt = min(dt, longestStep)
	}
	l.Refused = max(0, min(1, l.Refused+integral*excess*dt+proportional*(near-l.excess)))
	l.excess = near
	l.mixIn(offered, elapsed.Seconds())
	return l
}

// mixIn averages the mix.
func (l *Load) mixIn(offered *[Ranks]uint32, dt float64) {
	sum := 0.0
	for _, n := range offered {
		sum += float64(n)
	}
	if sum == 0 {
		return
	}
	weight := min(1, dt/mixTime)
	if l.Mix == ([Ranks]float64{}) {
		weight = 1
	}
	for r, n := range offered {
		l.Mix[r] += weight * (float64(n)/sum - l.Mix[r])
	}
}

// Share is the share of the requests of a rank that is to be refused: all of a lower one before any of a higher one.
func (l *Load) Share(r Rank) float64 {
	if l.Mix == ([Ranks]float64{}) {
		return 0
	}
	left := l.Refused
	for _, m := range l.Mix[:r] {
		left -= m
	}
	const rare = 1e-3 // a rank of which there is next to nothing is not worth a division
	switch m := l.Mix[r]; {
	case left <= 0:
		return 0
	case left >= m || m < rare:
		return 1
	default:
		return left / m
	}
}

// OverloadConfig says when a server is overloaded.
type OverloadConfig struct {
	// Target is how long work may wait. [50 ms]
	Target time.Duration
	// Delay is how long work waits at this moment. It is asked at most every 10 ms, by whoever brings work.
	Delay func() time.Duration
}

// DefaultTarget is the delay that is tolerated: a person does not hear it, and no timer of SIP is near it.
const DefaultTarget = 50 * time.Millisecond

// Overload decides what is refused when a server gets more than it can do. All methods may be called by any goroutine;
// on the way of a message they take no lock, but for one caller every 10 ms.
type Overload struct {
	config  OverloadConfig
	start   time.Time
	next    atomic.Int64         // when the next sample is due, in nanoseconds since start
	limits  [Ranks]atomic.Uint64 // requests whose hash lies below are refused; 1<<32 is all
	offered [Ranks]atomic.Uint32 // since the last sample
	active  atomic.Bool          // something is to be refused, or the mix is wanted
	percent atomic.Uint32        // Refused in hundredths
	answers atomic.Int32         // refusals that were answered since the last sample
	delay   atomic.Int64         // the last sample
	refused [Ranks]paddedCounter // since the start
	passed  [1]paddedCounter     // emergency calls that would have been refused
	mu      sync.Mutex           // guards what follows
	load    Load
	last    int64
}

// paddedCounter is a counter on a cache line of its own.
type paddedCounter struct {
	atomic.Uint64
	_ [56]byte
}

// NewOverload makes the control of one server.
func NewOverload(c OverloadConfig, now time.Time) (*Overload, error) {
	if c.Delay == nil {
		return nil, errors.New("guard: nobody knows the delay")
	}
	if c.Target < 0 {
		return nil, errors.New("guard: the target of the delay is negative")
	}
	if c.Target == 0 {
		c.Target = DefaultTarget
	}
	return &Overload{config: c, start: now}, nil
}

// Watch looks at the delay where that is due, and reports whether requests are to be ranked at all: at rest nobody has to.
func (o *Overload) Watch(now time.Time) bool {
	t := int64(now.Sub(o.start))
	if t >= o.next.Load() && o.mu.TryLock() {
		o.sample(t)
		o.mu.Unlock()
	}
	return o.active.Load()
}

func (o *Overload) sample(t int64) {
	if t < o.next.Load() {
		return // somebody was quicker
	}
	o.next.Store(t + int64(samplePeriod))
	elapsed := time.Duration(t - o.last)
	o.last = t
	o.answers.Store(0)
	delay := o.config.Delay()
	o.delay.Store(int64(delay))
	if delay == 0 && !o.active.Load() {
		if o.load.awake {
			o.load = Load{}
		}
		return // at rest
	}
	var offered [Ranks]uint32
	for r := range offered {
		offered[r] = o.offered[r].Swap(0)
	}
	o.load = o.load.Next(delay, o.config.Target, elapsed, &offered)
	for r := range Ranks {
		o.limits[r].Store(uint64(o.load.Share(r) * (1 << 32)))
	}
	o.percent.Store(uint32(o.load.Refused*100 + 0.5))
	// The mix is wanted before it is needed.
	o.active.Store(o.load.Refused > 0 || delay > o.config.Target/4)
}

// Refuses decides about a request of rank r. The same hash gets the same decision as long as the shares stay: with a hash
// of what repetitions have in common, they share its fate.
func (o *Overload) Refuses(r Rank, hash uint64) bool {
	o.offered[r].Add(1)
	return hash>>32 < o.limits[r].Load()
}

// Count notes a request of rank r that was refused.
func (o *Overload) Count(r Rank) { o.refused[r].Add(1) }

// RefusalsPerSecond is how many refusals of datagrams are answered, those of calls aside. A refusal costs nearly half of
// what a registration does, most of it the system's for sending: at twice the capacity a server that answers everybody
// does little else. Who hears nothing asks again, later each time (RFC 3261 §17.1.2.2). Callers are always answered: a call
// costs ten times its refusal, and its repetitions come soon.
const RefusalsPerSecond = 10_000

// MayAnswer reports whether one more refusal may be answered now.
func (o *Overload) MayAnswer() bool {
	const most = RefusalsPerSecond * samplePeriod / time.Second
	return o.answers.Load() < int32(most) && o.answers.Add(1) <= int32(most)
}

// Exempted notes an emergency call that passed although its rank was to be refused.
func (o *Overload) Exempted() { o.passed[0].Add(1) }

// OverloadState is what there is to say about the control, for metrics.
type OverloadState struct {
	Delay    time.Duration // that the last sample has found
	Target   time.Duration
	Share    [Ranks]float64 // of each rank that is refused now
	Refused  [Ranks]uint64  // since the start
	Exempted uint64         // emergency calls among what would have been refused
}

// State is how things are. A sample that is older than a second says nothing any more.
func (o *Overload) State(now time.Time) OverloadState {
	s := OverloadState{Target: o.config.Target, Exempted: o.passed[0].Load()}
	stale := int64(now.Sub(o.start)) > o.next.Load()+int64(time.Second)
	if !stale {
		s.Delay = time.Duration(o.delay.Load())
	}
	for r := range Ranks {
		s.Refused[r] = o.refused[r].Load()
		if !stale {
			s.Share[r] = float64(o.limits[r].Load()) / (1 << 32)
		}
	}
	return s
}

// Percent is the share of its requests that a client which sheds by itself is to hold back (RFC 7339 §5.3), in
// hundredths.
func (o *Overload) Percent() uint32 { return o.percent.Load() }
