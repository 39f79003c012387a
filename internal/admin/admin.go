// Package admin is the HTTP API of the exchange, /api/v1, for people's tools and for programs: the objects of the
// directory, what is live, call records, events, the audit trail, and everything that is configured as one file.
//
// It owns the routes and their OpenAPI document, who may use them, the form of errors, and the listeners: the Unix
// socket of the data directory, where whoever can open it is the owner, and HTTP listeners, where every request names
// its user. It does not own the objects and their checks (directory), how they are written (form), where they are kept
// (store), or calls and bindings: it sees those through Live.
//
// Every change is one transaction of the store with its audit rows. Reads come from the snapshot of the directory,
// which includes a change before the request that made it is answered. Events of changes are published by Announce,
// which the store calls in the order of its commits.
//
// Goroutines: Server.Run starts one for each listener and returns when they and all requests are done.
//
// Sources: RFC 9457 (problems), RFC 7396 (merge patch), RFC 9110 §13 (conditional requests), RFC 6750 (bearer tokens),
// RFC 7617 (basic), WHATWG server-sent events.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dialtone/internal/cdr"
	"dialtone/internal/directory"
	"dialtone/internal/event"
	"dialtone/internal/store"
	"dialtone/internal/trace"
)

// Prefix is where the API begins.
const Prefix = "/api/v1"

// Store is what the API needs of the database.
type Store interface {
	Update(ctx context.Context, actor store.Actor, fn func(store.Tx) error) ([]directory.Change, error)
	Plan(ctx context.Context, actor store.Actor, fn func(store.Tx) error) ([]directory.Change, error)
	View(ctx context.Context, fn func(store.Tx) error) error
	Audit(ctx context.Context, q store.AuditQuery) ([]store.AuditRow, error)
	Note(ctx context.Context, actor store.Actor, act store.Act) error
	Records(ctx context.Context, q store.RecordQuery) ([]store.RecordRow, error)
}

// Directory gives the snapshot of now. It must hold a change before the Update that made it returns.
type Directory interface {
	Snapshot() *directory.Snapshot
}

// Ladders has what was captured of the signalling of calls, under our call identifier or the SIP Call-ID of a leg. What
// was not captured is an empty ladder.
type Ladders interface {
	Ladder(id string) ([]trace.Entry, error)
}

// Events is where events are read.
type Events interface {
	Subscribe(s event.Scope) *event.Subscription
}

// Config is what the API works on. All of it is needed but TURN, Metrics and TokenKey.
type Config struct {
	Version   string // of the program
	Store     Store
	Directory Directory
	Live      Live
	Ladders   Ladders
	Events    Events
	Guard     Guard
	TURN      TURN // nil: none
	// Recordings is the archive of recorded calls.
	Recordings Recordings
	// Conferences are the rooms in use.
	Conferences Conferences
	Metrics     http.Handler // the Prometheus page; nil: none
	// TokenKey signs bearer tokens: 32 secret bytes that outlive a restart. Without it tokens end with the process.
	TokenKey []byte
	Log      *slog.Logger
	Now      func() time.Time
}

// api is the handlers with what they work on.
type api struct {
	Config
	huma    huma.API
	mux     *http.ServeMux
	door    *door
	streams sync.WaitGroup // connections that were taken over from net/http
	closed  chan struct{}  // closed when the server stops: streams end
}

func newAPI(c Config) (*api, error) {
	if c.Store == nil || c.Directory == nil || c.Live == nil || c.Ladders == nil || c.Events == nil || c.Guard == nil || c.Recordings == nil || c.Conferences == nil || c.Log == nil || c.Now == nil {
		return nil, errors.New("admin: store, directory, live view, ladders, events, guard, recordings, conferences, log and clock are required")
	}
	door, err := newDoor(c)
	if err != nil {
		return nil, err
	}
	a := &api{Config: c, mux: http.NewServeMux(), door: door, closed: make(chan struct{})}
	a.huma = humago.New(a.mux, a.document())
	a.routes()
	return a, nil
}

// document is the OpenAPI document without its routes.
func (a *api) document() huma.Config {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[cdr.Time](), reflect.TypeFor[time.Time]())
	registry.RegisterTypeAlias(reflect.TypeFor[recordBody](), reflect.TypeFor[cdr.Record]())
	registry.RegisterTypeAlias(reflect.TypeFor[directory.ID](), reflect.TypeFor[string]())
	registry.RegisterTypeAlias(reflect.TypeFor[directory.Secret](), reflect.TypeFor[string]())
	registry.RegisterTypeAlias(reflect.TypeFor[json.RawMessage](), reflect.TypeFor[map[string]any]())
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Dialtone",
				Version: a.Version,
				Description: "The API of the exchange. Objects are addressed by identifier or by name. Errors are " +
					"application/problem+json with a stable code. Changes take ?dry_run=true and If-Match.",
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"basic":  {Type: "http", Scheme: "basic"},
					"bearer": {Type: "http", Scheme: "bearer"},
				},
			},
			Security: []map[string][]string{{"bearer": {}}, {"basic": {}}},
			Servers:  []*huma.Server{{URL: "/"}},
		},
		OpenAPIPath:                  Prefix + "/openapi",
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{problems(a.Log)},
	}
}

// routes registers everything that the API offers: its table of contents.
func (a *api) routes() {
	a.objectRoutes()
	a.liveRoutes()
	a.recordRoutes()
	a.traceRoutes()
	a.eventRoutes()
	a.auditRoutes()
	a.banRoutes()
	a.recordingRoutes()
	a.conferenceRoutes()
	a.listenRoutes()
	a.fileRoutes()
	a.tokenRoutes()
	a.turnRoutes()
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allowed := a.methods(r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", ")) // RFC 9110 §15.5.6
			writeProblem(w, problem(http.StatusMethodNotAllowed, CodeNotAllowed, r.Method+" is not allowed here"))
			return
		}
		writeProblem(w, nothingAt(r))
	})
}

// methods lists what is served at the path of r, by other methods than its own.
func (a *api) methods(r *http.Request) (allowed []string) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		other := *r
		other.Method = method
		if _, pattern := a.mux.Handler(&other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// route registers one operation with the error form of this API.
func route[I, O any](a *api, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	op.Path = Prefix + op.Path
	if op.BodyReadTimeout == 0 {
		// The deadline also bounds the wait for the database behind a long update.
		op.BodyReadTimeout = requestTime
	}
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = &huma.Response{
		Description: "A problem",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
	}
	huma.Register(a.huma, op, handler)
}

// failed turns the error of a handler into a Problem.
func (a *api) failed(err error) error {
	if p := (*Problem)(nil); errors.As(err, &p) {
		return p
	}
	if list, ok := faults(err); ok {
		return invalid(list)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return problem(http.StatusNotFound, CodeNotFound, "no such object")
	case errors.Is(err, store.ErrConflict):
		return problem(http.StatusPreconditionFailed, CodeChanged, "the object was changed meanwhile")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, CodeUnavailable, "the request was not finished in time")
	}
	a.Log.Error("request failed", "error", err)
	return internalFault()
}
