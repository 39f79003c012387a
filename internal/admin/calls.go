package admin

import (
	"context"
	"net/http"
	"net/netip"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/directory"
)

type (
	callIn struct {
		ID string `path:"id" doc:"Our identifier of the call"`
	}
	callOut         struct{ Body Call }
	mediaOut        struct{ Body CallMedia }
	statusIn        struct{}
	statusOut       struct{ Body Status }
	registrationsIn struct {
		TenantParameter
		PageParameters
		Line    string `query:"line" doc:"Only those of the line with this number, or of the device with this name"`
		Contact string `query:"contact" doc:"Only those with this text in the contact"`
		Source  string `query:"source" doc:"Only those that came from this address, address and port, or network"`
	}
)

// liveRoutes registers what is happening now.
func (a *api) liveRoutes() {
	route(a, huma.Operation{
		OperationID: "list-calls", Method: http.MethodGet, Path: "/calls", Tags: []string{"calls"},
		Summary: "List the calls in progress, oldest first",
	}, a.listCalls)
	route(a, huma.Operation{
		OperationID: "show-call", Method: http.MethodGet, Path: "/calls/{id}", Tags: []string{"calls"},
		Summary: "Show a call in progress",
	}, a.showCall)
	route(a, huma.Operation{
		OperationID: "show-call-media", Method: http.MethodGet, Path: "/calls/{id}/media", Tags: []string{"calls"},
		Summary: "Show the media of a call in progress: addresses, codecs, encryption, conversion, figures",
	}, a.showMedia)
	route(a, huma.Operation{
		OperationID: "hangup-call", Method: http.MethodPost, Path: "/calls/{id}/hangup", Tags: []string{"calls"},
		Summary: "End a call", DefaultStatus: http.StatusNoContent,
	}, a.hangUp)
	route(a, huma.Operation{
		OperationID: "list-registrations", Method: http.MethodGet, Path: "/registrations", Tags: []string{"registrations"},
		Summary: "List the devices that are registered now",
	}, a.listRegistrations)
	route(a, huma.Operation{
		OperationID: "show-status", Method: http.MethodGet, Path: "/status", Tags: []string{"status"},
		Summary: "How the server is",
	}, a.showStatus)
}

// sees tells whether an identity has the right in the tenant that a live thing names. What belongs to no tenant is for
// those who see all.
func (a *api) sees(ctx context.Context, r right, tenant string) bool {
	id, err := directory.ParseID(tenant)
	if err != nil {
		id = directory.ID{}
	}
	return who(ctx).may(a.Directory.Snapshot(), r, id)
}

func (a *api) listCalls(ctx context.Context, in *TenantParameter) (*pageOut[Call], error) {
	tenant, err := a.wide(ctx, in.Tenant, readCalls)
	if err != nil {
		return nil, err
	}
	out := &pageOut[Call]{Body: Page[Call]{Items: []Call{}}}
	for _, c := range a.Live.Calls() {
		if tenant.IsZero() || c.Tenant == tenant.String() {
			out.Body.Items = append(out.Body.Items, c.complete())
		}
	}
	return out, nil
}

// complete writes absent lists as empty ones.
func (c Call) complete() Call {
	if c.Legs == nil {
		c.Legs = []CallLeg{}
	}
	return c
}

// call finds a call in progress that the identity has the right to.
func (a *api) call(ctx context.Context, id string, r right) (Call, error) {
	calls := a.Live.Calls()
	i := slices.IndexFunc(calls, func(c Call) bool { return c.ID == id })
	switch {
	case i < 0 || !a.sees(ctx, readCalls, calls[i].Tenant):
		return Call{}, notFound("call in progress", id)
	case !a.sees(ctx, r, calls[i].Tenant):
		return Call{}, forbidden()
	}
	return calls[i].complete(), nil
}

func (a *api) showCall(ctx context.Context, in *callIn) (*callOut, error) {
	c, err := a.call(ctx, in.ID, readCalls)
	if err != nil {
		return nil, err
	}
	return &callOut{c}, nil
}

func (a *api) showMedia(ctx context.Context, in *callIn) (*mediaOut, error) {
	if _, err := a.call(ctx, in.ID, readCalls); err != nil {
		return nil, err
	}
	m, ok := a.Live.Media(in.ID)
	if !ok {
		return nil, notFound("call in progress", in.ID)
	}
	return &mediaOut{m}, nil
}

func (a *api) hangUp(ctx context.Context, in *callIn) (*struct{}, error) {
	if _, err := a.call(ctx, in.ID, steerCalls); err != nil {
		return nil, err
	}
	if !a.Live.Hangup(in.ID) {
		return nil, notFound("call in progress", in.ID)
	}
	a.Log.Info("call ended by the API", "call", in.ID, "actor", who(ctx).actor.Name)
	return nil, nil
}

func (a *api) listRegistrations(ctx context.Context, in *registrationsIn) (*pageOut[Registration], error) {
	tenant, err := a.wide(ctx, in.Tenant, readCalls)
	if err != nil {
		return nil, err
	}
	source, port, err := parseSource(in.Source)
	if err != nil {
		return nil, err
	}
	page, next := a.Live.Registrations(RegistrationQuery{Tenant: tenant.String(), Line: in.Line, Contact: in.Contact,
		Source: source, Port: port, After: in.Cursor, Limit: in.Limit})
	if page == nil {
		page = []Registration{}
	}
	return &pageOut[Registration]{Body: Page[Registration]{Items: page, Next: next}}, nil
}

// parseSource reads an address, an address and port, or a network; "" is everywhere.
func parseSource(text string) (from netip.Prefix, port uint16, err error) {
	if text == "" {
		return netip.Prefix{}, 0, nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), 0, nil
	}
	whole, err := netip.ParseAddrPort(text)
	addr := whole.Addr()
	if err != nil {
		if addr, err = netip.ParseAddr(text); err != nil {
			return netip.Prefix{}, 0, invalid(directory.Errors{{Field: "source", Code: directory.CodeInvalid,
				Reason: "must be an address, an address and port, or a network"}})
		}
	}
	addr = addr.Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen()), whole.Port(), nil
}

func (a *api) showStatus(ctx context.Context, _ *statusIn) (*statusOut, error) {
	if !who(ctx).may(a.Directory.Snapshot(), runSystem, directory.ID{}) {
		return nil, forbidden()
	}
	s := a.Live.Status()
	if s.Listeners == nil {
		s.Listeners = []StatusListener{}
	}
	if s.Warnings == nil {
		s.Warnings = []string{}
	}
	return &statusOut{s}, nil
}
