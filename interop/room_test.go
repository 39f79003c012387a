package interop

import (
	"testing"
	"time"

	"dialtone/internal/admin"
)

// TestRoomOfThree: three phones in a room, one of them encrypted; each hears the two others and not itself.
func TestRoomOfThree(t *testing.T) {
	const toneC = 1500
	x := serve(t, setup{site: site(encrypted("101"), registering("102"), registering("103")) + "rooms:\n  - {number: \"800\", name: hall}\n"})
	tones := []float64{toneA, toneB, toneC}
	var phones []*phone
	for i, number := range []string{"101", "102", "103"} {
		s := phoneSetup{number: number, transport: "udp", hz: tones[i]}
		if number == "101" {
			s.mediaenc = "srtp-mand"
		}
		phones = append(phones, x.phone(s))
	}
	x.registered(3)
	for _, p := range phones {
		p.tell("dial", "sip:800@"+host)
		p.expect("CALL_ESTABLISHED", 10*time.Second)
	}
	const talk = 6 * time.Second
	time.Sleep(talk)
	if members := decode[admin.RoomMember](t, x.run("room", "members", "hall", "--json")); len(members) != 3 {
		t.Errorf("members %+v", members)
	}
	if n := x.metric("dialtone_room_members"); n != 3 {
		t.Errorf("%v members by the metric", n)
	}
	for _, p := range phones {
		p.tell("hangup", "")
	}
	x.idle()
	for i, p := range phones {
		pcm := p.heard()
		for k, hz := range tones {
			heard := sounds(pcm, hz)
			switch {
			case k == i && heard > time.Second:
				t.Errorf("%s hears itself for %v", p.number, heard)
			case k != i && heard < talk-3*time.Second:
				t.Errorf("%s hears the phone with %v Hz for %v only", p.number, hz, heard)
			}
		}
	}
}
