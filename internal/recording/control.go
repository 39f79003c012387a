package recording

import (
	"context"

	"dialtone/internal/directory"
)

// Start begins to record a live call. by is who asks, for the row.
func (a *Archive) Start(ctx context.Context, callID, by string) (Recording, error) {
	c, live := a.config.Calls(callID)
	if !live {
		return Recording{}, ErrNoCall
	}
	r := c.Record()
	switch {
	case !r.IsAnswered():
		return Recording{}, ErrUnconnected
	case a.policy(r) == directory.RecordOff:
		return Recording{}, ErrOff
	}
	t, err := a.claim(r, by)
	if err != nil {
		return Recording{}, err
	}
	if err := t.begin(ctx); err != nil {
		return Recording{}, err
	}
	return t.recording(), nil
}

// Stop ends the recording of a call and waits until its file is complete.
func (a *Archive) Stop(ctx context.Context, callID string) (Recording, error) {
	t, err := a.underWay(ctx, callID)
	if err != nil {
		return Recording{}, err
	}
	if a.policy(t.call.Record()) == directory.RecordAlways {
		return Recording{}, ErrAlways
	}
	t.end()
	select {
	case <-t.done:
		return t.recording(), nil
	case <-ctx.Done():
		return Recording{}, ctx.Err()
	}
}

// Pause leaves out what is said from now on: it is silence in the file.
func (a *Archive) Pause(ctx context.Context, callID string) (Recording, error) {
	t, err := a.underWay(ctx, callID)
	if err != nil {
		return Recording{}, err
	}
	if !t.writing.Paused() {
		t.writing.Pause()
		a.publish("paused", t.recording())
	}
	return t.recording(), nil
}

// Resume goes on after Pause.
func (a *Archive) Resume(ctx context.Context, callID string) (Recording, error) {
	t, err := a.underWay(ctx, callID)
	if err != nil {
		return Recording{}, err
	}
	if t.writing.Paused() {
		t.writing.Resume()
		a.publish("resumed", t.recording())
	}
	return t.recording(), nil
}

// underWay is the take of a call that has begun.
func (a *Archive) underWay(ctx context.Context, callID string) (*take, error) {
	if _, live := a.config.Calls(callID); !live {
		return nil, ErrNoCall
	}
	a.mu.Lock()
	t := a.active[callID]
	a.mu.Unlock()
	if t == nil {
		return nil, ErrIdle
	}
	select {
	case <-t.begun:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t.writing == nil {
		return nil, ErrIdle
	}
	return t, nil
}

// recording is how the take is now.
func (t *take) recording() Recording {
	t.mu.Lock()
	defer t.mu.Unlock()
	info := t.info
	if info.State == Running && t.writing != nil {
		info.Length = t.writing.Length()
		if t.writing.Paused() {
			info.State = Paused
		}
	}
	return info
}
