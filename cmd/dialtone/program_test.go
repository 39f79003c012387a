package main

import (
	"context"
	"errors"
	"io"
	"testing"
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
