package recording

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/codec"
	"dialtone/internal/media"
	"dialtone/internal/media/tap"
)

// errDirect: the media of the call does not come here yet.
var errDirect = fmt.Errorf("%w: the media stays between the parties", ErrFailed)

const (
	connectTime = 10 * time.Second       // for the media of a direct call to come here
	connectStep = 100 * time.Millisecond // between two looks whether it does
)

// tapped is both parties of a call, heard beside whatever becomes of what they say.
type tapped struct {
	sessions [2]*media.Session
	ears     [2]*media.Ear
	pumps    [2]*media.Pump
}

// reach runs attach on the goroutine of a call, again and again while the media of the call is on its way here.
func reach(ctx context.Context, c *call.Call, attach func() error) error {
	until := time.Now().Add(connectTime)
	attached := make(chan error, 1)
	for {
		if !c.Post(call.Do{F: func() { attached <- attach() }}) {
			return ErrNoCall
		}
		var err error
		select {
		case err = <-attached:
		case <-time.After(connectTime):
			return fmt.Errorf("%w: the call does not answer", ErrFailed)
		}
		if !errors.Is(err, errDirect) || time.Now().After(until) {
			return err
		}
		select {
		case <-time.After(connectStep):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tapBoth gives what each party says to a sink of its own, on the call's goroutine. Media that goes straight between the
// parties is asked to come here first, which is errDirect meanwhile.
func tapBoth(c *call.Call, engine *media.Engine, rate int, sinks [2]media.Sink) (t tapped, err error) {
	if !c.Cause().IsZero() {
		return t, ErrNoCall
	}
	peer := c.Peer()
	if peer == nil || peer.Media() == nil || c.Caller().Media() == nil {
		return t, ErrUnconnected
	}
	if c.IsDirect() {
		c.Anchor()
		return t, errDirect
	}
	t.sessions = [...]*media.Session{c.Caller().Media(), peer.Media()}
	for _, s := range t.sessions {
		if s.Audio() == nil {
			return t, errDirect
		}
	}
	defer func() {
		if err != nil {
			t.release()
			err = fmt.Errorf("%w: %w", ErrFailed, err)
		}
	}()
	for i, s := range t.sessions {
		if t.ears[i], err = s.Tap(rate); err != nil {
			return t, err
		}
		if t.pumps[i], err = engine.Pump(t.ears[i], sinks[i]); err != nil {
			return t, err
		}
	}
	return t, nil
}

// release lets go of the parties.
func (t *tapped) release() {
	for i := range t.pumps {
		if t.pumps[i] != nil {
			t.pumps[i].Stop()
		}
		if t.ears[i] != nil {
			t.ears[i].Close()
		}
	}
}

// said gives frames of one party to a listener.
type said struct {
	direction tap.Direction
	to        tap.Listener
}

// WriteFrame implements media.Sink.
func (s said) WriteFrame(frame codec.Frame) { s.to.WriteTap(s.direction, frame) }

// Listen gives both parties of a live call to a listener, the caller as tap.Said, the other one as tap.Heard, with rate
// samples a second. It goes on until stop is called, or the call ends, which closes over.
func (a *Archive) Listen(ctx context.Context, callID string, rate int, to tap.Listener) (over <-chan struct{}, stop func(), err error) {
	c, live := a.config.Calls(callID)
	if !live {
		return nil, nil, ErrNoCall
	}
	var both tapped
	err = reach(ctx, c, func() (err error) {
		both, err = tapBoth(c, a.config.Media, rate, [2]media.Sink{said{tap.Said, to}, said{tap.Heard, to}})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return both.pumps[0].Done(), both.release, nil
}
