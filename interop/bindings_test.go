package interop

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
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
