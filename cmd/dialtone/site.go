package main

import "github.com/alecthomas/kong"

type siteCmd struct {
	remote
	List listCmd   `cmd:"" help:"List sites."`
	Show showCmd   `cmd:"" help:"Show a site."`
	Add  siteAdd   `cmd:"" help:"Add a site."`
	Set  siteSet   `cmd:"" help:"Change a site."`
	Rm   removeCmd `cmd:"" help:"Remove sites."`
}

// AfterApply binds the noun that the subcommands speak of.
func (c *siteCmd) AfterApply(k *kong.Context) error {
	k.Bind(&noun{path: "/sites", key: "name", columns: []string{"name", "subnets", "area_code", "country"}})
	return nil
}

type siteFields struct {
	Subnet   []string `json:"subnets,omitempty" help:"Network such as 10.1.0.0/16; may be repeated."`
	AreaCode *string  `json:"area_code,omitempty" help:"Area code without its leading zero."`
	Country  *string  `json:"country,omitempty" help:"Two letters such as IR."`

	DirectMedia *bool `json:"direct_media,omitempty" negatable:"" help:"Media of calls within the site goes straight between its devices, where they can."`
}

type siteAdd struct {
	inTenant
	siteFields
	Name string `arg:""`
}

// Run adds a site.
func (c *siteAdd) Run(s *session, n *noun) error { return s.add(n, c.inTenant, c.Name, c.siteFields) }

type siteSet struct {
	inTenant
	siteFields
	Name string `arg:""`
}

// Run changes a site.
func (c *siteSet) Run(s *session, n *noun) error { return s.set(n, c.inTenant, c.Name, c.siteFields) }
