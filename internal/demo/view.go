package demo

import (
	"context"
	"fmt"
	"io"
	"time"

	"dialtone/internal/event"
	"dialtone/internal/location"
	"dialtone/internal/server"
)

// view shows what is going on, a line for each thing that happens and a table now and then.
type view struct {
	server *server.Server
	out    io.Writer
}

// tableEvery is how often the table of calls is printed.
const tableEvery = 10 * time.Second

func newView(s *server.Server, out io.Writer) *view { return &view{s, out} }

func (v *view) run(ctx context.Context) {
	sub := v.server.Events().Subscribe(event.Scope{AllTenants: true})
	defer sub.Close()
	tick := time.NewTicker(tableEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			v.table()
		case e, ok := <-sub.Events():
			if !ok {
				return
			}
			v.show(e)
		}
	}
}

// show prints one event.
func (v *view) show(e event.Event) {
	line := ""
	switch d := e.Data.(type) {
	case location.Registered:
		line = "registered " + d.Device + " from " + d.Source
	case server.CallChanged:
		line = fmt.Sprintf("%-4s -> %-4s %s", d.From, d.To, d.Happened)
		if d.Cause != "" {
			line += ": " + d.Cause
		}
	}
	if line != "" {
		fmt.Fprintf(v.out, "%s  %s\n", e.Time.Local().Format("15:04:05"), line)
	}
}

// table prints the calls in progress.
func (v *view) table() {
	status := v.server.Status()
	fmt.Fprintf(v.out, "          -- %d calls, %d registrations --\n", status.Calls, status.Registrations)
	for _, r := range v.server.Calls().Records() {
		state := "ringing"
		if r.IsAnswered() {
			state = "talking for " + time.Since(r.Answer).Round(time.Second).String()
		}
		fmt.Fprintf(v.out, "          %-4s %-10s -> %-4s %-10s %s\n", r.From.Number, r.From.Name, r.Dialled, r.To.Name, state)
	}
}
