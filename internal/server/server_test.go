package server

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/config"
	"dialtone/internal/ingress"
	"dialtone/internal/network"
	"dialtone/internal/softphone"
)

// small is the static file of a server on loopback with ports that the system picks.
func small(t *testing.T) config.Config {
	c := config.Default()
	c.Data = t.TempDir()
	loopback := netip.MustParseAddr("127.0.0.1")
	c.SIP.Listen = []config.SIPListener{{Transport: "udp", Addr: netip.AddrPortFrom(loopback, 0), Role: config.Exchange}}
	c.HTTP.Listen = []config.HTTPListener{{Addr: netip.AddrPortFrom(loopback, 0), Serve: config.Services()}}
	c.RTP.Ports = config.PortRange{First: 41000, Last: 41019}
	return c
}

func noEnv(string) string { return "" }

// TestPortInUse: what cannot be bound is named, and nothing stays open: the next start with the same directory works.
func TestPortInUse(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := small(t)
	free := c.SIP.Listen
	c.SIP.Listen = []config.SIPListener{{Transport: "udp", Addr: taken.LocalAddr().(*net.UDPAddr).AddrPort(), Role: config.Exchange}}
	_, err = New(t.Context(), Options{Config: c, Getenv: noEnv})
	if err == nil || !strings.Contains(err.Error(), taken.LocalAddr().String()) {
		t.Errorf("error %v does not name %s", err, taken.LocalAddr())
	}
	taken.Close()
	c.SIP.Listen = free
	s, err := New(t.Context(), Options{Config: c, Getenv: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestRoles: each role is what the request pipeline is told, and those that forward share one proxy.
func TestRoles(t *testing.T) {
	for role, want := range map[config.Role]ingress.Listener{
		config.Exchange: {}, config.Registrar: {RegistrarOnly: true}, config.Proxy: {Forwarding: ingress.Stateful},
		config.Stateless: {Forwarding: ingress.Stateless}, config.Redirect: {Forwarding: ingress.Redirect},
	} {
		c := small(t)
		for i := range c.SIP.Listen {
			c.SIP.Listen[i].Role = role
		}
		s, err := New(t.Context(), Options{Config: c, Getenv: noEnv})
		if err != nil {
			t.Fatal(err)
		}
		offers := map[string]ingress.Listener{}
		if _, err := s.listeners(offers); err != nil {
			t.Fatal(err)
		}
		for name, got := range offers {
			if got.RegistrarOnly != want.RegistrarOnly || got.Forwarding != want.Forwarding {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if got := len(s.forwarders) > 0; got != (want.Forwarding != ingress.None) {
			t.Errorf("%s: forwards: %v", role, got)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	}
}

// TestHurry: who asks twice does not wait for the calls that a drain has left running; they end with BYE all the same.
func TestHurry(t *testing.T) {
	c := small(t)
	c.SIP.Drain.Duration = time.Hour
	s, err := New(t.Context(), Options{Config: c, Getenv: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(t.Context(), []byte(`lines: [{number: "101", devices: [{username: "101", password: garden-bench-7413}]}]`)); err != nil {
		t.Fatal(err)
	}
	ctx, drain := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	p, err := softphone.New(softphone.Config{Network: network.NewOS(network.OSConfig{}), Server: s.SIPAddr(), User: "101", Password: "garden-bench-7413"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	call, err := p.Dial("*43", softphone.Talk{})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-call.Answered():
	case <-call.Done():
		t.Fatalf("the call ended: %+v", call.Outcome())
	}
	drain()
	s.Hurry()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the server still waits")
	}
	if _, err := call.Wait(t.Context()); err != nil {
		t.Errorf("the call: %v", err)
	}
}

// TestFirstStart: the administrator's password is made up once; a second start of the same directory shows none, and the
// domains of the static file belong to the default tenant.
func TestFirstStart(t *testing.T) {
	c := small(t)
	c.SIP.Domains = []string{"Pbx.Example"}
	for start, shown := range []bool{true, false} {
		s, err := New(t.Context(), Options{Config: c, Getenv: noEnv})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.AdminPassword != ""; got != shown {
			t.Errorf("start %d: password shown: %v, want %v", start+1, got, shown)
		}
		if s.directory.Snapshot().TenantByDomain("pbx.example") == nil {
			t.Error("the domain of the static file belongs to nobody")
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	}
}

// TestGCPercent: half of a small heap, a bounded room beside a large one, and never so little that collecting is all
// that is done.
func TestGCPercent(t *testing.T) {
	last := gcPercent
	for live, want := range map[uint64]int{0: 50, 30 << 20: 50, 512 << 20: 50, 640 << 20: 40, 1 << 30: 25, 8 << 30: 20, 1 << 60: 20} {
		if got := gcPercentFor(live, 0, 24<<30); got != want {
			t.Errorf("%d MB live: %d percent, want %d", live>>20, got, want)
		}
	}
	for live := uint64(1 << 20); live < 1<<36; live *= 2 {
		if got := gcPercentFor(live, 0, 24<<30); got > last {
			t.Errorf("%d MB live: %d percent, more than with less", live>>20, got)
		} else {
			last = got
		}
	}
	// Under load there is more room where the machine has it, but no more than that.
	for _, c := range []struct {
		live, memory uint64
		want         int
	}{
		{0, 24 << 30, 400}, {100 << 20, 24 << 30, 400}, {512 << 20, 24 << 30, 200}, {2 << 30, 24 << 30, 50}, {8 << 30, 24 << 30, 20},
		{100 << 20, 2 << 30, 128}, {100 << 20, 512 << 20, 50}, {100 << 20, 0, 50},
	} {
		if got := gcPercentFor(c.live, gcBusy, c.memory); got != c.want {
			t.Errorf("%d of %d MB live under load: %d percent, want %d", c.live>>20, c.memory>>20, got, c.want)
		}
	}
}

func TestMachineMemory(t *testing.T) {
	for text, want := range map[string]uint64{
		"MemTotal:       24601234 kB\nMemFree: 1 kB\n": 24601234 << 10, "MemFree: 1 kB\nMemTotal: 5 kB": 5 << 10,
		"MemTotal: many kB\n": 0, "MemTotal: 5 MB\n": 0, "": 0,
	} {
		if got := memTotal([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
