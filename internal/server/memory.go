package server

import (
	"context"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// The memory of a rush is given back to the system when it is over; the runtime by itself would keep it for minutes.
const (
	settleEvery  = 10 * time.Second
	rushCalls    = 100    // calls at a time that make a rush
	rushChanges  = 10_000 // changed objects in one commit that make one
	quietFactor  = 10     // it is over when no more than a tenth is left
	lingerAtMost = 200    // transactions that may still be lingering
)

// rush remembers whether there is something to give back.
type rush struct {
	peak    int         // calls since the last time
	changes atomic.Bool // a large commit
}

// settle watches for the end of rushes until ctx ends.
func (s *Server) settle(ctx context.Context) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		calls := s.exchange.Calls().Len()
		s.rush.peak = max(s.rush.peak, calls)
		over := s.rush.peak >= rushCalls && calls <= s.rush.peak/quietFactor && s.transactions.Len() <= lingerAtMost
		if over || s.rush.changes.Swap(false) {
			s.rush.peak = calls
			debug.FreeOSMemory()
		}
	}
}
