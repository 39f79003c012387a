package main

import (
	"context"
	"strings"
	"testing"
)

// screen stops watching once it has been drawn so often.
type screen struct {
	text  strings.Builder
	draws int
	stop  context.CancelFunc
}

func (s *screen) Write(p []byte) (int, error) {
	if s.draws--; s.draws <= 0 {
		s.stop()
	}
	return s.text.Write(p)
}

func TestWatchDrawsUntilInterrupted(t *testing.T) {
	f := newFake(t, map[string]answer{"GET /calls": {body: `{"items":[],"next":""}`}})
	ctx, stop := context.WithCancel(t.Context())
	out := &screen{draws: 2, stop: stop}
	s := &session{system: system{stdout: out, stderr: out, getenv: func(string) string { return "" }}, ctx: ctx, global: &globals{Data: f.data}}
	if status := s.report((&callsList{Watch: true}).Run(s)); status != exitDone {
		t.Errorf("status %d", status)
	}
	const page = "\x1b[Hno calls\x1b[K\n\x1b[J"
	if out.text.String() != page+page {
		t.Errorf("drawn %q", out.text.String())
	}
}

func TestWatchAsJSONPrintsTheEventsOfCalls(t *testing.T) {
	stream := ": events\n\n" +
		"id: 1\nevent: line.changed\ndata: {\"type\":\"line.changed\"}\n\n" +
		"id: 2\nevent: call.rang\ndata: {\"type\":\"call.rang\",\"object\":\"c1\"}\n\n:\n\n"
	f := newFake(t, map[string]answer{"GET /events?tenant=acme": {body: stream}})
	got := f.command("calls", "-w", "--json", "--tenant", "acme")
	if got.out != `{"type":"call.rang","object":"c1"}`+"\n" || got.status != exitFailed || !strings.Contains(got.errors, "ended the stream") {
		t.Errorf("%+v", got)
	}
}
