// Package teltest is a telephone network inside a test: the whole exchange as internal/server assembles it, and phones
// of internal/softphone, on an in-memory network in virtual time. A test calls, listens for tones, looks at the call
// records, and spoils the links between the hosts.
//
// It owns the laboratory: addresses, accounts, capture, the order in which everything ends. It does not own any
// behaviour of exchange or phones, and it has no assertions that they could fulfil by looking at it.
//
// A Lab lives in a testing/synctest bubble and ends with its test. Goroutines: one that runs the server; those of the
// server and of the phones are theirs.
package teltest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/cdr"
	"dialtone/internal/config"
	"dialtone/internal/media/recorder"
	"dialtone/internal/network"
	"dialtone/internal/server"
	"dialtone/internal/sip/transport"
	"dialtone/internal/store"
)

// Options are what a Lab is like; the zero value is a clean network with the lines of Lines.
type Options struct {
	Seed uint64 // of every draw of the network; 0 takes a random one, which is printed when the test fails
	// Conditions hold between all hosts that have none of their own.
	Conditions network.Conditions
	// File is put with Server.Apply; Lines() when empty.
	File string
	// Configure changes the static file. May be nil.
	Configure func(*config.Config)
	// OpenRecording opens the files of recordings; the disk's when nil.
	OpenRecording func(path string) (recorder.File, error)
}

// Lines is the configuration of a Lab: lines 101 to 109 with one device each that is named like the line, 120 with three
// devices (120-a, 120-b, 120-c), and 130 of the product sip-phone. The password of a device is "pw-" and its name.
func Lines() string {
	var b strings.Builder
	b.WriteString("tenant: default\nlines:\n")
	line := func(number, product string, devices ...string) {
		fmt.Fprintf(&b, "  - number: %q\n    name: Line %s\n    product: %s\n", number, number, product)
		if product == "extension" {
			b.WriteString("    max_calls: 5000\n")
		}
		b.WriteString("    devices:\n")
		for _, d := range devices {
			fmt.Fprintf(&b, "      - {username: %q, password: %q}\n", d, "pw-"+d)
		}
	}
	for n := 101; n <= 109; n++ {
		number := fmt.Sprint(n)
		line(number, "extension", number)
	}
	line("120", "extension", "120-a", "120-b", "120-c")
	line("130", "sip-phone", "130")
	return b.String()
}

// Lab is a network with an exchange on it.
type Lab struct {
	T      testing.TB
	Net    *network.Memory
	Host   *network.Host // of the exchange: 10.0.0.1 and fd00::1
	Server *server.Server

	phones  int // that were made
	mu      sync.Mutex
	capture bool
	frames  []Message
}

// Message is a SIP message on the network, as a capture at its receiver shows it.
type Message struct {
	At       time.Time
	From, To netip.AddrPort
	Text     string
	Fate     network.Fate
}

// Addresses of the exchange.
const (
	Addr4 = "10.0.0.1"
	Addr6 = "fd00::1"
)

// New builds the network and starts the exchange. Everything ends with the test.
func New(t testing.TB, o Options) *Lab {
	t.Helper()
	l := &Lab{T: t, Net: network.NewMemory(network.MemoryConfig{Seed: o.Seed, Default: o.Conditions, Test: t})}
	l.Host = l.Net.Host(netip.MustParseAddr(Addr4), netip.MustParseAddr(Addr6))
	c := config.Default()
	c.Data = t.TempDir()
	c.SIP.Listen = nil
	for _, text := range []string{"udp://[::]:5060", "tcp://[::]:5060"} {
		var listener config.SIPListener
		l.must(listener.UnmarshalText([]byte(text)))
		c.SIP.Listen = append(c.SIP.Listen, listener)
	}
	c.SIP.Drain.Duration = time.Second
	// A laboratory calls faster than anybody: its hosts are not limited.
	c.Guard.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	if o.Configure != nil {
		o.Configure(&c)
	}
	var err error
	l.Server, err = server.New(t.Context(), server.Options{Config: c, Network: l.Host, DNS: nobody{}, NoAPI: true, TraceBytes: 1 << 20,
		OpenRecording: o.OpenRecording,
		Getenv: func(name string) string {
			if name == server.AdminPasswordVariable {
				return "laboratory"
			}
			return ""
		}})
	l.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- l.Server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	file := o.File
	if file == "" {
		file = Lines()
	}
	_, err = l.Server.Apply(t.Context(), []byte(file))
	l.must(err)
	return l
}

// must ends the test when something of the laboratory itself fails.
func (l *Lab) must(err error) {
	l.T.Helper()
	if err != nil {
		l.T.Fatal(err)
	}
}

// nobody is a DNS that knows no names.
type nobody struct{}

// Lookup implements transport.DNS.
func (nobody) Lookup(context.Context, string, transport.RecordType) (transport.Answer, error) {
	return transport.Answer{TTL: time.Hour}, nil
}

// Pass lets virtual time pass.
func (l *Lab) Pass(d time.Duration) { <-time.After(d) }

// Records are the call records so far, the oldest first. It waits until those of calls that have ended are durable.
func (l *Lab) Records() []cdr.Record {
	l.T.Helper()
	l.Pass(time.Second) // a record is durable within a second of the end of its call
	var records []cdr.Record
	q := store.RecordQuery{Oldest: true, Limit: 1000}
	for {
		rows, err := l.Server.Records(l.T.Context(), q)
		l.must(err)
		for i := range rows {
			var r cdr.Record
			l.must(json.Unmarshal(rows[i].Body, &r))
			records = append(records, r)
		}
		if len(rows) < q.Limit {
			return records
		}
		q.After = rows[len(rows)-1].Cursor()
	}
}

// Record is the record of the only call so far.
func (l *Lab) Record() cdr.Record {
	l.T.Helper()
	records := l.Records()
	if len(records) != 1 {
		l.T.Fatalf("%d call records, want 1", len(records))
	}
	return records[0]
}

// Capture keeps SIP messages over UDP from now on.
func (l *Lab) Capture() {
	l.mu.Lock()
	l.capture = true
	l.mu.Unlock()
	l.Net.Tap(func(f network.Frame) {
		if f.Stream || f.From.Port() != 5060 && f.To.Port() != 5060 || !bytes.Contains(f.Data, []byte("SIP/2.0")) {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.frames = append(l.frames, Message{f.At, f.From, f.To, string(f.Data), f.Fate})
	})
}

// Messages are those captured so far that arrived at or came from a host and begin with prefix ("CANCEL", "SIP/2.0 4").
func (l *Lab) Messages(host *network.Host, prefix string) []Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Message
	for _, m := range l.frames {
		if (m.From.Addr() == host.Addr() || m.To.Addr() == host.Addr()) && strings.HasPrefix(m.Text, prefix) {
			out = append(out, m)
		}
	}
	return out
}

// Settle waits until nothing of the calls is left in the exchange, for 40 seconds at most: what lingers longest is a
// transaction, for 64*T1 (RFC 3261 §17.2.1).
func (l *Lab) Settle() {
	l.T.Helper()
	for range 80 {
		load := l.Server.Load()
		if load.Calls == 0 && load.Legs == 0 && load.Transactions == 0 && load.Media.Sessions == 0 {
			break
		}
		l.Pass(500 * time.Millisecond)
	}
	load := l.Server.Load()
	if load.Calls+load.Legs+load.Transactions+load.Media.Sessions+load.Media.PortsUsed > 0 || load.Panics > 0 {
		l.T.Errorf("left behind in the exchange: %+v", load)
	}
}
