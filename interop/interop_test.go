// Package interop tests the real binary against programs that other people wrote: SIPp, baresip, Chromium, tshark, coturn.
// It has tests only. Each test starts a server of its own on loopback, with its own data directory and free ports, and ends what it
// has started by its process id.
//
// What these tests need is installed by `make peers`; they install nothing, and a program that is missing is a failure. But
// for the packages that drive Chromium: `npm ci` fetches those that browser/package-lock.json names, and where npm's registry
// cannot be reached the tests with browsers are left out, aloud.
//
// DIALTONE_INTEROP=skip leaves the whole package out, aloud. DIALTONE_BIN names the binary to test; without it the
// package builds one. DIALTONE_LONG=1 runs the long tests, too.
//
// Real peers have no virtual clock, so time is real here. Tests wait for events; where a peer has none to offer, they
// look again until a deadline.
package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// binary is the program under test.
var binary = os.Getenv("DIALTONE_BIN")

// long reports whether the long tests run as well.
func long() bool { return os.Getenv("DIALTONE_LONG") != "" }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("DIALTONE_INTEROP") == "skip" {
		fmt.Println("interop: left out, as DIALTONE_INTEROP says")
		return 0
	}
	for _, program := range []string{"sipp", "baresip", "tshark", "turnutils_uclient"} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Printf("interop: %s is not installed: run `make peers`, or set DIALTONE_INTEROP=skip\n", program)
			return 1
		}
	}
	if binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "dialtone-interop")
	if err != nil {
		fmt.Println("interop:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "dialtone")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/dialtone").CombinedOutput(); err != nil {
		fmt.Printf("interop: build the binary: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// eventually waits until a condition holds.
func eventually(t *testing.T, patience time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: not %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
