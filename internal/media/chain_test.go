package media

import (
	"net/netip"
	"testing"
	"time"

	"dialtone/internal/network"
)

// censor is a stage that lets every second packet pass.
type censor struct{ n int }

func (c *censor) String() string { return "censor" }

func (c *censor) Pass(ps []network.Packet) []network.Packet {
	kept := ps[:0]
	for _, p := range ps {
		if c.n++; c.n%2 == 0 {
			kept = append(kept, p)
		}
	}
	return kept
}

// counter is an output that counts.
type counter struct{ media, control int }

func (c *counter) String() string                   { return "counter" }
func (c *counter) WritePackets(ps []network.Packet) { c.media += len(ps) }
func (c *counter) WriteControl(ps []network.Packet) { c.control += len(ps) }

// A chain is swapped while packets flow: none is lost or goes both ways.
func TestChainIsSwappedWhileItRuns(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe("rtcp-mux"), b.describe())
		st := x.s.Streams()[0]
		a.talk(x.to, 1, 1, 10)

		st.Connect(newBridge(st, y.s.Streams()[0]), &censor{}, &censor{})
		want := "audio 198.51.100.1:4000 -> " + st.local().String() + " -> censor -> censor -> relay " + y.s.Streams()[0].local().String() + " -> 198.51.100.2:5000"
		if x.s.String() != want {
			t.Errorf("chain %q, want %q", x.s, want)
		}
		a.talk(x.to, 1, 11, 12)
		Bridge(x.s, y.s) // joins what is joined: the stages stay
		if x.s.String() != want {
			t.Errorf("chain %q, want %q", x.s, want)
		}

		var c counter
		st.Connect(&c)
		a.talk(x.to, 1, 23, 10)
		a.send(senderReport(1, 1), x.to)
		wait(time.Second)
		if c.media != 10 || c.control != 1 {
			t.Errorf("the output got %d packets and %d reports", c.media, c.control)
		}
		if got, _ := b.heard(); len(got) != 10+3 {
			t.Errorf("%d packets relayed, want 10 and every fourth of 12", len(got))
		}
		st.Connect(nil)
		a.talk(x.to, 1, 33, 10)
		if c.media != 10 {
			t.Error("the former output is still fed")
		}
	})
}

// A session that is bridged with a third one leaves the first.
func TestBridgeMovesOn(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		c := l.phone(mallory, 6000)
		z := l.end(c)
		Bridge(x.s, z.s)
		sent := a.talk(x.to, 1, 1, 5)
		b.talk(y.to, 2, 1, 5)
		back := c.talk(z.to, 3, 1, 5)
		wait(time.Second)
		toA, _ := a.heard()
		toB, _ := b.heard()
		toC, _ := c.heard()
		sameBytes(t, "a to c", toC, sent)
		sameBytes(t, "c to a", toA, back)
		sameBytes(t, "to b", toB, nil)
		Unbridge(x.s, y.s) // not bridged any more: nothing happens
		if x.s.bridged != z.s {
			t.Error("the bridge was undone by somebody else's")
		}
	})
}

// Ports that other programs hold are passed over, and given back.
func TestOccupiedPortsArePassedOver(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.net.Host(alice)
		for _, port := range []uint16{10001, 10004, 10010, 10098} { // RTCP of the first pair, RTP of others
			c, err := l.host.ListenPacket(netip.AddrPortFrom(netip.IPv4Unspecified(), port), false)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		used := map[int]bool{}
		for i := range 46 {
			s := l.session(SessionConfig{Peer: alice})
			d, err := s.Offer(describeAt(t, at("10.0.0.1:4000"), 1))
			if err != nil {
				t.Fatalf("pair %d: %v", i, err)
			}
			if port := d.Media[0].Port; used[port] {
				t.Errorf("port %d was given twice", port)
			} else {
				used[port] = true
			}
		}
		if c := l.e.Counters(); c.PortsUsed != 46 || c.PortsTotal != 50 {
			t.Errorf("counters %+v", c)
		}
		s := l.session(SessionConfig{Peer: alice})
		if _, err := s.Offer(describeAt(t, at("10.0.0.1:4000"), 1)); err == nil {
			t.Error("a port was found where all are held")
		}
		if c := l.e.Counters(); c.PortsUsed != 46 {
			t.Errorf("a failure keeps %d pairs", c.PortsUsed-46)
		}
		if _, err := l.e.Restore(State{Peer: alice, Streams: []StreamState{{Kind: "audio", Port: 10010, Host: netip.IPv4Unspecified()}}}); err == nil {
			t.Error("restored on a port that is held")
		}
		if c := l.e.Counters(); c.PortsUsed != 46 {
			t.Errorf("a failed restore keeps %d pairs", c.PortsUsed-46)
		}
	})
}
