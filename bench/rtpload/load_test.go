package main

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/media/srtp"
	"dialtone/internal/network"
)

// Two parties that talk to each other without a relay: all that was sent is counted as received, and nothing else is.
func TestLoadCountsWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := network.NewMemory(network.MemoryConfig{Test: t})
		host := m.Host(netip.MustParseAddr("192.0.2.1"))
		poller, err := host.NewPoller(1)
		if err != nil {
			t.Fatal(err)
		}
		defer poller.Close()
		l := newLoad(2)
		for i := range 2 {
			if _, err := l.open(poller, netip.AddrPortFrom(host.Addr(), uint16(4000+2*i)), i); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range l.parties {
			p.to = p.far.writer.LocalAddr()
		}
		l.talk(100 * time.Millisecond)
		l.begin()
		l.talk(time.Second)
		if err := l.parties[0].writer.WriteTo([]byte("no packet"), l.parties[1].writer.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		<-time.After(100 * time.Millisecond)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.sent != 100 || l.received != 100 || l.strange != 1 {
			t.Errorf("sent %d, received %d, strange %d", l.sent, l.received, l.strange)
		}
	})
}

// A party takes the key of its own suite, encrypts with its own key, and believes no other.
func TestPartyKeys(t *testing.T) {
	m := network.NewMemory(network.MemoryConfig{Test: t})
	host := m.Host(netip.MustParseAddr("192.0.2.1"))
	poller, err := host.NewPoller(1)
	if err != nil {
		t.Fatal(err)
	}
	defer poller.Close()
	l := newLoad(2)
	var parties [2]*party
	for i := range parties {
		if parties[i], err = l.open(poller, netip.AddrPortFrom(host.Addr(), uint16(4000+2*i)), i); err != nil {
			t.Fatal(err)
		}
		if err := parties[i].makeKey(); err != nil {
			t.Fatal(err)
		}
	}
	a := parties[0]
	text := a.describe(3)
	if !strings.Contains(text, "a=crypto:3 "+suites[0]+" inline:") || !strings.Contains(text, " RTP/SAVP 0") {
		t.Errorf("description %q", text)
	}
	if _, err := parties[1].hear(text, true); err == nil {
		t.Error("a key of another suite was taken")
	}
	tag, err := a.hear(text, true) // as if the relay had sent it back
	if err != nil || tag != 3 || a.to != a.writer.LocalAddr() {
		t.Fatalf("tag %d to %v, %v", tag, a.to, err)
	}
	l.begin()
	a.far = a // what it sends comes back
	a.sequence = 7
	a.say()
	sealed := append([]byte(nil), a.buffer...)
	forged := append([]byte(nil), sealed...)
	forged[20] ^= 1
	a.HandlePackets(nil, []network.Packet{{Data: forged}, {Data: sealed}})
	if l.received != 1 || l.strange != 1 {
		t.Errorf("received %d, strange %d", l.received, l.strange)
	}
	if srtp.Named(suites[0]) == nil || srtp.Named(suites[1]) == nil || suites[0] == suites[1] {
		t.Errorf("suites %q", suites)
	}
}
