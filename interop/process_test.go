package interop

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs beside a test. It is ended with the test, by its process id.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read it after done

	mu     sync.Mutex
	output bytes.Buffer
	wake   chan struct{} // closed and replaced when there is new output
}

// run starts a program. Standard output and error are kept together.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, done: make(chan struct{}), wake: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p
	}
	cmd.Stderr = p
	cmd.WaitDelay = time.Second
	// What a test has started does not outlive it, even when the test is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		said := p.said() // not what it says when it is ended
		p.stop(5 * time.Second)
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail(said, 150))
		}
	})
	return p
}

// Write takes the output of the program.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output.Write(b)
	close(p.wake)
	p.wake = make(chan struct{})
	return len(b), nil
}

// said is the output so far.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// hear waits until the program has said something.
func (p *process) hear(text string, patience time.Duration) {
	p.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		p.mu.Lock()
		heard, wake := bytes.Contains(p.output.Bytes(), []byte(text)), p.wake
		p.mu.Unlock()
		if heard {
			return
		}
		select {
		case <-wake:
		case <-p.done:
			if !strings.Contains(p.said(), text) {
				p.t.Fatalf("%s ended (%v) without saying %q:\n%s", p.name, p.err, text, tail(p.said(), 40))
			}
			return
		case <-timer.C:
			p.t.Fatalf("%s did not say %q within %v:\n%s", p.name, text, patience, tail(p.said(), 40))
		}
	}
}

// wait waits for the end and returns the exit status; -1 when a signal ended it.
func (p *process) wait(patience time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s still runs after %v:\n%s", p.name, patience, tail(p.said(), 40))
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.t.Fatalf("%s: %v", p.name, p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// signal sends a signal; a process that has ended gets none.
func (p *process) signal(s os.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

// stop ends the program, politely at first.
func (p *process) stop(patience time.Duration) {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.kill()
	}
}

// kill ends the program at once, as a power cut would.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
