package main

import (
	"context"
	"errors"
)

// entryPoints are the programs that are more than a question to a running server.
type entryPoints struct {
	serve func(context.Context, serveOptions, system) error
	demo  func(context.Context, system) error
	phone func(context.Context, phoneOptions, system) error
}

// errAbsent is the answer of a build without that program.
var errAbsent = errors.New("this build does not have that program")

// serveOptions are what the command line says about a server.
type serveOptions struct {
	Config string // path of the static file; "" is none
	Data   string // "" is what the file or the environment says
	Log    string // "" is what the file says
}

type serveCmd struct {
	Log string `help:"How much is logged: debug, info, warn or error. The static file decides by default." placeholder:"LEVEL"`
}

// Run runs the server until it is told to stop.
func (c *serveCmd) Run(s *session) error {
	if s.programs.serve == nil {
		return errAbsent
	}
	return s.programs.serve(s.ctx, serveOptions{Config: s.global.Config, Data: s.global.Data, Log: c.Log}, s.system)
}

type demoCmd struct{}

// Run runs a furnished throw-away server.
func (c *demoCmd) Run(s *session) error {
	if s.programs.demo == nil {
		return errAbsent
	}
	return s.programs.demo(s.ctx, s.system)
}
