package server

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
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
	rushMessages = 20_000 // messages between two looks that make one: a flood
)

// Garbage may pile up to half of what lives, but in a large exchange (a million lines and bindings are a gigabyte, and
// make next to none) to less, so that its memory stays near what it holds.
const (
	gcPercent = 50
	gcRoom    = 256 << 20 // what half of a heap may come to
	gcLeast   = 20        // percent: each collection marks all that lives

	// Under heavy load collections are what messages wait for: there are hundreds of thousands of transactions to mark, and
	// garbage comes fast. Then memory is spent to have one in half a minute, if the machine has it.
	gcEvery     = time.Second
	gcBusy      = 30_000 // transactions; those of a thousand requests a second linger for half a minute
	gcBusyMax   = 400    // percent
	gcBusyRoom  = 1 << 30
	gcBusyShare = 16 // and no more room than this part of the machine
)

const memoryLimit = 70 // percent of the machine

// TuneGC keeps the memory of this process close to what the exchange needs. The tables that an idle one holds (guard,
// nonces, ladder) are most of its heap, have few pointers, and would by themselves let as much garbage again pile up
// between two collections; half of that costs a percent of a core at hundreds of calls a second. Run does it again when
// the exchange has grown or shrunk, or has more or less to do.
func TuneGC() { debug.SetGCPercent(gcPercentFor(liveHeap(), 0, 0)) }

// LimitMemory makes the collector spare nothing when this process has most of the machine's memory.
func LimitMemory() {
	if memory := machineMemory(); memory > 0 {
		debug.SetMemoryLimit(int64(memory / 100 * memoryLimit))
	}
}

// gcPercentFor is the room for garbage, in percent of what lives, with so many transactions on a machine with so much
// memory.
func gcPercentFor(live uint64, transactions int, memory uint64) int {
	percent := gcPercent
	if live > gcRoom*100/gcPercent {
		percent = max(gcLeast, int(gcRoom*100/live))
	}
	if transactions >= gcBusy {
		room := min(gcBusyRoom, memory/gcBusyShare)
		percent = max(percent, min(gcBusyMax, int(room*100/max(live, 1))))
	}
	return percent
}

// tuneGC adapts the garbage collector until ctx ends.
func (s *Server) tuneGC(ctx context.Context) error {
	tick := time.NewTicker(gcEvery)
	defer tick.Stop()
	last, memory := 0, machineMemory()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// To set it stops the world for a moment: not for a trifle.
		if percent := gcPercentFor(liveHeap(), s.transactions.Len(), memory); max(percent, last) > min(percent, last)*11/10 {
			debug.SetGCPercent(percent)
			last = percent
		}
	}
}

// liveHeap is what the last collection has found alive, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// rush remembers whether there is something to give back.
type rush struct {
	peak    int         // calls since the last time
	changes atomic.Bool // a large commit
	heard   uint64      // messages so far
	loudest uint64      // between two looks since the last time
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
		messages := s.transport.Messages()
		lately := messages - s.rush.heard
		s.rush.heard = messages
		s.rush.loudest = max(s.rush.loudest, lately)
		over := s.rush.peak >= rushCalls && calls <= s.rush.peak/quietFactor ||
			s.rush.loudest >= rushMessages && lately <= s.rush.loudest/quietFactor
		if over && s.transactions.Len() <= lingerAtMost || s.rush.changes.Swap(false) {
			s.rush.peak, s.rush.loudest = calls, lately
			debug.FreeOSMemory()
		}
	}
}
