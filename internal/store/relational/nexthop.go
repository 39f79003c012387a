package relational

import (
	"context"

	"dialtone/internal/directory"
)

func defineNextHops() definition[directory.NextHop, *directory.NextHop] {
	return definition[directory.NextHop, *directory.NextHop]{
		kind: directory.KindNextHop, table: "next_hops",
		extra: []string{"domain", "prefix", "scope"},
		value: func(n *directory.NextHop) []any { return []any{n.Domain, n.Prefix, scopeOf(n)} },
		taken: takenNextHop,
		check: func(t *tx, before, after *directory.NextHop) {
			if after != nil && after.Domain != "" && (before == nil || before.Domain != after.Domain) {
				// A tenant's own domain is answered by its lines: what is no line there is found by prefix.
				t.expect(after, false, "domain", directory.CodeConflict, "is a domain of tenant",
					`SELECT t.name FROM tenant_domains d JOIN tenants t ON t.id = d.tenant_id WHERE d.domain = $1`, after.Domain)
			}
		},
	}.statements()
}

// scopeOf is whose requests a set may take: those for its domain, which no other set of any tenant may have with the same
// prefix, or those for the domains of its tenant.
func scopeOf(n *directory.NextHop) string {
	if n.Domain != "" {
		return n.Domain
	}
	return n.Tenant.String()
}

func takenNextHop(ctx context.Context, t *tx, n *directory.NextHop) (string, error) {
	if field, err := t.takenName(ctx, "next_hops", "name", n); err != nil || field != "" {
		return field, err
	}
	var id directory.ID
	found, err := t.first(ctx, `SELECT id FROM next_hops WHERE scope = $1 AND prefix = $2 AND id <> $3`,
		[]any{scopeOf(n), n.Prefix, n.ID}, &id)
	switch {
	case err != nil || !found:
		return "", err
	case n.Prefix != "":
		return "prefix", nil
	}
	return "domain", nil
}
