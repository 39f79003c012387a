package main

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dialtone/bench/ng"
	"dialtone/internal/media"
	"dialtone/internal/network"
	"dialtone/internal/sdp"
)

// A call by the control protocol: the ports of offer and answer lead to each other, a request that comes again gets the same
// answer, and nothing is left in the end.
func TestControlMakesACall(t *testing.T) {
	m := network.NewMemory(network.MemoryConfig{Test: t})
	local, party := netip.MustParseAddr("192.0.2.1"), m.Host(netip.MustParseAddr("192.0.2.2"))
	e, err := media.New(media.Config{Network: m.Host(local), Workers: 1, Ports: media.PortRange{Min: 30000, Max: 30099}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := newControl(e)
	from := netip.AddrPortFrom(party.Addr(), 9000)
	ask := func(cookie string, fields ...string) map[string]string {
		t.Helper()
		answer := c.handle(ng.AppendFields([]byte(cookie+" "), fields...), from)
		text, found := strings.CutPrefix(string(answer), cookie+" ")
		if !found {
			t.Fatalf("answer %q", answer)
		}
		got, err := ng.ParseFields([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	describe := func(port string) string {
		return "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio " + port + " RTP/AVP 0\r\n"
	}
	if got := ask("1", "command", "ping"); got["result"] != "pong" {
		t.Errorf("ping: %q", got)
	}
	offer := ask("2", "call-id", "x", "command", "offer", "sdp", describe("4000"))
	if again := ask("2", "call-id", "x", "command", "offer", "sdp", describe("4000")); !maps.Equal(offer, again) {
		t.Errorf("the same request got %q and %q", offer, again)
	}
	answer := ask("3", "call-id", "x", "command", "answer", "sdp", describe("5000"))
	var to [2]netip.AddrPort
	for i, text := range []string{answer["sdp"], offer["sdp"]} {
		d, err := sdp.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		to[i] = d.Address(0)
	}
	var socket [2]network.PacketConn
	for i, port := range []uint16{4000, 5000} {
		if socket[i], err = party.ListenPacket(netip.AddrPortFrom(party.Addr(), port), false); err != nil {
			t.Fatal(err)
		}
		defer socket[i].Close()
	}
	for i := range socket {
		sent := append([]byte{0x80, 0, 0, byte(i)}, make([]byte, 168)...)
		if err := socket[i].WriteTo(sent, to[i]); err != nil {
			t.Fatal(err)
		}
		ps := []network.Packet{{Data: make([]byte, 2048)}}
		if _, err := socket[1-i].ReadBatch(ps); err != nil || !slices.Equal(ps[0].Data, sent) {
			t.Errorf("party %d hears %x from %v, %v", 1-i, ps[0].Data, ps[0].Addr, err)
		}
	}
	if got := ask("4", "call-id", "y", "command", "answer", "sdp", describe("1")); got["result"] != "error" {
		t.Errorf("answer without an offer: %q", got)
	}
	if got := ask("5", "call-id", "x", "command", "dance"); got["result"] != "error" {
		t.Errorf("unknown command: %q", got)
	}
	if ask("6", "call-id", "x", "command", "delete"); e.Counters().Sessions != 0 {
		t.Errorf("%d sessions are left", e.Counters().Sessions)
	}
	if got := c.handle([]byte("no request"), from); got != nil {
		t.Errorf("answered with %q", got)
	}
}
