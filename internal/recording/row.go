package recording

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// Format is how recordings are written.
type Format string

// The formats, as the static file names them.
const (
	WAVALaw Format = "wav-alaw"
	WAVPCM  Format = "wav-pcm"
	Opus    Format = "opus"
)

// coding is what a format is to the recorder.
type coding struct {
	encoding  string
	rate      int // samples a second
	extension string
}

func formats() map[Format]coding {
	return map[Format]coding{
		WAVALaw: {"PCMA", 8000, ".wav"}, WAVPCM: {"PCM16", 16000, ".wav"}, Opus: {"opus", 16000, ".ogg"},
	}
}

// State says how a recording is.
type State string

// The states.
const (
	Running   State = "recording"
	Paused    State = "paused"    // a live one; rows say Running
	Complete  State = "complete"  // ended in order
	Failed    State = "failed"    // could not begin, or was cut short
	Recovered State = "recovered" // what a crash has left
)

// Recording is what is known of one.
type Recording struct {
	ID        string
	Tenant    directory.ID
	CallID    string
	State     State
	Start     time.Time
	End       time.Time // zero while it runs
	From, To  string    // numbers of the parties: left and right channel
	Length    time.Duration
	Bytes     int64         // of the file
	Lost      time.Duration // of both channels, silence because the disk was slow
	Format    Format
	Encrypted bool
	Hold      bool   // it may not be removed
	By        string // who began it; "policy" for what is always recorded
	Fault     string // why it failed; "" otherwise
	File      string // below the directory of the archive; "": there is none
}

// body is what the row keeps beside its columns.
type body struct {
	From      string `json:"from"`
	To        string `json:"to"`
	LengthMS  int64  `json:"length_ms"`
	Bytes     int64  `json:"bytes"`
	LostMS    int64  `json:"lost_ms,omitempty"`
	Format    Format `json:"format"`
	Encrypted bool   `json:"encrypted"`
	By        string `json:"by"`
	Fault     string `json:"fault,omitempty"`
	File      string `json:"file,omitempty"`
}

func (r *Recording) row() (store.RecordingRow, error) {
	row := store.RecordingRow{ID: r.ID, Tenant: r.Tenant, CallID: r.CallID, StartMS: r.Start.UnixMilli(), State: string(r.State), Hold: r.Hold}
	if !r.End.IsZero() {
		row.EndMS = r.End.UnixMilli()
	}
	var err error
	row.Body, err = json.Marshal(body{r.From, r.To, r.Length.Milliseconds(), r.Bytes, r.Lost.Milliseconds(), r.Format, r.Encrypted, r.By, r.Fault, r.File})
	return row, err
}

func ofRow(row *store.RecordingRow) (Recording, error) {
	var b body
	if err := json.Unmarshal(row.Body, &b); err != nil {
		return Recording{}, fmt.Errorf("read recording %s: %w", row.ID, err)
	}
	r := Recording{
		ID: row.ID, Tenant: row.Tenant, CallID: row.CallID, State: State(row.State), Start: time.UnixMilli(row.StartMS).UTC(), Hold: row.Hold,
		From: b.From, To: b.To, Length: time.Duration(b.LengthMS) * time.Millisecond, Bytes: b.Bytes, Lost: time.Duration(b.LostMS) * time.Millisecond,
		Format: b.Format, Encrypted: b.Encrypted, By: b.By, Fault: b.Fault, File: b.File,
	}
	if row.EndMS != 0 {
		r.End = time.UnixMilli(row.EndMS).UTC()
	}
	return r, nil
}

func (a *Archive) put(ctx context.Context, r Recording) error {
	row, err := r.row()
	if err != nil {
		return err
	}
	return a.config.Store.PutRecording(ctx, row)
}

// publish tells what happened to a recording.
func (a *Archive) publish(happened string, r Recording) {
	a.config.Events.Publish(r.Tenant.String(), r.ID, Changed{Happened: happened, CallID: r.CallID, LengthMS: r.Length.Milliseconds(), Fault: r.Fault})
}

// Changed is the payload of the events of recordings: "recording.started", "recording.paused", "recording.resumed",
// "recording.stopped", "recording.failed", "recording.removed".
type Changed struct {
	Happened string `json:"-"` // the verb of the event
	CallID   string `json:"call_id"`
	LengthMS int64  `json:"length_ms"`
	Fault    string `json:"fault,omitempty"`
}

// EventType implements event.Data.
func (c Changed) EventType() string { return "recording." + c.Happened }
