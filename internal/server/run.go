package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cdr"
	"dialtone/internal/store"
)

// Run serves until ctx ends, then drains: new calls are refused, running ones may go on for the configured time and are
// ended with BYE, and everything is written down. It returns when all is closed.
func (s *Server) Run(ctx context.Context) error {
	// The parts outlive ctx: they are stopped one after another, below.
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var parts, locations sync.WaitGroup
	start := func(in context.Context, group *sync.WaitGroup, name string, f func(context.Context) error) {
		group.Go(func() {
			if err := f(in); err != nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	run := func(name string, f func(context.Context) error) { start(work, &parts, name, f) }
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSaving()
	start(saving, &locations, "locations", s.locations.Run)
	run("transactions", s.transactions.Run)
	run("journal", func(ctx context.Context) error { return s.recorder.Run(ctx, s.exchange.Calls()) })
	run("recordings", s.recordings.Run)
	run("music", s.music.run)
	run("memory", s.settle)
	if s.options.TuneGC {
		run("garbage", s.tuneGC)
	}
	if s.hops != nil {
		run("next hops", s.hops.Run)
	}
	run("SIP", s.transport.Run)
	if s.turn != nil {
		run("TURN", s.turn.Run)
	}
	if err := s.recover(ctx); err != nil && ctx.Err() == nil {
		stop(err)
	}
	administration, stopAdmin := context.WithCancel(work)
	defer stopAdmin()
	if s.admin != nil {
		start(administration, &parts, "API", s.admin.Run)
	}

	select {
	case <-ctx.Done():
		s.drain()
	case <-work.Done():
	}
	stopAdmin()
	cause := context.Cause(work)
	stop(nil)
	parts.Wait()
	stopSaving() // the transport has closed: no binding changes any more
	locations.Wait()
	closeErr := s.close()
	if cause != nil {
		return cause
	}
	return closeErr
}

// Hurry ends the patience of a drain: the calls that still run are ended at once. Before the drain it makes that one
// as short.
func (s *Server) Hurry() { s.endPatience() }

// goodbyeTime is how long requests that end calls have to be answered.
const goodbyeTime = 500 * time.Millisecond

// drain ends the calls.
func (s *Server) drain() {
	if n := s.exchange.Calls().Len(); n > 0 {
		s.log.Info("draining", "calls", n, "for", s.options.Config.SIP.Drain.Duration)
	}
	deadline, cancel := context.WithTimeout(s.patience, s.options.Config.SIP.Drain.Duration)
	defer cancel()
	if cut := s.exchange.Drain(deadline); cut > 0 {
		s.log.Info("calls ended by the shutdown", "calls", cut)
		time.Sleep(goodbyeTime)
	}
}

// sealState encrypts the state of a call for the journal.
func (s *Server) sealState(callID string, state []byte) []byte {
	return s.keys.Seal(statePlace(callID), state)
}

// openState undoes sealState.
func (s *Server) openState(callID string, sealed []byte) ([]byte, error) {
	return s.keys.Open(statePlace(callID), sealed)
}

// statePlace binds a sealed state to its call.
func statePlace(callID string) []byte { return []byte("journal/" + callID) }

// recover looks after the calls that a crash has cut: they are taken up again when the static file says so, else their
// records are written.
func (s *Server) recover(ctx context.Context) error {
	if err := s.writer.Replayed(ctx); err != nil {
		return fmt.Errorf("records of the last run: %w", err)
	}
	var rows []store.JournalRow
	err := s.store.LoadJournal(ctx, func(r store.JournalRow) error {
		r.Body, r.State = append([]byte(nil), r.Body...), append([]byte(nil), r.State...)
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	cut := rows[:0]
	for _, r := range rows {
		if s.options.Config.SIP.Resume && len(r.State) > 0 {
			state, err := s.openState(r.CallID, r.State)
			if err == nil {
				var c *call.Call
				if c, err = s.exchange.Restore(state, s.endpoint); err == nil {
					s.recordings.Resumed(c)
				}
			}
			if err == nil {
				s.log.Info("call taken up again", "call", r.CallID)
				continue
			}
			s.log.Warn("call cannot be taken up again", "call", r.CallID, "error", err)
		}
		cut = append(cut, r)
	}
	for _, record := range cdr.Recover(cut) {
		if err := s.writer.Finish(record); err != nil {
			return fmt.Errorf("record of call %s: %w", record.CallID, err)
		}
		s.log.Warn("a call was cut by the end of the last run; its record was written", "call", record.CallID)
	}
	return nil
}
