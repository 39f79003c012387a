package cdr

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/store"
)

// Journal makes the journal row of a call. mediaSeen is when media was last seen, state what the call needs to be
// taken up again.
func Journal(f Facts, mediaSeen time.Time, state []byte) (store.JournalRow, error) {
	f.Legs = slices.Clone(f.Legs)
	for i := range f.Legs {
		f.Legs[i] = finite(f.Legs[i])
	}
	body, err := json.Marshal(journalBody{f})
	if err != nil {
		return store.JournalRow{}, fmt.Errorf("encode facts of call %s: %w", f.CallID, err)
	}
	return store.JournalRow{
		CallID: f.CallID, Tenant: f.TenantID,
		AnsweredMS: unixMilli(f.Answer), MediaMS: unixMilli(mediaSeen),
		Body: body, State: state,
	}, nil
}

// journalBody wraps the facts, so that a later version can tell its own shape from this one.
type journalBody struct {
	Facts Facts `json:"facts"`
}

// Recover makes the records of calls that a crash has cut, from the journal rows it left. The end of each is the last
// time at which media was seen, else its answer; its cause is cause.Recovered. A row whose facts cannot be read gets a
// record from its columns alone: better a poor record than none.
func Recover(rows []store.JournalRow) []Record {
	records := make([]Record, 0, len(rows))
	for _, row := range rows {
		var body journalBody
		if err := json.Unmarshal(row.Body, &body); err != nil {
			body.Facts = Facts{}
		}
		f := body.Facts
		f.CallID, f.TenantID = row.CallID, row.Tenant
		if f.Answer.IsZero() && row.AnsweredMS != 0 {
			f.Answer = time.UnixMilli(row.AnsweredMS)
		}
		if f.Start.IsZero() {
			f.Start = f.Answer
		}
		f.End = f.Answer
		if seen := time.UnixMilli(row.MediaMS); row.MediaMS != 0 && seen.After(f.End) {
			f.End = seen
		}
		f.Cause = cause.Recovered()
		records = append(records, Build(f))
	}
	return records
}

// Row makes the store's row of a record.
func (r Record) Row() (store.RecordRow, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return store.RecordRow{}, fmt.Errorf("encode record of call %s: %w", r.CallID, err)
	}
	row := store.RecordRow{
		CallID: r.CallID, Tenant: r.TenantID,
		Direction: value(r.Direction), From: value(r.From), To: value(r.To), Body: body,
	}
	if r.Start != nil {
		row.StartMS = r.Start.UnixMilli()
	}
	if r.End != nil {
		row.EndMS = r.End.UnixMilli()
	}
	if r.Cause != nil {
		row.Cause = r.Cause.Words
	}
	return row, nil
}

// value is the string or, where it is unknown, nothing.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// unixMilli is 0 for the zero time.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
