package admin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/seal"
)

// PasswordVariable is the environment variable with the password of the first administrator.
const PasswordVariable = "DIALTONE_ADMIN_PASSWORD"

// firstAdministrator is the name of the user that a new installation has.
const firstAdministrator = "admin"

// Bootstrapped is what Bootstrap found or made.
type Bootstrapped struct {
	User string // name of the first administrator
	// Password is what it signs in with when this was made up here: to be shown once. "" otherwise.
	Password directory.Secret
	Created  bool // the administrator is new
}

// Bootstrap furnishes an empty store: the default tenant with the domains of the static file, and an owner whose
// password is the given one (PasswordVariable) or a random one. What is there stays as it is: in particular the
// password of an owner who exists is not touched. Domains of the static file are added to those of the tenant.
func Bootstrap(ctx context.Context, s Store, domains []string, password directory.Secret) (Bootstrapped, error) {
	b := Bootstrapped{User: firstAdministrator}
	_, err := s.Update(ctx, store.Actor{Name: "system"}, func(tx store.Tx) error {
		tenant, err := tx.Tenants().Find(ctx, directory.ID{}, directory.DefaultTenant)
		if errors.Is(err, store.ErrNotFound) {
			tenant, err = &directory.Tenant{Name: directory.DefaultTenant, Kind: directory.Operator}, nil
			tenant.ID = directory.NewID()
		}
		if err != nil {
			return err
		}
		for _, d := range domains {
			if d = directory.CanonicalDomain(d); !slices.Contains(tenant.Domains, d) {
				tenant.Domains = append(tenant.Domains, d)
			}
		}
		if _, err := tx.Tenants().Put(ctx, tenant); err != nil {
			return err
		}
		found, err := hasOwner(ctx, tx, tenant.ID)
		if err != nil || found {
			return err
		}
		if password == "" {
			secret := make([]byte, 18)
			_, _ = rand.Read(secret) // never fails
			password = directory.Secret(base64.RawURLEncoding.EncodeToString(secret))
			b.Password = password
		}
		b.Created = true
		user := &directory.User{Name: firstAdministrator, Role: directory.RoleOwner, PasswordHash: seal.HashPassword(password)}
		user.Tenant = tenant.ID
		_, err = tx.Users().Put(ctx, user)
		return err
	})
	if err != nil {
		return Bootstrapped{}, fmt.Errorf("furnish the store: %w", err)
	}
	return b, nil
}

// hasOwner tells whether the tenant has an owner who can sign in.
func hasOwner(ctx context.Context, tx store.Tx, tenant directory.ID) (bool, error) {
	const listed = 1000
	for after := ""; ; {
		users, err := tx.Users().List(ctx, tenant, after, listed)
		if err != nil {
			return false, err
		}
		for _, u := range users {
			after = u.Name
			if u.Role == directory.RoleOwner && u.PasswordHash != "" {
				return true, nil
			}
		}
		if len(users) < listed {
			return false, nil
		}
	}
}
