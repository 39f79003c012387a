package form

import (
	"slices"

	"dialtone/internal/directory"
)

// Tenant is an organisation, as it is written.
type Tenant struct {
	Head
	Name     string   `json:"name" doc:"Unique over all tenants"`
	Kind     string   `json:"kind,omitempty" enum:"operator,reseller,customer"`
	Parent   string   `json:"parent,omitempty" doc:"Name of the tenant this one belongs to"`
	Domains  []string `json:"domains,omitempty" nullable:"false" doc:"SIP domains, unique over all tenants"`
	Realm    string   `json:"realm,omitempty" doc:"Of the digests; the first domain by default, else the name"`
	Language string   `json:"language,omitempty" doc:"Language tag such as fa or zh-TW"`
}

// OfTenant writes a tenant.
func OfTenant(t *directory.Tenant, names Names) Tenant {
	return Tenant{
		Head: head(t), Name: t.Name, Kind: string(t.Kind), Parent: names.TenantName(t.Parent),
		Domains: t.Domains, Realm: t.Realm, Language: t.Language,
	}
}

// Object reads the form over what is there (nil: nothing) into a new object.
func (f *Tenant) Object(before *directory.Tenant, names Names) (*directory.Tenant, directory.Errors) {
	var e errs
	t := &directory.Tenant{
		Name: f.Name, Kind: directory.TenantKind(f.Kind), Domains: slices.Clone(f.Domains), Realm: f.Realm, Language: f.Language,
	}
	if before != nil {
		t.Meta = before.Meta
		if t.Realm == "" {
			// The hashes of all devices hang on the realm: it stays unless it is changed in so many words.
			t.Realm = before.Realm
		}
	}
	if f.Parent != "" {
		id, ok := names.TenantID(f.Parent)
		if !ok {
			e.add("parent", directory.CodeUnknown, "no such tenant")
		}
		t.Parent = id
	}
	return t, e.validate(t)
}
