package admin

import "dialtone/internal/directory"

// snapshotNames resolves references by a snapshot: form.Names.
type snapshotNames struct{ *directory.Snapshot }

func (n snapshotNames) TenantID(name string) (directory.ID, bool) {
	if t := n.TenantByName(name); t != nil {
		return t.ID, true
	}
	return directory.ID{}, false
}

func (n snapshotNames) TenantName(id directory.ID) string {
	if t := n.Tenant(id); t != nil {
		return t.Name
	}
	return ""
}

func (n snapshotNames) UserID(tenant directory.ID, name string) (directory.ID, bool) {
	if u := n.User(tenant, name); u != nil {
		return u.ID, true
	}
	return directory.ID{}, false
}

func (n snapshotNames) UserName(id directory.ID) string {
	if u := n.UserByID(id); u != nil {
		return u.Name
	}
	return ""
}

func (n snapshotNames) SiteID(tenant directory.ID, name string) (directory.ID, bool) {
	if s := n.Site(tenant, name); s != nil {
		return s.ID, true
	}
	return directory.ID{}, false
}

func (n snapshotNames) SiteName(id directory.ID) string {
	if s := n.SiteByID(id); s != nil {
		return s.Name
	}
	return ""
}
