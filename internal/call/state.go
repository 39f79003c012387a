package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dialtone/internal/cause"
)

// stateVersion is written into every state; a state of another version is not taken up.
const stateVersion = 1

// savedState is a connected call written down.
type savedState struct {
	Version     int        `json:"version"`
	Record      Record     `json:"record"`
	HeldFrom    time.Time  `json:"held_from"`
	MaxForwards int        `json:"max_forwards"`
	Peer        string     `json:"peer"` // ID of the leg that the caller is connected with; "" none
	Legs        []savedLeg `json:"legs"` // those that are still there
}

type savedLeg struct {
	ID    string `json:"id"`
	State []byte `json:"state"`
}

// ErrNotConnected says that a call has no state worth keeping yet.
var ErrNotConnected = errors.New("the call is not connected")

// Snapshot writes a connected call down, from any goroutine: its facts and the state of its legs. What is under way
// (a change of the media) is not in it.
func (c *Call) Snapshot(ctx context.Context) ([]byte, error) {
	type result struct {
		state []byte
		err   error
	}
	done := make(chan result, 1)
	if !c.Post(Do{func() {
		var r result
		r.state, r.err = c.state()
		done <- r
	}}) {
		return nil, ErrOver
	}
	select {
	case r := <-done:
		return r.state, r.err
	case <-c.gone:
		return nil, ErrOver
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// state writes the call down, on its goroutine.
func (c *Call) state() ([]byte, error) {
	switch {
	case !c.over.IsZero():
		return nil, ErrOver
	case !c.facts.IsAnswered():
		return nil, ErrNotConnected
	}
	c.publish()
	c.unsaved = true
	s := savedState{Version: stateVersion, Record: *c.Record(), HeldFrom: c.heldFrom, MaxForwards: c.forwards}
	for _, p := range c.parties {
		if p.gone {
			continue
		}
		state, err := p.leg.State()
		if err != nil {
			return nil, fmt.Errorf("state of leg %s: %w", p.record.ID, err)
		}
		s.Legs = append(s.Legs, savedLeg{p.record.ID, state})
		if p == c.peer {
			s.Peer = p.record.ID
		}
	}
	c.unsaved = false
	return json.Marshal(s)
}

// Restore takes up a call that another process has written down and runs its service. The call keeps its ID and its
// facts; there is no CallStarted. When a leg cannot be restored, nothing runs, the legs that could be are hung up, and
// the error says why.
func (r *Registry) Restore(state []byte, legs LegRestorer, serve Service) (*Call, error) {
	var s savedState
	if err := json.Unmarshal(state, &s); err != nil {
		return nil, fmt.Errorf("read state of call: %w", err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("state of call has version %d, not %d", s.Version, stateVersion)
	}
	if s.Record.ID == "" || len(s.Record.Legs) == 0 || !s.Record.IsAnswered() {
		return nil, errors.New("state of call is incomplete")
	}
	if _, live := r.Call(s.Record.ID); live {
		return nil, fmt.Errorf("call %s is live already", s.Record.ID)
	}
	c := &Call{
		registry: r, mailbox: NewMailbox(), forwards: s.MaxForwards, facts: s.Record, heldFrom: s.HeldFrom,
		watched: time.Now(), confirmed: true, restored: true, gone: make(chan struct{}),
	}
	c.facts.Legs = nil
	if err := c.restoreLegs(s, legs); err != nil {
		return nil, err
	}
	r.launch(c, serve)
	return c, nil
}

// giveUp hangs up the legs that were restored so far.
func (c *Call) giveUp(err error) error {
	for _, p := range c.parties {
		if !p.gone {
			p.leg.Hangup(cause.Recovered())
		}
	}
	_ = c.mailbox.close() // nothing runs that could take it
	return err
}

// restoreLegs rebuilds the legs that were there, and the memory of those that were not.
func (c *Call) restoreLegs(s savedState, legs LegRestorer) error {
	saved := make(map[string][]byte, len(s.Legs))
	for _, l := range s.Legs {
		saved[l.ID] = l.State
	}
	for _, rec := range s.Record.Legs {
		p := &party{gone: true, record: rec}
		c.parties = append(c.parties, p)
		state, there := saved[rec.ID]
		if !there {
			continue
		}
		leg, err := legs.RestoreLeg(rec.ID, state, c.mailbox)
		if err != nil {
			return c.giveUp(fmt.Errorf("restore leg %s: %w", rec.ID, err))
		}
		p.leg, p.gone = leg, false
		if rec.ID == s.Peer {
			c.peer = p
		}
	}
	if c.parties[0].gone || c.peer == c.parties[0] {
		return c.giveUp(errors.New("state of call has no caller"))
	}
	if s.Peer != "" && c.peer == nil {
		return c.giveUp(fmt.Errorf("state of call has no leg %s", s.Peer))
	}
	return nil
}
