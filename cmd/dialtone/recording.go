package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/admin/client"
)

type recordingsCmd struct {
	remote
	List recordingsList `cmd:"" default:"withargs" help:"List recordings, the newest first."`
	Show recordingShow  `cmd:"" help:"Show what is known of a recording."`
	Get  recordingGet   `cmd:"" help:"Write the sound of a recording to a file."`
	Hold recordingHold  `cmd:"" help:"Keep recordings whatever their age, until they are released."`
	Free recordingFree  `cmd:"" help:"End the legal hold of recordings."`
	Rm   recordingRm    `cmd:"" help:"Remove recordings."`
}

type recordingsList struct {
	inTenant
	Call  string `help:"Only those of this call." placeholder:"CALL"`
	Since string `help:"Those that began since: a time, a date, or a length of time before now (24h)." placeholder:"T"`
}

// Run lists recordings.
func (c *recordingsList) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	query := c.query()
	query.Set("limit", "1000")
	if c.Call != "" {
		query.Set("call", c.Call)
	}
	if c.Since != "" {
		since, err := parseSince(c.Since, time.Now())
		if err != nil {
			return err
		}
		query.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	if s.global.JSON {
		return client.Each(s.ctx, server, "/recordings", query, func(r json.RawMessage) error { return s.printJSON(r) })
	}
	t := newTable(s.stdout, "RECORDING", "START", "FROM", "TO", "LENGTH", "STATE", "HOLD", "CALL")
	count := 0
	err = client.Each(s.ctx, server, "/recordings", query, func(r admin.Recording) error {
		count++
		hold := ""
		if r.Hold {
			hold = "held"
		}
		t.row(r.ID, moment(r.Start.Time), r.From, r.To, span(time.Duration(r.LengthMS)*time.Millisecond), r.State, hold, r.CallID)
		return nil
	})
	if err != nil {
		return err
	}
	if count == 0 {
		_, err := fmt.Fprintln(s.stdout, "no recordings")
		return err
	}
	return t.flush()
}

func recordingPath(id string) string { return "/recordings/" + url.PathEscape(id) }

type recordingShow struct {
	ID string `arg:"" name:"recording" help:"Identifier of the recording."`
}

// Run shows what is known of a recording.
func (c *recordingShow) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	answer, err := server.Do(s.ctx, client.Request{Path: recordingPath(c.ID)})
	if err != nil {
		return err
	}
	return s.printObject(answer.Body)
}

type recordingGet struct {
	ID   string `arg:"" name:"recording" help:"Identifier of the recording."`
	File string `arg:"" help:"File that is written, which must not exist; - is the standard output."`
}

// Run writes the sound of a recording to a file.
func (c *recordingGet) Run(s *session) (err error) {
	server, err := s.client()
	if err != nil {
		return err
	}
	request := client.Request{Path: recordingPath(c.ID) + "/audio"}
	if c.File == "-" {
		return server.Copy(s.ctx, request, s.stdout)
	}
	file, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = server.Copy(s.ctx, request, file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return errors.Join(err, os.Remove(c.File)) // half a recording looks like a whole one
	}
	return nil
}

// recordingsNamed are identifiers on the command line.
type recordingsNamed struct {
	IDs []string `arg:"" name:"recording" help:"Identifiers of recordings."`
}

// each asks the same of all of them.
func (c *recordingsNamed) each(s *session, method string, body any) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range c.IDs {
		request := client.Request{Method: method, Path: recordingPath(id), Body: body}
		if body != nil {
			request.Type = "application/merge-patch+json"
		}
		_, err := server.Do(s.ctx, request)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

type recordingHold struct{ recordingsNamed }

// Run begins the legal hold of recordings.
func (c *recordingHold) Run(s *session) error {
	return c.each(s, http.MethodPatch, admin.RecordingChange{Hold: true})
}

type recordingFree struct{ recordingsNamed }

// Run ends the legal hold of recordings.
func (c *recordingFree) Run(s *session) error {
	return c.each(s, http.MethodPatch, admin.RecordingChange{})
}

type recordingRm struct{ recordingsNamed }

// Run removes recordings.
func (c *recordingRm) Run(s *session) error { return c.each(s, http.MethodDelete, nil) }

type callsRecord struct {
	Call   string `arg:"" help:"Identifier of the call."`
	Action string `arg:"" enum:"start,stop,pause,resume" help:"start, stop, pause or resume."`
}

// Run records a call, pauses, goes on or stops.
func (c *callsRecord) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	answer, err := server.Do(s.ctx, client.Request{Method: http.MethodPost, Path: "/calls/" + url.PathEscape(c.Call) + "/record",
		Body: admin.RecordAction{Action: c.Action}})
	if err != nil {
		return err
	}
	return s.printObject(answer.Body)
}
