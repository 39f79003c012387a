package ingress_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/internal/sip/dialog"
)

// TestLadders plays every call flow of testdata. A first line "#! expires=90s" sets the session timer of the exchange.
func TestLadders(t *testing.T) {
	files, err := filepath.Glob("testdata/*.ladder")
	if err != nil || len(files) == 0 {
		t.Fatalf("no ladders: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".ladder"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := settings{}
			if first, _, _ := strings.Cut(string(text), "\n"); strings.HasPrefix(first, "#! expires=") {
				d, err := time.ParseDuration(strings.TrimPrefix(first, "#! expires="))
				if err != nil {
					t.Fatal(err)
				}
				s.timer = dialog.TimerPolicy{Expires: d}
			}
			inOffice(t, s, func(o *office) { o.Play(filepath.Base(name), string(text)) })
		})
	}
}
