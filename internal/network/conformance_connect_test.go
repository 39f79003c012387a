package network

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// note is a handler that hands over what arrives.
type note struct{ got chan Packet }

func (n note) HandlePackets(_ PacketWriter, ps []Packet) {
	for _, p := range ps {
		n.got <- Packet{Data: slices.Clone(p.Data), Addr: p.Addr}
	}
}

// connectors runs a test on every implementation that has polled sockets with a peer.
func connectors(t *testing.T, bind netip.Addr, f func(t *testing.T, n Network, w PacketWriter, c Connector, h note)) {
	networks(t, func(t *testing.T, n Network) {
		p, err := n.NewPoller(1)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		h := note{make(chan Packet, 100)}
		w, err := p.Open(netip.AddrPortFrom(bind, 0), h)
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := w.(Connector); ok {
			f(t, n, w, c, h)
		} else if strings.HasSuffix(t.Name(), "memory") || fastPath && strings.HasSuffix(t.Name(), "os") {
			t.Error("a polled socket takes no peer")
		}
	})
}

func TestConnectHearsOnlyThePeer(t *testing.T) {
	for _, c := range []struct {
		name       string
		bind, from netip.Addr
	}{
		{"IPv4", loop4, loop4},
		{"IPv6", loop6, loop6},
		{"any IPv4", any4, loop4},
		{"dual stack, IPv4", any6, loop4},
		{"dual stack, IPv6", any6, loop6},
	} {
		t.Run(c.name, func(t *testing.T) {
			connectors(t, c.bind, func(t *testing.T, n Network, w PacketWriter, x Connector, h note) {
				local := netip.AddrPortFrom(c.from, w.LocalAddr().Port())
				first, second := listenPacket(t, n, c.from), listenPacket(t, n, c.from)
				// hears sends from both and a last one from the peer: what has not come by then does not come.
				hears := func(when string, last PacketConn, want ...netip.AddrPort) {
					t.Helper()
					for _, s := range []PacketConn{first, second} {
						if err := s.WriteTo([]byte("x"), local); err != nil {
							t.Fatal(err)
						}
					}
					if err := last.WriteTo([]byte("last"), local); err != nil {
						t.Fatal(err)
					}
					var got []netip.AddrPort
					for p := range h.got {
						if string(p.Data) == "last" {
							break
						}
						got = append(got, p.Addr)
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s: heard %v, want %v", when, got, want)
					}
				}
				// sends goes to both, whomever the socket has as its peer.
				sends := func(when string) {
					t.Helper()
					for _, s := range []PacketConn{first, second} {
						if err := w.WriteTo([]byte(when), s.LocalAddr()); err != nil {
							t.Fatalf("%s: %v", when, err)
						}
						if k, err := w.WriteBatch([]Packet{{Data: []byte(when), Addr: s.LocalAddr()}}); k != 1 || err != nil {
							t.Fatalf("%s: batch of %d, %v", when, k, err)
						}
						for _, p := range readN(t, s, 2) {
							if string(p.Data) != when || p.Addr != local {
								t.Errorf("%s: %q from %v", when, p.Data, p.Addr)
							}
						}
					}
				}
				a, b := first.LocalAddr(), second.LocalAddr()
				hears("at first", first, a, b)
				for range 2 { // a peer may be had again
					for _, peer := range []PacketConn{first, second, second} {
						if err := x.Connect(peer.LocalAddr()); err != nil {
							t.Fatal(err)
						}
						hears("with a peer", peer, peer.LocalAddr())
						sends("with a peer")
					}
					for range 2 {
						if err := x.Disconnect(); err != nil {
							t.Fatal(err)
						}
						hears("without", second, a, b)
						sends("without")
					}
				}
			})
		})
	}
}

func TestConnectRefusesWhatIsNoPeer(t *testing.T) {
	connectors(t, loop4, func(t *testing.T, n Network, w PacketWriter, x Connector, h note) {
		for _, a := range []netip.AddrPort{{}, netip.AddrPortFrom(loop6, 9), netip.AddrPortFrom(loop4, 0), netip.AddrPortFrom(any4, 9)} {
			if err := x.Connect(a); err == nil {
				t.Errorf("%v was taken", a)
			}
		}
		from := listenPacket(t, n, loop4)
		if err := from.WriteTo([]byte("x"), w.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if got := <-h.got; got.Addr != from.LocalAddr() {
			t.Errorf("heard %v afterwards", got.Addr)
		}
		w.Close()
		if err := x.Connect(from.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Connect of a closed socket: %v", err)
		}
		if err := x.Disconnect(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Disconnect of a closed socket: %v", err)
		}
	})
}

// A peer whose port is closed does not make sending fail, as it does not without Connect; and when it is back it hears
// the very next datagram.
func TestConnectedPeerGoesAndComesBack(t *testing.T) {
	connectors(t, loop4, func(t *testing.T, n Network, w PacketWriter, x Connector, h note) {
		peer, err := n.ListenPacket(netip.AddrPortFrom(loop4, 0), false)
		if err != nil {
			t.Fatal(err)
		}
		addr := peer.LocalAddr()
		if err := x.Connect(addr); err != nil {
			t.Fatal(err)
		}
		peer.Close()
		for range 5 {
			if err := w.WriteTo([]byte("lost"), addr); err != nil {
				t.Errorf("nobody there: %v", err)
			}
		}
		if peer, err = n.ListenPacket(addr, false); err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		if err := w.WriteTo([]byte("back"), addr); err != nil {
			t.Fatal(err)
		}
		isBack := func(p Packet) bool { return string(p.Data) == "back" }
		for !slices.ContainsFunc(readN(t, peer, 1), isBack) { // what was under way may arrive first
		}
		if err := peer.WriteTo([]byte("here"), w.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if got := <-h.got; string(got.Data) != "here" {
			t.Errorf("heard %q", got.Data)
		}
	})
}
