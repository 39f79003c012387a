package main

import (
	"context"
	"io"
	"testing"
)

// TestFaultIsNoSuccess: a panic of a program goes through, with its stack, and does not end as exit status 0.
func TestFaultIsNoSuccess(t *testing.T) {
	defer func() {
		if r := recover(); r != "a fault" {
			t.Errorf("recovered %v", r)
		}
	}()
	faulty := entryPoints{serve: func(context.Context, serveOptions, system) error { panic("a fault") }}
	status := run([]string{"serve"}, system{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}, faulty)
	t.Errorf("exit status %d", status)
}
