package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dialtone/internal/cdr"
	"dialtone/internal/directory"
	"dialtone/internal/media/tap"
	"dialtone/internal/recording"
	"dialtone/internal/store"
)

// Recordings is the archive of recorded calls; *recording.Archive is one.
type Recordings interface {
	Start(ctx context.Context, callID, by string) (recording.Recording, error)
	Stop(ctx context.Context, callID string) (recording.Recording, error)
	Pause(ctx context.Context, callID string) (recording.Recording, error)
	Resume(ctx context.Context, callID string) (recording.Recording, error)
	List(ctx context.Context, q store.RecordingQuery) ([]recording.Recording, error)
	Find(ctx context.Context, id string) (recording.Recording, error)
	Open(r recording.Recording) (recording.Sound, error)
	Hold(ctx context.Context, id string, hold bool) error
	Remove(ctx context.Context, r recording.Recording) error
	// Listen gives both parties of a call to a listener until stop is called or over is closed.
	Listen(ctx context.Context, callID string, rate int, to tap.Listener) (over <-chan struct{}, stop func(), err error)
}

// Recording is what is known of a recorded call.
type Recording struct {
	ID        string    `json:"id"`
	Tenant    string    `json:"tenant" doc:"Identifier of the tenant"`
	CallID    string    `json:"call_id"`
	State     string    `json:"state" enum:"recording,paused,complete,failed,recovered" doc:"recovered: what a crash has left"`
	Start     cdr.Time  `json:"start"`
	End       *cdr.Time `json:"end"`
	From      string    `json:"from" doc:"The left channel"`
	To        string    `json:"to" doc:"The right channel"`
	LengthMS  int64     `json:"length_ms"`
	Bytes     int64     `json:"bytes" doc:"Of the file, once it has ended"`
	LostMS    int64     `json:"lost_ms" doc:"Of both channels; silence because the disk was slow"`
	Format    string    `json:"format" enum:"wav-alaw,wav-pcm,opus"`
	Encrypted bool      `json:"encrypted" doc:"At rest; what is fetched is not"`
	Hold      bool      `json:"hold" doc:"A legal hold: it cannot be removed"`
	By        string    `json:"by" doc:"Who began it; policy for what is always recorded"`
	Fault     *string   `json:"fault" doc:"Why it failed"`
}

func recordingOf(r recording.Recording) Recording {
	out := Recording{ID: r.ID, Tenant: r.Tenant.String(), CallID: r.CallID, State: string(r.State), Start: cdr.Time{Time: r.Start},
		From: r.From, To: r.To, LengthMS: r.Length.Milliseconds(), Bytes: r.Bytes, LostMS: r.Lost.Milliseconds(), Format: string(r.Format),
		Encrypted: r.Encrypted, Hold: r.Hold, By: r.By}
	if !r.End.IsZero() {
		out.End = &cdr.Time{Time: r.End}
	}
	if r.Fault != "" {
		out.Fault = &r.Fault
	}
	return out
}

type (
	// RecordAction is what is to become of the recording of a call.
	RecordAction struct {
		Action string `json:"action" enum:"start,stop,pause,resume"`
	}
	recordIn struct {
		ID   string `path:"id" doc:"Our identifier of the call"`
		Body RecordAction
	}
	recordingIn struct {
		ID string `path:"id"`
	}
	recordingOut struct{ Body Recording }
	recordingsIn struct {
		TenantParameter
		PageParameters
		Call  string    `query:"call" doc:"Only those of this call"`
		Since time.Time `query:"since" doc:"Those that began at or after"`
		Until time.Time `query:"until" doc:"Those that began before"`
	}
	// RecordingChange is what can be changed of a recording.
	RecordingChange struct {
		Hold bool `json:"hold" doc:"A legal hold: it cannot be removed"`
	}
	changeRecordingIn struct {
		ID   string          `path:"id"`
		Body RecordingChange `contentType:"application/merge-patch+json"`
	}
)

// recordingRoutes registers recordings, and what begins and ends them.
func (a *api) recordingRoutes() {
	tags := []string{"recordings"}
	route(a, huma.Operation{
		OperationID: "record-call", Method: http.MethodPost, Path: "/calls/{id}/record", Tags: []string{"calls", "recordings"},
		Summary: "Record a call, pause, go on or stop", MaxBodyBytes: objectLimit,
		Description: "What is said during a pause is silence in the file. Calls of lines that are always recorded cannot be stopped.",
	}, a.recordCall)
	route(a, huma.Operation{OperationID: "list-recordings", Method: http.MethodGet, Path: "/recordings", Tags: tags,
		Summary: "List recordings, the newest first"}, a.listRecordings)
	route(a, huma.Operation{OperationID: "show-recording", Method: http.MethodGet, Path: "/recordings/{id}", Tags: tags,
		Summary: "Show what is known of a recording"}, func(ctx context.Context, in *recordingIn) (*recordingOut, error) {
		r, err := a.recording(ctx, in.ID, hearCalls)
		if err != nil {
			return nil, err
		}
		return &recordingOut{recordingOf(r)}, nil
	})
	route(a, huma.Operation{OperationID: "change-recording", Method: http.MethodPatch, Path: "/recordings/{id}", Tags: tags,
		Summary: "Begin or end the legal hold of a recording", MaxBodyBytes: objectLimit}, a.changeRecording)
	route(a, huma.Operation{OperationID: "remove-recording", Method: http.MethodDelete, Path: "/recordings/{id}", Tags: tags,
		Summary: "Remove a recording, its sound and what is known of it", DefaultStatus: http.StatusNoContent}, a.removeRecording)
	route(a, huma.Operation{OperationID: "fetch-recording", Method: http.MethodGet, Path: "/recordings/{id}/audio", Tags: tags,
		Summary: "The sound of a recording", Description: "WAVE or Ogg Opus, two channels, decrypted. Ranges are served. Each request leaves an audit row.",
		Responses: map[string]*huma.Response{
			"200": {Description: "The sound", Content: map[string]*huma.MediaType{"audio/wav": {}, "audio/ogg": {}}},
			"206": {Description: "A part of it", Content: map[string]*huma.MediaType{"audio/wav": {}, "audio/ogg": {}}},
		}}, a.fetchRecording)
}

func (a *api) recordCall(ctx context.Context, in *recordIn) (*recordingOut, error) {
	c, err := a.call(ctx, in.ID, steerCalls)
	if err != nil {
		return nil, err
	}
	var r recording.Recording
	switch in.Body.Action {
	case "start":
		r, err = a.Recordings.Start(ctx, in.ID, who(ctx).actor.Name)
	case "stop":
		r, err = a.Recordings.Stop(ctx, in.ID)
	case "pause":
		r, err = a.Recordings.Pause(ctx, in.ID)
	default:
		r, err = a.Recordings.Resume(ctx, in.ID)
	}
	if err != nil {
		return nil, a.unrecorded(err, in.ID)
	}
	if err := a.noteRecording(ctx, r, nil, map[string]any{"act": in.Body.Action, "call_id": c.ID}); err != nil {
		return nil, a.failed(err)
	}
	return &recordingOut{recordingOf(r)}, nil
}

// unrecorded turns the answer of the archive into a problem.
func (a *api) unrecorded(err error, id string) error {
	for refusal, code := range map[error]string{
		recording.ErrUnconnected: CodeUnconnected, recording.ErrOff: CodeRecordingOff, recording.ErrAlways: CodeRecordingAlways,
		recording.ErrActive: CodeRecordingActive, recording.ErrIdle: CodeRecordingIdle, store.ErrHeld: CodeRecordingHeld,
	} {
		if errors.Is(err, refusal) {
			return problem(http.StatusConflict, code, refusal.Error())
		}
	}
	switch {
	case errors.Is(err, recording.ErrNoCall):
		return notFound("call in progress", id)
	case errors.Is(err, store.ErrNotFound):
		return notFound("recording", id)
	case errors.Is(err, recording.ErrFailed):
		a.Log.Error("recording cannot begin", "call", id, "error", err)
		return problem(http.StatusServiceUnavailable, CodeRecordingFailed, "the recording cannot begin; the log of the server says more")
	}
	return a.failed(err)
}

func (a *api) listRecordings(ctx context.Context, in *recordingsIn) (*pageOut[Recording], error) {
	tenant, err := a.wide(ctx, in.Tenant, hearCalls)
	if err != nil {
		return nil, err
	}
	q := store.RecordingQuery{Tenant: tenant, CallID: in.Call, Limit: in.Limit}
	if !in.Since.IsZero() {
		q.SinceMS = in.Since.UnixMilli()
	}
	if !in.Until.IsZero() {
		q.UntilMS = in.Until.UnixMilli()
	}
	if in.Cursor != "" {
		after, ok := parseRecordCursor(in.Cursor)
		if !ok {
			return nil, invalid(directory.Errors{{Field: "cursor", Code: directory.CodeInvalid, Reason: "is not the next of a previous part"}})
		}
		q.After = after
	}
	list, err := a.Recordings.List(ctx, q)
	if err != nil {
		return nil, a.failed(err)
	}
	out := &pageOut[Recording]{Body: Page[Recording]{Items: make([]Recording, len(list))}}
	for i, r := range list {
		out.Body.Items[i] = recordingOf(r)
	}
	if n := len(list); n == in.Limit {
		out.Body.Next = recordCursor(store.RecordCursor{StartMS: list[n-1].Start.UnixMilli(), CallID: list[n-1].ID})
	}
	return out, nil
}

// recording finds one that the identity has the right to.
func (a *api) recording(ctx context.Context, id string, r right) (recording.Recording, error) {
	if !grants(who(ctx).role, r) {
		return recording.Recording{}, forbidden()
	}
	found, err := a.Recordings.Find(ctx, id)
	switch {
	case err != nil:
		return found, a.unrecorded(err, id)
	case !who(ctx).may(a.Directory.Snapshot(), r, found.Tenant):
		return found, notFound("recording", id)
	}
	return found, nil
}

func (a *api) changeRecording(ctx context.Context, in *changeRecordingIn) (*recordingOut, error) {
	r, err := a.recording(ctx, in.ID, keepRecordings)
	if err != nil {
		return nil, err
	}
	if r.Hold != in.Body.Hold {
		// The row comes first: nobody lifts a hold without a trace.
		if err := a.noteRecording(ctx, r, map[string]any{"hold": r.Hold}, map[string]any{"hold": in.Body.Hold}); err != nil {
			return nil, a.failed(err)
		}
		if err := a.Recordings.Hold(ctx, in.ID, in.Body.Hold); err != nil {
			return nil, a.unrecorded(err, in.ID)
		}
		r.Hold = in.Body.Hold
	}
	return &recordingOut{recordingOf(r)}, nil
}

func (a *api) removeRecording(ctx context.Context, in *recordingIn) (*struct{}, error) {
	r, err := a.recording(ctx, in.ID, keepRecordings)
	switch {
	case err != nil:
		return nil, err
	case r.Hold:
		return nil, a.unrecorded(store.ErrHeld, in.ID)
	case r.End.IsZero():
		return nil, a.unrecorded(recording.ErrActive, in.ID)
	}
	if err := a.noteRecording(ctx, r, recordingOf(r), nil); err != nil {
		return nil, a.failed(err)
	}
	if err := a.Recordings.Remove(ctx, r); err != nil {
		return nil, a.unrecorded(err, in.ID)
	}
	return nil, nil
}

func (a *api) fetchRecording(ctx context.Context, in *recordingIn) (*huma.StreamResponse, error) {
	r, err := a.recording(ctx, in.ID, hearCalls)
	if err != nil {
		return nil, err
	}
	sound, err := a.Recordings.Open(r)
	if err != nil {
		return nil, a.unrecorded(err, in.ID)
	}
	if err := a.noteRecording(ctx, r, nil, map[string]any{"act": "listen", "call_id": r.CallID}); err != nil {
		_ = sound.Close() // it was only read
		return nil, a.failed(err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer sound.Close()
		request, w := humago.Unwrap(c)
		extension := ".wav"
		if r.Format == recording.Opus {
			extension = ".ogg"
		}
		w.Header().Set("Content-Type", sound.ContentType())
		w.Header().Set("Content-Disposition", `attachment; filename="`+r.ID+extension+`"`)
		w.Header().Set("Cache-Control", "private, no-store")
		http.ServeContent(w, request, "", r.End, sound)
	}}, nil
}

// noteRecording writes an audit row about a recording.
func (a *api) noteRecording(ctx context.Context, r recording.Recording, before, after any) error {
	act := store.Act{Tenant: r.Tenant, Kind: "recording", Key: r.ID}
	for to, from := range map[*json.RawMessage]any{&act.Before: before, &act.After: after} {
		if from == nil {
			continue
		}
		text, err := json.Marshal(from)
		if err != nil {
			return err
		}
		*to = text
	}
	return a.Store.Note(ctx, who(ctx).actor, act)
}
