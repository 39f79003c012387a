package directory

import (
	"net/netip"
	"slices"
	"strings"
)

// DefaultTenant is the name of the tenant that every installation has: addresses of the host itself belong to it.
const DefaultTenant = "default"

// TenantKind says what a tenant does.
type TenantKind string

// The kinds of tenants.
const (
	Operator TenantKind = "operator" // runs the installation
	Reseller TenantKind = "reseller" // has customers
	Customer TenantKind = "customer" // has lines
)

// Tenant is one organisation on the exchange. Nothing of one tenant is visible to another.
type Tenant struct {
	Meta
	// Name is unique over all tenants.
	Name string     `json:"name"`
	Kind TenantKind `json:"kind"`
	// Parent is the reseller or operator this tenant belongs to; zero: none.
	Parent ID `json:"parent,omitzero"`
	// Domains are the SIP domains of the tenant, lower case, unique over all tenants.
	Domains []string `json:"domains,omitempty"`
	// Realm is the protection space of the tenant's digests (RFC 3261 §22.4), by default its first domain, else its
	// name. A device's HA1 depends on it, so it stays when domains change; changing it needs the devices' passwords.
	Realm string `json:"realm"`
	// Language is the tag of the language that prompts and pages use where nothing nearer says otherwise.
	Language string `json:"language,omitempty"`
}

// ObjectKind implements Object.
func (t *Tenant) ObjectKind() Kind { return KindTenant }

// Key implements Object.
func (t *Tenant) Key() string { return t.Name }

// SetDefaults implements Object.
func (t *Tenant) SetDefaults() {
	if t.Kind == "" {
		t.Kind = Customer
	}
	t.Domains = slices.Clone(t.Domains)
	for i, d := range t.Domains {
		t.Domains[i] = CanonicalDomain(d)
	}
	if t.Realm == "" {
		t.Realm = t.Name
		if len(t.Domains) > 0 {
			t.Realm = t.Domains[0]
		}
	}
	t.Tenant = t.ID
}

// Validate implements Object.
func (t *Tenant) Validate() error {
	var errs Errors
	errs.label("name", t.Name)
	oneOf(&errs, "kind", t.Kind, Operator, Reseller, Customer)
	if !t.Parent.IsZero() && t.Parent == t.ID {
		errs.add("parent", CodeConflict, "is the tenant itself")
	}
	for i, d := range t.Domains {
		switch {
		case !isDomain(d):
			errs.add(indexed("domains", i), CodeInvalid, "is not a host name")
		case slices.Contains(t.Domains[:i], d):
			errs.add(indexed("domains", i), CodeDuplicate, "is listed twice")
		}
	}
	// RFC 3261 §25.1: realm-value = quoted-string; what would need escaping is refused, phones get it wrong.
	switch {
	case t.Realm == "":
		errs.add("realm", CodeRequired, "is required")
	case len(t.Realm) > maxName:
		errs.add("realm", CodeTooLong, "is longer than 128 bytes")
	case !printable(t.Realm) || strings.ContainsAny(t.Realm, `"\:`):
		errs.add("realm", CodeInvalid, `may not have control characters, quotes, colons or \`)
	}
	errs.language(t.Language)
	return errs.Err()
}

// CanonicalDomain brings a SIP domain to the form it is compared in: lower case, without a final dot.
func CanonicalDomain(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// isDomain accepts host names (RFC 1123 §2.1) and addresses, which small sites use as their domain.
func isDomain(s string) bool {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr.Zone() == ""
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !isAlnum(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
