package apply

import (
	"context"
	"errors"
	"slices"

	"dialtone/internal/admin/form"
	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// listed is how many objects are listed at a time.
const listed = 1000

// run is one try at putting a file inside a transaction.
type run struct {
	ctx       context.Context // lives as long as one transaction
	tx        store.Tx
	names     *Names
	options   Options
	places    map[objectKey]place // where the objects stand that were put
	faults    Faults
	warnings  []Warning
	unchanged int
}

// objectKey tells the objects of a file apart.
type objectKey struct {
	tenant string
	kind   directory.Kind
	key    string
}

// object is what every kind of object is by pointer.
type object[T any] interface {
	*T
	directory.Object
}

// document puts one tenant with its sections. The error is a failure of the store, not of the file.
func (r *run) document(d *document) error {
	tenant, err := r.tenant(d)
	if err != nil || tenant == nil {
		return err
	}
	steps := []func() error{
		func() error {
			return put(r, tenant, &d.sites, r.tx.Sites(), func(f *form.Site, e place, old *directory.Site) (*directory.Site, directory.Errors) {
				return f.Object(tenant.ID, old)
			}, func(f *form.Site) string { return f.Name }, nil)
		},
		func() error {
			return put(r, tenant, &d.users, r.tx.Users(), func(f *form.User, e place, old *directory.User) (*directory.User, directory.Errors) {
				return f.Object(tenant.ID, old)
			}, func(f *form.User) string { return f.Name }, (*form.User).Weak)
		},
		func() error {
			return put(r, tenant, &d.lines, r.tx.Lines(), func(f *form.Line, e place, old *directory.Line) (*directory.Line, directory.Errors) {
				return r.line(tenant, f, e, old)
			}, func(f *form.Line) string { return f.Number }, (*form.Line).Weak)
		},
		func() error {
			return put(r, tenant, &d.numbers, r.tx.Numbers(), func(f *form.Number, e place, old *directory.Number) (*directory.Number, directory.Errors) {
				return f.Object(tenant.ID, old)
			}, func(f *form.Number) string { return f.Number }, nil)
		},
		func() error {
			return put(r, tenant, &d.hops, r.tx.NextHops(), func(f *form.NextHop, e place, old *directory.NextHop) (*directory.NextHop, directory.Errors) {
				return f.Object(tenant.ID, old)
			}, func(f *form.NextHop) string { return f.Name }, nil)
		},
		func() error {
			return put(r, tenant, &d.rooms, r.tx.Rooms(), func(f *form.Room, e place, old *directory.Room) (*directory.Room, directory.Errors) {
				return f.Object(tenant.ID, old)
			}, func(f *form.Room) string { return f.Name }, nil)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if !r.options.Prune {
		return nil
	}
	return r.prune(tenant, d)
}

// tenant puts what a document says of the tenant itself. It is nil when that cannot be.
func (r *run) tenant(d *document) (*directory.Tenant, error) {
	old, err := r.tx.Tenants().Find(r.ctx, directory.ID{}, d.name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	f := form.Tenant{Name: d.name}
	if old != nil {
		f = form.OfTenant(old, r.names)
	}
	h := d.header
	for to, from := range map[*string]*string{&f.Kind: h.kind, &f.Parent: h.parent, &f.Realm: h.realm, &f.Language: h.language} {
		if from != nil {
			*to = *from
		}
	}
	if h.domains != nil {
		f.Domains = *h.domains
	}
	tenant, errs := f.Object(old, r.names)
	for _, fault := range errs {
		field := fault.Field
		if field == "name" {
			field = "tenant"
		}
		r.faults.add(d.line(field), field, fault.Code, "%s", fault.Reason)
	}
	if len(errs) > 0 {
		return nil, nil
	}
	r.places[objectKey{d.name, directory.KindTenant, d.name}] = d.place
	changed, err := r.tx.Tenants().Put(r.ctx, tenant)
	if err != nil {
		return nil, r.refused(d.place, err)
	}
	if !changed {
		r.unchanged++
	}
	r.names.learn(tenant)
	return tenant, nil
}

// line reads a form; devices that the file does not speak of stay.
func (r *run) line(tenant *directory.Tenant, f *form.Line, e place, old *directory.Line) (*directory.Line, directory.Errors) {
	line, errs := f.Object(tenant.ID, tenant.Realm, old, r.names)
	if old == nil {
		return line, errs
	}
	_, written := lookUp(e.node, "devices")
	if written != nil && r.options.Prune {
		return line, errs
	}
	for i := range old.Devices {
		username := old.Devices[i].Username
		if !slices.ContainsFunc(line.Devices, func(d directory.Device) bool { return d.Username == username }) {
			line.Devices = append(line.Devices, old.Devices[i])
		}
	}
	return line, errs
}

// put puts the objects of a section.
func put[F, T any, O object[T]](
	r *run, tenant *directory.Tenant, s *section[F], table store.Table[T],
	object func(f *F, e place, old *T) (*T, directory.Errors), key func(*F) string, weak func(*F) directory.Errors,
) error {
	for i := range s.entries {
		e := &s.entries[i]
		if err := r.ctx.Err(); err != nil {
			return err
		}
		var old *T
		if name := key(&e.form); name != "" {
			k := objectKey{tenant.Name, O(new(T)).ObjectKind(), name}
			if first, ok := r.places[k]; ok {
				r.faults.under(e.place, directory.Errors{{
					Field: keyField(k.kind), Code: directory.CodeDuplicate, Reason: "is already in " + first.path,
				}})
				continue
			}
			r.places[k] = e.place
			found, err := table.Find(r.ctx, tenant.ID, name)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			old = found
		}
		o, errs := object(&e.form, e.place, old)
		if len(errs) > 0 {
			r.faults.under(e.place, errs)
			continue
		}
		changed, err := table.Put(r.ctx, o)
		if err != nil {
			if err := r.refused(e.place, err); err != nil {
				return err
			}
			continue
		}
		if !changed {
			r.unchanged++
		}
		r.names.learn(O(o))
		if weak != nil {
			for _, f := range weak(&e.form) {
				r.warnings = append(r.warnings, Warning{e.line(f.Field), e.path + "." + f.Field, f.Reason})
			}
		}
	}
	return nil
}

// keyField is the field that tells objects of a kind apart.
func keyField(k directory.Kind) string {
	if k == directory.KindLine || k == directory.KindNumber {
		return "number"
	}
	return "name"
}

// refused turns what the store has against an object into faults of its entry; other errors come back.
func (r *run) refused(e place, err error) error {
	var errs directory.Errors
	if !errors.As(err, &errs) {
		return err
	}
	if e.path == "" {
		for _, f := range errs {
			r.faults.add(e.line(f.Field), f.Field, f.Code, "%s", f.Reason)
		}
		return nil
	}
	r.faults.under(e, errs)
	return nil
}

// prune removes what is missing from the sections that are there.
func (r *run) prune(tenant *directory.Tenant, d *document) error {
	if d.hops.present {
		if err := clear(r, tenant, r.tx.NextHops()); err != nil {
			return err
		}
	}
	if d.numbers.present {
		if err := clear(r, tenant, r.tx.Numbers()); err != nil {
			return err
		}
	}
	if d.rooms.present {
		if err := clear(r, tenant, r.tx.Rooms()); err != nil {
			return err
		}
	}
	if d.lines.present {
		if err := clear(r, tenant, r.tx.Lines()); err != nil {
			return err
		}
	}
	if d.users.present {
		if err := clear(r, tenant, r.tx.Users()); err != nil {
			return err
		}
	}
	if d.sites.present {
		return clear(r, tenant, r.tx.Sites())
	}
	return nil
}

// clear removes the tenant's objects of a kind that the file does not have.
func clear[T any, O object[T]](r *run, tenant *directory.Tenant, table store.Table[T]) error {
	for after := ""; ; {
		objects, err := table.List(r.ctx, tenant.ID, after, listed)
		if err != nil {
			return err
		}
		for _, o := range objects {
			o := O(o)
			after = o.Key()
			if _, ok := r.places[objectKey{tenant.Name, o.ObjectKind(), after}]; ok {
				continue
			}
			if err := table.Delete(r.ctx, o.Head().ID, o.Head().Version); err != nil {
				return err
			}
		}
		if len(objects) < listed {
			return nil
		}
	}
}

// explain finds the lines of the objects that the store's final checks speak of.
func (r *run) explain(err error) error {
	if errors.Is(err, errFaults) {
		return r.faults.sorted()
	}
	for _, e := range flatten(err) {
		var o *store.ObjectError
		var errs directory.Errors
		if !errors.As(e, &o) || !errors.As(o.Err, &errs) {
			return err
		}
		found := false
		for k, place := range r.places {
			if k.kind == o.Kind && k.key == o.Key {
				found = true
				if refusal := r.refused(place, errs); refusal != nil {
					return refusal
				}
				break
			}
		}
		if !found {
			// The object is not in the file: something in the file, or missing from it, is in its way.
			for _, f := range errs {
				r.faults.add(0, string(o.Kind)+" "+o.Key+" "+f.Field, f.Code, "%s", f.Reason)
			}
		}
	}
	return r.faults.sorted()
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}
