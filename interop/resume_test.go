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
	time.Sleep(3 * time.Second)

	x.signal(syscall.SIGKILL)
	x.wait(5 * time.Second)
	end := capture(t, x.rtp[0], x.rtp[1])
	x.boot()
	if calls := x.status().Calls; calls != 1 {
		t.Fatalf("%d calls after the restart, want the one that was cut", calls)
	}
	time.Sleep(3 * time.Second)
	a.tell("hold", "") // a re-INVITE in a dialog that the other process had made
	time.Sleep(time.Second)
	a.tell("resume", "")
	time.Sleep(2 * time.Second)
	disconnect(b, a) // the BYE comes from the leg that we had made
	file := end()

	// The first process was killed before this capture: what both phones were sent came through the second one.
	tones := map[float64]time.Duration{}
	for _, pcm := range x.onTheWire(file) {
		for _, hz := range []float64{toneA, toneB} {
			tones[hz] = max(tones[hz], sounds(pcm, hz))
		}
	}
	for _, hz := range []float64{toneA, toneB} {
		if tones[hz] < 2*time.Second {
			t.Errorf("%.0f Hz was relayed for %v after the restart", hz, tones[hz])
		}
	}
	r := x.record() // exactly one
	if r.Cause == nil || r.Cause.Words != "normal" || *r.From != "101" || *r.To != "102" {
		t.Errorf("record %+v", r)
	}
	if talk := time.Duration(*r.TalkMS) * time.Millisecond; talk < 8*time.Second || talk > 20*time.Second {
		t.Errorf("talked for %v: the record must cover both processes", talk)
	}
	if *r.HoldMS < 500 {
		t.Errorf("held for %d ms", *r.HoldMS)
	}
	x.idle()
}
