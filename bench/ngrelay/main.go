// Command ngrelay is the media engine as a relay of its own that takes rtpengine's control protocol, so that one load
// generator can measure both in the same way. It owns a control socket and one pair of media sessions for each call; it
// does not know SIP, and it is no replacement of rtpengine: of the protocol it takes ping, offer, answer and delete, with the
// descriptions in them, and ignores every flag. With -shared it shows instead what packets cost when all calls are on one
// pair of ports.
//
// Goroutines: one reads the control socket; the media engine has its own. All end with SIGINT or SIGTERM.
//
// RFCs: 3264 (the descriptions that pass through).
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"

	"dialtone/internal/media"
	"dialtone/internal/network"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ngrelay:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:2223", "`address` of the control socket")
	workers := flag.Int("workers", 1, "media workers")
	spare := flag.Int("spare", 0, "Ps beyond the processors, for workers to wait in")
	profile := flag.String("profile", "", "`file` for a CPU profile from start to end")
	common := flag.String("common", "", "`address` of a port that all streams share; the engine does the rest as ever")
	shared := flag.String("shared", "", "pass packets between this `address` and the port above, all calls on these two ports, and nothing else")
	// Apart from the ports of the load generators: what goes to our own ports on our own host is held to a rate, at a price.
	low, high := flag.Uint("low", 30000, "lowest media `port`"), flag.Uint("high", 59999, "highest media `port`")
	flag.Parse()
	if *low > *high || *high > 65535 {
		return fmt.Errorf("ports %d to %d are no range", *low, *high)
	}
	runtime.GOMAXPROCS(runtime.NumCPU() + max(*spare, 0))
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	if *shared != "" {
		return runShared(*shared, *workers)
	}
	var at netip.AddrPort
	if *common != "" {
		var err error
		if at, err = netip.ParseAddrPort(*common); err != nil {
			return fmt.Errorf("common: %w", err)
		}
	}
	return runControl(*listen, media.Config{
		Shared:  at,
		Network: network.NewOS(network.OSConfig{}),
		Workers: *workers,
		Ports:   media.PortRange{Min: uint16(*low), Max: uint16(*high)},
	})
}

// interrupted is closed, or sent to, by SIGINT and SIGTERM.
func interrupted() <-chan os.Signal {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	return stop
}

func runShared(listen string, workers int) error {
	addr, err := netip.ParseAddrPort(listen)
	if err != nil {
		return fmt.Errorf("shared: %w", err)
	}
	p, err := network.NewOS(network.OSConfig{}).NewPoller(workers)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := openShared(p.(network.Sharer), addr); err != nil {
		return err
	}
	<-interrupted()
	return nil
}

func runControl(listen string, config media.Config) error {
	e, err := media.New(config)
	if err != nil {
		return err
	}
	defer e.Close()
	addr, err := netip.ParseAddrPort(listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return err
	}
	stop := interrupted()
	go func() {
		<-stop
		c.Close()
	}()
	return serve(c, newControl(e))
}

// serve answers requests until the socket is closed.
func serve(c *net.UDPConn, control *control) error {
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			continue // what the system says about an earlier answer
		}
		if answer := control.handle(b[:n], from); answer != nil {
			_, _ = c.WriteToUDPAddrPort(answer, from) // a lost answer is asked for again
		}
	}
}
