package ingress_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// witness is a test that notes what it is told.
type witness struct {
	testing.TB
	mu    sync.Mutex
	words string
}

func (w *witness) Errorf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.words += fmt.Sprintf(format, args...) + "\n"
}

func (w *witness) Failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.words != ""
}

func (w *witness) Helper() {}

// TestLaddersNotice: a ladder that does not tell the truth fails, at the line that does not.
func TestLaddersNotice(t *testing.T) {
	for lie, want := range map[string]string{
		"alice -> INVITE 102 (offer)\nbob <- BYE":                                                                                                             "another method",
		"alice -> INVITE 102 (offer)\nbob <- INVITE":                                                                                                          "a body",
		"alice -> INVITE 102\nbob <- INVITE (offer)":                                                                                                          "no body",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer sendonly)":                                                                                         "direction sendrecv",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer pcma)":                                                                                             "codecs 0 8",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer video)":                                                                                            "no video",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\n  Max-Forwards: 70":                                                                              `Max-Forwards is "69"`,
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\n  Subject: *x*":                                                                                  `Subject is ""`,
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\n  To: -":                                                                                         "has To",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\nbob -> 180\nalice <- 180\nalice <- 180":                                                          "nothing came",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\nbob -> 180\nalice <- 183":                                                                        "another message",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\nbob -> 180\nwait 1s\nalice <- nothing":                                                           "there is",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\nbob <- INVITE again":                                                                             "nothing came",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\nwait 500ms\nbob <- INVITE again x2":                                                              "nothing came",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\nbob -> 180\nalice <- 180\n  To: {x}\nbob -> 183 (answer)\nalice <- 183 (answer)\n  Call-ID: {x}": "Call-ID is",
		"alice calls bob": "the ladder names 0", // of the record
		"alice calls bob\nalice leaves bob\nrecord 486":                           `record "200/16 normal (caller)"`,
		"alice -> INVITE 999\nalice <- 404\nalice -> ACK":                         "the ladder names 0",
		"alice calls bob\nrecord 200/16 normal (caller)":                          "no record",
		"alice -> INVITE 102 (offer)\nbob <- INVITE (offer)\nbob -> 180\nwait 1s": "nobody expected, at alice",
		"alice -> BYE again": "nothing to send",
	} {
		t.Run(lie, func(t *testing.T) {
			w := &witness{TB: t}
			inOffice(t, settings{tb: w}, func(o *office) {
				o.Do(lie)
				if strings.Contains(want, "names 0") {
					o.hangUp()
				}
				if !w.Failed() {
					o.Finish()
				}
				if !strings.Contains(w.words, want) {
					t.Errorf("it said %q, want %q", w.words, want)
				}
				o.hangUp()
			})
		})
	}
}
