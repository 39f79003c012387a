package main

import (
	"context"
	"errors"
	"io"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// TestAccountOfAPhone: the domain decides about the tenant; it may be written behind the username, as in an address.
func TestAccountOfAPhone(t *testing.T) {
	for _, c := range []struct{ user, domain, wantUser, wantDomain string }{
		{"101", "", "101", ""},
		{"101", "pbx.example", "101", "pbx.example"},
		{"101@pbx.example", "", "101", "pbx.example"},
		{"sara@home@pbx.example", "", "sara@home", "pbx.example"},
		{"sara@home", "pbx.example", "sara@home", "pbx.example"},
		{"@home", "", "@home", ""},
	} {
		if user, domain := account(phoneOptions{User: c.user, Domain: c.domain}); user != c.wantUser || domain != c.wantDomain {
			t.Errorf("%q %q: user %q, domain %q", c.user, c.domain, user, domain)
		}
	}
}

// TestLogLevelIsUsage: a flag that cannot be understood is wrong usage, not a failure.
func TestLogLevelIsUsage(t *testing.T) {
	var wrong usageError
	sys := system{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}
	if err := serve(context.Background(), serveOptions{Data: t.TempDir(), Log: "loud"}, sys); !errors.As(err, &wrong) {
		t.Errorf("error %v", err)
	}
}

// TestSecondSignalHurries: the first signal drains, the second one does not wait.
func TestSecondSignalHurries(t *testing.T) {
	ctx, first := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer first()
	hurry := make(chan struct{})
	stop := hurried(ctx, func() { close(hurry) })
	defer stop()
	patience := time.After(20 * time.Second)
	for {
		// Again until it is heard: nobody says when the watcher has begun to listen. The context keeps them from killing.
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case <-hurry:
			if ctx.Err() == nil {
				t.Error("hurried before the first signal")
			}
			return
		case <-patience:
			t.Fatal("the second signal is not heard")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
