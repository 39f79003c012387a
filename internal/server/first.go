package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/seal"
)

// AdminPasswordVariable is the environment variable with the password of the first administrator.
const AdminPasswordVariable = "DIALTONE_ADMIN_PASSWORD"

// firstAdmin is the name of the administrator that a new installation has.
const firstAdmin = "admin"

// furnish makes what every installation has: the default tenant with its domains, and, when there is no user at all,
// the first administrator. It returns that one's password when it was made up here; it is shown once.
func furnish(ctx context.Context, s store.Objects, domains []string, getenv func(string) string) (password string, err error) {
	_, err = s.Update(ctx, store.Actor{Name: "start"}, func(tx store.Tx) error {
		tenant, err := tx.Tenants().Find(ctx, directory.ID{}, directory.DefaultTenant)
		switch {
		case errors.Is(err, store.ErrNotFound):
			tenant = &directory.Tenant{Name: directory.DefaultTenant, Kind: directory.Operator, Domains: domains}
			if _, err := tx.Tenants().Put(ctx, tenant); err != nil {
				return fmt.Errorf("make the default tenant: %w", err)
			}
		case err != nil:
			return err
		case addDomains(tenant, domains):
			if _, err := tx.Tenants().Put(ctx, tenant); err != nil {
				return fmt.Errorf("give the default tenant its domains: %w", err)
			}
		}
		users, err := tx.Users().List(ctx, tenant.ID, "", 1)
		if err != nil || len(users) > 0 {
			return err
		}
		given := getenv(AdminPasswordVariable)
		if given == "" {
			password = rand.Text()
			given = password
		}
		admin := &directory.User{Name: firstAdmin, Role: directory.RoleOwner, PasswordHash: seal.HashPassword(directory.Secret(given))}
		admin.Tenant = tenant.ID
		if _, err := tx.Users().Put(ctx, admin); err != nil {
			return fmt.Errorf("make the first administrator: %w", err)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return password, nil
}

// addDomains adds the domains of the static file to a tenant; it takes none away.
func addDomains(t *directory.Tenant, domains []string) (changed bool) {
	for _, d := range domains {
		d = directory.CanonicalDomain(d)
		known := false
		for _, have := range t.Domains {
			known = known || have == d
		}
		if !known {
			t.Domains = append(t.Domains, d)
			changed = true
		}
	}
	return changed
}

// secretFile reads a file of n secret random bytes in the data directory, and makes it when it is missing.
func secretFile(dir, name string, n int) ([]byte, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err == nil && len(b) == n {
		return b, nil
	}
	if err == nil {
		return nil, fmt.Errorf("%s has %d bytes, not %d", path, len(b), n)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	b = make([]byte, n)
	_, _ = rand.Read(b) // never fails
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return nil, err
	}
	return b, nil
}
