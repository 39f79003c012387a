// Package demo runs a throw-away exchange that is alive: a furnished tenant on loopback, and built-in phones that
// register and keep calling each other with audible tones, so that whoever looks at calls, registrations, records and
// ladders sees some.
//
// It owns the furniture and what the phones do. It adds nothing to the exchange, which is that of package server, or to
// the phones, which are those of package softphone.
//
// Goroutines: Run starts one for the server, one for each phone that calls, and one for the live view; it returns when
// all are gone and the data directory is removed.
package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/config"
	"dialtone/internal/media"
	"dialtone/internal/network"
	"dialtone/internal/server"
	"dialtone/internal/softphone"
)

// Options of a demonstration.
type Options struct {
	Out    io.Writer // where everything is shown
	Getenv func(string) string
	Log    *slog.Logger
	// Talk is how long the calls last; 8 s when 0. Pause lies between two calls of one phone; 4 s when 0.
	Talk, Pause time.Duration
}

// Run is the demonstration. It ends with ctx.
func Run(ctx context.Context, o Options) (err error) {
	if o.Talk == 0 {
		o.Talk = 8 * time.Second
	}
	if o.Pause == 0 {
		o.Pause = 4 * time.Second
	}
	dir, err := os.MkdirTemp("", "dialtone-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	password := o.Getenv(server.AdminPasswordVariable)
	if password == "" {
		password = rand.Text()
	}
	s, err := server.New(ctx, server.Options{Config: staticFile(dir), Log: o.Log, Getenv: func(name string) string {
		if name == server.AdminPasswordVariable {
			return password
		}
		return o.Getenv(name)
	}})
	if err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	parts.Go(func() {
		defer stop()
		if e := s.Run(work); e != nil {
			err = e
		}
	})
	defer parts.Wait()
	defer stop()
	secret := rand.Text()
	if _, e := s.Apply(ctx, furniture(secret, s.SIPAddr())); e != nil {
		return fmt.Errorf("furnish: %w", e)
	}
	fmt.Fprintf(o.Out, "data=%s\nsip=%s\nurl=%s\nuser=admin\npassword=%s\n", dir, s.SIPAddr(), s.URL(), password)
	fmt.Fprintf(o.Out, guide, s.SIPAddr(), visitor, secret, dir)
	view := newView(s, o.Out)
	parts.Go(func() { view.run(work) })
	return phones(work, s, secret, o)
}

const guide = `
Built-in phones call each other now. Join them with a softphone on this machine:
  server %s   user %s   password %s   then call 101, *43 to hear yourself, *9664 for music, or the rooms 801 (open) and 800 (PIN 2468)
107 is behind an edge: dialtone next-hop list shows the set of servers (here one) that the edge sends its requests to.
Look around from a second terminal: dialtone calls -w --data %s
Ctrl-C ends the demonstration and removes its data.

`

// staticFile is that of a server on loopback with ports that the system picks.
func staticFile(dir string) config.Config {
	c := config.Default()
	c.Data, c.Node = dir, "demo"
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	c.SIP.Listen = []config.SIPListener{
		{Transport: "udp", Addr: netip.AddrPortFrom(loopback, 0), Role: config.Exchange},
		{Transport: "tcp", Addr: netip.AddrPortFrom(loopback, 0), Role: config.Exchange},
		{Transport: "udp", Addr: netip.AddrPortFrom(loopback, 0), Role: config.Proxy}, // an edge before the exchange
	}
	c.SIP.Drain = config.Duration{Duration: 2 * time.Second}
	c.RTP.Ports = config.PortRange{First: 20000, Last: 24999}
	c.HTTP.Listen = []config.HTTPListener{{Addr: netip.AddrPortFrom(loopback, 0), Serve: config.Services()}}
	return c
}

// person is somebody with a built-in phone.
type person struct {
	number string
	hz     float64  // of the phone's tone: each is known by its own
	calls  []string // whom the phone calls, in turn; nil: it only answers
	ring   time.Duration
	edge   bool // it stands before the edge: everything from it and to it passes there
}

// people are the phones of the furniture.
var people = [...]person{
	{number: "101", hz: 440, calls: []string{"102", "103", "999", "102"}, ring: time.Second},
	{number: "102", hz: 600, ring: 1500 * time.Millisecond},
	{number: "103", hz: 500, calls: []string{"104", "*43", "105", "801", "*9664"}, ring: time.Second},
	{number: "104", hz: 700, ring: 2 * time.Second},
	{number: "105", hz: 800, ring: time.Second},
	{number: "106", hz: 900, calls: []string{"105", "104", "107", "801"}, ring: time.Second},
	{number: "107", hz: 1000, calls: []string{"102", "104"}, ring: time.Second, edge: true},
}

// phones opens the phones and lets them call until ctx ends.
func phones(ctx context.Context, s *server.Server, secret string, o Options) error {
	net := network.NewOS(network.OSConfig{})
	engine, err := media.New(media.Config{Network: net, Workers: 1, Ports: media.PortRange{Min: 25000, Max: 29999}})
	if err != nil {
		return fmt.Errorf("media of the phones: %w", err)
	}
	defer engine.Close()
	var calling sync.WaitGroup
	defer calling.Wait()
	var callers []func()
	for _, who := range people {
		where, domain := s.SIPAddr(), ""
		if who.edge {
			where, domain = s.EdgeAddr(), behind
		}
		p, err := softphone.New(softphone.Config{Network: net, Server: where, Domain: domain, User: who.number, Password: secret, Media: engine,
			Log: o.Log, Answer: func(in softphone.Incoming) softphone.Decision {
				if in.Active > 0 {
					return softphone.Decision{Refuse: cause.Busy()}
				}
				return softphone.Decision{Ring: who.ring, Talk: softphone.Talk{Hz: who.hz}}
			}})
		if err != nil {
			return err
		}
		if err := p.Open(ctx); err != nil {
			return fmt.Errorf("phone %s: %w", who.number, err)
		}
		defer p.Close()
		if err := p.Register(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("phone %s: %w", who.number, err)
		}
		if who.calls != nil {
			callers = append(callers, func() { keepCalling(ctx, p, who, o) })
		}
	}
	for _, start := range callers { // now that everybody can be reached
		calling.Go(start)
	}
	<-ctx.Done()
	return nil
}

// keepCalling calls one after the other, for ever.
func keepCalling(ctx context.Context, p *softphone.Phone, who person, o Options) {
	for i := 0; ctx.Err() == nil; i++ {
		// How a call fares is shown by the exchange; a refusal is part of the show.
		_, _ = p.Call(ctx, who.calls[i%len(who.calls)], softphone.Talk{Hz: who.hz, Duration: o.Talk})
		select {
		case <-ctx.Done():
		case <-time.After(o.Pause):
		}
	}
}
