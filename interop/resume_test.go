package interop

import (
	"syscall"
	"testing"
	"time"
)

// TestCallIsTakenUpAgain: the server is killed in the middle of a call; another process that reads what it has written
// down relays on the same ports, answers hold and resume inside the same dialogs, takes the BYE, and writes one record.
func TestCallIsTakenUpAgain(t *testing.T) {
	x := serve(t, setup{site: site(registering("101"), registering("102")), sip: "resume = true"})
	a := x.phone(phoneSetup{number: "101", transport: "udp", hz: toneA})
	b := x.phone(phoneSetup{number: "102", transport: "udp", hz: toneB})
	x.registered(2)
	connect(a, b, "102")
	const before, after = 2 * time.Second, 6 * time.Second
	time.Sleep(before)

	x.signal(syscall.SIGKILL)
	x.wait(5 * time.Second)
	x.boot()
	if calls := x.status().Calls; calls != 1 {
		t.Fatalf("%d calls after the restart, want the one that was cut", calls)
	}
	time.Sleep(after)
	a.tell("hold", "") // a re-INVITE in a dialog that the other process had made
	time.Sleep(time.Second)
	a.tell("resume", "")
	time.Sleep(time.Second)
	disconnect(b, a) // the BYE comes on the leg that we had made

	// More than the first process can have relayed: the phones never learnt of other ports. What a phone hears after its
	// hold it does not record.
	a.hears(toneB, toneA, after)
	b.hears(toneA, toneB, after)
	r := x.record() // exactly one
	if r.Cause == nil || r.Cause.Words != "normal" || *r.From != "101" || *r.To != "102" {
		t.Errorf("record %+v", r)
	}
	if talk := time.Duration(*r.TalkMS) * time.Millisecond; talk < before+after || talk > 20*time.Second {
		t.Errorf("talked for %v: the record must cover both processes", talk)
	}
	if *r.HoldMS < 500 {
		t.Errorf("held for %d ms", *r.HoldMS)
	}
	x.idle()
}
