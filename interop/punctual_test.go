package interop

import (
	"sync/atomic"
	"time"

	"dialtone/internal/quality/listen"
)

// busy is how late a program may be woken up on a machine that can play and send sound in time.
const busy = 20 * time.Millisecond

// lateness watches how late the machine wakes this program up: as late as it wakes telephones and exchange. The function
// ends it and tells the worst.
func lateness() (end func() time.Duration) {
	const nap = 5 * time.Millisecond
	var over atomic.Bool
	worst := make(chan time.Duration, 1)
	go func() {
		late := time.Duration(0)
		for !over.Load() {
			start := time.Now()
			time.Sleep(nap)
			late = max(late, time.Since(start)-nap)
		}
		worst <- late
	}()
	return func() time.Duration {
		over.Store(true)
		return <-worst
	}
}

// verdict says in words what a result misses. Of a call on a busy machine only so much is asked that the party was heard: the
// delays that make its sound worse are the machine's.
func verdict(g listen.Gates, r, baseline listen.Result, late time.Duration) string {
	wrong := g.Check(r, baseline)
	if wrong != "" && late > busy && r.Heard >= 0.8 && r.LevelDB > -3 && r.LevelDB < 3 {
		return ""
	}
	return wrong
}
