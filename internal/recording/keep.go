package recording

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dialtone/internal/media/ogg"
	"dialtone/internal/media/recorder"
	"dialtone/internal/media/wav"
	"dialtone/internal/store"
)

// List returns recordings, the newest first, as the rows have them; of those under way, as they are now.
func (a *Archive) List(ctx context.Context, q store.RecordingQuery) ([]Recording, error) {
	rows, err := a.config.Store.Recordings(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]Recording, 0, len(rows))
	for i := range rows {
		r, err := ofRow(&rows[i])
		if err != nil {
			return nil, err
		}
		if t := a.taking(r.CallID, r.ID); t != nil {
			hold := r.Hold
			r = t.recording()
			r.Hold = hold
		}
		out = append(out, r)
	}
	return out, nil
}

// taking is the take of a recording that is under way; nil when it is not.
func (a *Archive) taking(callID, id string) *take {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.active[callID]; t != nil && t.info.ID == id {
		return t
	}
	return nil
}

// Find returns one recording, or store.ErrNotFound.
func (a *Archive) Find(ctx context.Context, id string) (Recording, error) {
	list, err := a.List(ctx, store.RecordingQuery{ID: id, Limit: 1})
	if err != nil {
		return Recording{}, err
	}
	if len(list) == 0 {
		return Recording{}, fmt.Errorf("recording %s: %w", id, store.ErrNotFound)
	}
	return list[0], nil
}

// Sound is the bytes of a recording as a player wants them.
type Sound interface {
	io.ReadSeekCloser
	io.ReaderAt
	// ContentType is the media type.
	ContentType() string
}

// Open opens the sound of a recording that has ended: WAVE or Ogg, decrypted as it is read. One that runs is ErrActive, one
// without a file store.ErrNotFound.
func (a *Archive) Open(r Recording) (Sound, error) {
	switch {
	case r.End.IsZero():
		return nil, ErrActive
	case r.File == "":
		return nil, fmt.Errorf("sound of recording %s: %w", r.ID, store.ErrNotFound)
	}
	reader, err := recorder.Open(a.pathOf(r), a.sealOf(r))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("sound of recording %s: %w", r.ID, store.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return reader, nil
}

func (a *Archive) pathOf(r Recording) string {
	return filepath.Join(a.config.Dir, filepath.FromSlash(r.File))
}

// sealOf opens what was encrypted, whatever is configured now.
func (a *Archive) sealOf(r Recording) *recorder.Seal {
	if !r.Encrypted {
		return nil
	}
	return a.seal(r.ID)
}

// Hold begins or ends a legal hold: what is held is never removed.
func (a *Archive) Hold(ctx context.Context, id string, hold bool) error {
	return a.config.Store.HoldRecording(ctx, id, hold)
}

// Remove removes a recording that has ended, sound and row. What is held is store.ErrHeld.
func (a *Archive) Remove(ctx context.Context, r Recording) error {
	if r.End.IsZero() {
		return ErrActive
	}
	if err := a.config.Store.CondemnRecording(ctx, r.ID); err != nil {
		return err
	}
	return a.execute(ctx, r)
}

// execute removes what is condemned.
func (a *Archive) execute(ctx context.Context, r Recording) error {
	if r.File != "" {
		if err := os.Remove(a.pathOf(r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove recording %s: %w", r.ID, err)
		}
	}
	if err := a.config.Store.RemoveRecording(ctx, r.ID); err != nil {
		return err
	}
	a.publish("removed", r)
	return nil
}

// sweepAt is how many are removed in one go.
const sweepAt = 1000

// Sweep removes what was kept long enough, and what a removal has left half done.
func (a *Archive) Sweep(ctx context.Context) {
	half, err := a.List(ctx, store.RecordingQuery{State: store.RecordingCondemned, Limit: sweepAt})
	for _, r := range half {
		err = errors.Join(err, a.execute(ctx, r))
	}
	if a.config.Keep > 0 {
		before := time.Now().Add(-a.config.Keep).UnixMilli()
		old, more := a.List(ctx, store.RecordingQuery{EndedBeforeMS: before, Unheld: true, Limit: sweepAt})
		err = errors.Join(err, more)
		for _, r := range old {
			if removed := a.expire(ctx, r); !errors.Is(removed, store.ErrHeld) { // somebody was faster
				err = errors.Join(err, removed)
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		a.log.Error("recordings are not removed", "error", err)
	}
}

// expire removes a recording because of its age.
func (a *Archive) expire(ctx context.Context, r Recording) error {
	before, err := json.Marshal(map[string]any{"call_id": r.CallID, "start": r.Start, "from": r.From, "to": r.To})
	if err != nil {
		return err
	}
	if err := a.Remove(ctx, r); err != nil {
		return err
	}
	return a.config.Store.Note(ctx, store.Actor{Name: "retention"}, store.Act{Tenant: r.Tenant, Kind: "recording", Key: r.ID, Before: before})
}

// recover completes what an earlier process was recording when it ended.
func (a *Archive) recover(ctx context.Context) {
	list, err := a.List(ctx, store.RecordingQuery{State: string(Running), UntilMS: a.started.UnixMilli(), Limit: 10_000})
	if err != nil && ctx.Err() == nil {
		a.log.Error("recordings of the last run are not repaired", "error", err)
	}
	for _, r := range list {
		if a.taking(r.CallID, r.ID) != nil {
			continue
		}
		a.repair(&r)
		if err := a.put(ctx, r); err != nil {
			a.log.Error("what is known of a recording is not kept", "recording", r.ID, "error", err)
			continue
		}
		a.log.Warn("a recording was cut by the end of the last run", "recording", r.ID, "call", r.CallID, "length", r.Length)
		a.publish("stopped", r)
	}
}

// repair puts a file in order and finds out what is in it.
func (a *Archive) repair(r *Recording) {
	r.State = Recovered
	path := a.pathOf(*r)
	_, err := recorder.Repair(path)
	if err == nil {
		r.Length, err = a.measure(*r)
	}
	if size, statErr := os.Stat(path); statErr == nil {
		r.Bytes = size.Size()
	} else {
		r.File = ""
	}
	if err != nil {
		r.State, r.Fault = Failed, err.Error()
	}
	r.End = r.Start.Add(r.Length)
}

// measure is how long a file lasts.
func (a *Archive) measure(r Recording) (time.Duration, error) {
	file, err := recorder.Open(a.pathOf(r), a.sealOf(r))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	f := formats()[r.Format]
	if r.Format != Opus {
		is := wav.Format{Encoding: f.encoding, Channels: 2, Rate: f.rate}
		samples := max(0, file.Size()-int64(is.HeaderSize())) / int64(is.BlockSize())
		return time.Duration(samples) * time.Second / time.Duration(f.rate), nil
	}
	pages := ogg.NewPageReader(file)
	granule := int64(0)
	for {
		p, err := pages.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, ogg.ErrFormat) {
			// RFC 7845 §4: granule positions count samples at 48 kHz.
			return time.Duration(granule) * time.Second / 48000, nil
		}
		if err != nil {
			return 0, err
		}
		granule = max(granule, int64(p.Granule))
	}
}
