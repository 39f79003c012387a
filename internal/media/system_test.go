package media

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"dialtone/internal/network"
)

// The machine's own network, several workers: calls are set up, swapped and closed while packets flow. What is checked is
// that packets arrive and that the race detector has nothing to say.
func TestRelayOnTheSystem(t *testing.T) {
	n := network.NewOS(network.OSConfig{})
	e, err := New(Config{Network: n, Workers: 3, Ports: PortRange{34000, 34999}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { systemCall(t, n, e) })
	}
	wg.Wait()
	if c := e.Counters(); c.PacketsOut < 4*2*enough || c.Sessions != 0 || c.PortsUsed != 0 {
		t.Errorf("counters %+v", c)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := e.NewSession(SessionConfig{}); err != ErrClosed {
		t.Errorf("a session of a closed engine: %v", err)
	}
}

const enough = 200 // packets that must arrive

func systemCall(t *testing.T, n network.Network, e *Engine) {
	var phones [2]network.PacketConn
	for i := range phones {
		c, err := n.ListenPacket(netip.MustParseAddrPort("127.0.0.1:0"), false)
		if err != nil {
			t.Error(err)
			return
		}
		phones[i] = c
	}
	a, b := openCall(t, e, phones[0].LocalAddr(), phones[1].LocalAddr())
	stop := make(chan struct{})
	var talking, hearing sync.WaitGroup
	heard := make([]chan struct{}, 2)
	for i, s := range []*Session{a, b} {
		to := netip.AddrPortFrom(phones[i].LocalAddr().Addr(), s.Streams()[0].local().Port())
		heard[i] = make(chan struct{})
		talking.Go(func() { chatter(phones[i], to, stop) })
		hearing.Go(func() { hear(phones[i], heard[i]) })
	}
	for i := range heard {
		select {
		case <-heard[i]:
		case <-time.After(20 * time.Second):
			t.Errorf("phone %d hears nothing: %v", i, a)
		}
	}
	play, err := a.Play(&ramp{n: 5})
	if err != nil {
		t.Error(err)
		return
	}
	<-play.Done()
	for range 50 {
		Unbridge(a, b)
		if err := a.Echo(); err != nil {
			t.Error(err)
		}
		if err := b.Listen(&deaf{}); err != nil {
			t.Error(err)
		}
		Bridge(a, b)
		_, _ = a.Stats(), e.Counters()
	}
	b.Close()
	a.Close()
	close(stop)
	talking.Wait()
	for _, p := range phones {
		p.Close()
	}
	hearing.Wait()
}

// chatter sends packets until it is stopped, as fast as they are taken.
func chatter(c network.PacketConn, to netip.AddrPort, stop chan struct{}) {
	b := packet(uint32(to.Port()), 0)
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for seq := uint16(0); ; seq++ {
		binary.BigEndian.PutUint16(b[2:], seq)
		if c.WriteTo(b, to) != nil {
			return
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// hear reads until the socket is closed and tells when enough has arrived.
func hear(c network.PacketConn, told chan struct{}) {
	ps := []network.Packet{{Data: make([]byte, 1500)}}
	for n := 0; ; n++ {
		ps[0].Data = ps[0].Data[:1500]
		if _, err := c.ReadBatch(ps); err != nil {
			return
		}
		if n == enough {
			close(told)
		}
	}
}
