package guard

import (
	"net/netip"
	"testing"
	"time"
)

// TestNewPhoneBehindABannedAddress: somebody behind the address of good phones guesses passwords until it is banned. The
// good phones go on, one of them finds its way back with a new port, and the guesser gains nothing by it.
func TestNewPhoneBehindABannedAddress(t *testing.T) {
	var begun []Ban
	g := newGuard(t, Config{Began: func(b Ban) { begun = append(begun, b) }})
	nat := netip.MustParseAddr("192.0.2.1")
	at := func(port int) netip.AddrPort { return netip.AddrPortFrom(nat, uint16(port)) }
	now := epoch
	for port := 5000; port < 5010; port++ {
		g.AuthPassed(at(port), now)
	}
	guesses := 0
	for ; !g.AuthFailed(at(6000), now); guesses++ {
		now = now.Add(10 * time.Millisecond)
	}
	if guesses < 5 {
		t.Fatalf("banned after %d guesses", guesses)
	}
	if len(begun) != 1 || begun[0].Source.Addr() != nat || begun[0].Reason != ReasonPassword || !begun[0].Until.Equal(now.Add(time.Minute)) || begun[0].Count != 1 {
		t.Errorf("told of %+v", begun)
	}
	if admitted(g, at(5003), 60, now) != 60 {
		t.Error("a good phone suffers")
	}
	if n := admitted(g, at(7000), 4, now); n != 4 {
		t.Errorf("%d of 4 messages of a phone with a new port got in", n)
	}
	g.AuthPassed(at(7000), now)
	if admitted(g, at(7000), 60, now) != 60 {
		t.Error("the phone with a new port suffers when it has authenticated")
	}
	in := 0
	for i := range 600 { // ten a second for a minute, which is the ban, each from another port
		now = now.Add(99 * time.Millisecond)
		in += admitted(g, at(6000), 1, now)
		in += admitted(g, at(10000+i), 1, now)
	}
	if in > 16 {
		t.Errorf("the guesser got %d messages in during the ban", in)
	}

	// Who is banned by hand is banned, and so is who has no good phones.
	g.Ban(nat, time.Minute, now)
	if n := admitted(g, at(7001), 10, now); n > 0 {
		t.Errorf("%d messages got in through a ban by hand", n)
	}
	lone := addrPort("192.0.2.2:5060")
	for !g.AuthFailed(lone, now) {
	}
	if n := admitted(g, lone, 10, now); n > 0 {
		t.Errorf("%d messages of a banned stranger got in", n)
	}
	if len(begun) != 3 || begun[1].Reason != ReasonOperator || begun[2].Source.Addr() != lone.Addr() {
		t.Errorf("told of %+v", begun)
	}
}

// TestBegan: every kind of ban is told of once.
func TestBegan(t *testing.T) {
	var begun []Reason
	g := newGuard(t, Config{RequestsPerSecond: 10, Burst: 15, Probes: 3, Began: func(b Ban) { begun = append(begun, b.Reason) }})
	flood, probe, scan := addrPort("192.0.2.3:1"), addrPort("192.0.2.4:1"), addrPort("192.0.2.5:1")
	if n := admitted(g, flood, 20, epoch); n != 15 {
		t.Errorf("%d at once, want the burst", n)
	}
	admitted(g, flood, 200, epoch)
	for range 5 {
		g.Challenged(probe, epoch)
	}
	for range 10 {
		g.Scanned(scan, []byte("friendly-scanner"), epoch)
	}
	want := []Reason{ReasonFlood, ReasonProbe, ReasonScanner}
	if len(begun) != 3 || begun[0] != want[0] || begun[1] != want[1] || begun[2] != want[2] {
		t.Errorf("told of %v, want %v", begun, want)
	}
}
