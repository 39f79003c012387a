// Command rtpload is telephones that talk through a relay: each call is set up by rtpengine's control protocol, each party
// has a socket of its own and sends a packet of G.711 every 20 ms, encrypted with -srtp. It says how many arrived, how long
// they took, and what the relay's process has used for them. It owns the parties' sockets; it does not start the relay.
//
// Goroutines: the sender is main's; one worker receives. Times are from before the packet is encrypted until it is read, so
// they are for comparison with another relay only.
//
// RFCs: 3550, 3711, 4568.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"time"

	"dialtone/internal/network"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rtpload:", err)
		os.Exit(1)
	}
}

type settings struct {
	relay    netip.AddrPort // control socket
	local    netip.Addr
	port     uint16 // of the first party
	calls    int
	warm     time.Duration
	duration time.Duration
	srtp     bool
	pid      int
	label    string
}

func run() error {
	var s settings
	relay := flag.String("t", "127.0.0.1:2223", "`address` of the relay's control socket")
	local := flag.String("l", "127.0.0.1", "`address` of the parties")
	port := flag.Uint("p", 10000, "`port` of the first party; the others have the next even ones")
	flag.IntVar(&s.calls, "n", 100, "calls")
	flag.DurationVar(&s.warm, "warm", 5*time.Second, "time before it is measured")
	flag.DurationVar(&s.duration, "d", 10*time.Second, "time that is measured")
	flag.BoolVar(&s.srtp, "srtp", false, "encrypt on both sides (SDES, AES_CM_128_HMAC_SHA1_80 and _32)")
	flag.IntVar(&s.pid, "pid", 0, "the relay's `process`")
	flag.StringVar(&s.label, "label", "", "what to print before the figures")
	flag.Parse()
	var err error
	if s.relay, err = netip.ParseAddrPort(*relay); err != nil {
		return err
	}
	if s.local, err = netip.ParseAddr(*local); err != nil {
		return err
	}
	if last := int(*port) + 4*s.calls; s.calls < 1 || *port%2 != 0 || last > 65535 {
		return fmt.Errorf("%d calls from port %d on: %w", s.calls, *port, errors.ErrUnsupported)
	}
	s.port = uint16(*port)
	n := network.NewOS(network.OSConfig{})
	poller, err := n.NewPoller(1)
	if err != nil {
		return err
	}
	defer poller.Close()
	before := measure(s.pid)
	l, err := s.connect(n, poller)
	if err != nil {
		return err
	}
	l.talk(s.warm)
	l.begin()
	start, from := time.Now(), measure(s.pid)
	l.talk(s.duration)
	took, to := time.Since(start), measure(s.pid)
	time.Sleep(50 * time.Millisecond)
	l.print(&s, took, before, from, to)
	return nil
}
