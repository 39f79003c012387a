package admin

import (
	"iter"

	"dialtone/internal/admin/form"
	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// objectRoutes registers the objects of the directory.
func (a *api) objectRoutes() {
	register(a, tenants())
	register(a, sites())
	register(a, users())
	register(a, lines())
	register(a, numbers())
	register(a, nextHops(a.Live))
	register(a, rooms())
}

func tenants() resource[form.Tenant, directory.Tenant, *directory.Tenant] {
	return resource[form.Tenant, directory.Tenant, *directory.Tenant]{
		path: "/tenants", one: "tenant", about: "Organisations on the exchange. Nothing of one is visible to another.",
		read: readObjects, write: runSystem,
		table: store.Tx.Tenants,
		all: func(s *directory.Snapshot, _ directory.ID, after string) iter.Seq[*directory.Tenant] {
			return s.Tenants(after)
		},
		byKey: func(s *directory.Snapshot, _ directory.ID, key string) *directory.Tenant { return s.TenantByName(key) },
		byID:  (*directory.Snapshot).Tenant,
		form:  form.OfTenant,
		build: func(f *form.Tenant, c scoped, before *directory.Tenant) (*directory.Tenant, directory.Errors) {
			return f.Object(before, c.names)
		},
	}
}

func sites() resource[form.Site, directory.Site, *directory.Site] {
	return resource[form.Site, directory.Site, *directory.Site]{
		path: "/sites", one: "site", about: "Places, with their networks.",
		read: readObjects, write: changeObjects,
		table: store.Tx.Sites, all: (*directory.Snapshot).Sites,
		byKey: (*directory.Snapshot).Site, byID: (*directory.Snapshot).SiteByID,
		form: form.OfSite,
		build: func(f *form.Site, c scoped, before *directory.Site) (*directory.Site, directory.Errors) {
			return f.Object(c.tenant.ID, before)
		},
	}
}

func users() resource[form.User, directory.User, *directory.User] {
	return resource[form.User, directory.User, *directory.User]{
		path: "/users", one: "user", about: "People.",
		read: readObjects, write: changeObjects,
		table: store.Tx.Users, all: (*directory.Snapshot).Users,
		byKey: (*directory.Snapshot).User, byID: (*directory.Snapshot).UserByID,
		form: form.OfUser,
		build: func(f *form.User, c scoped, before *directory.User) (*directory.User, directory.Errors) {
			return f.Object(c.tenant.ID, before)
		},
		weak: (*form.User).Weak,
		// Whoever could make or change an owner would be one.
		guard: func(id identity, before, after *directory.User) bool {
			touched := before != nil && before.Role == directory.RoleOwner || after != nil && after.Role == directory.RoleOwner
			return !touched || id.role == directory.RoleOwner
		},
	}
}

func lines() resource[form.Line, directory.Line, *directory.Line] {
	return resource[form.Line, directory.Line, *directory.Line]{
		path: "/lines", one: "line", about: "Numbers of people and rooms, with the devices that ring.",
		read: readObjects, write: changeObjects,
		table: store.Tx.Lines, all: (*directory.Snapshot).Lines,
		byKey: (*directory.Snapshot).Line, byID: (*directory.Snapshot).LineByID,
		form: form.OfLine,
		build: func(f *form.Line, c scoped, before *directory.Line) (*directory.Line, directory.Errors) {
			return f.Object(c.tenant.ID, c.tenant.Realm, before, c.names)
		},
		weak: (*form.Line).Weak,
	}
}

func numbers() resource[form.Number, directory.Number, *directory.Number] {
	return resource[form.Number, directory.Number, *directory.Number]{
		path: "/numbers", one: "number", about: "What callers dial from outside.",
		read: readObjects, write: changeObjects,
		table: store.Tx.Numbers, all: (*directory.Snapshot).Numbers,
		byKey: (*directory.Snapshot).Number, byID: (*directory.Snapshot).NumberByID,
		form: form.OfNumber,
		build: func(f *form.Number, c scoped, before *directory.Number) (*directory.Number, directory.Errors) {
			return f.Object(c.tenant.ID, before)
		},
	}
}

func rooms() resource[form.Room, directory.Room, *directory.Room] {
	return resource[form.Room, directory.Room, *directory.Room]{
		path: "/rooms", one: "room", about: "Conference rooms.",
		read: readObjects, write: changeObjects,
		table: store.Tx.Rooms, all: (*directory.Snapshot).Rooms,
		byKey: (*directory.Snapshot).Room, byID: (*directory.Snapshot).RoomByID,
		form: form.OfRoom,
		build: func(f *form.Room, c scoped, before *directory.Room) (*directory.Room, directory.Errors) {
			return f.Object(c.tenant.ID, before)
		},
	}
}

func nextHops(live Live) resource[form.NextHop, directory.NextHop, *directory.NextHop] {
	return resource[form.NextHop, directory.NextHop, *directory.NextHop]{
		path: "/next_hops", one: "next_hop", about: "Sets of servers that listeners which forward send requests on to.",
		// A domain belongs to nobody until somebody takes it, and then everybody's requests for it go his way.
		read: readObjects, write: runSystem, volatile: true,
		table: store.Tx.NextHops, all: (*directory.Snapshot).NextHops,
		byKey: (*directory.Snapshot).NextHop, byID: (*directory.Snapshot).NextHopByID,
		form: func(n *directory.NextHop, names form.Names) form.NextHop {
			f := form.OfNextHop(n, names)
			f.State = live.NextHop(n.ID)
			return f
		},
		build: func(f *form.NextHop, c scoped, before *directory.NextHop) (*directory.NextHop, directory.Errors) {
			return f.Object(c.tenant.ID, before)
		},
	}
}
