package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/admin/client"
)

type banCmd struct {
	remote
	List banListCmd `cmd:"" help:"Show the sources that are banned."`
	Add  banAddCmd  `cmd:"" help:"Ban a source; phones that have authenticated from there go on."`
	Rm   banRmCmd   `cmd:"" help:"End bans, and forget what the sources have done."`
}

type banListCmd struct{}

// Run shows the bans.
func (c *banListCmd) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	if s.global.JSON {
		return client.Each(s.ctx, server, "/bans", nil, func(b json.RawMessage) error { return s.printJSON(b) })
	}
	t := newTable(s.stdout, "SOURCE", "REASON", "ENDS IN", "BANS OF LATE")
	now := time.Now()
	err = client.Each(s.ctx, server, "/bans", nil, func(b admin.Ban) error {
		t.row(b.Source, b.Reason, span(b.Until.Sub(now)), cell(b.Count))
		return nil
	})
	if err != nil {
		return err
	}
	return t.flush()
}

type banAddCmd struct {
	Source string        `arg:"" help:"Address; of an IPv6 one the whole /64 is banned."`
	For    time.Duration `help:"How long." default:"1h"`
}

// Run bans a source.
func (c *banAddCmd) Run(s *session) error {
	if c.For < time.Second {
		return usage("--for %s is less than a second", c.For)
	}
	server, err := s.client()
	if err != nil {
		return err
	}
	answer, err := server.Do(s.ctx, client.Request{Method: http.MethodPost, Path: "/bans",
		Body: admin.NewBan{Source: c.Source, Seconds: int(c.For / time.Second)}})
	if err != nil {
		return err
	}
	return s.printObject(answer.Body)
}

type banRmCmd struct {
	Source []string `arg:"" help:"Addresses, or sources as the list calls them."`
}

// Run ends bans.
func (c *banRmCmd) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	var errs []error
	for _, source := range c.Source {
		_, err := server.Do(s.ctx, client.Request{Method: http.MethodDelete, Path: "/bans/" + url.PathEscape(source)})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
