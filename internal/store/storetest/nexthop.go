package storetest

import (
	"context"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// testNextHops: of two sets for the same requests nobody could say which takes them, and a domain is either a tenant's or
// that of servers behind.
func testNextHops(t *testing.T, open Opener) {
	b := start(t, open)
	acme, other := b.tenant("acme", "acme.example"), b.tenant("other", "other.example")
	hop := func(tenant *directory.Tenant, name, domain, prefix string) *directory.NextHop {
		return &directory.NextHop{Meta: directory.Meta{Tenant: tenant.ID}, Name: name, Domain: domain, Prefix: prefix,
			Targets: []directory.HopTarget{{URI: "sip:10.0.0.7"}}}
	}
	kept := hop(acme, "a", "pbx.example", "")
	b.update(func(ctx context.Context, tx store.Tx) {
		put(t, ctx, tx.NextHops(), kept)
		put(t, ctx, tx.NextHops(), hop(acme, "b", "pbx.example", "+98"))
		put(t, ctx, tx.NextHops(), hop(acme, "c", "", "+98"))
		put(t, ctx, tx.NextHops(), hop(other, "c", "", "+98")) // of its own domains
	})
	putting := func(n *directory.NextHop) func(context.Context, store.Tx) error {
		return func(ctx context.Context, tx store.Tx) error { _, err := tx.NextHops().Put(ctx, n); return err }
	}
	for name, c := range map[string]struct {
		field, code string
		fn          func(context.Context, store.Tx) error
	}{
		"name":                      {"name", directory.CodeDuplicate, putting(hop(acme, "a", "new.example", ""))},
		"domain, of another tenant": {"domain", directory.CodeDuplicate, putting(hop(other, "d", "PBX.example.", ""))},
		"domain and prefix":         {"prefix", directory.CodeDuplicate, putting(hop(other, "d", "pbx.example", "+98"))},
		"prefix":                    {"prefix", directory.CodeDuplicate, putting(hop(acme, "d", "", "+98"))},
		"domain of a tenant":        {"domain", directory.CodeConflict, putting(hop(acme, "d", "other.example", ""))},
		"domain of a set of somebody": {"domains", directory.CodeConflict, func(ctx context.Context, tx store.Tx) error {
			v, err := tx.Tenants().Get(ctx, other.ID)
			if err != nil {
				return err
			}
			v.Domains = append(v.Domains, "pbx.example")
			_, err = tx.Tenants().Put(ctx, v)
			return err
		}},
		"tenant that has one": {"tenant", directory.CodeInUse, func(ctx context.Context, tx store.Tx) error {
			return tx.Tenants().Delete(ctx, acme.ID, 0)
		}},
	} {
		_, err := b.try(c.fn)
		t.Run(name, func(t *testing.T) { wantFault(t, err, c.field, c.code) })
	}
	// A set gives its domain free, and takes another one, in one transaction.
	b.update(func(ctx context.Context, tx store.Tx) {
		v, err := tx.Tenants().Get(ctx, other.ID)
		if err != nil {
			t.Fatal(err)
		}
		v.Domains = []string{"was-free.example"}
		put(t, ctx, tx.Tenants(), v)
		kept.Domain = "other.example"
		put(t, ctx, tx.NextHops(), kept)
	})
}
