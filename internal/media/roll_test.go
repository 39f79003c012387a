package media

import (
	"net/netip"
	"testing"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

func shortPacket(ssrc uint32) []byte {
	return (&rtp.Packet{SSRC: ssrc, Payload: make([]byte, 20)}).Append(nil)
}

// Whose a packet is, by what several parties claim.
func TestRollFindsTheOwner(t *testing.T) {
	home, voice := at("198.51.100.1:4000"), uint32(7)
	ports := map[string]*port{}
	claims := func(list map[string]*claim) *roll {
		r := newRoll()
		for name, c := range list {
			ports[name] = new(port)
			c.port = ports[name]
			r.enter(c, false)
		}
		return r
	}
	proven, said := []place{{home, true}}, []place{{home, false}}
	hosts := []netip.Addr{alice}
	for _, c := range []struct {
		name   string
		claims map[string]*claim
		from   netip.AddrPort
		ssrc   uint32
		want   string // "": nobody
	}{
		{"where it was heard", map[string]*claim{"a": {sources: proven}}, home, 1, "a"},
		{"where it says that it is", map[string]*claim{"a": {sources: said}}, home, 1, "a"},
		{"another port of a host that was heard", map[string]*claim{"a": {sources: proven, hosts: hosts}}, at("198.51.100.1:4001"), 1, ""},
		{"said by one, expected by another", map[string]*claim{"a": {sources: said}, "b": {hosts: hosts, waits: anywhere}}, home, 1, ""},
		{"said by one, heard by another", map[string]*claim{"a": {sources: said}, "b": {sources: proven}}, home, 1, "b"},
		{"two at one address, by SSRC", map[string]*claim{"a": {sources: proven, ssrc: 7, voiced: true}, "b": {sources: proven, ssrc: 8, voiced: true}}, home, voice, "a"},
		{"two at one address, the one without SSRC", map[string]*claim{"a": {sources: proven, ssrc: 8, voiced: true}, "b": {sources: proven}}, home, voice, "b"},
		{"two at one address, neither heard", map[string]*claim{"a": {sources: proven}, "b": {sources: proven}}, home, voice, ""},
		{"one awaited from the host", map[string]*claim{"a": {hosts: hosts, waits: anywhere}}, at("198.51.100.1:777"), 1, "a"},
		{"two awaited from the host", map[string]*claim{"a": {hosts: hosts, waits: anywhere}, "b": {hosts: hosts, waits: elsewhere}}, at("198.51.100.1:777"), 1, ""},
		{"awaited from another host", map[string]*claim{"a": {hosts: hosts, waits: anywhere}}, at("198.51.100.2:777"), 1, ""},
		{"a new mapping, known by SSRC", map[string]*claim{"a": {sources: proven, hosts: hosts, ssrc: 7, voiced: true}, "b": {hosts: hosts, waits: anywhere}}, at("198.51.100.1:777"), voice, "a"},
		{"another network, without keys", map[string]*claim{"a": {sources: proven, hosts: hosts, ssrc: 7, voiced: true}}, at("203.0.113.9:777"), voice, ""},
		{"another network, with keys", map[string]*claim{"a": {sources: proven, hosts: hosts, ssrc: 7, voiced: true, encrypted: true}}, at("203.0.113.9:777"), voice, "a"},
		{"another network, two with keys", map[string]*claim{"a": {hosts: hosts, ssrc: 7, voiced: true, encrypted: true}, "b": {hosts: hosts, ssrc: 7, voiced: true, encrypted: true}}, at("203.0.113.9:777"), voice, ""},
	} {
		r := claims(c.claims)
		owners := []*port{new(port)}
		r.find(owners, []network.Packet{{Data: shortPacket(c.ssrc), Addr: c.from}}, 1)
		var want *port
		if c.want != "" {
			want = ports[c.want]
		}
		if owners[0] != want {
			t.Errorf("%s: wrong owner", c.name)
		}
		for _, x := range c.claims {
			r.leave(x, 1)
		}
		if len(r.voices)+len(r.ufrags)+len(r.waiting) != 0 {
			t.Errorf("%s: the roll keeps %+v", c.name, r)
		}
	}
}

// Who could be taken for another one is refused.
func TestRollRefusesDoubles(t *testing.T) {
	hosts, other := []netip.Addr{alice}, []netip.Addr{bob}
	for _, c := range []struct {
		name          string
		first, second claim
		want          bool
	}{
		{"the same address", claim{sources: []place{{at("198.51.100.1:4000"), true}}}, claim{sources: []place{{at("198.51.100.1:4000"), false}}}, false},
		{"two behind one NAT", claim{hosts: hosts, waits: anywhere}, claim{hosts: hosts, waits: anywhere}, false},
		{"one behind the NAT of one that is known", claim{hosts: hosts, waits: elsewhere}, claim{hosts: hosts, waits: anywhere}, false},
		{"one that has said nothing beside one that is known", claim{hosts: hosts, waits: elsewhere}, claim{hosts: hosts, waits: unsaid}, true},
		{"one that has said nothing beside one behind a NAT", claim{hosts: hosts, waits: anywhere}, claim{hosts: hosts, waits: unsaid}, false},
		{"two that have said nothing", claim{hosts: hosts, waits: unsaid}, claim{hosts: hosts, waits: unsaid}, false},
		{"two that are known on one host", claim{hosts: hosts, waits: elsewhere}, claim{hosts: hosts, waits: elsewhere}, true},
		{"one that was heard, one behind its NAT", claim{hosts: hosts}, claim{hosts: hosts, waits: anywhere}, true},
		{"two hosts", claim{hosts: hosts, waits: anywhere}, claim{hosts: other, waits: anywhere}, true},
	} {
		r := newRoll()
		c.first.port, c.second.port = new(port), new(port)
		if !r.enter(&c.first, true) || r.enter(&c.second, true) != c.want {
			t.Errorf("%s: accepted is %v", c.name, !c.want)
		}
	}
}

// Late packets of a stream that has gone reach no other one, not even its successor at the same address; those of the
// successor do.
func TestRollKeepsLatePacketsAway(t *testing.T) {
	home := at("198.51.100.1:4000")
	r := newRoll()
	old := &claim{port: new(port), sources: []place{{home, true}}, ssrc: 7, voiced: true}
	r.enter(old, true)
	r.leave(old, 0)
	owner := func(ssrc uint32, now time.Duration) *port {
		owners := make([]*port, 1)
		r.find(owners, []network.Packet{{Data: shortPacket(ssrc), Addr: home}}, int64(now))
		return owners[0]
	}
	wide := &claim{port: new(port), hosts: []netip.Addr{alice}, waits: anywhere}
	r.enter(wide, true)
	if owner(7, time.Second) != nil || owner(8, time.Second) != nil {
		t.Error("packets of the old stream reach one that merely awaits the host")
	}
	if owner(8, quarantine) != wide.port {
		t.Error("the address is barred for longer than the quarantine")
	}
	r.leave(wide, 0)
	next := &claim{port: new(port), sources: []place{{home, true}}}
	if !r.enter(next, true) {
		t.Fatal("an address that is free again is refused")
	}
	if owner(7, time.Second) != nil {
		t.Error("late packets reach the next stream of the address")
	}
	if owner(8, time.Second) != next.port {
		t.Error("the next stream of the address is not heard")
	}
	r.leave(next, int64(time.Second))
	r.leave(&claim{port: new(port)}, int64(time.Minute))
	if len(r.sources) != 0 || len(r.leaving) != 0 {
		t.Errorf("%d addresses are kept, %d departures", len(r.sources), len(r.leaving))
	}
}

// An address that rested, was used again and was given up for another one is forgotten.
func TestRollForgets(t *testing.T) {
	home, away := at("198.51.100.1:4000"), at("198.51.100.1:4002")
	r := newRoll()
	first := &claim{port: new(port), sources: []place{{home, true}}}
	r.enter(first, true)
	r.leave(first, 0)
	second := &claim{port: new(port), sources: []place{{home, true}}}
	r.enter(second, true)
	r.leave(&claim{port: new(port)}, int64(time.Minute)) // what rested long enough is looked for now
	moved := &claim{port: second.port, sources: []place{{away, true}}}
	r.replace(second, moved)
	if r.sources[home] != nil || len(r.sources) != 1 {
		t.Errorf("%d addresses are kept", len(r.sources))
	}
}

// What many strangers and many departures leave behind is bounded.
func TestRollIsBounded(t *testing.T) {
	r := newRoll()
	for i := range maxLeaving + 1000 {
		home := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 4000)
		c := &claim{port: new(port), sources: []place{{home, true}}}
		r.enter(c, true)
		r.leave(c, 0)
	}
	if len(r.sources) > maxLeaving || len(r.leaving) > maxLeaving {
		t.Errorf("%d addresses, %d departures", len(r.sources), len(r.leaving))
	}
	home := at("198.51.100.1:4000")
	for range 100 {
		r.enter(&claim{port: new(port), sources: []place{{home, true}}, ssrc: 1, voiced: true}, false)
	}
	if n := len(r.sources[home].claims); n != maxSeat {
		t.Errorf("%d streams at one address", n)
	}
	if n := len(r.voices[1]); n != maxVoices {
		t.Errorf("%d streams with one SSRC", n)
	}
}

func TestRollAllocatesNothing(t *testing.T) {
	r := newRoll()
	c := &claim{port: new(port), sources: []place{{at("198.51.100.1:4000"), true}}, ssrc: 7, voiced: true}
	r.enter(c, true)
	ps := []network.Packet{{Data: shortPacket(7), Addr: at("198.51.100.1:4000")}, {Data: shortPacket(9), Addr: at("203.0.113.5:9")}}
	owners := make([]*port, len(ps))
	if n := testing.AllocsPerRun(100, func() { r.find(owners, ps, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if owners[0] != c.port || owners[1] != nil {
		t.Error("wrong owners")
	}
}

// Whatever comes from wherever, its owner is one who claims that address or awaits that host.
func FuzzRoll(f *testing.F) {
	f.Add(shortPacket(7), uint8(1), uint16(4000))
	f.Add(shortPacket(8), uint8(2), uint16(1))
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(1), uint16(1))
	r := newRoll()
	a := &claim{port: new(port), sources: []place{{at("198.51.100.1:4000"), true}}, hosts: []netip.Addr{alice}, ssrc: 7, voiced: true}
	b := &claim{port: new(port), hosts: []netip.Addr{bob}, ufrags: []string{"ours"}, waits: anywhere}
	r.enter(a, true)
	r.enter(b, true)
	f.Fuzz(func(t *testing.T, data []byte, host uint8, number uint16) {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, host}), number)
		owners := make([]*port, 1)
		r.find(owners, []network.Packet{{Data: data, Addr: from}}, 1)
		switch owners[0] {
		case nil:
		case a.port:
			if from.Addr() != alice {
				t.Fatalf("%x from %v is for the first", data, from)
			}
		case b.port:
			if ssrc, voiced := speaker(data); from.Addr() != bob && (voiced || ssrc != 0) {
				t.Fatalf("%x from %v is for the second", data, from)
			}
		}
	})
}
