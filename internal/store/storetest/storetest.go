// Package storetest is the suite that every implementation of store.Store has to pass.
//
// It owns what a store must do, in tests that read like its documentation; it does not know any engine. An engine's own
// test calls Run and adds what only that engine has (files, crashes).
//
// Goroutines: tests start some and wait for them.
package storetest

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/seal"
)

// Config is what a store is opened with.
type Config struct {
	Dir       string // names the data: opening the same Dir again finds what was kept
	Keys      *seal.Keyring
	Committed func([]directory.Change)
}

// Opener opens a store; the suite closes it.
type Opener func(t testing.TB, cfg Config) store.Store

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for _, group := range []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"objects", testObjects},
		{"versions", testVersions},
		{"unchanged", testUnchanged},
		{"caller keeps", testCallerKeeps},
		{"taken names", testTaken},
		{"references", testReferences},
		{"tenants", testTenants},
		{"next hops", testNextHops},
		{"all or nothing", testAtomic},
		{"plan", testPlan},
		{"view", testView},
		{"list", testList},
		{"credentials", testCredentials},
		{"realm", testRealm},
		{"keys", testKeys},
		{"audit", testAudit},
		{"snapshot", testSnapshot},
		{"journal", testJournal},
		{"records", testRecords},
		{"recordings", testRecordings},
		{"concurrency", testConcurrency},
		{"reopen", testReopen},
		{"close", testClose},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			group.run(t, open)
		})
	}
}

// bench is a store with what tests need around it.
type bench struct {
	store.Store
	t   testing.TB
	cfg Config
}

var actor = store.Actor{Name: "tester", From: "192.0.2.1"}

// start opens an empty store.
func start(t testing.TB, open Opener) *bench {
	t.Helper()
	dir := t.TempDir()
	keys, err := seal.LoadOrCreate(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, cfg: Config{Dir: filepath.Join(dir, "data"), Keys: keys}}
	b.Store = open(t, b.cfg)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// update runs fn and fails the test when it cannot be kept.
func (b *bench) update(fn func(ctx context.Context, tx store.Tx)) []directory.Change {
	b.t.Helper()
	changes, err := b.try(func(ctx context.Context, tx store.Tx) error {
		fn(ctx, tx)
		return nil
	})
	if err != nil {
		b.t.Fatalf("update: %v", err)
	}
	return changes
}

func (b *bench) try(fn func(ctx context.Context, tx store.Tx) error) ([]directory.Change, error) {
	ctx := b.t.Context()
	return b.Update(ctx, actor, func(tx store.Tx) error { return fn(ctx, tx) })
}

// tenant adds a tenant.
func (b *bench) tenant(name string, domains ...string) *directory.Tenant {
	b.t.Helper()
	v := &directory.Tenant{Name: name, Domains: domains}
	b.update(func(ctx context.Context, tx store.Tx) { put(b.t, ctx, tx.Tenants(), v) })
	return v
}

// put keeps an object that must be new or changed.
func put[T any](t testing.TB, ctx context.Context, table store.Table[T], object *T) {
	t.Helper()
	changed, err := table.Put(ctx, object)
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if !changed {
		t.Fatal("put: nothing changed")
	}
}

// line makes a line with one device of the same name.
func line(tenant directory.ID, number, password string) *directory.Line {
	return &directory.Line{
		Meta: directory.Meta{Tenant: tenant}, Number: number, Name: "Line " + number,
		Devices: []directory.Device{{
			Username: number, Credentials: []directory.Credential{{Secret: directory.Secret(password)}},
		}},
	}
}

// static makes a line with a device that is known by its address.
func static(tenant directory.ID, number, from string) *directory.Line {
	return &directory.Line{
		Meta: directory.Meta{Tenant: tenant}, Number: number,
		Devices: []directory.Device{{
			Username: number, Auth: directory.AuthStatic, From: []netip.Prefix{netip.MustParsePrefix(from)},
			Address: "sip:127.0.0.1:26000",
		}},
	}
}

// getLine reads a line.
func (b *bench) getLine(id directory.ID) *directory.Line {
	b.t.Helper()
	var l *directory.Line
	ctx := b.t.Context()
	if err := b.View(ctx, func(tx store.Tx) (err error) {
		l, err = tx.Lines().Get(ctx, id)
		return err
	}); err != nil {
		b.t.Fatalf("get line: %v", err)
	}
	return l
}

// wantFault fails the test unless err has the field error.
func wantFault(t testing.TB, err error, field, code string) {
	t.Helper()
	var errs directory.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("error %v, want a fault of field %s", err, field)
	}
	for _, e := range errs {
		if e.Field == field && e.Code == code {
			return
		}
	}
	t.Fatalf("faults %v, want %s: %s", errs, field, code)
}
