package media

import (
	"net/netip"
	"testing"
	"time"

	"dialtone/internal/network"
)

func inSharedLab(t *testing.T, f func(t *testing.T, l *lab)) {
	t.Helper()
	inLabWith(t, netip.AddrPortFrom(netip.IPv4Unspecified(), 9998), f)
}

// Many calls at once on one port: everybody is told the same address and hears nobody but the own other party.
func TestManyCallsOnOnePort(t *testing.T) {
	inSharedLab(t, func(t *testing.T, l *lab) {
		const calls = 20
		var legs [2 * calls]*leg
		for i := range calls {
			a := l.phone(netip.AddrFrom4([4]byte{198, 51, 101, byte(i)}), 4000)
			b := l.phone(netip.AddrFrom4([4]byte{198, 51, 102, byte(i)}), 4000)
			legs[2*i], legs[2*i+1] = l.call(a, b, a.describe(), b.describe())
		}
		var sent [2 * calls][][]byte
		for seq := range uint16(30) {
			for i, g := range legs {
				if g.to.Port() != 9998 {
					t.Fatalf("leg %d was told %v", i, g.to)
				}
				b := packet(5, seq+1) // the same SSRC everywhere
				b[20] = byte(i)
				sent[i] = append(sent[i], b)
				g.send(b, g.to)
			}
			wait(20 * time.Millisecond)
		}
		for i := range legs {
			media, _ := legs[i].heard()
			sameBytes(t, "leg", media, sent[i^1])
		}
		c := l.e.Counters()
		if c.Foreign != 0 || c.Lost != 0 || c.PortsUsed != 0 || c.PacketsIn != 2*calls*30 || c.PacketsOut != c.PacketsIn {
			t.Errorf("counters %+v", c)
		}
		for _, g := range legs {
			g.s.Close()
		}
		for _, p := range []*sharedPort{l.e.shared.rtp, l.e.shared.control} {
			if n := len(p.roll.waiting) + len(p.roll.voices) + len(p.roll.ufrags); n != 0 {
				t.Errorf("%d entries are left on the roll", n)
			}
		}
	})
}

// Two phones behind one NAT that are called at the same time: the second one gets ports of its own, and both are heard.
func TestTwoPhonesBehindOneNAT(t *testing.T) {
	inSharedLab(t, func(t *testing.T, l *lab) {
		gate := netip.MustParseAddr("203.0.113.1")
		hosts := [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
		inside := l.net.NAT(network.NATConfig{Public: gate})
		a := l.phone(alice, 4000)
		var legs [2]*leg
		for i, h := range hosts {
			p := l.phoneOn(inside.Host(h), 4000)
			legs[i] = &leg{phone: p, s: l.session(SessionConfig{Peer: gate})}
			legs[i].tell(a.describe())
		}
		for i, g := range legs {
			g.says(g.describe(), gate)
			if shared := g.to.Port() == 9998; shared != (i == 0) {
				t.Errorf("phone %d was told %v", i, g.to)
			}
		}
		for i, g := range legs {
			g.talk(g.to, uint32(i), 1, 10)
			wait(100 * time.Millisecond)
			if n := g.s.Stats()[0].PacketsIn; n != 10 {
				t.Errorf("of phone %d %d packets were taken", i, n)
			}
		}
	})
}

// Strangers are counted and not heard, and what comes after the end of a call is nobody's.
func TestStrangersOnTheSharedPort(t *testing.T) {
	inSharedLab(t, func(t *testing.T, l *lab) {
		a, b, m := l.phone(alice, 4000), l.phone(bob, 5000), l.phone(mallory, 666)
		x, y := l.call(a, b, a.describe(), b.describe())
		a.talk(x.to, 0xa, 1, 10)
		m.talk(x.to, 0xa, 11, 10)
		wait(time.Second)
		if media, _ := b.heard(); len(media) != 10 {
			t.Errorf("%d packets were heard", len(media))
		}
		if c := l.e.Counters(); c.Foreign != 10 {
			t.Errorf("counters %+v", c)
		}
		x.s.Close()
		y.s.Close()
		a.talk(x.to, 0xa, 11, 10)
		wait(time.Second)
		if c := l.e.Counters(); c.Foreign != 20 || c.PacketsIn != 10 {
			t.Errorf("counters after the end %+v", c)
		}
	})
}

// Where the shared port does not reach, streams have ports of their own: other families, and what is no RTP.
func TestOwnPortsBesideTheSharedOne(t *testing.T) {
	inSharedLab(t, func(t *testing.T, l *lab) {
		l.net.Host(bob6)
		l.net.Host(alice)
		six := l.session(SessionConfig{Peer: bob6})
		if told := localized(t, six, at("198.51.100.1:4000")).Address(0); told.Port() == 9998 {
			t.Error("a party in the IPv6 world was told a port for IPv4")
		}
		fax := l.session(SessionConfig{Peer: alice})
		d, err := fax.Offer(parse(t, "v=0\r\no=- 1 1 IN IP4 198.51.100.2\r\ns=-\r\nc=IN IP4 198.51.100.2\r\nt=0 0\r\nm=image 4000 udptl t38\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if d.Media[0].Port == 9998 {
			t.Error("a fax was told the port of voices")
		}
	})
}

func TestSharedPortMustBeEven(t *testing.T) {
	n := network.NewMemory(network.MemoryConfig{Test: t})
	host := n.Host(exchange4)
	for _, port := range []uint16{0, 9999} {
		_, err := New(Config{Network: host, Workers: 1, Ports: PortRange{10000, 10099}, Shared: netip.AddrPortFrom(exchange4, port)})
		if err == nil {
			t.Errorf("port %d was shared", port)
		}
	}
}

// A packet of many on the shared port costs no memory, and what a batch makes leaves at once.
func TestSharedPortAllocatesNothing(t *testing.T) {
	v := &void{}
	e, err := New(Config{Network: v, Workers: 1, Ports: PortRange{10000, 10099}, Shared: netip.AddrPortFrom(exchange4, 9998)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	from := [2]netip.AddrPort{netip.AddrPortFrom(alice, 4000), netip.AddrPortFrom(bob, 5000)}
	openCall(t, e, from[0], from[1])
	lane := e.shared.rtp.lanes[0]
	socket := &voidSocket{v, e.shared.rtp.LocalAddr()}
	ps := make([]network.Packet, 64)
	seq := uint16(0)
	run := func() {
		seq++
		for i := range ps {
			ps[i] = network.Packet{Data: ps[i].Data, Addr: from[i%2]}
			if ps[i].Data == nil {
				ps[i].Data = packet(uint32(i%2), 0)
			}
			p := ps[i].Data
			p[2], p[3] = byte(seq>>8), byte(seq)
		}
		ps[63].Addr = netip.AddrPortFrom(mallory, 1)
		lane.HandlePackets(socket, ps)
	}
	run()
	before := v.sent.Load()
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
	if sent := v.sent.Load() - before; sent != 1001*63 {
		t.Errorf("%d packets were sent", sent)
	}
	if c := e.Counters(); c.Foreign != 1002 {
		t.Errorf("counters %+v", c)
	}
}
