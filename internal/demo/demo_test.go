package demo

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen collects what is shown and lets a test wait for it.
type screen struct {
	mu    sync.Mutex
	text  bytes.Buffer
	waits map[string]chan struct{}
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	for want, done := range s.waits {
		if regexp.MustCompile(want).Match(s.text.Bytes()) {
			close(done)
			delete(s.waits, want)
		}
	}
	return len(b), nil
}

func (s *screen) shows(want string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := make(chan struct{})
	s.waits[want] = done
	return done
}

// TestDemo: the phones register, call, talk and hang up, and nothing is left behind.
func TestDemo(t *testing.T) {
	out := &screen{waits: map[string]chan struct{}{}}
	want := []<-chan struct{}{
		out.shows(`sip=127\.0\.0\.1:\d+\nurl=http://127\.0\.0\.1:\d+\nuser=admin\npassword=\S+\n`),
		out.shows(`registered 106`), out.shows(`101  -> 102  answered`), out.shows(`101  -> 102  ended: normal`),
		out.shows(`-> \*43  answered`), out.shows(`-> \*9664 answered`), out.shows(`-> 801  answered`), out.shows(`101  -> 999  ended: unknown number`),
		out.shows(`registered 107`), out.shows(`107  -> 102  answered`), out.shows(`106  -> 107  answered`),
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Out: out, Getenv: func(string) string { return "" }, Talk: 300 * time.Millisecond, Pause: 100 * time.Millisecond})
	}()
	for _, shown := range want {
		select {
		case <-shown:
		case err := <-ended:
			t.Fatalf("ended with %v after\n%s", err, out.text.String())
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	text := out.text.String()
	_, rest, _ := strings.Cut(text, "data=")
	dir, _, _ := strings.Cut(rest, "\n")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("data directory %q is left: %v", dir, err)
	}
}
