package main

import "github.com/alecthomas/kong"

type numberCmd struct {
	remote
	List listCmd   `cmd:"" help:"List numbers."`
	Show showCmd   `cmd:"" help:"Show a number."`
	Add  numberAdd `cmd:"" help:"Add a number."`
	Set  numberSet `cmd:"" help:"Change a number."`
	Rm   removeCmd `cmd:"" help:"Remove numbers."`
}

// AfterApply binds the noun that the subcommands speak of.
func (c *numberCmd) AfterApply(k *kong.Context) error {
	k.Bind(&noun{path: "/numbers", key: "number", columns: []string{"number", "kind", "to", "language"}})
	return nil
}

type numberFields struct {
	To       *string `json:"to,omitempty" help:"Destination such as line:101."`
	Kind     *string `json:"kind,omitempty" help:"direct or short."`
	Language *string `json:"language,omitempty" help:"Language tag of the callers such as fa."`
}

type numberAdd struct {
	inTenant
	numberFields
	Number string `arg:""`
}

// Run adds a number.
func (c *numberAdd) Run(s *session, n *noun) error {
	return s.add(n, c.inTenant, c.Number, c.numberFields)
}

type numberSet struct {
	inTenant
	numberFields
	Number string `arg:""`
}

// Run changes a number.
func (c *numberSet) Run(s *session, n *noun) error {
	return s.set(n, c.inTenant, c.Number, c.numberFields)
}
