package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/admin/apply"
	"dialtone/internal/directory"
)

const (
	fileLimit = 256 << 20        // bytes of a configuration file: a million lines
	fileTime  = 10 * time.Minute // to receive it
)

type (
	applyIn struct {
		Plan    bool   `query:"plan" doc:"Change nothing, tell what would change"`
		DryRun  bool   `query:"dry_run" doc:"The same"`
		Prune   bool   `query:"prune" doc:"Remove objects missing from sections that are there"`
		RawBody []byte `contentType:"application/yaml"`
	}
	applyOut struct{ Body *apply.Report }
)

// fileRoutes registers everything that is configured as one file.
func (a *api) fileRoutes() {
	route(a, huma.Operation{
		OperationID: "apply", Method: http.MethodPost, Path: "/apply", Tags: []string{"configuration"},
		Summary:      "Take over a configuration file",
		Description:  "All of it or nothing. Taking the same file twice changes nothing. The faults of a file name their lines.",
		MaxBodyBytes: fileLimit, BodyReadTimeout: fileTime,
	}, a.apply)
	route(a, huma.Operation{
		OperationID: "export", Method: http.MethodGet, Path: "/export", Tags: []string{"configuration"},
		Summary:     "Everything that is configured as one file",
		Description: "Secrets are sealed. Applying an export changes nothing.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The file", Content: map[string]*huma.MediaType{"application/yaml": {}},
		}},
	}, a.export)
}

func (a *api) apply(ctx context.Context, in *applyIn) (*applyOut, error) {
	if !who(ctx).may(a.Directory.Snapshot(), runSystem, directory.ID{}) {
		return nil, forbidden()
	}
	report, err := apply.Apply(ctx, a.Store, who(ctx).actor, in.RawBody, apply.Options{Plan: in.Plan || in.DryRun, Prune: in.Prune})
	var list apply.Faults
	if errors.As(err, &list) {
		p := problem(http.StatusUnprocessableEntity, CodeInvalid, "the file has faults; nothing was changed")
		for _, f := range list {
			p.Errors = append(p.Errors, FieldFault{Line: f.Line, Field: f.Field, Code: f.Code, Reason: f.Reason})
		}
		return nil, p
	}
	if err != nil {
		return nil, a.failed(err)
	}
	return &applyOut{report}, nil
}

func (a *api) export(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	if !who(ctx).may(a.Directory.Snapshot(), runSystem, directory.ID{}) {
		return nil, forbidden()
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		c.SetHeader("Content-Type", "application/yaml")
		if err := apply.Export(ctx, a.Store, c.BodyWriter()); err != nil {
			a.Log.Error("export cut short", "error", err)
			// Part of the file may be on its way with status 200: only a cut connection tells the client.
			panic(http.ErrAbortHandler)
		}
	}}, nil
}
