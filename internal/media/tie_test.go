package media

import (
	"net/netip"
	"testing"
	"time"
)

func TestTieDecides(t *testing.T) {
	a, b := new(netip.AddrPort), new(netip.AddrPort)
	for _, c := range []struct {
		name  string
		looks []bond
		want  bool // after the last
	}{
		{"first look", []bond{{source: a}}, false},
		{"the same twice", []bond{{source: a}, {source: a}}, true},
		{"another", []bond{{source: a}, {source: b}}, false},
		{"another twice", []bond{{source: a}, {source: b}, {source: b}}, true},
		{"nobody", []bond{{}, {}}, false},
		{"falls silent", []bond{{source: a}, {source: a}, {}}, false},
		{"is back", []bond{{source: a}, {}, {source: a}}, false},
		{"is back and stays", []bond{{}, {source: a}, {source: a}}, true},
		{"somebody else speaks, or a description comes", []bond{{source: a}, {source: a}, {source: a, seen: 1}}, false},
		{"and no more", []bond{{source: a}, {source: a, seen: 1}, {source: a, seen: 1}}, true},
	} {
		var x tie
		got := false
		for _, b := range c.looks {
			got = x.decide(b)
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// tied is the peer of an RTP port.
func tied(g *leg) netip.AddrPort {
	if st := g.s.Streams()[0]; st.tie.tied {
		return *st.tie.source
	}
	return netip.AddrPort{}
}

// A party that keeps to its address is the only one who is heard; it may move all the same.
func TestPartyMovesAwayFromATie(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		stranger := l.phone(mallory, 4000)
		const second = 50 // packets
		talk := func(p *phone, seq uint16, n int) [][]byte {
			t.Helper()
			sent := p.talk(x.to, 0xa, seq, n)
			wait(100 * time.Millisecond)
			return sent
		}
		heard := func(when string, want [][]byte) {
			t.Helper()
			got, _ := b.heard()
			sameBytes(t, when, got, want)
		}
		heard("at first", talk(a, 0, 5*second))
		if tied(x) != a.address() {
			t.Fatalf("tied to %v after five seconds", tied(x))
		}
		foreign := x.s.Stats()[0].Foreign
		stranger.talk(x.to, 0xbad, 1, 5)
		wait(100 * time.Millisecond)
		heard("from a stranger", nil)
		if now := x.s.Stats()[0].Foreign; now != foreign {
			t.Errorf("a stranger was counted %d times", now-foreign)
		}
		if fromB := b.talk(y.to, 0xb, 1, 5); true {
			wait(100 * time.Millisecond)
			got, _ := a.heard()
			sameBytes(t, "to a", got, fromB)
		}

		// Silence, then the same stream from another port of the host.
		wait(relatchAfter + time.Second)
		if tied(x).IsValid() {
			t.Fatalf("tied to %v, who is silent", tied(x))
		}
		moved := l.phoneOn(a.host, 4010)
		heard("from another port", talk(moved, 5*second, 5*second))
		if tied(x).IsValid() {
			t.Errorf("tied to %v, though the address that the party has named outranks it", tied(x))
		}

		// A new description moves the party at once.
		again := l.phoneOn(a.host, 4020)
		x.says(describeAt(t, again.address(), 2), alice)
		heard("after a new description", talk(again, 10*second, 5*second))
		if tied(x) != again.address() {
			t.Fatalf("tied to %v after the description", tied(x))
		}
		if fromB := b.talk(y.to, 0xb, 10, 5); true {
			wait(100 * time.Millisecond)
			got, _ := again.heard()
			sameBytes(t, "to where a is now", got, fromB)
		}
	})
}

// Where the party was told another address than the one that the system would take, its port has no peer.
func TestNoTieBehindAnotherAddress(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		public := netip.MustParseAddr("203.0.113.1")
		for _, c := range []struct {
			source, peer netip.Addr
			advertise    netip.Addr
			want         bool
		}{
			{alice, alice, netip.Addr{}, true},
			{alice, bob, netip.Addr{}, true},
			{alice, alice, public, false},
			{alice, alice, exchange4, true},
			{bob6, alice, netip.Addr{}, true},
			{netip.MustParseAddr("127.0.0.1"), alice, netip.Addr{}, false},
		} {
			l.e.advertise = func(netip.Addr) netip.Addr { return c.advertise }
			if got := l.e.reaches(c.source, c.peer); got != c.want {
				t.Errorf("from %v, signalling from %v, told %v: %v", c.source, c.peer, c.advertise, got)
			}
		}
		l.e.advertise = nil
	})
}
