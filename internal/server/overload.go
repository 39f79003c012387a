package server

import (
	"time"

	"dialtone/internal/guard"
	"dialtone/internal/network"
)

// buildOverload makes the control that refuses work when there is more than can be done; nil where the static file does
// not want it. Work waits in the queues of the sockets and then for a processor; the longer of the two counts.
func (s *Server) buildOverload(now time.Time) (*guard.Overload, error) {
	target := s.options.Config.Guard.QueueDelay.Duration
	if target == 0 {
		return nil, nil
	}
	scheduler := func() time.Duration { return 0 }
	if _, real := s.options.Network.(*network.OS); real { // elsewhere time is virtual, and what the runtime measures is not
		scheduler = guard.NewScheduler().Delay
	}
	return guard.NewOverload(guard.OverloadConfig{
		Target: target,
		Delay:  func() time.Duration { return max(s.transport.QueueDelay(), scheduler()) },
	}, now)
}
