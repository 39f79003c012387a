package media

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/network"
)

// A description must not make us send to hosts that never asked for it.
func TestUnreachableAddressesGetNothing(t *testing.T) {
	for _, c := range []struct {
		named, signalled string
		reachable        bool
	}{
		{"198.51.100.1:4000", "198.51.100.1", true},
		{"10.0.0.1:4000", "198.51.100.1", true}, // a phone behind a NAT that has not spoken yet
		{"127.0.0.1:53", "198.51.100.1", false},
		{"[::1]:53", "2001:db8::1", false},
		{"127.0.0.1:4000", "127.0.0.1", true},
		{"[::1]:4000", "127.0.0.1", true},
		{"224.0.0.1:4000", "198.51.100.1", false},
		{"[ff02::1]:4000", "2001:db8::1", false},
		{"255.255.255.255:4000", "198.51.100.1", false},
		{"0.0.0.0:4000", "198.51.100.1", false},
		{"198.51.100.1:0", "198.51.100.1", false},
	} {
		if got := reachable(at(c.named), netip.MustParseAddr(c.signalled)).IsValid(); got != c.reachable {
			t.Errorf("%s signalled from %s: reachable %v", c.named, c.signalled, got)
		}
	}
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, describeAt(t, at("127.0.0.1:10020"), 1), b.describe())
		stray := 0
		l.net.Tap(func(f network.Frame) {
			if f.To.Addr().IsLoopback() {
				stray++
			}
		})
		b.talk(y.to, 1, 1, 10)
		a.talk(x.to, 2, 1, 1) // the signalling host speaks: from now on it is heard and told
		b.heard()
		sent := b.talk(y.to, 1, 11, 10)
		wait(time.Second)
		got, _ := a.heard()
		sameBytes(t, "after the party has spoken", got, sent)
		if stray != 0 {
			t.Errorf("%d packets went astray", stray)
		}
	})
}

// However many m-lines a description has, few ports are opened for them, and every line keeps its place.
func TestManyStreams(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.net.Host(alice)
		text := describeAt(t, at("10.0.0.1:4000"), 1).String()
		for i := range 40 {
			text += fmt.Sprintf("m=audio %d RTP/AVP 0\r\n", 5000+2*i)
		}
		s := l.session(SessionConfig{Peer: alice})
		ours, err := s.Offer(parse(t, text))
		if err != nil {
			t.Fatal(err)
		}
		open := 0
		for i := range ours.Media {
			if ours.Media[i].Port != 0 {
				open++
			}
		}
		if len(ours.Media) != 41 || open != maxStreams || l.e.Counters().PortsUsed != maxStreams {
			t.Errorf("%d m-lines, %d open, %+v", len(ours.Media), open, l.e.Counters())
		}
	})
}

// An audio stream that a re-INVITE turns into fax in the same m-line, and back.
func TestStreamChangesItsKind(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		a.talk(x.to, 1, 1, 5)
		change := func(edit func(string) string) {
			offer, answer := parse(t, edit(a.describe().String())), parse(t, edit(b.describe().String()))
			x.says(offer, alice)
			y.tell(offer)
			y.says(answer, bob)
			x.tell(answer)
			b.heard()
		}
		to := x.to
		change(func(text string) string {
			text, _, _ = strings.Cut(strings.Replace(strings.Replace(text, " 77 1 ", " 77 2 ", 1), "m=audio", "m=image", 1), "a=rtpmap")
			return strings.Replace(text, "RTP/AVP 0 8 101", "udptl t38", 1)
		})
		if k := x.s.Streams()[0].Kind(); k != "image" || x.s.Audio() != nil || x.to != to {
			t.Errorf("stream is %q at %v", k, x.to)
		}
		fax := []byte{0, 7, 1, 2}
		a.send(fax, x.to)
		wait(time.Second)
		got, _ := b.heard()
		sameBytes(t, "fax", got, [][]byte{fax})
		change(func(text string) string { return strings.Replace(text, " 77 1 ", " 77 3 ", 1) })
		a.send(fax, x.to)
		sent := a.talk(x.to, 1, 6, 5)
		wait(time.Second)
		got, _ = b.heard()
		sameBytes(t, "speech again", got, sent)
	})
}

// Garbage ends nothing: the call goes on, and each packet is counted.
func TestGarbageIsCounted(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, _ := l.call(a, b, a.describe(), b.describe())
		a.talk(x.to, 1, 1, 2)
		for i := range 1000 {
			a.send([]byte{0x80 | byte(i&0x3f), byte(i), byte(i >> 3)}, x.to)
		}
		b.heard()
		sent := a.talk(x.to, 1, 3, 5)
		wait(time.Second)
		got, _ := b.heard()
		var speech []network.Packet
		for _, p := range got {
			if len(p.Data) > 100 {
				speech = append(speech, p)
			}
		}
		sameBytes(t, "speech after garbage", speech, sent)
		if c := l.e.Counters(); c.Malformed+c.ControlIn < 1000 {
			t.Errorf("counters %+v", c)
		}
	})
}
