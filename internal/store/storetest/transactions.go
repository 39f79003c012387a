package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// testAtomic: a transaction that fails anywhere leaves nothing, not even when its function goes on after an error or
// panics.
func testAtomic(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme")
	rows, _ := b.VerifyAudit(t.Context())
	boom := errors.New("boom")
	if _, err := b.try(func(ctx context.Context, tx store.Tx) error {
		put(t, ctx, tx.Lines(), line(tenant.ID, "101", "a good password"))
		return boom
	}); !errors.Is(err, boom) {
		t.Errorf("error %v, want the function's", err)
	}
	_, err := b.try(func(ctx context.Context, tx store.Tx) error {
		put(t, ctx, tx.Lines(), line(tenant.ID, "101", "a good password"))
		_, _ = tx.Lines().Put(ctx, line(tenant.ID, "101", "a good password")) // error ignored
		return nil
	})
	wantFault(t, err, "devices[0].username", directory.CodeDuplicate)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = b.try(func(ctx context.Context, tx store.Tx) error {
			put(t, ctx, tx.Lines(), line(tenant.ID, "101", "a good password"))
			panic("boom")
		})
	}()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Update(ended, actor, func(store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("update with an ended context: %v", err)
	}
	ending, cancel := context.WithCancel(t.Context())
	if _, err := b.Update(ending, actor, func(tx store.Tx) error {
		put(t, ending, tx.Lines(), line(tenant.ID, "101", "a good password"))
		cancel() // in the middle
		return nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("update whose context ended: %v", err)
	}
	if after, err := b.VerifyAudit(t.Context()); err != nil || after != rows {
		t.Errorf("audit rows %d, want %d (%v)", after, rows, err)
	}
	b.update(func(ctx context.Context, tx store.Tx) {
		put(t, ctx, tx.Lines(), line(tenant.ID, "101", "a good password"))
	})
}

// testClose: after Close everything is an error, and Close may be called again.
func testClose(t *testing.T, open Opener) {
	b := start(t, open) // closes it once more
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for name, fn := range map[string]func() error{
		"update":  func() error { _, err := b.Update(ctx, actor, func(store.Tx) error { return nil }); return err },
		"view":    func() error { return b.View(ctx, func(store.Tx) error { return nil }) },
		"load":    func() error { return b.LoadObjects(ctx, func(directory.Object) error { return nil }) },
		"records": func() error { return b.FinishCalls(ctx, make([]store.RecordRow, 1)) },
		"journal": func() error { return b.PutJournal(ctx, make([]store.JournalRow, 1)) },
	} {
		if fn() == nil {
			t.Errorf("%s after close: no error", name)
		}
	}
}

// testPlan: a plan makes all checks and keeps nothing.
func testPlan(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme")
	ctx := t.Context()
	changes, err := b.Plan(ctx, actor, func(tx store.Tx) error {
		put(t, ctx, tx.Lines(), line(tenant.ID, "101", "a good password"))
		return nil
	})
	if err != nil || len(changes) != 1 || changes[0].Before != nil || changes[0].After.Key() != "101" {
		t.Errorf("plan: %v, %v", changes, err)
	}
	_, err = b.Plan(ctx, actor, func(tx store.Tx) error {
		_, err := tx.Numbers().Put(ctx, &directory.Number{Meta: directory.Meta{Tenant: tenant.ID}, Number: "+98218877",
			To: directory.Destination{Kind: directory.ToLine, Name: "101"}})
		return err
	})
	wantFault(t, err, "to", directory.CodeUnknown)
	if err := b.View(ctx, func(tx store.Tx) error {
		_, err := tx.Lines().Find(ctx, tenant.ID, "101")
		return err
	}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after a plan: %v", err)
	}
}

// testView: a view sees one state and changes nothing.
func testView(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme")
	ctx := t.Context()
	err := b.View(ctx, func(tx store.Tx) error {
		if _, err := tx.Lines().Put(ctx, line(tenant.ID, "101", "a good password")); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("put in a view: %v", err)
		}
		if err := tx.Tenants().Delete(ctx, tenant.ID, 0); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("delete in a view: %v", err)
		}
		if _, err := tx.Lines().Find(ctx, tenant.ID, "101"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("before: %v", err)
		}
		b.update(func(ctx context.Context, tx store.Tx) { // meanwhile, in another transaction
			put(t, ctx, tx.Lines(), line(tenant.ID, "101", "a good password"))
		})
		if _, err := tx.Lines().Find(ctx, tenant.ID, "101"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the view changed: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testList: pages go through a tenant's objects in byte order.
func testList(t *testing.T, open Opener) {
	b := start(t, open)
	acme, other := b.tenant("acme"), b.tenant("other")
	var want []string
	b.update(func(ctx context.Context, tx store.Tx) {
		for i := range 25 {
			number := fmt.Sprint(90 + i)
			want = append(want, number)
			put(t, ctx, tx.Lines(), line(acme.ID, number, "a good password"))
			put(t, ctx, tx.Lines(), line(other.ID, number, "a good password"))
		}
	})
	slices.Sort(want)
	ctx := t.Context()
	var got []string
	if err := b.View(ctx, func(tx store.Tx) error {
		for after := ""; ; {
			lines, err := tx.Lines().List(ctx, acme.ID, after, 7)
			if err != nil {
				return err
			}
			for _, l := range lines {
				if l.Tenant != acme.ID || len(l.Devices) != 1 || !l.Devices[0].Credentials[0].Hashed() {
					t.Errorf("line %s is not whole", l.Number)
				}
				after = l.Number
				got = append(got, l.Number)
			}
			if len(lines) < 7 {
				break
			}
		}
		tenants, err := tx.Tenants().List(ctx, directory.ID{}, "acme", 10)
		if err != nil || len(tenants) != 1 || tenants[0].Name != "other" {
			t.Errorf("tenants after acme: %v, %v", tenants, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

// testConcurrency: many write at once; nothing is lost, and changes are told in the order they happened.
func testConcurrency(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	d := directory.New()
	var told []int64 // versions of the counter, guarded by the promise that calls are serial
	b.cfg.Committed = func(changes []directory.Change) {
		d.Apply(changes)
		for _, c := range changes {
			if c.Object().ObjectKind() == directory.KindTenant {
				told = append(told, c.After.Head().Version)
			}
		}
	}
	b.Store = open(t, b.cfg)
	ctx := t.Context()
	if err := d.Load(ctx, b); err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				_, err := b.Update(ctx, actor, func(tx store.Tx) error {
					v, err := tx.Tenants().Get(ctx, tenant.ID)
					if err != nil {
						return err
					}
					v.Language = []string{"fa", "en"}[v.Version%2]
					if _, err = tx.Tenants().Put(ctx, v); err != nil {
						return err
					}
					_, err = tx.Lines().Put(ctx, line(tenant.ID, fmt.Sprint(w*100+i+1000), "a good password"))
					return err
				})
				if err != nil {
					t.Errorf("update: %v", err)
				}
			}
		})
		wg.Go(func() {
			for i := range each {
				if err := b.PutJournal(ctx, []store.JournalRow{{CallID: fmt.Sprint(w, "-", i)}}); err != nil {
					t.Errorf("put journal: %v", err)
				}
				if err := b.View(ctx, func(tx store.Tx) error {
					_, err := tx.Tenants().Get(ctx, tenant.ID)
					return err
				}); err != nil {
					t.Errorf("view: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if len(told) != writers*each {
		t.Fatalf("told of %d changes, want %d", len(told), writers*each)
	}
	for i, v := range told {
		if v != int64(i)+2 {
			t.Fatalf("change %d made version %d", i, v)
		}
	}
	if got := d.Snapshot().Counts().Lines; got != writers*each {
		t.Errorf("snapshot has %d lines, want %d", got, writers*each)
	}
	if _, err := b.VerifyAudit(ctx); err != nil {
		t.Error(err)
	}
}
