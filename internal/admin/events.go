package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"dialtone/internal/directory"
	"dialtone/internal/event"
)

const (
	heartbeat    = 15 * time.Second // of a silent stream, so that proxies keep it and dead clients are noticed
	writeTimeout = 30 * time.Second // of one event
)

type eventsIn struct {
	TenantParameter
	After       string `query:"after" doc:"Identifier of the last event seen: its successors come first"`
	LastEventID string `header:"Last-Event-ID" doc:"The same, as browsers say it"`
}

// Reset is the data of the event "reset" that begins a stream whose past is not known any more: fetch the present
// state afresh.
type Reset struct {
	After string `json:"after"` // what was asked for
}

// EventType implements event.Data.
func (Reset) EventType() string { return "reset" }

func (a *api) eventRoutes() {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(typeOf[eventShape](), true, "Event")
	route(a, huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: "/events", Tags: []string{"events"},
		Summary: "What happens, as server-sent events",
		Description: "Each event is one JSON object. seq grows by one in every stream; a hole is a lost event. An event " +
			"\"reset\" tells that the events after the given one are gone.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The stream", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: schema}},
		}},
	}, a.streamEvents)
}

// eventShape documents the JSON of event.Event.
type eventShape struct {
	ID     string         `json:"id"`
	Seq    uint64         `json:"seq"`
	Time   time.Time      `json:"time"`
	Tenant string         `json:"tenant"`
	Type   string         `json:"type"`
	Object string         `json:"object"`
	Data   map[string]any `json:"data"`
}

func (a *api) streamEvents(ctx context.Context, in *eventsIn) (*huma.StreamResponse, error) {
	tenant, err := a.wide(ctx, in.Tenant, readCalls)
	if err != nil {
		return nil, err
	}
	scope := event.Scope{Tenant: tenant.String(), AllTenants: tenant.IsZero()}
	after := in.After
	if after == "" {
		after = in.LastEventID
	}
	if after != "" {
		if scope.After, err = uuid.Parse(after); err != nil {
			return nil, invalid(directory.Errors{{Field: "after", Code: directory.CodeInvalid, Reason: "is not the identifier of an event"}})
		}
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		c.SetHeader("Content-Type", "text/event-stream")
		c.SetHeader("Cache-Control", "no-store")
		_, w := humago.Unwrap(c)
		s := stream{w: c.BodyWriter(), control: http.NewResponseController(w), now: a.Now}
		if err := s.run(ctx, a.closed, a.Events.Subscribe(scope), after); err != nil && ctx.Err() == nil {
			a.Log.Debug("event stream ended", "error", err)
		}
	}}, nil
}

// stream is one reader of events.
type stream struct {
	w       io.Writer
	control *http.ResponseController
	now     func() time.Time
}

func (s *stream) run(ctx context.Context, closed <-chan struct{}, sub *event.Subscription, after string) error {
	defer sub.Close()
	// The deadline for reading the request would end the stream.
	if err := s.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	// A first comment, so that the client knows at once that it is connected.
	if err := s.write(": events\n\n"); err != nil {
		return err
	}
	if !sub.Complete {
		reset := event.Event{Time: s.now(), Type: Reset{}.EventType(), Data: Reset{After: after}}
		if err := s.send(reset); err != nil {
			return err
		}
	}
	for _, e := range sub.Backlog {
		if err := s.send(e); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case e, ok := <-sub.Events():
			if !ok {
				return errors.New("the reader was too slow, or the server stops")
			}
			if err := s.send(e); err != nil {
				return err
			}
		case <-ticker.C:
			if err := s.write(":\n\n"); err != nil {
				return err
			}
		case <-closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *stream) send(e event.Event) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write event %s: %w", e.Type, err)
	}
	id := ""
	if e.ID != (uuid.UUID{}) {
		id = "id: " + e.ID.String() + "\n"
	}
	return s.write(id + "event: " + e.Type + "\ndata: " + string(text) + "\n\n")
}

func (s *stream) write(text string) error {
	// A test's recorder knows no deadlines; a real connection does.
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}

// Publisher is where events are published.
type Publisher interface {
	Publish(tenant, object string, data event.Data) event.Event
}

// ObjectChanged is the event of a change of one object: "line.created", "line.changed", "line.removed".
type ObjectChanged struct {
	Action  string `json:"action"` // created, changed or removed
	Kind    string `json:"kind"`
	Key     string `json:"key"`     // name or number
	Version int64  `json:"version"` // of the object; the last one when it was removed
}

// EventType implements event.Data.
func (c ObjectChanged) EventType() string { return c.Kind + "." + c.Action }

// DirectoryChanged stands for the many events of a change of many objects at once.
type DirectoryChanged struct {
	Objects int `json:"objects"` // how many were changed
}

// EventType implements event.Data.
func (DirectoryChanged) EventType() string { return "directory.changed" }

// announcedOneByOne is how many changes of one commit are published each by itself; more would push everything else
// out of the ring.
const announcedOneByOne = 200

// Announce publishes committed changes. The store calls it for each commit, in order, after the snapshot has them.
func Announce(p Publisher, changes []directory.Change) {
	if len(changes) > announcedOneByOne {
		counts := map[directory.ID]int{}
		var order []directory.ID
		for _, c := range changes {
			tenant := c.Object().Head().Tenant
			if counts[tenant] == 0 {
				order = append(order, tenant)
			}
			counts[tenant]++
		}
		for _, tenant := range order {
			p.Publish(tenant.String(), tenant.String(), DirectoryChanged{Objects: counts[tenant]})
		}
		return
	}
	for _, c := range changes {
		o := c.Object()
		action := "changed"
		switch {
		case c.Before == nil:
			action = "created"
		case c.After == nil:
			action = "removed"
		}
		head := o.Head()
		p.Publish(head.Tenant.String(), head.ID.String(), ObjectChanged{action, string(o.ObjectKind()), o.Key(), head.Version})
	}
}
