package main

import "github.com/alecthomas/kong"

type tenantCmd struct {
	remote
	List listCmd   `cmd:"" help:"List tenants."`
	Show showCmd   `cmd:"" help:"Show a tenant."`
	Add  tenantAdd `cmd:"" help:"Add a tenant."`
	Set  tenantSet `cmd:"" help:"Change a tenant."`
	Rm   removeCmd `cmd:"" help:"Remove tenants, which must be empty."`
}

// AfterApply binds the noun that the subcommands speak of.
func (c *tenantCmd) AfterApply(k *kong.Context) error {
	k.Bind(tenantNoun())
	return nil
}

func tenantNoun() *noun {
	return &noun{path: "/tenants", key: "name", columns: []string{"name", "kind", "parent", "domains", "realm"}}
}

type tenantFields struct {
	Kind     *string  `json:"kind,omitempty" help:"operator, reseller or customer."`
	Parent   *string  `json:"parent,omitempty" help:"Name of the tenant it belongs to."`
	Domain   []string `json:"domains,omitempty" help:"SIP domain; may be repeated."`
	Realm    *string  `json:"realm,omitempty" help:"Of the digests; the first domain by default."`
	Language *string  `json:"language,omitempty" help:"Language tag such as fa."`
}

type tenantAdd struct {
	tenantFields
	Name string `arg:"" json:"-"`
}

// Run adds a tenant.
func (c *tenantAdd) Run(s *session, n *noun) error {
	return s.add(n, inTenant{}, c.Name, c.tenantFields)
}

type tenantSet struct {
	tenantFields
	Name string `arg:"" json:"-"`
}

// Run changes a tenant.
func (c *tenantSet) Run(s *session, n *noun) error {
	return s.set(n, inTenant{}, c.Name, c.tenantFields)
}
