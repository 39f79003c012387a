package admin

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/admin/apply"
	"dialtone/internal/admin/form"
	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// object is what every kind of object is by pointer.
type object[T any] interface {
	*T
	directory.Object
}

// scoped is what a conversion from a form may ask for.
type scoped struct {
	tenant *directory.Tenant // the object's; nil for tenants
	names  form.Names
}

// resource is one kind of object: F as it is written, T as it is.
type resource[F, T any, O object[T]] struct {
	path  string // "/lines"
	one   string // "line"
	about string // what it is, for the document
	read  right
	write right

	table func(store.Tx) store.Table[T]
	all   func(s *directory.Snapshot, tenant directory.ID, after string) iter.Seq[*T]
	byKey func(s *directory.Snapshot, tenant directory.ID, key string) *T
	byID  func(s *directory.Snapshot, id directory.ID) *T
	form  func(*T, form.Names) F
	build func(f *F, c scoped, before *T) (*T, directory.Errors)
	weak  func(*F) directory.Errors                // secrets that are too easy to guess; nil: there are none
	guard func(id identity, before, after *T) bool // what only some may change; nil: nothing

	volatile bool // a form shows more than the object, so that the same version is not the same form
}

// The parameters that routes share. Their types are exported because huma passes over embedded types that are not.
type (
	// TenantParameter names the tenant that a request is about.
	TenantParameter struct {
		Tenant string `query:"tenant" doc:"Name or identifier of the tenant; your own by default"`
	}
	// PageParameters cut a list into parts.
	PageParameters struct {
		Cursor string `query:"cursor" doc:"The next of the previous part"`
		Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	}
	// ObjectParameter names the object that a request is about.
	ObjectParameter struct {
		ID string `path:"id" doc:"Identifier, or name or number"`
	}
	// ChangeParameter belongs to requests that change something.
	ChangeParameter struct {
		DryRun bool `query:"dry_run" doc:"Check everything, change nothing"`
	}
	// MatchParameter makes a change depend on the version.
	MatchParameter struct {
		IfMatch string `header:"If-Match" doc:"Change only this version of the object"`
	}
)

type (
	listIn struct {
		TenantParameter
		PageParameters
	}
	showIn struct {
		TenantParameter
		ObjectParameter
		IfNoneMatch string `header:"If-None-Match"`
	}
	addIn[F any] struct {
		TenantParameter
		ChangeParameter
		Body F
	}
	setIn struct {
		TenantParameter
		ObjectParameter
		ChangeParameter
		MatchParameter
		RawBody []byte
	}
	removeIn struct {
		TenantParameter
		ObjectParameter
		ChangeParameter
		MatchParameter
	}
	pageOut[T any] struct{ Body Page[T] }
	formOut[F any] struct {
		ETag string `header:"ETag"`
		Body F
	}
	addedOut[F any] struct {
		ETag     string `header:"ETag"`
		Location string `header:"Location"`
		Body     F
	}
)

// register makes the five routes of a resource.
func register[F, T any, O object[T]](a *api, r resource[F, T, O]) {
	tag := []string{strings.TrimPrefix(r.path, "/")}
	route(a, huma.Operation{
		OperationID: "list-" + tag[0], Method: http.MethodGet, Path: r.path, Tags: tag, Summary: "List " + tag[0],
		Description: r.about,
	}, func(ctx context.Context, in *listIn) (*pageOut[F], error) { return r.list(ctx, a, in) })
	route(a, huma.Operation{
		OperationID: "show-" + r.one, Method: http.MethodGet, Path: r.path + "/{id}", Tags: tag, Summary: "Show a " + r.one,
	}, func(ctx context.Context, in *showIn) (*formOut[F], error) { return r.show(ctx, a, in) })
	route(a, huma.Operation{
		OperationID: "add-" + r.one, Method: http.MethodPost, Path: r.path, Tags: tag, Summary: "Add a " + r.one,
		DefaultStatus: http.StatusCreated, MaxBodyBytes: objectLimit,
	}, func(ctx context.Context, in *addIn[F]) (*addedOut[F], error) { return r.add(ctx, a, in) })
	patch := a.huma.OpenAPI().Components.Schemas.Schema(typeOf[F](), true, "")
	route(a, huma.Operation{
		OperationID: "set-" + r.one, Method: http.MethodPatch, Path: r.path + "/{id}", Tags: tag, Summary: "Change a " + r.one,
		Description: "A JSON merge patch: what is left out stays, null takes a field back to its default.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/merge-patch+json": {Schema: patch}, "application/json": {Schema: patch},
		}},
		MaxBodyBytes: objectLimit, SkipValidateBody: true,
	}, func(ctx context.Context, in *setIn) (*formOut[F], error) { return r.set(ctx, a, in) })
	route(a, huma.Operation{
		OperationID: "remove-" + r.one, Method: http.MethodDelete, Path: r.path + "/{id}", Tags: tag, Summary: "Remove a " + r.one,
		DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *removeIn) (*struct{}, error) { return r.remove(ctx, a, in) })
}

// objectLimit bounds the body of a request about one object.
const objectLimit = 256 << 10

// owner is the tenant that the objects of a request belong to; tenants themselves have none.
func (r *resource[F, T, O]) owner(ctx context.Context, a *api, name string, right right) (*directory.Tenant, error) {
	if r.isTenants() {
		if !grants(who(ctx).role, right) {
			return nil, forbidden()
		}
		return nil, nil
	}
	return a.scope(ctx, name, right)
}

func (r *resource[F, T, O]) isTenants() bool { return O(new(T)).ObjectKind() == directory.KindTenant }

func idOf(t *directory.Tenant) directory.ID {
	if t == nil {
		return directory.ID{}
	}
	return t.ID
}

// visible tells whether an object may be seen in the scope of a request.
func (r *resource[F, T, O]) visible(ctx context.Context, s *directory.Snapshot, tenant *directory.Tenant, o O) bool {
	if r.isTenants() {
		return who(ctx).may(s, r.read, o.Head().ID)
	}
	return o.Head().Tenant == tenant.ID
}

func (r *resource[F, T, O]) list(ctx context.Context, a *api, in *listIn) (*pageOut[F], error) {
	tenant, err := r.owner(ctx, a, in.Tenant, r.read)
	if err != nil {
		return nil, err
	}
	s := a.Directory.Snapshot()
	out := &pageOut[F]{Body: Page[F]{Items: []F{}}}
	last := ""
	for o := range r.all(s, idOf(tenant), in.Cursor) {
		if !r.visible(ctx, s, tenant, o) {
			continue
		}
		if len(out.Body.Items) == in.Limit {
			out.Body.Next = last
			break
		}
		out.Body.Items = append(out.Body.Items, r.form(o, snapshotNames{s}))
		last = O(o).Key()
	}
	return out, nil
}

func (r *resource[F, T, O]) show(ctx context.Context, a *api, in *showIn) (*formOut[F], error) {
	tenant, err := r.owner(ctx, a, in.Tenant, r.read)
	if err != nil {
		return nil, err
	}
	s := a.Directory.Snapshot()
	var o *T
	if id, err := directory.ParseID(in.ID); err == nil {
		o = r.byID(s, id)
	} else {
		o = r.byKey(s, idOf(tenant), in.ID)
	}
	if o == nil || !r.visible(ctx, s, tenant, o) {
		return nil, notFound(r.one, in.ID)
	}
	tag := etag(O(o).Head().Version)
	if in.IfNoneMatch != "" && !r.volatile && matches(in.IfNoneMatch, tag) {
		return nil, huma.ErrorWithHeaders(huma.Status304NotModified(), http.Header{"Etag": {tag}})
	}
	return &formOut[F]{ETag: tag, Body: r.form(o, snapshotNames{s})}, nil
}

func (r *resource[F, T, O]) add(ctx context.Context, a *api, in *addIn[F]) (*addedOut[F], error) {
	tenant, err := r.owner(ctx, a, in.Tenant, r.write)
	if err != nil {
		return nil, err
	}
	var out addedOut[F]
	var kept *T
	err = a.change(ctx, in.DryRun, func(tx store.Tx) error {
		o, err := r.put(ctx, tx, &in.Body, tenant, nil)
		if err != nil {
			return err
		}
		out.ETag = etag(O(o).Head().Version)
		out.Location = Prefix + r.path + "/" + O(o).Head().ID.String()
		out.Body = r.form(o, apply.NewNames(ctx, tx))
		kept = o
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r.volatile && !in.DryRun {
		out.Body = r.form(kept, snapshotNames{a.Directory.Snapshot()})
	}
	return &out, nil
}

func (r *resource[F, T, O]) set(ctx context.Context, a *api, in *setIn) (*formOut[F], error) {
	tenant, err := r.owner(ctx, a, in.Tenant, r.write)
	if err != nil {
		return nil, err
	}
	var out formOut[F]
	var kept *T
	err = a.change(ctx, in.DryRun, func(tx store.Tx) error {
		before, err := r.find(ctx, a, tx, tenant, in.ID, in.IfMatch)
		if err != nil {
			return err
		}
		written, err := merge(r.form(before, apply.NewNames(ctx, tx)), in.RawBody)
		if err != nil {
			return err
		}
		o, err := r.put(ctx, tx, written, tenant, before)
		if err != nil {
			return err
		}
		out.ETag = etag(O(o).Head().Version)
		out.Body = r.form(o, apply.NewNames(ctx, tx))
		kept = o
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r.volatile && !in.DryRun { // what goes with the object is as the change has left it
		out.Body = r.form(kept, snapshotNames{a.Directory.Snapshot()})
	}
	return &out, nil
}

func (r *resource[F, T, O]) remove(ctx context.Context, a *api, in *removeIn) (*struct{}, error) {
	tenant, err := r.owner(ctx, a, in.Tenant, r.write)
	if err != nil {
		return nil, err
	}
	return nil, a.change(ctx, in.DryRun, func(tx store.Tx) error {
		before, err := r.find(ctx, a, tx, tenant, in.ID, in.IfMatch)
		if err != nil {
			return err
		}
		if r.guard != nil && !r.guard(who(ctx), before, nil) {
			return forbidden()
		}
		return r.table(tx).Delete(ctx, O(before).Head().ID, O(before).Head().Version)
	})
}

// put keeps what a form says.
func (r *resource[F, T, O]) put(ctx context.Context, tx store.Tx, f *F, tenant *directory.Tenant, before *T) (*T, error) {
	names := apply.NewNames(ctx, tx)
	o, errs := r.build(f, scoped{tenant, names}, before)
	if err := names.Err(); err != nil {
		return nil, err
	}
	if r.weak != nil {
		errs = append(errs, r.weak(f)...)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	if r.guard != nil && !r.guard(who(ctx), before, o) {
		return nil, forbidden()
	}
	_, err := r.table(tx).Put(ctx, o)
	return o, err
}

// find reads the object that a change is about, as it is kept, and holds it to If-Match.
func (r *resource[F, T, O]) find(ctx context.Context, a *api, tx store.Tx, tenant *directory.Tenant, name, match string) (*T, error) {
	var o *T
	var err error
	if id, wrong := directory.ParseID(name); wrong == nil {
		o, err = r.table(tx).Get(ctx, id)
	} else {
		o, err = r.table(tx).Find(ctx, idOf(tenant), name)
	}
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !r.visible(ctx, a.Directory.Snapshot(), tenant, o):
		return nil, notFound(r.one, name)
	case err != nil:
		return nil, err
	case r.isTenants() && !who(ctx).may(a.Directory.Snapshot(), r.write, O(o).Head().ID):
		return nil, forbidden()
	}
	if version := O(o).Head().Version; match != "" && !matches(match, etag(version)) {
		return nil, problem(http.StatusPreconditionFailed, CodeChanged,
			"the object is at version "+strconv.FormatInt(version, 10)+", not at the one that If-Match names")
	}
	return o, nil
}

// change runs fn in a transaction, or only tries whether it could.
func (a *api) change(ctx context.Context, dryRun bool, fn func(store.Tx) error) error {
	run := a.Store.Update
	if dryRun {
		run = a.Store.Plan
	}
	if _, err := run(ctx, who(ctx).actor, fn); err != nil {
		return a.failed(err)
	}
	return nil
}

// matches tells whether a list of entity tags holds tag. RFC 9110 §13.1: "*" is any.
func matches(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == "*" || one == tag {
			return true
		}
	}
	return false
}
