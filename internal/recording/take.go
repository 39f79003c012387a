package recording

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/directory"
	"dialtone/internal/media"
	"dialtone/internal/media/recorder"
	"dialtone/internal/media/tone"
)

// take is one recording under way.
type take struct {
	archive *Archive
	call    *call.Call
	seal    *recorder.Seal
	path    string        // of the file
	begun   chan struct{} // closed when it has begun, or will not
	done    chan struct{} // closed when its row is complete

	mu      sync.Mutex
	info    Recording
	writing *recorder.Recording // nil until it has begun
	over    bool                // the call has ended, or somebody has ended it
	both    tapped
}

// storeTime bounds what is written to the store when nobody waits for it any more.
const storeTime = 10 * time.Second

// claim takes the place of the one recording that a call may have at a time.
func (a *Archive) claim(r *call.Record, by string) (*take, error) {
	c, live := a.config.Calls(r.ID)
	if !live {
		return nil, ErrNoCall
	}
	id := directory.NewID().String()
	f := formats()[a.config.Format]
	name := id + f.extension
	t := &take{archive: a, call: c, begun: make(chan struct{}), done: make(chan struct{}), info: Recording{
		ID: id, Tenant: r.Tenant, CallID: r.ID, State: Running, Start: time.Now().UTC().Truncate(time.Millisecond),
		From: r.From.Number, To: r.To.Number, Format: a.config.Format, Encrypted: a.config.Encrypt, By: by,
	}}
	if t.info.To == "" {
		t.info.To = r.Dialled
	}
	if a.config.Encrypt {
		name += ".sealed"
		t.seal = a.seal(id)
	}
	t.info.File = filepath.Join(t.info.Start.Format("2006-01"), name)
	t.path = filepath.Join(a.config.Dir, t.info.File)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, recorder.ErrClosed
	case a.active[r.ID] != nil:
		return nil, ErrActive
	}
	a.active[r.ID] = t
	a.takes.Add(1)
	return t, nil
}

// chunk is how much of a sealed file a crash costs: a second of G.711.
const chunk = 16 << 10

func (a *Archive) seal(id string) *recorder.Seal {
	return &recorder.Seal{Keys: a.config.Keys, Place: []byte("recording/" + id), Chunk: chunk}
}

// begin opens the file, writes the row, and taps the parties. It blocks for the disk; everything after it has a goroutine
// of its own.
func (t *take) begin(ctx context.Context) (err error) {
	a := t.archive
	var written bool
	defer func() {
		close(t.begun)
		if err == nil {
			go t.wait()
			return
		}
		t.abandon(err, written)
	}()
	f := formats()[t.info.Format]
	options := recorder.Options{Path: t.path, Encoding: f.encoding, Rate: f.rate, Channels: 2, Seal: t.seal, Notify: t.notify}
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if a.config.Open != nil {
		if options.File, err = a.config.Open(t.path); err != nil {
			return fmt.Errorf("%w: %w", ErrFailed, err)
		}
	}
	writing, err := a.writer.Start(options)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	t.mu.Lock()
	t.writing = writing
	t.mu.Unlock()
	if err := a.put(ctx, t.info); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	written = true
	if err = reach(context.WithoutCancel(ctx), t.call, t.attach); err == nil {
		a.publish("started", t.info)
	}
	return err
}

// attach taps both parties, on the call's goroutine.
func (t *take) attach() (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return ErrNoCall
	}
	left, right := t.writing.Channel(0), t.writing.Channel(1)
	if t.both, err = tapBoth(t.call, t.archive.config.Media, left.Rate(), [2]media.Sink{left, right}); err != nil {
		return err
	}
	t.call.AddRecording(t.info.ID)
	t.beep()
	return nil
}

// notify hears from the writer.
func (t *take) notify(err error) {
	if errors.Is(err, recorder.ErrSlow) {
		t.archive.log.Warn("recording has a gap: the disk is too slow", "call", t.call.ID(), "recording", t.info.ID)
	}
}

// end ends it, as far as it has begun.
func (t *take) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.writing != nil {
		t.writing.Stop()
	}
}

// wait waits for the end of the take and completes its row.
func (t *take) wait() {
	var beeps <-chan time.Time
	if d := t.archive.config.Beep; d > 0 {
		ticker := time.NewTicker(d)
		defer ticker.Stop()
		beeps = ticker.C
	}
	for {
		select {
		case <-beeps:
			t.call.Post(call.Do{F: func() {
				t.mu.Lock()
				defer t.mu.Unlock()
				if !t.over && !t.writing.Paused() {
					t.beep()
				}
			}})
			continue
		case <-t.writing.Done():
		}
		break
	}
	t.finish(t.writing.Err())
}

// beep lets both parties hear that they are recorded. The caller holds t.mu, on the call's goroutine.
func (t *take) beep() {
	if t.archive.config.Beep <= 0 {
		return
	}
	for _, s := range t.both.sessions {
		// A party that takes no sound of ours hears no beep; the recording goes on all the same.
		_ = s.Beep(tone.Tone{Hz: [2]float64{beepTone}, DBm0: beepLevel}, beepLength)
	}
}

// The beep of ITU-T P.54 and of most rules that ask for one.
const (
	beepTone   = 1400 // Hz
	beepLevel  = -20  // dBm0
	beepLength = 200 * time.Millisecond
)

// release gives back what the take has of the parties.
func (t *take) release() {
	t.mu.Lock()
	both := t.both
	t.over = true
	t.mu.Unlock()
	both.release()
}

// finish completes the row of a take that has begun.
func (t *take) finish(fault error) {
	a := t.archive
	t.release()
	t.mu.Lock()
	t.info.State, t.info.Length = Complete, t.writing.Length()
	if fault != nil {
		t.info.State, t.info.Fault = Failed, fault.Error()
	}
	for _, m := range t.writing.Marks() {
		t.info.Lost += m.Lost
	}
	t.info.End = time.Now().UTC().Truncate(time.Millisecond)
	if size, err := os.Stat(t.path); err == nil {
		t.info.Bytes = size.Size()
		a.bytes.Add(size.Size())
	}
	info := t.info
	t.mu.Unlock()
	t.conclude(info)
}

// abandon ends a take that has not begun. Nothing is kept of it but the fault.
func (t *take) abandon(fault error, written bool) {
	t.release()
	t.end()
	if t.writing != nil {
		<-t.writing.Done()
		_ = os.Remove(t.path) // nothing is in it
	}
	if !errors.Is(fault, ErrFailed) {
		if written { // the call has ended meanwhile
			ctx, cancel := context.WithTimeout(context.Background(), storeTime)
			defer cancel()
			if err := errors.Join(t.archive.config.Store.CondemnRecording(ctx, t.info.ID), t.archive.config.Store.RemoveRecording(ctx, t.info.ID)); err != nil {
				t.archive.log.Error("recording without sound is not forgotten", "recording", t.info.ID, "error", err)
			}
		}
		t.leave()
		return
	}
	t.mu.Lock()
	t.info.State, t.info.Fault, t.info.End, t.info.File = Failed, fault.Error(), t.info.Start, ""
	info := t.info
	t.mu.Unlock()
	t.conclude(info)
}

// conclude writes the last row and tells everybody.
func (t *take) conclude(info Recording) {
	a := t.archive
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	if err := a.put(ctx, info); err != nil {
		a.log.Error("what is known of a recording is not kept", "recording", info.ID, "error", err)
	}
	if info.State == Failed {
		a.failed.Add(1)
		a.log.Error("recording failed", "call", info.CallID, "recording", info.ID, "error", info.Fault)
		t.call.Post(call.Do{F: t.call.FailRecording})
		a.publish("failed", info)
	} else {
		a.publish("stopped", info)
	}
	t.leave()
}

// leave lets the call be recorded again.
func (t *take) leave() {
	a := t.archive
	a.mu.Lock()
	if a.active[t.info.CallID] == t {
		delete(a.active, t.info.CallID)
	}
	a.mu.Unlock()
	close(t.done)
	a.takes.Done()
}
