package ice

import (
	"testing"
	"time"
)

// Somebody has seen the peer's checks on their way. What he can sign with that is nothing: sent again from elsewhere a check
// proves no address, moves nothing and gets no answer; sent again from the peer's own address it is answered, and is no
// consent.
func TestReplay(t *testing.T) {
	a := agent(t)
	a.Remote(peerUfrag, "")
	ufrag, pwd := a.Credentials()
	nominating := check(t, ufrag, peerUfrag, pwd, priority(9), controlling, useCandidate)
	later := check(t, ufrag, peerUfrag, pwd, priority(9), controlling, useCandidate)
	if _, v := a.Handle(nil, nominating, alice, 0); v != Moved {
		t.Fatal(v)
	}
	if _, v := a.Handle(nil, later, alice, 5*time.Second); v != Accepted {
		t.Fatal(v)
	}
	for _, seen := range [][]byte{nominating, later} {
		for range 3 {
			if reply, v := a.Handle(nil, seen, carol, 20*time.Second); v != Dropped || len(reply) != 0 || a.Verified(carol) {
				t.Errorf("from elsewhere: %v, reply of %d bytes", v, len(reply))
			}
			reply, v := a.Handle(nil, seen, alice, 34*time.Second)
			if v != Repeated {
				t.Errorf("from the same address: %v", v)
			}
			succeeded(t, reply, pwd, alice)
		}
	}
	selected(t, a, alice)
	if !a.Fresh(34*time.Second) || a.Fresh(35*time.Second) {
		t.Error("consent is counted from the last check that is new")
	}

	// The signature is over everything: no field of a check that was seen can be another.
	for i := range later {
		forged := append([]byte(nil), later...)
		forged[i] ^= 1
		if _, v := a.Handle(nil, forged, carol, 34*time.Second); v >= Accepted {
			t.Errorf("byte %d changed: %v", i, v)
		}
	}
}

// However long the peer goes on, what is remembered of its checks is bounded, and reaches back for an hour of consent.
func TestReplayAfterLong(t *testing.T) {
	a := agent(t)
	a.Remote(peerUfrag, "")
	ufrag, pwd := a.Credentials()
	every := 5 * time.Second
	var seen [][]byte
	for i := range 3 * maxChecks {
		b := check(t, ufrag, peerUfrag, pwd, useCandidate)
		if _, v := a.Handle(nil, b, alice, time.Duration(i)*every); v < Accepted || v == Repeated {
			t.Fatalf("check %d: %v", i, v)
		}
		seen = append(seen, b)
	}
	if len(a.checks) != maxChecks || cap(a.checks) > 2*maxChecks {
		t.Errorf("%d checks are remembered, with room for %d", len(a.checks), cap(a.checks))
	}
	for i, b := range seen[len(seen)-int(time.Hour/every):] {
		if _, v := a.Handle(nil, b, carol, 5*time.Hour); v != Dropped {
			t.Fatalf("check %d of the last hour: %v", i, v)
		}
	}
}
