package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/admin/client"
)

type callsCmd struct {
	remote
	List   callsList   `cmd:"" default:"withargs" help:"Show the calls in progress."`
	Record callsRecord `cmd:"" help:"Record a call."`
}

type callsList struct {
	inTenant
	Watch bool `short:"w" help:"Keep showing them until interrupted."`
}

// Run shows the calls in progress.
func (c *callsList) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	if c.Watch {
		return c.watch(s, server)
	}
	return c.print(s, server, s.stdout)
}

func (c *callsList) print(s *session, server *client.Client, w io.Writer) error {
	if s.global.JSON {
		return client.Each(s.ctx, server, "/calls", c.query(), func(call json.RawMessage) error { return s.printJSON(call) })
	}
	t := newTable(w, "CALL", "FROM", "TO", "STATE", "SINCE", "TALK", "DEVICES", "CODECS", "MOS")
	count, now := 0, time.Now()
	err := client.Each(s.ctx, server, "/calls", c.query(), func(call admin.Call) error {
		count++
		talk := ""
		if call.Answer != nil {
			talk = span(now.Sub(call.Answer.Time))
		}
		var devices, codecs, scores []string
		for _, leg := range call.Legs {
			devices, codecs = append(devices, text0(leg.Device)), append(codecs, text0(leg.Codec))
			scores = append(scores, mos(worse(leg.MOSIn, leg.MOSOut)))
		}
		t.row(call.ID, call.From, call.To, call.State, span(now.Sub(call.Start.Time)), talk,
			strings.Join(devices, " "), strings.Trim(strings.Join(codecs, " "), " "), strings.Join(scores, " "))
		return nil
	})
	if err != nil {
		return err
	}
	if count == 0 {
		_, err := fmt.Fprintln(w, "no calls")
		return err
	}
	return t.flush()
}

// worse is the lower of two scores; 0 while neither is known.
func worse(a, b *float64) float64 {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return *b
	case b == nil:
		return *a
	}
	return min(*a, *b)
}

// refresh is how often a watched list is drawn again; the figures in it count seconds.
const refresh = time.Second

// watch draws the list again and again. With --json it prints the events of calls as they happen.
func (c *callsList) watch(s *session, server *client.Client) error {
	if s.global.JSON {
		return server.Events(s.ctx, c.query(), func(e json.RawMessage) error {
			var about struct {
				Type string `json:"type"`
			}
			if err := json.Unmarshal(e, &about); err != nil {
				return fmt.Errorf("understand event: %w", err)
			}
			if !strings.HasPrefix(about.Type, "call.") {
				return nil
			}
			return s.printJSON(e)
		})
	}
	return s.redraw(func(w io.Writer) error { return c.print(s, server, w) })
}

// redraw draws a page again and again until the command is interrupted. With --json, whose lines are read by a program,
// one page follows the other.
func (s *session) redraw(print func(io.Writer) error) error {
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		var page strings.Builder
		if err := print(&page); err != nil {
			return err
		}
		// Home, the page with each line cleared to its end, then everything below cleared: no flicker.
		drawn := "\x1b[H" + strings.ReplaceAll(page.String(), "\n", "\x1b[K\n") + "\x1b[J"
		if s.global.JSON {
			drawn = page.String()
		}
		if _, err := io.WriteString(s.stdout, drawn); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return nil
		}
	}
}

type hangupCmd struct {
	remote
	Call []string `arg:"" help:"Identifiers of calls."`
}

// Run ends calls.
func (c *hangupCmd) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range c.Call {
		_, err := server.Do(s.ctx, client.Request{Method: http.MethodPost, Path: "/calls/" + url.PathEscape(id) + "/hangup"})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

type registrationsCmd struct {
	remote
	inTenant
	Line    string `help:"Only those of this line or device." placeholder:"NUMBER"`
	Contact string `help:"Only those with this text in the contact." placeholder:"TEXT"`
	Source  string `help:"Only those that came from this address, address and port, or network." placeholder:"ADDRESS"`
}

// Run shows the devices that are registered now.
func (c *registrationsCmd) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	query := c.query()
	query.Set("limit", "1000")
	for name, value := range map[string]string{"line": c.Line, "contact": c.Contact, "source": c.Source} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if s.global.JSON {
		return client.Each(s.ctx, server, "/registrations", query, func(r json.RawMessage) error { return s.printJSON(r) })
	}
	t := newTable(s.stdout, "LINE", "DEVICE", "CONTACT", "SOURCE", "TRANSPORT", "EXPIRES", "USER AGENT")
	count, now := 0, time.Now()
	err = client.Each(s.ctx, server, "/registrations", query, func(r admin.Registration) error {
		count++
		t.row(r.Line, r.Device, r.Contact, r.Source, r.Transport, span(r.Expires.Sub(now)), text0(r.UserAgent))
		return nil
	})
	if err != nil {
		return err
	}
	if count == 0 {
		_, err := fmt.Fprintln(s.stdout, "no registrations")
		return err
	}
	return t.flush()
}

type statusCmd struct {
	remote
}

// Run shows how the server is.
func (c *statusCmd) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	answer, err := server.Do(s.ctx, client.Request{Path: "/status"})
	if err != nil {
		return err
	}
	if s.global.JSON {
		return s.printJSON(json.RawMessage(answer.Body))
	}
	var status admin.Status
	if err := json.Unmarshal(answer.Body, &status); err != nil {
		return fmt.Errorf("understand the answer: %w", err)
	}
	t := newTable(s.stdout)
	t.row("state", status.State)
	t.row("version", status.Version)
	t.row("node", status.Node)
	t.row("running for", span(time.Since(status.Started.Time))+", since "+moment(status.Started.Time))
	t.row("data", status.Data)
	t.row("calls", fmt.Sprint(status.Calls))
	t.row("registrations", fmt.Sprint(status.Registrations))
	t.row("lines", fmt.Sprintf("%d in %d tenants", status.Lines, status.Tenants))
	for _, l := range status.Listeners {
		t.row("listening", l.URL+" ("+l.Role+")")
	}
	for _, w := range status.Warnings {
		t.row("warning", w)
	}
	return t.flush()
}
