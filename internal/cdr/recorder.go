package cdr

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/directory"
	"dialtone/internal/store"
)

const (
	refreshEvery = 10 * time.Second // how far the recovered end of a call may be off
	freshFor     = 2 * refreshEvery // a call is written down once more when its handshakes are over
	anewEvery    = 5 * time.Minute  // and then as often as rollover counters of its media need it (RFC 3711 §3.3.1)
	askTimeout   = time.Second      // for the answers of calls that do not look into their mailbox
)

// Recorder watches the calls of a registry and writes their journal and records.
type Recorder struct {
	// Writer takes the rows.
	Writer *Writer
	// KeepState writes down with each row what taking the call up again needs (call.CallNegotiated.State).
	KeepState bool
	// Seal encrypts what is written down of a call: keys of its media are in it. nil writes it as it is.
	Seal func(callID string, state []byte) []byte
	// TenantName is the name to print for a tenant; "" or a nil function prints its identifier. It must not block.
	TenantName func(directory.ID) string
	Log        *slog.Logger // nil = slog.Default()
}

// Observe implements call.Observer: a journal row when a call is answered and when its state has changed, the record
// when it has ended.
func (r *Recorder) Observe(n call.Notice) {
	switch n := n.(type) {
	case call.CallAnswered:
		r.journal(n.Record, nil, time.Time{})
	case call.CallNegotiated:
		if !n.Record.IsAnswered() {
			return
		}
		var state []byte
		if r.KeepState {
			var err error
			if state, err = n.State(); err != nil { // it gets its record after a crash, but cannot be taken up again
				r.log().Warn("call cannot be kept over a restart", "call", n.Record.ID, "error", err)
			}
		}
		r.journal(n.Record, state, time.Time{})
	case call.CallEnded:
		if err := r.Writer.Finish(Build(r.facts(n.Record))); err != nil {
			r.log().Error("call record is lost", "call", n.Record.ID, "error", err)
		}
	}
}

func (r *Recorder) journal(record *call.Record, state []byte, media time.Time) {
	if len(state) > 0 && r.Seal != nil {
		state = r.Seal(record.ID, state)
	}
	r.Writer.Answered(record.ID, func() (store.JournalRow, error) { return Journal(r.facts(record), media, state) })
}

func (r *Recorder) log() *slog.Logger {
	if r.Log == nil {
		return slog.Default()
	}
	return r.Log
}

func (r *Recorder) facts(record *call.Record) Facts {
	f := FactsOf(record)
	if r.TenantName != nil {
		f.Tenant = r.TenantName(record.Tenant)
	}
	return f
}

// Run notes in the journal, every ten seconds, when the running calls last saw media. It returns nil when ctx ends.
func (r *Recorder) Run(ctx context.Context, calls *call.Registry) error {
	t := time.NewTicker(refreshEvery)
	defer t.Stop()
	anew := time.Now()
	for {
		select {
		case now := <-t.C:
			r.Writer.Refresh(running(calls))
			if all := now.Sub(anew) >= anewEvery; r.KeepState {
				if all {
					anew = now
				}
				r.rewrite(ctx, calls, now, all)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// rewrite writes down the state of calls as it is now: of those that were just answered, or of all.
func (r *Recorder) rewrite(ctx context.Context, calls *call.Registry, now time.Time, all bool) {
	ctx, cancel := context.WithTimeout(ctx, refreshEvery/2)
	defer cancel()
	for _, record := range calls.Records() {
		c, live := calls.Call(record.ID)
		if !live || !record.IsAnswered() || !all && now.Sub(record.Answer) > freshFor {
			continue
		}
		var media time.Time // set by the time that the snapshot is there: the mailbox keeps the order
		c.Post(call.Do{F: func() { media = lastMedia(c) }})
		if state, err := c.Snapshot(ctx); err == nil {
			r.journal(record, state, media)
		}
	}
}

// running asks the answered calls of a registry when they last saw media, and waits for their answers, a second at
// most.
func running(calls *call.Registry) []store.JournalTouch {
	records := calls.Records()
	answers := make(chan store.JournalTouch, len(records)) // room for all: a late answer blocks nobody
	asked := 0
	for _, record := range records {
		c, live := calls.Call(record.ID)
		if !live || !record.IsAnswered() {
			continue
		}
		if c.Post(call.Do{F: func() { answers <- store.JournalTouch{CallID: c.ID(), MediaMS: unixMilli(lastMedia(c))} }}) {
			asked++
		}
	}
	timeout := time.NewTimer(askTimeout)
	defer timeout.Stop()
	touches := make([]store.JournalTouch, 0, asked)
	for range asked {
		select {
		case touch := <-answers:
			if touch.MediaMS != 0 {
				touches = append(touches, touch)
			}
		case <-timeout.C:
			return touches
		}
	}
	return touches
}

// lastMedia runs on the call's goroutine.
func lastMedia(c *call.Call) (last time.Time) {
	for _, leg := range [...]call.Leg{c.Caller(), c.Peer()} {
		if leg == nil || leg.Media() == nil {
			continue
		}
		if at := leg.Media().LastMedia(); at.After(last) {
			last = at
		}
	}
	return last
}

// FactsOf turns what a call tells about itself into facts. Of each leg the first stream with a codec counts, which is
// its audio.
func FactsOf(r *call.Record) Facts {
	f := Facts{
		CallID: r.ID, TenantID: r.Tenant, Direction: string(r.Direction),
		From: r.From.Number, FromName: r.From.Name, To: r.Dialled, ToE164: r.DialledE164, Number: r.Number,
		Start: r.Start, Ring: r.Ring, Answer: r.Answer, End: r.End,
		Hold: r.Hold, Cause: r.Cause, Emergency: r.Emergency, Bypassed: r.Bypassed, Recordings: r.Recordings,
		RecordingFailed: r.RecordingFailed,
	}
	if f.From == "" {
		f.From = r.From.Device
	}
	for i := range r.Legs {
		f.Legs = append(f.Legs, legOf(&r.Legs[i]))
	}
	for _, s := range r.Path {
		kind, detail, _ := strings.Cut(s.Step, " ")
		f.Path = append(f.Path, StepFact{At: s.At, Kind: kind, Detail: detail, Reason: s.Reason})
	}
	return f
}

func legOf(r *call.LegRecord) Leg {
	leg := Leg{Device: known(r.Info.Device)}
	for _, s := range r.Streams {
		if s.Codec == "" {
			continue
		}
		leg.Plain = leg.Plain || s.Crypto == ""
		if leg.Codec != nil {
			continue
		}
		leg.Codec, leg.Crypto = known(strings.ToLower(s.Codec)), new("none")
		if s.Crypto != "" {
			leg.Crypto = known(s.Crypto)
		}
		leg.MOSIn, leg.MOSOut, leg.RTTMS = positive(s.MOSIn), positive(s.MOSOut), positive(s.RTTMS)
		if s.PacketsIn > 0 {
			leg.Loss, leg.JitterMS = new(s.LossPct/100), new(s.JitterMS)
			leg.Bursts = new(int64(s.Bursts))
		}
		leg.Suite, leg.Transcoded, leg.Reason = known(s.Suite), known(s.Transcoded), known(s.TranscodedWhy)
	}
	return leg
}

// positive takes 0 as unknown.
func positive(f float64) *float64 {
	if f <= 0 {
		return nil
	}
	return &f
}
