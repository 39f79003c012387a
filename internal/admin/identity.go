package admin

import (
	"context"
	"net/http"
	"strconv"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// identity is who makes a request.
type identity struct {
	actor  store.Actor
	role   directory.Role
	tenant directory.ID // of the user; zero for the local owner
}

// localOwner is whoever can open the socket of the data directory.
func localOwner() identity {
	return identity{actor: store.Actor{Name: "local owner"}, role: directory.RoleOwner}
}

type identityKey struct{}

func withIdentity(ctx context.Context, id identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// who is the identity of a request; the door lets none in without.
func who(ctx context.Context) identity {
	id, _ := ctx.Value(identityKey{}).(identity) // the zero identity may nothing
	return id
}

// right is something that a request wants to do.
type right uint8

const (
	readObjects    right = iota // of a tenant
	changeObjects               // of a tenant
	readCalls                   // calls, registrations, records, ladders, events of a tenant
	steerCalls                  // of a tenant
	useMedia                    // be a party of calls
	hearCalls                   // of a tenant: recordings, and calls as they are spoken
	keepRecordings              // of a tenant: remove them, hold them
	readAudit                   // of a tenant
	runSystem                   // tenants themselves, files, everything of all tenants
)

// grants tells whether the role has the right, in its own tenant at least.
func grants(role directory.Role, r right) bool {
	if r == useMedia {
		return role != ""
	}
	switch role {
	case directory.RoleOwner:
		return true
	case directory.RoleAdmin:
		return r != runSystem
	case directory.RoleSupervisor:
		return r == readCalls || r == steerCalls || r == hearCalls
	case directory.RoleReader:
		return r == readObjects
	default: // agents and users have what is their own, which has hardly any routes yet
		return false
	}
}

// depth bounds the walk from a tenant to those above it.
const depth = 16

// may tells whether the identity has the right in the tenant (zero: in all of them together).
func (id identity) may(s *directory.Snapshot, r right, tenant directory.ID) bool {
	if !grants(id.role, r) {
		return false
	}
	if id.role == directory.RoleOwner || tenant == id.tenant && !tenant.IsZero() {
		return true
	}
	if id.role != directory.RoleAdmin || tenant.IsZero() {
		return false
	}
	for range depth {
		t := s.Tenant(tenant)
		if t == nil || t.Parent.IsZero() {
			return false
		}
		if tenant = t.Parent; tenant == id.tenant {
			return true
		}
	}
	return false
}

func forbidden() *Problem {
	return problem(http.StatusForbidden, CodeForbidden, "your role does not allow this")
}

// scope finds the tenant that a request is about, by name or identifier; "" is the user's own, for the local owner the
// default one. A tenant that may not be seen is as absent as one that does not exist.
func (a *api) scope(ctx context.Context, name string, r right) (*directory.Tenant, error) {
	id, snapshot := who(ctx), a.Directory.Snapshot()
	if !grants(id.role, r) {
		return nil, forbidden()
	}
	var tenant *directory.Tenant
	switch {
	case name == "" && !id.tenant.IsZero():
		tenant = snapshot.Tenant(id.tenant)
	case name == "":
		name = directory.DefaultTenant
		tenant = snapshot.TenantByName(name)
	default:
		tenant = tenantOf(snapshot, name)
	}
	if tenant == nil || !id.may(snapshot, r, tenant.ID) {
		return nil, notFound("tenant", name)
	}
	return tenant, nil
}

// wide is scope for lists that may go over all tenants: without a name, whoever may see all gets the zero ID.
func (a *api) wide(ctx context.Context, name string, r right) (directory.ID, error) {
	if name == "" && who(ctx).role == directory.RoleOwner {
		return directory.ID{}, nil
	}
	tenant, err := a.scope(ctx, name, r)
	if err != nil {
		return directory.ID{}, err
	}
	return tenant.ID, nil
}

func tenantOf(s *directory.Snapshot, name string) *directory.Tenant {
	if id, err := directory.ParseID(name); err == nil {
		return s.Tenant(id)
	}
	return s.TenantByName(name)
}

// etag is the entity tag of a version.
func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }
