package teltest

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// office is two lines at one site that lets media go straight, and one elsewhere.
func office(extra string) string {
	var b strings.Builder
	b.WriteString("tenant: default\nsites:\n  - {name: hall, country: IR, direct_media: true}\n  - {name: yard}\nlines:\n")
	for number, site := range map[string]string{"101": "hall", "102": "hall", "103": "yard"} {
		fmt.Fprintf(&b, "  - {number: %q, site: %s, devices: [{username: %q, password: \"pw-%s\"%s}]}\n", number, site, number, number, extra)
	}
	return b.String()
}

// passing counts the RTP packets that go straight between the phones, and those that go through the exchange.
func passing(lab *Lab) func() (straight, through int) {
	var mu sync.Mutex
	var straight, through int
	exchange := netip.MustParseAddr(Addr4)
	lab.Net.Tap(func(f network.Frame) {
		if rtp.Classify(f.Data) != rtp.RTP {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if f.From.Addr() == exchange || f.To.Addr() == exchange {
			through++
		} else {
			straight++
		}
	})
	return func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		s, t := straight, through
		straight, through = 0, 0
		return s, t
	}
}

// At a site that allows it the media of two phones goes straight between them; hold and resume do so, too. When the
// exchange wants to hear it, it comes through, and nobody misses a word for long.
func TestDirectMedia(t *testing.T) {
	inLab(t, Options{Seed: 41, File: office("")}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		count := passing(lab)
		near, far := a.Connect("102", b)
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		lab.Pass(45 * time.Second) // longer than the exchange bears silence
		if straight, through := count(); through != 0 || straight < 2*45*50 {
			t.Errorf("%d packets straight, %d through the exchange", straight, through)
		}
		lab.must(near.Hold(t.Context()))
		lab.Pass(time.Second)
		lab.must(near.Resume(t.Context()))
		lab.Pass(time.Second)
		count()
		lab.Pass(time.Second)
		if straight, through := count(); through != 0 || straight < 95 {
			t.Errorf("after the hold: %d packets straight, %d through the exchange", straight, through)
		}
		for _, r := range lab.Server.Calls().Records() {
			c, _ := lab.Server.Calls().Call(r.ID)
			c.Post(call.Do{F: c.Anchor})
		}
		lab.Pass(2 * time.Second)
		count()
		lab.Pass(2 * time.Second)
		if straight, through := count(); straight != 0 || through < 2*2*95 {
			t.Errorf("anchored: %d packets straight, %d through the exchange", straight, through)
		}
		near.Hangup()
		lab.Ended(near)
		lab.Ended(far)
		r := lab.Record()
		if r.Flags.Bypassed == nil || !*r.Flags.Bypassed || len(r.Legs) != 2 || r.Legs[0].Codec == nil {
			t.Errorf("record %+v %+v", r.Flags, r.Legs)
		}
	})
}

// Whoever is elsewhere, behind a NAT or encrypted in another way is reached through the exchange.
func TestMediaThatCannotBeDirect(t *testing.T) {
	inLab(t, Options{Seed: 42, File: office("")}, func(t *testing.T, lab *Lab) {
		a, c := lab.Phone("101"), lab.Phone("103")
		count := passing(lab)
		near, far := a.Connect("103", c)
		lab.Hears(near, c.Hz)
		lab.Hears(far, a.Hz)
		if straight, through := count(); straight != 0 || through == 0 {
			t.Errorf("another site: %d packets straight, %d through the exchange", straight, through)
		}
		near.Hangup()
		lab.Ended(near)
		if r := lab.Record(); r.Flags.Bypassed == nil || *r.Flags.Bypassed {
			t.Errorf("record %+v", r.Flags)
		}
	})
}

// A phone behind a NAT is not where it says: its media comes through the exchange, though the site would let it go straight.
func TestMediaOfAPhoneBehindANATIsAnchored(t *testing.T) {
	inLab(t, Options{Seed: 43, File: office("")}, func(t *testing.T, lab *Lab) {
		nat := lab.Net.NAT(network.NATConfig{Public: netip.MustParseAddr("198.51.100.1")})
		a, b := lab.Phone("101"), lab.Add(Device{User: "102", NAT: nat})
		near, far := a.Connect("102", b)
		lab.Pass(time.Second)
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		near.Hangup()
		lab.Ended(near)
		lab.Ended(far)
	})
}
