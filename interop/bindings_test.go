package interop

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/digest"
)

// TestManyBindings is the restart of BB-8: a server with many registrations is killed and back at once, with all of them.
func TestManyBindings(t *testing.T) {
	lines, patience := 10_000, 2*time.Second
	if long() {
		lines, patience = 100_000, 5*time.Second
	}
	x := serve(t, setup{})
	var b strings.Builder
	b.WriteString("tenant: default\nlines:\n")
	for i := range lines {
		fmt.Fprintf(&b, "  - {number: \"%[1]d\", devices: [{username: \"%[1]d\", password: secret-of-%[1]d}]}\n", 1_000_000+i)
	}
	start := time.Now()
	x.apply(b.String())
	t.Logf("%d lines applied in %v", lines, time.Since(start).Round(time.Millisecond))

	start = time.Now()
	const workers = 8
	var all sync.WaitGroup
	for w := range workers {
		p := x.party(t, "udp")
		all.Go(func() {
			for i := w; i < lines; i += workers {
				if err := p.register(fmt.Sprint(1_000_000 + i)); err != nil {
					t.Errorf("register %d: %v", 1_000_000+i, err)
					return
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d registrations in %v", lines, time.Since(start).Round(time.Millisecond))
	if n := x.status().Registrations; n != lines {
		t.Fatalf("%d registrations, want %d", n, lines)
	}
	time.Sleep(2 * time.Second) // a binding is on disk within a second

	x.kill()
	start = time.Now()
	x.boot()
	took := time.Since(start)
	t.Logf("back after %v", took.Round(time.Millisecond))
	if took > patience {
		t.Errorf("back after %v, want %v", took, patience)
	}
	if n := x.status().Registrations; n != lines {
		t.Errorf("%d registrations after the restart, want %d", n, lines)
	}
}

// TestKilledAmidRegistrations kills a server to which phones register as fast as it answers. What it had answered more
// than a second before is there again, as it was answered; then all phones register anew within a minute.
func TestKilledAmidRegistrations(t *testing.T) {
	lines, before := 2000, 3*time.Second
	if long() {
		lines, before = 100_000, 30*time.Second
	}
	x := serve(t, setup{})
	var b strings.Builder
	b.WriteString("tenant: default\nlines:\n")
	for i := range lines {
		fmt.Fprintf(&b, "  - {number: \"%[1]d\", devices: [{username: \"%[1]d\", password: secret-of-%[1]d}]}\n", 1_000_000+i)
	}
	x.apply(b.String())

	// answered is when the registrations of a line were sent that have been answered, and when the answer came.
	type answer struct{ sent, came time.Time }
	answered := make([][]answer, lines)
	var dead atomic.Bool
	const workers = 8
	var all sync.WaitGroup
	parties := make([]*party, workers)
	for w := range workers {
		parties[w] = x.party(t, "udp")
		all.Go(func() {
			for i := w; ; i += workers {
				if i >= lines {
					i = w
				}
				sent := time.Now()
				err := parties[w].register(fmt.Sprint(1_000_000 + i))
				switch {
				case dead.Load():
					return
				case err != nil:
					t.Errorf("register %d: %v", 1_000_000+i, err)
					return
				}
				answered[i] = append(answered[i], answer{sent, time.Now()})
			}
		})
	}
	time.Sleep(before)
	killed := time.Now()
	dead.Store(true)
	x.kill()
	all.Wait()

	start := time.Now()
	x.boot()
	took := time.Since(start)
	if took > 5*time.Second {
		t.Errorf("back after %v", took)
	}
	registered := map[string]time.Time{}
	for _, r := range decode[struct {
		Line       string
		Registered time.Time
	}](t, x.run("registrations", "--json")) {
		registered[r.Line] = r.Registered
	}
	owed, total, missing := 0, 0, 0
	for i, list := range answered {
		total += len(list)
		for _, a := range slices.Backward(list) {
			if killed.Sub(a.came) <= time.Second {
				continue
			}
			owed++
			// A time in the list has milliseconds.
			if at, ok := registered[fmt.Sprint(1_000_000+i)]; !ok || at.Before(a.sent.Truncate(time.Millisecond)) {
				if missing++; missing < 10 {
					t.Errorf("%d: registered at %v, but an answer to what was sent at %v came %v before the end", 1_000_000+i, at, a.sent, killed.Sub(a.came))
				}
			}
			break
		}
	}
	t.Logf("%d registrations answered, of %d phones %d more than a second before the end, %d missing; back after %v", total, lines, owed, missing, took.Round(time.Millisecond))
	if owed < lines/2 {
		t.Errorf("only %d phones had registered in time", owed)
	}

	start = time.Now()
	for w := range workers {
		all.Go(func() {
			for i := w; i < lines; i += workers {
				if err := parties[w].register(fmt.Sprint(1_000_000 + i)); err != nil {
					t.Errorf("register %d again: %v", 1_000_000+i, err)
					return
				}
			}
		})
	}
	all.Wait()
	t.Logf("all registered again in %v", time.Since(start).Round(time.Millisecond))
	if took := time.Since(start); took > time.Minute {
		t.Errorf("all registered again after %v", took)
	}
	if n := x.status().Registrations; n != lines {
		t.Errorf("%d registrations, want %d", n, lines)
	}
}

// register registers a line with the password of the scenarios.
func (p *party) register(number string) error {
	client := digest.Client{Username: number, Password: "secret-of-" + number}
	id := rand.Text()
	for {
		more := []string{"Expires: 3600"}
		if client.Ready() {
			uri := "sip:" + number + "@" + p.conn.RemoteAddr().String()
			more = append(more, "Authorization: "+string(client.Append(nil, "REGISTER", uri)))
		}
		// The To of a REGISTER is the line; From does not matter here.
		text := p.request("REGISTER", number, id, "", more...)
		if _, err := p.conn.Write([]byte(text)); err != nil {
			return err
		}
		m, err := p.answer(id, 5*time.Second)
		switch {
		case err != nil:
			return err
		case m.status() == 200:
			return nil
		case m.status() != 401:
			return fmt.Errorf("%s", m.start)
		}
		challenge, err := digest.ParseChallenge([]byte(m.header.Get("Www-Authenticate")))
		if err != nil {
			return err
		}
		if err := client.Challenged([]digest.Challenge{challenge}); err != nil {
			return err
		}
	}
}
