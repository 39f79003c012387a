package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"dialtone/internal/admin"
	"dialtone/internal/admin/apply"
	"dialtone/internal/admin/client"
)

type applyCmd struct {
	remote
	File  string `short:"f" required:"" help:"The file; - is standard input." placeholder:"FILE"`
	Plan  bool   `help:"Change nothing, print what would change."`
	Prune bool   `help:"Remove objects that are missing from sections that are there."`
}

// shownWarnings is how many warnings a person is shown.
const shownWarnings = 20

// Run takes over a configuration file. Its faults are printed as file:line field: reason, all of them.
func (c *applyCmd) Run(s *session) error {
	text, err := s.read(c.File)
	if err != nil {
		return err
	}
	server, err := s.client()
	if err != nil {
		return err
	}
	query := url.Values{}
	if c.Plan {
		query.Set("plan", "true")
	}
	if c.Prune {
		query.Set("prune", "true")
	}
	var report apply.Report
	err = server.Decode(s.ctx, client.Request{
		Method: http.MethodPost, Path: "/apply", Query: query, Body: text, Type: "application/yaml",
	}, &report)
	var refused *admin.Problem
	if errors.As(err, &refused) && len(refused.Errors) > 0 {
		for _, f := range refused.Errors {
			fmt.Fprintln(s.stderr, faultLine(c.File, f.Line, f.Field, f.Reason))
		}
		return errSilent
	}
	if err != nil {
		return err
	}
	for i, w := range report.Warnings {
		if i == shownWarnings && !s.global.JSON {
			fmt.Fprintf(s.stderr, "warning: and %d more; --json has them all\n", len(report.Warnings)-i)
			break
		}
		fmt.Fprintln(s.stderr, "warning:", faultLine(c.File, w.Line, w.Field, w.Reason))
	}
	if s.global.JSON {
		return s.printJSON(report)
	}
	return c.print(s, &report)
}

func (c *applyCmd) print(s *session, r *apply.Report) error {
	if c.Plan {
		for _, change := range r.Changes {
			fmt.Fprintln(s.stdout, plain(change.String()))
		}
	}
	if r.Created+r.Changed+r.Removed == 0 {
		_, err := fmt.Fprintf(s.stdout, "nothing changed: %d as they were\n", r.Unchanged)
		return err
	}
	would := ""
	if c.Plan {
		would = "would be: "
	}
	_, err := fmt.Fprintf(s.stdout, "%s%d created, %d changed, %d removed, %d as they were\n", would, r.Created, r.Changed, r.Removed, r.Unchanged)
	return err
}

// faultLine writes file:line field: reason.
func faultLine(file string, line int, field, reason string) string {
	s := file
	if line > 0 {
		s = fmt.Sprintf("%s:%d", file, line)
	}
	if field != "" {
		reason = field + ": " + reason
	}
	return plain(s + " " + reason)
}

// read reads a file, or standard input for "-".
func (s *session) read(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(s.stdin)
	}
	return os.ReadFile(path)
}

type exportCmd struct {
	remote
	Output string `short:"o" help:"Write to this file, readable for its owner only; standard output by default." placeholder:"FILE"`
}

// Run prints everything that is configured as one file.
func (c *exportCmd) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	write := func(w io.Writer) error { return server.Copy(s.ctx, client.Request{Path: "/export"}, w) }
	if s.global.JSON {
		write = asLines(write)
	}
	if c.Output == "" {
		return write(s.stdout)
	}
	// Written beside and renamed, so that a failure leaves the old file.
	part := c.Output + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, c.Output)
}

// asLines turns the file that write writes into JSON on its way, one tenant a line.
func asLines(write func(io.Writer) error) func(io.Writer) error {
	return func(w io.Writer) error {
		file, into := io.Pipe()
		written := make(chan error, 1)
		go func() {
			err := write(into)
			into.CloseWithError(err) // nil ends the file
			written <- err
		}()
		err := apply.WriteLines(w, file)
		file.CloseWithError(err) // an error stops the writer
		if failed := <-written; failed != nil {
			return failed
		}
		return err
	}
}

type tokenCmd struct {
	remote
	User string `arg:"" optional:"" help:"Whose token: NAME, or NAME@TENANT. The first administrator by default." default:"admin"`
	Days int    `help:"How long it is valid." default:"30"`
}

// Run makes a bearer token and prints it, once.
func (c *tokenCmd) Run(s *session) error {
	if c.Days < 1 || c.Days > 366 {
		return usage("--days must be 1 to 366")
	}
	server, err := s.client()
	if err != nil {
		return err
	}
	var made struct {
		Token   string `json:"token"`
		User    string `json:"user"`
		Expires string `json:"expires"`
	}
	err = server.Decode(s.ctx, client.Request{
		Method: http.MethodPost, Path: "/tokens", Body: map[string]any{"user": c.User, "seconds": c.Days * 24 * 3600},
	}, &made)
	if err != nil {
		return err
	}
	if s.global.JSON {
		return s.printJSON(made)
	}
	_, err = fmt.Fprintln(s.stdout, made.Token)
	return err
}
