package proxy

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// What redirections say is kept for as long as they say, and never more of it than there is room for.
func TestMovedIsBounded(t *testing.T) {
	var c moved
	now := time.Now()
	at := func(n int) *way { return &way{uri: fmt.Appendf(nil, "sip:%d@h", n)} }
	place := func(d time.Duration) []place { return []place{{uri: []byte("sip:x@h"), q: 1000, until: now.Add(d)}} }
	for n := range 2 * maxMoved {
		c.remember(at(n), place(time.Minute), now)
	}
	if len(c.entries) != maxMoved || int(c.n.Load()) != maxMoved {
		t.Errorf("%d entries, counted %d", len(c.entries), c.n.Load())
	}
	if c.recall(at(0), now) == nil || c.recall(at(2*maxMoved-1), now) != nil {
		t.Error("the first was driven out by the last")
	}
	// When they are over there is room again.
	now = now.Add(time.Hour)
	c.remember(at(-1), place(time.Minute), now)
	if len(c.entries) != 1 || c.recall(at(-1), now) == nil {
		t.Errorf("%d entries", len(c.entries))
	}
	if c.recall(at(-1), now.Add(time.Minute)) != nil || c.n.Load() != 0 {
		t.Error("it is remembered for longer than it was said")
	}
	// A set of which a part is for once only is not remembered: that part would be missing.
	c.remember(at(1), append(place(time.Minute), place(0)...), now)
	if c.recall(at(1), now) != nil {
		t.Error("half of a redirection is remembered")
	}
	c.remember(at(1), place(time.Minute), now)
	c.forget(at(1))
	if c.recall(at(1), now) != nil || c.n.Load() != 0 {
		t.Error("it was not forgotten")
	}
}

// Phones behind different NATs may have the same contact, and are not the same.
func TestKeyOfAWay(t *testing.T) {
	one := location.Flow{Transport: "udp", Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort("198.51.100.1:1")}
	two := one
	two.Remote = netip.MustParseAddrPort("198.51.100.2:1")
	ways := []way{
		{uri: []byte("sip:a@10.0.0.1")}, {uri: []byte("sip:a@10.0.0.1"), bound: true, flow: one}, {uri: []byte("sip:a@10.0.0.1"), bound: true, flow: two},
		{uri: []byte("sip:a@10.0.0.1"), routes: []byte("<sip:p;lr>")}, {uri: []byte("sip:b@10.0.0.1")},
	}
	seen := map[string]bool{}
	for i := range ways {
		k := string(ways[i].key())
		if seen[k] {
			t.Errorf("%q twice", k)
		}
		seen[k] = true
	}
}

func TestWithContacts(t *testing.T) {
	m := message(t, "SIP/2.0 302 Moved Temporarily\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\nVia: SIP/2.0/UDP b;branch=z9hG4bK2\nm: <sip:1@h>, <sip:2@h>;q=0.5\n"+
		"From: <sip:f@h>;tag=1\nContact: <sip:3@h>\nTo: <sip:t@h>;tag=2\nCall-ID: c\nCSeq: 7 INVITE\nX: y\nContent-Length: 4\n\nbody")
	got := withContacts(m, [][]byte{[]byte("<sip:2@h>;q=0.5")})
	var contacts []string
	for e := got.Elements(sip.HContact); e.Next(); {
		contacts = append(contacts, string(e.Value()))
	}
	if len(contacts) != 1 || contacts[0] != "<sip:2@h>;q=0.5" || got.Status() != 302 || !bytes.Equal(got.Body(), m.Body()) || got.Len() != m.Len()-1 {
		t.Errorf("%s", got.Bytes())
	}
}
