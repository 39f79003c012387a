package storetest

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strconv"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// testObjects: each kind comes back as it was put, by ID and by key, and goes.
func testObjects(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := &directory.Tenant{Name: "acme", Kind: directory.Reseller, Domains: []string{"Acme.Example.", "pbx.acme.example"}, Language: "fa"}
	site := &directory.Site{Name: "tehran", Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/16")}, AreaCode: "21", Country: "IR"}
	user := &directory.User{Name: "sara", Email: "sara@example.com", Role: directory.RoleAdmin, Language: "fa", PasswordHash: "$argon2id$x"}
	number := &directory.Number{Number: "+982188776655", To: directory.Destination{Kind: directory.ToLine, Name: "101"}, Language: "ar"}
	hop := &directory.NextHop{Name: "inside", Domain: "PBX.example", Prefix: "1", Hash: directory.HashSource,
		Targets: []directory.HopTarget{{URI: "sip:10.0.0.7", Priority: 2, Weight: 3, Drain: true}, {URI: "sip:10.0.0.8"}}}
	room := &directory.Room{Name: "board", Number: "800", PIN: "2468"}
	var l *directory.Line
	b.update(func(ctx context.Context, tx store.Tx) {
		put(t, ctx, tx.Tenants(), tenant)
		site.Tenant, user.Tenant, number.Tenant, hop.Tenant, room.Tenant = tenant.ID, tenant.ID, tenant.ID, tenant.ID, tenant.ID
		put(t, ctx, tx.Sites(), site)
		put(t, ctx, tx.Users(), user)
		l = line(tenant.ID, "101", "a good password")
		l.User, l.Site, l.MaxCalls, l.Language = user.ID, site.ID, 2, "en"
		l.Devices = append(l.Devices, static(tenant.ID, "bench", "127.0.0.1/32").Devices[0])
		put(t, ctx, tx.Lines(), l)
		put(t, ctx, tx.Numbers(), number)
		put(t, ctx, tx.NextHops(), hop)
		put(t, ctx, tx.Rooms(), room)
	})
	if tenant.Realm != "acme.example" || tenant.Domains[0] != "acme.example" || tenant.Tenant != tenant.ID {
		t.Errorf("defaults of tenant: %+v", tenant)
	}
	if site.Subnets[0] != netip.MustParsePrefix("10.1.0.0/16") {
		t.Errorf("subnet is not masked: %v", site.Subnets)
	}
	ctx := t.Context()
	err := b.View(ctx, func(tx store.Tx) error {
		same(t, ctx, tx.Tenants(), directory.ID{}, tenant)
		same(t, ctx, tx.Sites(), tenant.ID, site)
		same(t, ctx, tx.Users(), tenant.ID, user)
		same(t, ctx, tx.Lines(), tenant.ID, l)
		same(t, ctx, tx.Numbers(), tenant.ID, number)
		same(t, ctx, tx.NextHops(), tenant.ID, hop)
		same(t, ctx, tx.Rooms(), tenant.ID, room)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.update(func(ctx context.Context, tx store.Tx) { // the order does not matter
		gone(t, ctx, tx.Sites(), tenant.ID, site)
		gone(t, ctx, tx.Tenants(), directory.ID{}, tenant)
		gone(t, ctx, tx.Users(), tenant.ID, user)
		gone(t, ctx, tx.Lines(), tenant.ID, l)
		gone(t, ctx, tx.Numbers(), tenant.ID, number)
		gone(t, ctx, tx.NextHops(), tenant.ID, hop)
		gone(t, ctx, tx.Rooms(), tenant.ID, room)
	})
}

// object is *T.
type object[T any] interface {
	*T
	directory.Object
}

// same reads an object both ways.
func same[T any, P object[T]](t *testing.T, ctx context.Context, table store.Table[T], tenant directory.ID, want P) {
	t.Helper()
	byID, err := table.Get(ctx, want.Head().ID)
	if err != nil {
		t.Fatal(err)
	}
	byKey, err := table.Find(ctx, tenant, want.Key())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(byID, (*T)(want)) || !reflect.DeepEqual(byKey, (*T)(want)) {
		t.Errorf("%s came back as %+v, want %+v", want.ObjectKind(), byID, want)
	}
	if want.Head().Version != 1 {
		t.Errorf("%s has version %d, want 1", want.ObjectKind(), want.Head().Version)
	}
}

// gone deletes an object and looks for it.
func gone[T any, P object[T]](t *testing.T, ctx context.Context, table store.Table[T], tenant directory.ID, o P) {
	t.Helper()
	if err := table.Delete(ctx, o.Head().ID, o.Head().Version); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Get(ctx, o.Head().ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get after delete: %v", err)
	}
	if _, err := table.Find(ctx, tenant, o.Key()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("find after delete: %v", err)
	}
}

// testVersions: who writes must have read the newest version.
func testVersions(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme")
	l := line(tenant.ID, "101", "a good password")
	b.update(func(ctx context.Context, tx store.Tx) { put(t, ctx, tx.Lines(), l) })
	first := *b.getLine(l.ID)
	l.Name = "Sara"
	b.update(func(ctx context.Context, tx store.Tx) { put(t, ctx, tx.Lines(), l) })
	if l.Version != 2 || b.getLine(l.ID).Version != 2 {
		t.Errorf("version %d, want 2", l.Version)
	}
	first.Name = "Reza"
	for name, fn := range map[string]func(context.Context, store.Tx) error{
		"put":    func(ctx context.Context, tx store.Tx) error { _, err := tx.Lines().Put(ctx, &first); return err },
		"delete": func(ctx context.Context, tx store.Tx) error { return tx.Lines().Delete(ctx, l.ID, 1) },
		"new with its ID": func(ctx context.Context, tx store.Tx) error {
			again := line(tenant.ID, "102", "a good password")
			again.ID = l.ID
			_, err := tx.Lines().Put(ctx, again)
			return err
		},
	} {
		if _, err := b.try(fn); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s with an old version: %v, want a conflict", name, err)
		}
	}
	if got := b.getLine(l.ID); got.Name != "Sara" || got.Version != 2 {
		t.Errorf("line is %q version %d", got.Name, got.Version)
	}
	missing := directory.NewID()
	for name, fn := range map[string]func(context.Context, store.Tx) error{
		"put": func(ctx context.Context, tx store.Tx) error {
			v := line(tenant.ID, "103", "a good password")
			v.ID, v.Version = missing, 4
			_, err := tx.Lines().Put(ctx, v)
			return err
		},
		"delete": func(ctx context.Context, tx store.Tx) error { return tx.Lines().Delete(ctx, missing, 0) },
	} {
		if _, err := b.try(fn); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s of a missing object: %v", name, err)
		}
	}
	chosen := line(tenant.ID, "104", "a good password")
	chosen.ID = missing
	b.update(func(ctx context.Context, tx store.Tx) { put(t, ctx, tx.Lines(), chosen) })
	if chosen.ID != missing {
		t.Error("the chosen ID was replaced")
	}
	b.update(func(ctx context.Context, tx store.Tx) {
		if err := tx.Lines().Delete(ctx, chosen.ID, 0); err != nil {
			t.Error(err)
		}
	})
}

// testUnchanged: putting what is kept leaves no trace.
func testUnchanged(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme", "acme.example")
	l := line(tenant.ID, "101", "a good password")
	b.update(func(ctx context.Context, tx store.Tx) { put(t, ctx, tx.Lines(), l) })
	rows, _ := b.VerifyAudit(t.Context())
	changes := b.update(func(ctx context.Context, tx store.Tx) {
		for _, password := range []string{"", "a good password"} { // as it was read, and as it was first written
			again, err := tx.Lines().Find(ctx, tenant.ID, "101")
			if err != nil {
				t.Fatal(err)
			}
			if password != "" {
				again.Devices = line(tenant.ID, "101", password).Devices
			}
			if changed, err := tx.Lines().Put(ctx, again); err != nil || changed {
				t.Errorf("changed %v, error %v", changed, err)
			}
			if again.Version != 1 {
				t.Errorf("version %d, want 1", again.Version)
			}
		}
		again, _ := tx.Tenants().Find(ctx, directory.ID{}, "acme")
		if changed, err := tx.Tenants().Put(ctx, again); err != nil || changed {
			t.Errorf("tenant: changed %v, error %v", changed, err)
		}
	})
	if len(changes) != 0 {
		t.Errorf("%d changes", len(changes))
	}
	if after, err := b.VerifyAudit(t.Context()); err != nil || after != rows {
		t.Errorf("audit rows %d, want %d (%v)", after, rows, err)
	}
}

// testTaken: names are unique where they have to be and only there.
func testTaken(t *testing.T, open Opener) {
	b := start(t, open)
	acme, other := b.tenant("acme", "acme.example"), b.tenant("other", "other.example")
	b.update(func(ctx context.Context, tx store.Tx) {
		put(t, ctx, tx.Lines(), line(acme.ID, "101", "a good password"))
		put(t, ctx, tx.Lines(), line(acme.ID, "102", "a good password"))
		put(t, ctx, tx.Lines(), line(other.ID, "101", "a good password")) // each tenant may have 101
		put(t, ctx, tx.Lines(), static(acme.ID, "201", "127.0.0.1/32"))
		put(t, ctx, tx.Lines(), static(acme.ID, "202", "127.0.0.1/32")) // addresses may repeat
		put(t, ctx, tx.Sites(), &directory.Site{Meta: directory.Meta{Tenant: acme.ID}, Name: "tehran"})
	})
	for name, c := range map[string]struct {
		field string
		put   func(context.Context, store.Tx) error
	}{
		"name of a tenant": {"name", func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Tenants().Put(ctx, &directory.Tenant{Name: "acme", Realm: "new"})
			return err
		}},
		"realm": {"realm", func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Tenants().Put(ctx, &directory.Tenant{Name: "new", Realm: "acme.example"})
			return err
		}},
		"domain": {"domains[1]", func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Tenants().Put(ctx, &directory.Tenant{Name: "new", Domains: []string{"new.example", "OTHER.example"}})
			return err
		}},
		"number of a line": {"number", func(ctx context.Context, tx store.Tx) error {
			v := line(acme.ID, "101", "a good password")
			v.Devices[0].Username = "new"
			_, err := tx.Lines().Put(ctx, v)
			return err
		}},
		"number of a line, by a change": {"number", func(ctx context.Context, tx store.Tx) error {
			v, err := tx.Lines().Find(ctx, acme.ID, "102")
			if err != nil {
				return err
			}
			v.Number = "101"
			_, err = tx.Lines().Put(ctx, v)
			return err
		}},
		"username": {"devices[0].username", func(ctx context.Context, tx store.Tx) error {
			v := line(acme.ID, "103", "a good password")
			v.Devices[0].Username = "101"
			_, err := tx.Lines().Put(ctx, v)
			return err
		}},
		"name of a site": {"name", func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Sites().Put(ctx, &directory.Site{Meta: directory.Meta{Tenant: acme.ID}, Name: "tehran"})
			return err
		}},
	} {
		_, err := b.try(c.put)
		t.Run(name, func(t *testing.T) { wantFault(t, err, c.field, directory.CodeDuplicate) })
	}
}

// testReferences: what objects say of each other is true when a transaction ends, and only then.
func testReferences(t *testing.T, open Opener) {
	b := start(t, open)
	acme, other := b.tenant("acme"), b.tenant("other")
	foreign := &directory.User{Meta: directory.Meta{Tenant: other.ID}, Name: "eve"}
	user := &directory.User{Meta: directory.Meta{Tenant: acme.ID}, Name: "sara"}
	site := &directory.Site{Meta: directory.Meta{Tenant: acme.ID}, Name: "tehran"}
	l := line(acme.ID, "101", "a good password")
	number := func(to string) *directory.Number {
		return &directory.Number{Meta: directory.Meta{Tenant: acme.ID}, Number: "+98218877", To: directory.Destination{Kind: directory.ToLine, Name: to}}
	}
	direct := number("101")
	b.update(func(ctx context.Context, tx store.Tx) {
		put(t, ctx, tx.Users(), foreign)
		put(t, ctx, tx.Numbers(), direct) // before its line
		site.ID, user.ID = directory.NewID(), directory.NewID()
		l.User, l.Site = user.ID, site.ID
		put(t, ctx, tx.Lines(), l) // before its user and its site
		put(t, ctx, tx.Users(), user)
		put(t, ctx, tx.Sites(), site)
	})
	for name, c := range map[string]struct {
		field, code string
		fn          func(context.Context, store.Tx) error
	}{
		"a number to nowhere": {"to", directory.CodeUnknown, func(ctx context.Context, tx store.Tx) error {
			v := number("999")
			v.Number = "+98218878"
			_, err := tx.Numbers().Put(ctx, v)
			return err
		}},
		"the line of a number goes": {"number", directory.CodeInUse, func(ctx context.Context, tx store.Tx) error {
			return tx.Lines().Delete(ctx, l.ID, 0)
		}},
		"the line of a number gets another number": {"number", directory.CodeInUse, func(ctx context.Context, tx store.Tx) error {
			v, _ := tx.Lines().Get(ctx, l.ID)
			v.Number = "111"
			_, err := tx.Lines().Put(ctx, v)
			return err
		}},
		"the user of a line goes": {"user", directory.CodeInUse, func(ctx context.Context, tx store.Tx) error {
			return tx.Users().Delete(ctx, user.ID, 0)
		}},
		"the site of a line goes": {"site", directory.CodeInUse, func(ctx context.Context, tx store.Tx) error {
			return tx.Sites().Delete(ctx, site.ID, 0)
		}},
		"another tenant's user": {"user", directory.CodeUnknown, func(ctx context.Context, tx store.Tx) error {
			v := line(acme.ID, "102", "a good password")
			v.User = foreign.ID
			_, err := tx.Lines().Put(ctx, v)
			return err
		}},
		"no such site": {"site", directory.CodeUnknown, func(ctx context.Context, tx store.Tx) error {
			v := line(acme.ID, "102", "a good password")
			v.Site = directory.NewID()
			_, err := tx.Lines().Put(ctx, v)
			return err
		}},
		"no such tenant": {"tenant", directory.CodeUnknown, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Lines().Put(ctx, line(directory.NewID(), "102", "a good password"))
			return err
		}},
		"into another tenant": {"tenant", directory.CodeConflict, func(ctx context.Context, tx store.Tx) error {
			v, _ := tx.Sites().Get(ctx, site.ID)
			v.Tenant = other.ID
			_, err := tx.Sites().Put(ctx, v)
			return err
		}},
		"a tenant that is not empty": {"tenant", directory.CodeInUse, func(ctx context.Context, tx store.Tx) error {
			return tx.Tenants().Delete(ctx, acme.ID, 0)
		}},
	} {
		_, err := b.try(c.fn)
		t.Run(name, func(t *testing.T) { wantFault(t, err, c.field, c.code) })
	}
	b.update(func(ctx context.Context, tx store.Tx) { // a line and its number move together
		v, err := tx.Lines().Get(ctx, l.ID)
		if err != nil {
			t.Fatal(err)
		}
		v.Number = "111"
		put(t, ctx, tx.Lines(), v)
		direct.To.Name = "111"
		put(t, ctx, tx.Numbers(), direct)
	})
	// Several mistakes are told together, each with its object.
	_, err := b.try(func(ctx context.Context, tx store.Tx) error {
		for i := range 3 {
			v := number("99" + strconv.Itoa(i))
			v.Number = "+9821887" + strconv.Itoa(i)
			put(t, ctx, tx.Numbers(), v)
		}
		return nil
	})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 3 {
		t.Fatalf("error %v, want three", err)
	}
	var about *store.ObjectError
	if !errors.As(joined.Unwrap()[2], &about) || about.Kind != directory.KindNumber || about.Key != "+98218872" {
		t.Errorf("third error is about %+v", about)
	}
}

// testTenants: parents make a tree.
func testTenants(t *testing.T, open Opener) {
	b := start(t, open)
	top := b.tenant("top")
	child := &directory.Tenant{Name: "child", Parent: top.ID}
	b.update(func(ctx context.Context, tx store.Tx) { put(t, ctx, tx.Tenants(), child) })
	for name, c := range map[string]struct {
		code string
		fn   func(context.Context, store.Tx) error
	}{
		"circle": {directory.CodeConflict, func(ctx context.Context, tx store.Tx) error {
			v, _ := tx.Tenants().Get(ctx, top.ID)
			v.Parent = child.ID
			_, err := tx.Tenants().Put(ctx, v)
			return err
		}},
		"no such parent": {directory.CodeUnknown, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Tenants().Put(ctx, &directory.Tenant{Name: "orphan", Parent: directory.NewID()})
			return err
		}},
		"the parent goes": {directory.CodeInUse, func(ctx context.Context, tx store.Tx) error {
			return tx.Tenants().Delete(ctx, top.ID, 0)
		}},
	} {
		_, err := b.try(c.fn)
		t.Run(name, func(t *testing.T) { wantFault(t, err, "parent", c.code) })
	}
	b.update(func(ctx context.Context, tx store.Tx) { // a domain moves from one tenant to another
		v, err := tx.Tenants().Get(ctx, child.ID)
		if err != nil {
			t.Fatal(err)
		}
		v.Domains = []string{"pbx.example"}
		put(t, ctx, tx.Tenants(), v)
		v.Domains = nil
		put(t, ctx, tx.Tenants(), v)
		w, _ := tx.Tenants().Get(ctx, top.ID)
		w.Domains = []string{"pbx.example"}
		put(t, ctx, tx.Tenants(), w)
		if v.Realm != "child" || w.Realm != "top" {
			t.Errorf("realms %q and %q moved with the domain", v.Realm, w.Realm)
		}
	})
}

// testCallerKeeps: what the caller does with its objects after Put is not told as a change.
func testCallerKeeps(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme", "acme.example")
	own := directory.Meta{Tenant: tenant.ID}
	l := line(tenant.ID, "101", "a good password")
	room := &directory.Room{Meta: own, Name: "board", Number: "800"}
	hop := &directory.NextHop{Meta: own, Name: "inside", Domain: "pbx.example", Targets: []directory.HopTarget{{URI: "sip:192.0.2.1"}}}
	n := &directory.Number{Meta: own, Number: "+982188776655", To: directory.Destination{Kind: directory.ToLine, Name: "101"}}
	changes := b.update(func(ctx context.Context, tx store.Tx) {
		put(t, ctx, tx.Lines(), l)
		put(t, ctx, tx.Rooms(), room)
		put(t, ctx, tx.NextHops(), hop)
		put(t, ctx, tx.Numbers(), n)
		l.Name, room.Name, hop.Name, n.Number = "x", "x", "x", "x"
		l.Devices[0].Username, hop.Targets[0].URI = "x", "x"
	})
	if len(changes) != 4 {
		t.Fatalf("%d changes", len(changes))
	}
	for i, key := range []string{"101", "board", "inside", "+982188776655"} {
		if got := changes[i].After.Key(); got != key {
			t.Errorf("%s is told as %q", key, got)
		}
	}
	if kept, ok := changes[0].After.(*directory.Line); !ok || kept.Name == "x" || kept.Devices[0].Username != "101" {
		t.Errorf("the line is told as %+v", changes[0].After)
	}
	if kept, ok := changes[2].After.(*directory.NextHop); !ok || kept.Targets[0].URI != "sip:192.0.2.1" {
		t.Errorf("the next hop is told as %+v", changes[2].After)
	}
}
