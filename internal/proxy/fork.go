package proxy

// Which branch of a request is started, cancelled and answered, as pure functions of what has come so far: RFC 3261 §16.7,
// §16.8, §16.10.

// stage of an attempt.
type stage uint8

const (
	waiting stage = iota
	running
	ended
)

// attempt is the try to reach one target.
type attempt struct {
	group       int // targets of one q are tried together, groups one after another
	stage       stage
	provisional bool // a provisional response has come
	cancelled   bool
	expired     bool // timer C has fired: whatever it is answered counts as 408
	status      int  // final status; 0: none
}

// fork is the state of all attempts of a request.
type fork struct {
	invite    bool
	attempts  []attempt
	answered  int  // the final status that went upstream; 0: none
	stopped   bool // nothing new is started
	cancelled bool // by the client
}

// orders are what is to be done after an event, in this order.
type orders struct {
	forward bool  // the response at hand goes upstream
	cancel  []int // attempts to cancel
	start   []int // attempts to start
	// instead: they take the place of the attempt replaced, beside others that go on.
	instead  bool
	replaced int
	finish   bool // all is over: the best response goes upstream
}

// begin starts the first group.
func (f *fork) begin() (o orders) {
	f.next(&o)
	return o
}

// next starts the next group that is waiting, or finishes.
func (f *fork) next(o *orders) {
	group := -1
	if !f.stopped {
		for i := range f.attempts {
			a := &f.attempts[i]
			if a.stage != waiting || group >= 0 && a.group != group {
				continue
			}
			group = a.group
			a.stage = running
			o.start = append(o.start, i)
		}
	}
	o.finish = group < 0 && f.answered == 0
}

// provisional takes a response from 101 to 199; §16.7 item 5: it is forwarded at once, unless there was a final one.
func (f *fork) onProvisional(i int) (o orders) {
	f.attempts[i].provisional = true
	o.forward = f.answered == 0
	return o
}

// onTrying takes a 100, which ends here (§16.7 item 5).
func (f *fork) onTrying(i int) { f.attempts[i].provisional = true }

// onFinal takes the final response of an attempt, or the status that stands for its failure.
func (f *fork) onFinal(i, status int) (o orders) {
	a := &f.attempts[i]
	again := a.stage == ended
	if a.expired && status/100 != 2 {
		status = 408 // §16.8: as if a 408 had come
	}
	if status/100 == 2 {
		// §16.7 item 5: every 2xx to an INVITE is forwarded, of other requests the first.
		o.forward = f.invite || f.answered == 0
		if f.answered == 0 || f.invite {
			f.answered = status
		}
		a.stage, a.status, f.stopped = ended, status, true
		f.cancelRunning(&o) // item 10
		return o
	}
	if again {
		return o
	}
	a.stage, a.status = ended, status
	if status/100 == 6 { // item 5: nothing new, and what is pending is cancelled; the 6xx waits for its end
		f.stopped = true
		f.cancelRunning(&o)
	}
	if !f.pending() {
		f.next(&o)
	}
	if o.finish {
		f.answered = status
	}
	return o
}

// onRedirect ends an attempt whose place the targets from number first on have taken: §16.7 item 4. status is that of what
// is left of its response; 0: nothing is. The best of the new ones start at once, beside what still rings.
func (f *fork) onRedirect(i, status, first int) (o orders) {
	if first == len(f.attempts) {
		return f.onFinal(i, status)
	}
	f.attempts[i].stage, f.attempts[i].status = ended, status
	o.instead, o.replaced = true, i
	for n := first; n < len(f.attempts) && f.attempts[n].group == f.attempts[first].group; n++ {
		f.attempts[n].stage = running
		o.start = append(o.start, n)
	}
	return o
}

// onCancel takes the CANCEL of the client: §16.10.
func (f *fork) onCancel() (o orders) {
	f.stopped, f.cancelled = true, true
	f.cancelRunning(&o)
	return o
}

// onTimerC: §16.8.
func (f *fork) onTimerC(i int) (o orders) {
	a := &f.attempts[i]
	if a.stage != running {
		return o
	}
	a.expired = true
	if a.provisional {
		f.cancelOne(&o, i)
		return o
	}
	return f.onFinal(i, 408)
}

func (f *fork) pending() bool {
	for i := range f.attempts {
		if f.attempts[i].stage == running {
			return true
		}
	}
	return false
}

// cancelRunning cancels what is pending. RFC 3261 §9.1: only an INVITE can be cancelled.
func (f *fork) cancelRunning(o *orders) {
	for i := range f.attempts {
		if f.attempts[i].stage == running {
			f.cancelOne(o, i)
		}
	}
}

func (f *fork) cancelOne(o *orders, i int) {
	if f.invite && !f.attempts[i].cancelled {
		f.attempts[i].cancelled = true
		o.cancel = append(o.cancel, i)
	}
}

// best chooses the attempt whose response goes upstream: §16.7 item 6. It returns -1 when none has a status.
func (f *fork) best() int {
	best, least := -1, 0
	for i := range f.attempts {
		s := f.attempts[i].status
		if s < 300 {
			continue
		}
		if r := rank(s); best < 0 || r < least {
			best, least = i, r
		}
	}
	return best
}

// rank orders final responses, the best first. §16.7 item 6: a 6xx before all others, then the lowest class; among the 4xx
// those that tell the client how to go on: 401, 407, 415, 420, 484. What says least about the callee comes last in its
// class, and a 503 last of all: it must not be taken for our own state.
func rank(status int) int {
	switch {
	case status/100 == 6:
		return 0
	case status == 503:
		return 999
	}
	r := status / 100 * 100
	switch status {
	case 401, 407:
		return r
	case 415, 420, 484:
		return r + 1
	case 404, 410, 480:
		return r + 30
	case 408, 430:
		return r + 40
	case 487:
		return r + 41
	}
	return r + 20
}

// failsOver reports whether a status says that the target could not be reached this way rather than that it has answered:
// the next address or flow of the same target is tried. Of a phone with several flows a 503 is its answer, like any other
// but 408 and 430 (RFC 5626 §7); of a server it leads to the next address (RFC 3263 §4.3).
func failsOver(status int, phone bool) bool {
	return status == 408 || status == 430 || status == 503 && !phone
}

// share is the Max-Breadth of each of n parallel branches: RFC 5393 §5.3.3. 0: it is not enough.
func share(breadth, n int) int {
	if n == 0 {
		return breadth
	}
	return breadth / n
}

const maxBreadth = 60 // RFC 5393 §5.3.3: the recommended value, and the most that is accepted

// breadthOf is the incoming Max-Breadth.
func breadthOf(value uint32, present bool) int {
	if !present || value > maxBreadth {
		return maxBreadth
	}
	return int(value)
}
