// Command gotest runs `go test` with the arguments it is given, shows what `go test` would show, and ends with a summary:
// how many tests passed, failed and were left out, what failed, and which were the slowest. Its exit status is that of
// `go test`.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// event is a line of `go test -json` (see `go doc test2json`).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// tally is what was seen so far.
type tally struct {
	passed, failed, skipped int
	packages                int
	failures                []string
	slow                    []event
	// output is that of what has not ended, by package and test; no test is the package itself.
	output  map[string]*strings.Builder
	verbose bool
}

func main() {
	status, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	os.Exit(status)
}

func run(args []string, out io.Writer) (status int, err error) {
	start := time.Now()
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	t := tally{output: map[string]*strings.Builder{}, verbose: slices.Contains(args, "-v")}
	t.read(stdout, out)
	err = cmd.Wait()
	t.print(out, time.Since(start))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// read takes the events and shows them as they come.
func (t *tally) read(in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // of the build
			continue
		}
		t.take(e, out)
	}
}

// take is one event. Output of a test is shown when it fails, or when everything is to be shown.
func (t *tally) take(e event, out io.Writer) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if e.Package == "" || t.verbose { // of the build, or of everything
			fmt.Fprint(out, e.Output)
			return
		}
		if t.output[key] == nil {
			t.output[key] = &strings.Builder{}
		}
		t.output[key].WriteString(e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		t.packages++
		if e.Action == "fail" {
			t.unfinished(e.Package, out)
			t.failures = append(t.failures, e.Package)
		} else if b := t.output[key]; b != nil {
			lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
			fmt.Fprintln(out, lines[len(lines)-1]) // "ok", the package and the time
			delete(t.output, key)
		}
		return
	}
	switch e.Action {
	case "pass":
		t.passed++
	case "skip":
		t.skipped++
	case "fail":
		t.failed++
		t.failures = append(t.failures, key)
		if b := t.output[key]; b != nil {
			fmt.Fprint(out, b)
		}
	}
	delete(t.output, key)
	if !strings.Contains(e.Test, "/") {
		t.slow = append(t.slow, e)
	}
}

// unfinished shows what a package said, and what those of its tests said that never ended, because their program was
// stopped or crashed.
func (t *tally) unfinished(pkg string, out io.Writer) {
	for _, key := range slices.Sorted(maps.Keys(t.output)) {
		if strings.HasPrefix(key, pkg+" ") {
			fmt.Fprint(out, t.output[key])
			delete(t.output, key)
		}
	}
}

// print is the summary.
func (t *tally) print(out io.Writer, took time.Duration) {
	slices.SortFunc(t.slow, func(a, b event) int { return int(1000 * (b.Elapsed - a.Elapsed)) })
	for _, e := range t.slow[:min(5, len(t.slow))] {
		if e.Elapsed >= 5 {
			fmt.Fprintf(out, "slow: %.1f s %s %s\n", e.Elapsed, e.Package, e.Test)
		}
	}
	for _, f := range t.failures {
		fmt.Fprintln(out, "FAILED:", f)
	}
	fmt.Fprintf(out, "go test: %d passed, %d failed, %d skipped in %d packages, %.0f s\n",
		t.passed, t.failed, t.skipped, t.packages, took.Seconds())
}
