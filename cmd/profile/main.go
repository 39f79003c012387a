package main

import (
	"context"
	"log/slog"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"dialtone/internal/config"
	"dialtone/internal/server"
)

func main() {
	c := config.Default()
	c.Data = os.Args[1]
	debug.SetGCPercent(200)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	s, err := server.New(ctx, server.Options{Config: c, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		panic(err)
	}
	go http.ListenAndServe("127.0.0.1:6060", nil)
	if err := s.Run(ctx); err != nil {
		panic(err)
	}
}
