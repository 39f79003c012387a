package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

func defineTenants() definition[directory.Tenant, *directory.Tenant] {
	return definition[directory.Tenant, *directory.Tenant]{
		kind: directory.KindTenant, table: "tenants",
		extra:   []string{"realm", "parent_id"},
		value:   func(t *directory.Tenant) []any { return []any{t.Realm, t.Parent} },
		prepare: prepareTenant, spread: spreadTenant, taken: takenTenant, check: checkTenant,
	}.statements()
}

// prepareTenant looks for domains that are taken, and for the passwords that a new realm needs.
func prepareTenant(ctx context.Context, t *tx, before, after *directory.Tenant) error {
	for i, d := range after.Domains {
		var owner string
		found, err := t.first(ctx, `SELECT domain FROM tenant_domains WHERE domain = $1 AND tenant_id <> $2`,
			[]any{d, after.ID}, &owner)
		if err != nil {
			return err
		}
		if found {
			return fault("domains["+strconv.Itoa(i)+"]", directory.CodeDuplicate, "belongs to another tenant")
		}
	}
	if before == nil || before.Realm == after.Realm {
		return nil
	}
	return t.reveal(ctx, before)
}

// reveal reads all lines of a tenant with their passwords, to be hashed for another realm.
func (t *tx) reveal(ctx context.Context, tenant *directory.Tenant) error {
	t.rehash = nil
	const page = 500
	for last := ""; ; {
		lines, err := t.Lines().List(ctx, tenant.ID, last, page)
		if err != nil {
			return err
		}
		for _, l := range lines {
			last = l.Number
			for i := range l.Devices {
				if err := t.revealDevice(&l.Devices[i], tenant.Realm); err != nil {
					return fmt.Errorf("line %s: %w", l.Number, err)
				}
			}
			t.rehash = append(t.rehash, l)
		}
		if len(lines) < page {
			return nil
		}
	}
}

func (t *tx) revealDevice(d *directory.Device, realm string) error {
	for j := range d.Credentials {
		c := &d.Credentials[j]
		if c.HashOnly {
			return fault("realm", directory.CodeConflict,
				"cannot change: the password of device "+d.Username+" is known as a hash only")
		}
		opened, err := t.store.open(d.Username, realm, c.Sealed)
		if err != nil {
			return err
		}
		*c = directory.Credential{Secret: opened.Secret, Since: c.Since}
	}
	return nil
}

func spreadTenant(ctx context.Context, t *tx, before, after *directory.Tenant) error {
	if after == nil {
		t.realms[before.ID] = before.Realm // its lines can still be read, to be removed
	} else {
		t.realms[after.ID] = after.Realm
	}
	if before != nil && (after == nil || !slices.Equal(before.Domains, after.Domains)) {
		if _, err := t.exec(ctx, `DELETE FROM tenant_domains WHERE tenant_id = $1`, before.ID); err != nil {
			return err
		}
	}
	if after == nil {
		return nil
	}
	if before == nil || !slices.Equal(before.Domains, after.Domains) {
		for _, d := range after.Domains {
			if _, err := t.exec(ctx, `INSERT INTO tenant_domains (domain, tenant_id) VALUES ($1, $2)`, d, after.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// hashAgain writes the lines whose passwords were revealed, after the tenant's own row.
func (t *tx) hashAgain(ctx context.Context) error {
	lines := t.rehash
	t.rehash = nil
	for _, l := range lines {
		if _, err := t.Lines().Put(ctx, l); err != nil {
			return fmt.Errorf("hash for the new realm: line %s: %w", l.Number, err)
		}
	}
	return nil
}

func takenTenant(ctx context.Context, t *tx, o *directory.Tenant) (string, error) {
	for _, column := range [...]struct{ name, value string }{{"name", o.Name}, {"realm", o.Realm}} {
		var id directory.ID
		found, err := t.first(ctx, `SELECT id FROM tenants WHERE `+column.name+` = $1 AND id <> $2`,
			[]any{column.value, o.ID}, &id)
		if err != nil || found {
			return column.name, err
		}
	}
	return "", nil
}

func checkTenant(t *tx, before, after *directory.Tenant) {
	if after == nil {
		for _, table := range [...]string{"sites", "users", "lines", "numbers", "next_hops", "rooms"} {
			t.expect(before, false, "tenant", directory.CodeInUse, "is not empty: "+table+" has",
				`SELECT name FROM `+table+` WHERE tenant_id = $1 LIMIT 1`, before.ID)
		}
		t.expect(before, false, "parent", directory.CodeInUse, "is the parent of tenant",
			`SELECT name FROM tenants WHERE parent_id = $1 LIMIT 1`, before.ID)
		return
	}
	if before == nil || !slices.Equal(before.Domains, after.Domains) {
		t.expect(after, false, "domains", directory.CodeConflict, "has the domain of next hop",
			`SELECT n.name FROM next_hops n JOIN tenant_domains d ON d.domain = n.domain WHERE d.tenant_id = $1 LIMIT 1`, after.ID)
	}
	if !after.Parent.IsZero() && (before == nil || before.Parent != after.Parent) {
		t.checks = append(t.checks, func(ctx context.Context) error { return t.checkParents(ctx, after) })
	}
}

// checkParents follows the parents up to the top.
func (t *tx) checkParents(ctx context.Context, tenant *directory.Tenant) error {
	const deepest = 8
	about := func(code, reason string) error {
		return &store.ObjectError{Kind: directory.KindTenant, Key: tenant.Name, Err: fault("parent", code, reason)}
	}
	for id, depth := tenant.Parent, 0; !id.IsZero(); depth++ {
		if depth == deepest || id == tenant.ID {
			return about(directory.CodeConflict, "makes a circle or more than 8 levels")
		}
		found, err := t.first(ctx, `SELECT parent_id FROM tenants WHERE id = $1`, []any{id}, &id)
		if err != nil {
			return err
		}
		if !found {
			return about(directory.CodeUnknown, "does not exist")
		}
	}
	return nil
}

func defineSites() definition[directory.Site, *directory.Site] {
	return definition[directory.Site, *directory.Site]{
		kind: directory.KindSite, table: "sites",
		check: func(t *tx, before, after *directory.Site) {
			if after == nil {
				t.expect(before, false, "site", directory.CodeInUse, "is the site of line",
					`SELECT name FROM lines WHERE tenant_id = $1 AND site_id = $2 LIMIT 1`, before.Tenant, before.ID)
			}
		},
	}.statements()
}

func defineUsers() definition[directory.User, *directory.User] {
	return definition[directory.User, *directory.User]{
		kind: directory.KindUser, table: "users",
		extra:  []string{"password_hash"},
		value:  func(u *directory.User) []any { return []any{u.PasswordHash.Reveal()} },
		from:   func(u *directory.User) []any { return []any{(*secretColumn)(&u.PasswordHash)} },
		hidden: func(u *directory.User) []byte { return []byte(u.PasswordHash.Reveal()) },
		check: func(t *tx, before, after *directory.User) {
			if after == nil {
				t.expect(before, false, "user", directory.CodeInUse, "is the user of line",
					`SELECT name FROM lines WHERE tenant_id = $1 AND user_id = $2 LIMIT 1`, before.Tenant, before.ID)
			}
		},
	}.statements()
}

// secretColumn reads a text column into a secret.
type secretColumn directory.Secret

// Scan implements sql.Scanner.
func (s *secretColumn) Scan(src any) error {
	var text sql.NullString
	if err := text.Scan(src); err != nil {
		return err
	}
	*s = secretColumn(text.String)
	return nil
}

func defineNumbers() definition[directory.Number, *directory.Number] {
	return definition[directory.Number, *directory.Number]{
		kind: directory.KindNumber, table: "numbers",
		extra: []string{"to_kind", "to_name"},
		value: func(n *directory.Number) []any { return []any{string(n.To.Kind), n.To.Name} },
		taken: func(ctx context.Context, t *tx, n *directory.Number) (string, error) {
			return t.takenName(ctx, "numbers", "number", n)
		},
		check: func(t *tx, before, after *directory.Number) {
			if after != nil && after.To.Kind == directory.ToLine && (before == nil || before.To != after.To) {
				t.expect(after, true, "to", directory.CodeUnknown, "names a line that does not exist",
					`SELECT name FROM lines WHERE tenant_id = $1 AND name = $2`, after.Tenant, after.To.Name)
			}
			if after != nil && after.To.Kind == directory.ToRoom && (before == nil || before.To != after.To) {
				t.expect(after, true, "to", directory.CodeUnknown, "names a room that does not exist",
					`SELECT name FROM rooms WHERE tenant_id = $1 AND name = $2`, after.Tenant, after.To.Name)
			}
		},
	}.statements()
}
