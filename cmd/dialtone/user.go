package main

import "github.com/alecthomas/kong"

type userCmd struct {
	remote
	List listCmd   `cmd:"" help:"List users."`
	Show showCmd   `cmd:"" help:"Show a user."`
	Add  userAdd   `cmd:"" help:"Add a user."`
	Set  userSet   `cmd:"" help:"Change a user."`
	Rm   removeCmd `cmd:"" help:"Remove users."`
}

// AfterApply binds the noun that the subcommands speak of.
func (c *userCmd) AfterApply(k *kong.Context) error {
	k.Bind(&noun{path: "/users", key: "name", columns: []string{"name", "email", "role", "language"}})
	return nil
}

type userFields struct {
	Email    *string `json:"email,omitempty" help:"E-mail address."`
	Role     *string `json:"role,omitempty" help:"owner, admin, supervisor, agent, user or reader."`
	Language *string `json:"language,omitempty" help:"Language tag such as fa."`
	Password *string `json:"password,omitempty" help:"To sign in with." env:"DIALTONE_USER_PASSWORD"`
}

type userAdd struct {
	inTenant
	userFields
	Name string `arg:""`
}

// Run adds a user.
func (c *userAdd) Run(s *session, n *noun) error { return s.add(n, c.inTenant, c.Name, c.userFields) }

type userSet struct {
	inTenant
	userFields
	Name string `arg:""`
}

// Run changes a user.
func (c *userSet) Run(s *session, n *noun) error { return s.set(n, c.inTenant, c.Name, c.userFields) }
