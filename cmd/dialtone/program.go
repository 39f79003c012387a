package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"dialtone/internal/config"
	"dialtone/internal/demo"
	"dialtone/internal/server"
)

// programs connects the entry points.
func programs() entryPoints { return entryPoints{serve: serve, demo: runDemo, phone: phone} }

// serve runs the server until ctx ends.
func serve(ctx context.Context, o serveOptions, sys system) error {
	c, err := config.Load(o.Config, sys.getenv)
	if err != nil {
		return err
	}
	if o.Data != "" {
		c.Data = o.Data
	}
	level := c.Log.Level
	if o.Log != "" {
		if err := level.UnmarshalText([]byte(o.Log)); err != nil {
			return usage("--log %q is none of debug, info, warn, error", o.Log)
		}
	}
	tuned := tuneGC(sys.getenv)
	log := slog.New(slog.NewTextHandler(sys.stderr, &slog.HandlerOptions{Level: level}))
	s, err := server.New(ctx, server.Options{Config: c, Getenv: sys.getenv, Log: log, TuneGC: tuned})
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what migrations and loading have left behind
	greet(sys.stdout, s, c.Data)
	defer hurried(ctx, s.Hurry)()
	return s.Run(ctx)
}

// hurried calls hurry when, after the signal that has ended ctx, a second one comes. It ends when stop is called.
func hurried(ctx context.Context, hurry func()) (stop func()) {
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-ctx.Done():
		case <-over:
			return
		}
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(again)
		select {
		case <-again:
			hurry()
		case <-over:
		}
	})
	return func() { close(over); watching.Wait() }
}

// runDemo runs the demonstration until ctx ends.
func runDemo(ctx context.Context, sys system) error {
	tuneGC(sys.getenv)
	log := slog.New(slog.NewTextHandler(sys.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return demo.Run(ctx, demo.Options{Out: sys.stdout, Getenv: sys.getenv, Log: log})
}

// tuneGC sets up the garbage collector where GOGC and GOMEMLIMIT do not.
func tuneGC(getenv func(string) string) (tuned bool) {
	if getenv("GOMEMLIMIT") == "" {
		server.LimitMemory()
	}
	if getenv("GOGC") != "" {
		return false
	}
	server.TuneGC()
	return true
}

// greet says where the server is and, once in its life, the password of its first administrator.
func greet(w io.Writer, s *server.Server, data string) {
	fmt.Fprintf(w, "Dialtone %s, data in %s\n", server.Version, data)
	for _, l := range s.Listening() {
		fmt.Fprintf(w, "  listening at %s\n", l)
	}
	if s.AdminPassword != "" {
		fmt.Fprintf(w, "  first administrator: user admin, password %s (shown this once)\n", s.AdminPassword)
	}
}
