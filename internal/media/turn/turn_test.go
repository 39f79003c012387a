package turn

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	pion "github.com/pion/turn/v5"

	"dialtone/internal/network"
)

// A browser talks with a port of our media through the server, over both transports, and on channels after the first
// datagrams.
func TestRelayToOurMedia(t *testing.T) {
	for _, kind := range []Transport{UDP, TCP, TLS} {
		inLab(t, secure(t), func(t *testing.T, l *lab) {
			rtp := l.socket(l.host, netip.AddrPortFrom(ourselves, rtpFirst))
			c := l.dial(kind, l.good())
			mapped, err := c.SendBindingRequest()
			if err != nil {
				t.Fatalf("%s: binding: %v", kind, err)
			}
			if got := addrPort(mapped); got.Addr() != browser {
				t.Errorf("%s: mapped address %v", kind, got)
			}
			relay, err := l.allocate(c)
			if err != nil {
				t.Fatalf("%s: allocate: %v", kind, err)
			}
			told := addrPort(relay.LocalAddr())
			if told.Addr() != ourselves || told.Port() < 20000 || told.Port() > 20031 {
				t.Errorf("%s: relayed address %v", kind, told)
			}
			for i, text := range []string{"first", "second", "third"} {
				if _, err := relay.WriteTo([]byte(text), net.UDPAddrFromAddrPort(rtp.LocalAddr())); err != nil {
					t.Fatalf("%s: send: %v", kind, err)
				}
				got, from := receive(rtp)
				if got != text || from != told {
					t.Fatalf("%s: datagram %d is %q from %v", kind, i, got, from)
				}
				if err := rtp.WriteTo([]byte("re: "+text), from); err != nil {
					t.Fatal(err)
				}
				if got, from := hear(relay); got != "re: "+text || from != rtp.LocalAddr() {
					t.Fatalf("%s: answer %d is %q from %v", kind, i, got, from)
				}
			}
			if n := l.s.Stats(); n.Allocations != 1 || n.BytesOut != 16 || n.BytesIn != 28 {
				t.Errorf("%s: %+v", kind, n)
			}
			_ = relay.Close() // Refresh with lifetime 0
			wait(time.Second)
			if n := l.s.Stats(); n.Allocations != 0 {
				t.Errorf("%s: after the end %+v", kind, n)
			}
		})
	}
}

// A peer on the public network is reached, too; one that nobody has asked for is not heard.
func TestRelayToPublicPeer(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		far := l.net.Host(stranger)
		peer, other := l.socket(far, netip.AddrPortFrom(stranger, 9000)), l.socket(l.net.Host(netip.MustParseAddr("192.0.2.98")), netip.MustParseAddrPort("192.0.2.98:9000"))
		relay, err := l.allocate(l.dial(UDP, l.good()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := relay.WriteTo([]byte("hello"), udpAddr("192.0.2.99:9000")); err != nil {
			t.Fatal(err)
		}
		got, from := receive(peer)
		if got != "hello" {
			t.Fatalf("got %q", got)
		}
		if err := other.WriteTo([]byte("me too"), from); err != nil {
			t.Fatal(err)
		}
		if got, _ := hear(relay); got != "" {
			t.Errorf("heard %q of somebody without permission", got)
		}
	})
}

// What is no address of the public network, or one of ours, gets no permission.
func TestPeersRefused(t *testing.T) {
	inLab(t, func(c *Config) { c.Policy.Media = nil }, func(t *testing.T, l *lab) {
		c := l.dial(UDP, l.good())
		if _, err := l.allocate(c); err != nil {
			t.Fatal(err)
		}
		for _, addr := range []string{
			"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
			"192.168.1.1", "100.64.0.1", "100.127.255.254", "169.254.169.254", "192.0.0.8", "198.18.0.1", "224.0.0.251", "239.1.1.1",
			"240.0.0.1", "255.255.255.255", "192.88.99.1", ourselves.String(),
			"::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:203.0.113.1",
		} {
			peer := &net.UDPAddr{IP: net.ParseIP(addr), Port: 80}
			before := l.refused(reasonPeer)
			if err := c.CreatePermission(peer); !contains(err, "403") {
				t.Errorf("permission for %s: %v", addr, err)
			}
			if l.refused(reasonPeer) != before+1 {
				t.Errorf("%s is not counted", addr)
			}
		}
		if err := c.CreatePermission(udpAddr("192.0.2.99:80")); err != nil {
			t.Errorf("permission for a public peer: %v", err)
		}
	})
}

// Pion grants permissions for hosts; the ports of ours that are no media stay closed all the same.
func TestOtherPortsOfOurs(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		api, rtp := l.socket(l.host, netip.AddrPortFrom(ourselves, 8080)), l.socket(l.host, netip.AddrPortFrom(ourselves, rtpLast))
		relay, err := l.allocate(l.dial(UDP, l.good()))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // the first goes as an indication, later ones on a channel
			if _, err := relay.WriteTo([]byte("GET /"), net.UDPAddrFromAddrPort(api.LocalAddr())); err != nil {
				t.Fatal(err)
			}
			if got, _ := receive(api); got != "" {
				t.Fatalf("the API got %q", got)
			}
		}
		if l.refused(reasonPeer) != 3 {
			t.Errorf("refused %d", l.refused(reasonPeer))
		}
		if _, err := relay.WriteTo([]byte("rtp"), net.UDPAddrFromAddrPort(rtp.LocalAddr())); err != nil {
			t.Fatal(err)
		}
		got, from := receive(rtp)
		if got != "rtp" {
			t.Errorf("our media got %q", got)
		}
		if err := api.WriteTo([]byte("HTTP/1.1"), from); err != nil {
			t.Fatal(err)
		}
		if got, _ := hear(relay); got != "" {
			t.Errorf("the API was heard: %q", got)
		}
	})
}

// A server with private addresses only still leads to its media.
func TestPrivateServer(t *testing.T) {
	office, desk := netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("192.168.1.77")
	p := Policy{Local: func(a netip.Addr) bool { return a == office }, Media: func(a netip.AddrPort) bool {
		return a.Addr() == office && (a.Port() == 0 || a.Port() >= rtpFirst && a.Port() <= rtpLast)
	}}
	for peer, want := range map[netip.AddrPort]bool{
		netip.AddrPortFrom(office, rtpFirst):                    true,
		netip.AddrPortFrom(office, rtpLast):                     true,
		netip.AddrPortFrom(office, 22):                          false,
		netip.AddrPortFrom(office, 0):                           false,
		netip.AddrPortFrom(desk, rtpFirst):                      false,
		netip.MustParseAddrPort("[::ffff:192.168.1.5]:10000"):   true,
		netip.MustParseAddrPort("[::ffff:192.168.1.77]:10000"):  false,
		netip.MustParseAddrPort("127.0.0.1:10000"):              false,
		netip.MustParseAddrPort("8.8.8.8:53"):                   true,
		netip.MustParseAddrPort("[::1]:10000"):                  false,
		netip.MustParseAddrPort("[::]:10000"):                   false,
		netip.MustParseAddrPort("[fe80::1%eth0]:10000"):         false,
		netip.MustParseAddrPort("[fd00::1]:10000"):              false,
		netip.MustParseAddrPort("[fec0::1]:10000"):              false,
		netip.MustParseAddrPort("[ff02::1]:10000"):              false,
		netip.MustParseAddrPort("[::127.0.0.1]:10000"):          false,
		netip.MustParseAddrPort("[64:ff9b::7f00:1]:10000"):      false,
		netip.MustParseAddrPort("[2002:7f00:1::]:10000"):        false,
		netip.MustParseAddrPort("[2001:0:7f00:1::]:10000"):      false,
		netip.MustParseAddrPort("[2606:4700:4700::1111]:10000"): true,
		{}: false,
	} {
		if got := p.allows(peer); got != want {
			t.Errorf("%v: allowed %v", peer, got)
		}
	}
	if !p.allowsHost(office) || p.allowsHost(desk) {
		t.Error("permissions for hosts")
	}
}

func TestCredentials(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		now := time.Now()
		good := l.good()
		forged, foreign, later := good, good, good
		forged.Password = keyring{[]byte("another secret..."), realm}.password(good.Username)
		foreign.Username = "alice"
		later.Username = l.s.Credentials("alice", now.Add(time.Hour)).Username // with the password of the other
		expired := l.s.Credentials("alice", now.Add(-l.s.Lifetime()-time.Second))
		for name, c := range map[string]Credentials{"forged": forged, "foreign": foreign, "prolonged": later, "expired": expired, "none": {}} {
			if _, err := l.allocate(l.dial(UDP, c)); err == nil {
				t.Errorf("%s credentials are good", name)
			}
		}
		if n := l.s.Stats(); n.Allocations != 0 || n.Refused["credential"] < 2 {
			t.Errorf("%+v", n)
		}
		if _, err := l.allocate(l.dial(UDP, good)); err != nil {
			t.Errorf("good credentials: %v", err)
		}
	})
}

// The form is coturn's: echo -n 1764000000:alice | openssl dgst -sha1 -hmac SECRET -binary | base64
func TestCredentialForm(t *testing.T) {
	k := keyring{[]byte("north"), realm}
	if got := k.password("1764000000:alice"); got != "9LAwaPnprPABVShse3H8XaVS8kE=" {
		t.Errorf("password %q", got)
	}
	for name, want := range map[string]string{"1764000000:alice": "alice", "1764000000:a:b": "a:b", "1764000000": "1764000000", "1:": ""} {
		if _, label, ok := readUsername(name); !ok || label != want {
			t.Errorf("%q: %q %v", name, label, ok)
		}
	}
	for _, name := range []string{"", ":", "alice", "-5:a", "+5:a", "0:a", "1e9:a", "99999999999999999999:a", "1764000000 :a"} {
		if _, label, ok := readUsername(name); ok {
			t.Errorf("%q is taken for %q", name, label)
		}
	}
}

// An allocation outlives its credentials, for a day, and only as long as it is kept up.
func TestAllocationOutlivesCredentials(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		rtp := l.socket(l.host, netip.AddrPortFrom(ourselves, rtpFirst))
		credentials := l.good()
		relay, err := l.allocate(l.dial(UDP, credentials))
		if err != nil {
			t.Fatal(err)
		}
		wait(3 * time.Hour) // Pion's client refreshes
		if _, err := relay.WriteTo([]byte("still here"), net.UDPAddrFromAddrPort(rtp.LocalAddr())); err != nil {
			t.Fatal(err)
		}
		if got, _ := receive(rtp); got != "still here" {
			t.Errorf("got %q", got)
		}
		if _, err := l.allocate(l.dial(UDP, credentials)); err == nil {
			t.Error("something new with old credentials")
		}
		wait(25 * time.Hour)
		if n := l.s.Stats(); n.Allocations != 0 {
			t.Errorf("it lives for ever: %+v", n)
		}
	})
}

func TestFloodOfAllocations(t *testing.T) {
	change := func(c *Config) { c.Limits = Limits{PerUser: 3, Allocations: 5, Requests: 1000, Burst: 1000} }
	inLab(t, change, func(t *testing.T, l *lab) {
		count := func(label string, want string) (n int) {
			for range 6 {
				_, err := l.allocate(l.dial(UDP, l.s.Credentials(label, time.Now())))
				switch {
				case err == nil:
					n++
				case !contains(err, want):
					t.Errorf("%s: %v", label, err)
				}
			}
			return n
		}
		if n := count("alice", "486"); n != 3 {
			t.Errorf("alice has %d", n)
		}
		if n := count("bob", "508"); n != 2 {
			t.Errorf("bob has %d", n)
		}
		if n := l.s.Stats(); n.Allocations != 5 || n.Refused["quota"] != 3 || n.Refused["capacity"] != 4 {
			t.Errorf("%+v", n)
		}
	})
}

func TestPortsRunOutAndComeBack(t *testing.T) {
	inLab(t, func(c *Config) { c.Ports.Max = c.Ports.Min + 2 }, func(t *testing.T, l *lab) {
		taken := l.socket(l.host, netip.MustParseAddrPort("0.0.0.0:20001")) // somebody else's
		var relays []net.PacketConn
		for i := range 4 {
			relay, err := l.allocate(l.dial(UDP, l.good()))
			if (err == nil) != (i < 2) {
				t.Fatalf("allocation %d: %v", i, err)
			}
			if err == nil {
				relays = append(relays, relay)
			}
		}
		_ = relays[0].Close()
		wait(time.Second)
		if _, err := l.allocate(l.dial(UDP, l.good())); err != nil {
			t.Errorf("a port that came back: %v", err)
		}
		taken.Close()
		if _, err := l.allocate(l.dial(UDP, l.good())); err != nil {
			t.Errorf("a port that somebody has left: %v", err)
		}
	})
}

func TestBandwidthIsBounded(t *testing.T) {
	inLab(t, func(c *Config) { c.Limits.Bandwidth = 100_000 }, func(t *testing.T, l *lab) {
		peer := l.socket(l.net.Host(stranger), netip.AddrPortFrom(stranger, 9000))
		relay, err := l.allocate(l.dial(UDP, l.good()))
		if err != nil {
			t.Fatal(err)
		}
		for range 300 { // 300 KB in three seconds
			if _, err := relay.WriteTo(make([]byte, 1000), net.UDPAddrFromAddrPort(peer.LocalAddr())); err != nil {
				t.Fatal(err)
			}
			wait(10 * time.Millisecond)
		}
		// Half a second's worth at once, and then the rate.
		if n := l.s.Stats(); n.BytesOut < 300_000 || n.DroppedByBudget != 0 {
			t.Errorf("at the rate: %+v", n)
		}
		for range 300 { // 300 KB in no time
			if _, err := relay.WriteTo(make([]byte, 1000), net.UDPAddrFromAddrPort(peer.LocalAddr())); err != nil {
				t.Fatal(err)
			}
		}
		wait(time.Second)
		if n := l.s.Stats(); n.BytesOut > 360_000 || n.DroppedByBudget < 240 {
			t.Errorf("beyond the rate: %+v", n)
		}
	})
}

func TestPermissionsAreBounded(t *testing.T) {
	change := func(c *Config) { c.Limits = Limits{Permissions: 5, Requests: 1000, Burst: 1000} }
	inLab(t, change, func(t *testing.T, l *lab) {
		c := l.dial(UDP, l.good())
		if _, err := l.allocate(c); err != nil {
			t.Fatal(err)
		}
		granted := 0
		for i := range 20 {
			if c.CreatePermission(&net.UDPAddr{IP: net.IPv4(192, 0, 2, byte(i)), Port: 1}) == nil {
				granted++
			}
		}
		if granted != 5 || l.refused(reasonPermissions) != 15 {
			t.Errorf("%d granted, %d refused", granted, l.refused(reasonPermissions))
		}
	})
}

// Bindings are answered to anybody, but not without end, and one source does not spend the budget of another.
func TestBindingsAreRated(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		flood := l.socket(l.net.Host(stranger), netip.AddrPortFrom(stranger, 5000))
		request := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
		for range 1000 {
			if err := flood.WriteTo(request, netip.AddrPortFrom(ourselves, 3478)); err != nil {
				t.Fatal(err)
			}
		}
		wait(100 * time.Millisecond)
		answered := 0
		ps := make([]network.Packet, 1)
		go func() {
			for {
				ps[0].Data = make([]byte, 2000)
				if _, err := flood.ReadBatch(ps); err != nil {
					return
				}
				answered++
			}
		}()
		wait(time.Second)
		if answered < 200 || answered > 210 || l.refused(reasonRate) != uint64(1000-answered) {
			t.Errorf("%d answered, %d refused", answered, l.refused(reasonRate))
		}
		if _, err := l.dial(UDP, l.good()).SendBindingRequest(); err != nil {
			t.Errorf("somebody else: %v", err)
		}
	})
}

func TestURLs(t *testing.T) {
	inLab(t, secure(t), func(t *testing.T, l *lab) {
		want := []string{"stun:pbx.example:3478", "turn:pbx.example:3478?transport=udp", "turn:pbx.example:3478?transport=tcp",
			"turns:pbx.example:5349?transport=tcp"}
		if got := l.s.URLs("pbx.example"); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
		if got := l.s.URLs("2001:db8::1")[0]; got != "stun:[2001:db8::1]:3478" {
			t.Errorf("%v", got)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		for name, change := range map[string]func(*Config){
			"no network":   func(c *Config) { c.Network = nil },
			"no listeners": func(c *Config) { c.Listeners = nil },
			"short secret": func(c *Config) { c.Secret = []byte("short") },
			"no realm":     func(c *Config) { c.Realm = "" },
			"no ports":     func(c *Config) { c.Ports.Min = 0 },
			"backwards":    func(c *Config) { c.Ports.Min = c.Ports.Max + 1 },
			"taken":        func(*Config) {},
			"no certificate": func(c *Config) {
				c.Listeners = []Listener{{Transport: TLS, Addr: netip.MustParseAddrPort("0.0.0.0:5349")}}
			},
		} {
			c := l.s.config
			change(&c)
			if s, err := New(c); err == nil {
				s.Close()
				t.Errorf("%s is accepted", name)
			}
		}
	})
}

// EVEN-PORT gets an even port, without a socket for each one that was looked at, and the reservation the one above.
func TestEvenPorts(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		r := l.s.relays
		for range 40 {
			c, at, err := r.AllocatePacketConn(pion.AllocateListenerConfig{Network: "udp4"})
			if err != nil || addrPort(at).Port()%2 != 0 {
				t.Fatalf("%v %v", at, err)
			}
			_ = c.Close()
		}
		if n := l.s.Stats().Allocations; n != 0 {
			t.Fatalf("%d sockets are open", n)
		}
		client := &net.UDPAddr{IP: browser.AsSlice(), Port: 1}
		allocate := func(port int) error {
			if !r.mayAllocate("alice", realm, client) {
				t.Fatal("quota")
			}
			c, at, err := r.AllocatePacketConn(pion.AllocateListenerConfig{Network: "udp4", UserID: "alice", RequestedPort: port})
			if err == nil {
				l.relays = append(l.relays, c)
				if int(addrPort(at).Port()) != port {
					t.Errorf("port %v", at)
				}
			}
			return err
		}
		if err := allocate(20004); err != nil {
			t.Error(err)
		}
		for name, port := range map[string]int{"taken": 20004, "above": 20032, "below": 19999, "ours": rtpFirst} {
			if err := allocate(port); err == nil {
				t.Errorf("%s: port %d", name, port)
			}
		}
		if err := allocate(20005); err != nil {
			t.Error(err)
		}
	})
}
