package media

import (
	"net/netip"
	"testing"
	"time"

	"dialtone/internal/network"
)

func at(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

// A step of a latch: a description or a packet, and what must follow from it.
type latchStep struct {
	describe string // address named; "-" for a hold without address; "=" for a repetition
	from     string
	seconds  int // engine time
	ssrc     uint32
	seq      uint16
	want     verdict
	target   string // "" nowhere
}

func TestLatch(t *testing.T) {
	const named, nat, other, third = "198.51.100.1:4000", "203.0.113.7:61000", "203.0.113.7:61001", "192.0.2.66:9"
	signalled := at(nat).Addr()
	for _, c := range []struct {
		name   string
		policy Latching
		steps  []latchStep
	}{
		{"goes where the description says until a packet comes", Latch, []latchStep{
			{describe: named, target: named},
			{from: named, want: learnt, target: named},
		}},
		{"first from the signalling address wins, the rest is foreign", Latch, []latchStep{
			{describe: named, target: named},
			{from: third, want: foreign, target: named},
			{from: nat, want: learnt, target: nat},
			{from: other, want: foreign, target: nat},
			{from: third, want: foreign, target: nat},
			{from: nat, want: known, target: nat},
		}},
		{"another port of the named host is believed", Latch, []latchStep{
			{describe: named, target: named},
			{from: "198.51.100.1:4444", want: learnt, target: "198.51.100.1:4444"},
			{from: "198.51.100.1:4445", want: foreign, target: "198.51.100.1:4444"},
		}},
		{"the named address outranks a guess, once and for all", Latch, []latchStep{
			{describe: named, target: named},
			{from: nat, want: learnt, target: nat},
			{from: named, want: learnt, target: named},
			{from: nat, want: foreign, target: named},
		}},
		{"before any description only the signalling host counts, and gets nothing", Latch, []latchStep{
			{from: third, want: foreign},
			{from: named, want: foreign},
			{from: nat, want: learnt},
			{describe: named, target: named},
			{from: nat, want: learnt, target: nat},
		}},
		{"a repeated description moves nothing", Latch, []latchStep{
			{describe: named, target: named},
			{from: nat, want: learnt, target: nat},
			{describe: "=" + named, target: nat},
			{from: other, want: foreign, target: nat},
		}},
		{"a new version keeps the address and lets the party move once", Latch, []latchStep{
			{describe: named, target: named},
			{from: nat, want: learnt, target: nat},
			{describe: named, target: nat},
			{from: third, want: foreign, target: nat},
			{from: other, seconds: 1, want: learnt, target: other},
			{from: nat, seconds: 1, want: foreign, target: other},
		}},
		{"after a new version the first to speak does not win while the party talks on", Latch, []latchStep{
			{describe: named, target: named},
			{from: nat, want: learnt, target: nat},
			{describe: named, target: nat},
			{from: other, want: foreign, target: nat},
			{from: nat, want: known, target: nat},
			{from: other, seconds: 1, want: foreign, target: nat},
		}},
		{"a new version that the party does not use to move is used up", Latch, []latchStep{
			{describe: named, target: named},
			{from: nat, want: learnt, target: nat},
			{describe: named, target: nat},
			{from: nat, want: known, target: nat},
			{from: other, want: foreign, target: nat},
		}},
		{"a new address forgets what was learnt", Latch, []latchStep{
			{describe: named, target: named},
			{from: nat, want: learnt, target: nat},
			{describe: "198.51.100.1:4002", target: "198.51.100.1:4002"},
			{from: other, want: learnt, target: other},
		}},
		{"hold without an address sends nowhere and comes back", Latch, []latchStep{
			{describe: named, target: named},
			{from: nat, want: learnt, target: nat},
			{describe: "-", target: ""},
			{from: nat, want: known, target: ""},
			{describe: named, target: nat},
		}},
		{"a NAT that forgot: same SSRC goes on from another port after silence", Latch, []latchStep{
			{describe: named, target: named},
			{from: nat, seconds: 1, ssrc: 5, seq: 100, want: learnt, target: nat},
			{from: other, seconds: 2, ssrc: 5, seq: 101, want: foreign, target: nat},
			{from: other, seconds: 9, ssrc: 6, seq: 102, want: foreign, target: nat},
			{from: other, seconds: 9, ssrc: 5, seq: 100, want: foreign, target: nat},
			{from: other, seconds: 9, ssrc: 5, seq: 99, want: foreign, target: nat},
			{from: third, seconds: 9, ssrc: 5, seq: 400, want: foreign, target: nat},
			{from: other, seconds: 9, ssrc: 5, seq: 400, want: learnt, target: other},
			{from: nat, seconds: 9, ssrc: 5, seq: 401, want: foreign, target: other},
		}},
		{"a trunk is never followed", Pin, []latchStep{
			{describe: named, target: named},
			{from: nat, want: foreign, target: named},
			{from: "198.51.100.1:4444", want: learnt, target: named},
			{from: "198.51.100.1:4445", want: foreign, target: named},
			{from: named, want: learnt, target: named},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := latch{policy: c.policy, mute: true, signalled: signalled}
			for i, s := range c.steps {
				switch {
				case s.from != "":
					got := l.admit(sighting{from: at(s.from), at: int64(s.seconds) * int64(time.Second), ssrc: s.ssrc, seq: s.seq, rtp: true})
					if got != s.want {
						t.Errorf("step %d: packet from %s: verdict %d, want %d", i, s.from, got, s.want)
					}
				case s.describe == "-":
					l.describe(netip.AddrPort{}, false, signalled, true)
				case s.describe[0] == '=':
					l.describe(at(s.describe[1:]), true, signalled, false)
				default:
					l.describe(at(s.describe), true, signalled, true)
				}
				want := netip.AddrPort{}
				if s.target != "" {
					want = at(s.target)
				}
				if l.target() != want {
					t.Errorf("step %d: target %v, want %v", i, l.target(), want)
				}
			}
		})
	}
}

// spray sends RTP to the whole port range from a socket until stop is closed.
func (p *phone) spray(stop chan struct{}, done chan struct{}) {
	defer close(done)
	for seq := uint16(0); ; seq++ {
		for port := uint16(9998); port < 10100; port++ {
			if p.rtp.WriteTo(packet(0xbad, seq), netip.AddrPortFrom(exchange4, port)) != nil {
				return
			}
		}
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// "RTP bleed": a third host that sprays the port range before, during and after the set-up neither hears anything nor is
// heard, also across a re-INVITE.
func TestSprayFromAThirdHost(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		m := l.phone(mallory, 666)
		leaked := 0
		l.net.Tap(func(f network.Frame) {
			if f.To.Addr() == mallory {
				leaked++
			}
		})
		stop, done := make(chan struct{}), make(chan struct{})
		go m.spray(stop, done)
		wait(time.Second)

		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x := &leg{phone: a, s: l.session(SessionConfig{Peer: alice})}
		y := &leg{phone: b, s: l.session(SessionConfig{Peer: bob})}
		x.says(a.describe(), alice)
		y.tell(a.describe())
		wait(time.Second) // ringing
		y.says(b.describe(), bob)
		x.tell(b.describe())
		Bridge(x.s, y.s)
		wait(time.Second)
		fromA := a.talk(x.to, 0xa, 1, 50)
		fromB := b.talk(y.to, 0xb, 1, 50)

		again := describeAt(t, a.address(), 2)
		x.says(again, alice)
		y.tell(again)
		x.tell(b.describe())
		wait(time.Second)
		fromA = append(fromA, a.talk(x.to, 0xa, 51, 50)...)
		fromB = append(fromB, b.talk(y.to, 0xb, 51, 50)...)
		close(stop)
		<-done
		wait(time.Second)
		l.net.Tap(nil)

		toA, _ := a.heard()
		toB, _ := b.heard()
		sameBytes(t, "a to b", toB, fromA)
		sameBytes(t, "b to a", toA, fromB)
		if leaked != 0 {
			t.Errorf("%d frames went to the third host", leaked)
		}
		if c := l.e.Counters(); c.Foreign < 1000 || c.Lost != 0 {
			t.Errorf("foreign packets counted %d, lost %d", c.Foreign, c.Lost)
		}
	})
}

// A phone behind a NAT that names its private address is reached where its packets come from.
func TestPhoneBehindNAT(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		public := netip.MustParseAddr("203.0.113.7")
		nat := l.net.NAT(network.NATConfig{Public: public, Filtering: network.AddressAndPortDependent, Timeout: 30 * time.Second})
		a := l.phoneOn(nat.Host(netip.MustParseAddr("10.0.0.5")), 4000)
		b := l.phone(bob, 5000)
		x := &leg{phone: a, s: l.session(SessionConfig{Peer: public})}
		y := &leg{phone: b, s: l.session(SessionConfig{Peer: bob})}
		x.says(a.describe(), public)
		y.tell(a.describe())
		y.says(b.describe(), bob)
		x.tell(b.describe())
		Bridge(x.s, y.s)

		a.talk(x.to, 0xa, 1, 1)
		sent := b.talk(y.to, 0xb, 1, 50)
		wait(time.Second)
		got, _ := a.heard()
		sameBytes(t, "to the phone behind the NAT", got, sent)

		nat.Reboot() // all mappings gone: the phone goes on from another port
		wait(6 * time.Second)
		a.talk(x.to, 0xa, 302, 2)
		sent = b.talk(y.to, 0xb, 51, 10)
		wait(time.Second)
		got, _ = a.heard()
		sameBytes(t, "after the NAT has forgotten", got, sent)
	})
}
