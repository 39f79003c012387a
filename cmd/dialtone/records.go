package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"time"

	"dialtone/internal/admin/client"
	"dialtone/internal/cdr"
)

type recordsCmd struct {
	remote
	inTenant
	Call     string `arg:"" optional:"" help:"Identifier of a call: its record only."`
	Since    string `help:"Calls that started since: a time (2026-11-22T08:00:00Z), a date (2026-11-22), or a length of time before now (24h)." placeholder:"T"`
	CSV      bool   `name:"csv" help:"Print CSV."`
	Asterisk bool   `help:"With --csv: the column names of Asterisk."`
}

// Run shows call records, the oldest first.
func (c *recordsCmd) Run(s *session) error {
	query := c.query()
	switch {
	case c.CSV && s.global.JSON:
		return usage("--csv and --json exclude each other")
	case c.Asterisk && !c.CSV:
		return usage("--asterisk goes with --csv")
	case c.Since != "":
		since, err := parseSince(c.Since, time.Now())
		if err != nil {
			return err
		}
		query.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	query.Set("order", "oldest")
	query.Set("limit", "1000")
	server, err := s.client()
	if err != nil {
		return err
	}
	each := func(f func(json.RawMessage) error) error { return client.Each(s.ctx, server, "/records", query, f) }
	if c.Call != "" {
		each = func(f func(json.RawMessage) error) error {
			answer, err := server.Do(s.ctx, client.Request{Path: "/records/" + url.PathEscape(c.Call)})
			if err != nil {
				return err
			}
			return f(answer.Body)
		}
	}
	switch {
	case s.global.JSON:
		return each(func(r json.RawMessage) error { return s.printJSON(r) })
	case c.CSV:
		return c.csv(s, each)
	case c.Call != "":
		return each(func(r json.RawMessage) error { return s.printObject(r) })
	}
	return printRecords(s, each)
}

func (c *recordsCmd) csv(s *session, each func(func(json.RawMessage) error) error) error {
	columns := cdr.Own
	if c.Asterisk {
		columns = cdr.Asterisk
	}
	w := cdr.NewCSV(s.stdout, columns)
	err := each(func(text json.RawMessage) error {
		var r cdr.Record
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("understand record: %w", err)
		}
		return w.Write(&r)
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

func printRecords(s *session, each func(func(json.RawMessage) error) error) error {
	t := newTable(s.stdout, "START", "FROM", "TO", "TALK", "ENDED", "BY", "CALL")
	count := 0
	err := each(func(text json.RawMessage) error {
		var r cdr.Record
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("understand record: %w", err)
		}
		count++
		var start, talk, words, party string
		if r.Start != nil {
			start = moment(r.Start.Time)
		}
		if r.TalkMS != nil && r.Answer != nil {
			talk = span(time.Duration(*r.TalkMS) * time.Millisecond)
		}
		if r.Cause != nil {
			words, party = r.Cause.Words, string(r.Cause.Party)
		}
		t.row(start, text0(r.From), text0(r.To), talk, words, party, r.CallID)
		return nil
	})
	if err != nil {
		return err
	}
	if count == 0 {
		_, err := fmt.Fprintln(s.stdout, "no records")
		return err
	}
	return t.flush()
}

// text0 is the text, or none.
func text0(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// parseSince reads a time, a date in the reader's zone, or a length of time before now.
func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("--since %q is neither a time, nor a date, nor a length of time such as 24h", text)
}

type traceCmd struct {
	remote
	Call string `arg:"" help:"Identifier of a call."`
	PCAP string `name:"pcap" help:"Write a packet capture to this file." placeholder:"FILE"`
	Text bool   `help:"Print the ladder as text, also when a capture is written."`
}

// Run shows the ladder of a call.
func (c *traceCmd) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	request := client.Request{Path: "/calls/" + url.PathEscape(c.Call) + "/trace"}
	if c.PCAP != "" {
		request.Query = url.Values{"format": {"pcap"}}
		answer, err := server.Do(s.ctx, request)
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.PCAP, answer.Body, 0o600); err != nil {
			return err
		}
		if !c.Text {
			return nil
		}
	}
	if s.global.JSON && !c.Text {
		return client.Each(s.ctx, server, request.Path, url.Values{"format": {"json"}}, func(m json.RawMessage) error { return s.printJSON(m) })
	}
	request.Query = url.Values{"format": {"text"}}
	return server.Copy(s.ctx, request, s.stdout)
}
