package teltest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/softphone"
)

// conferences is the lines of a Lab with two rooms, one behind a PIN.
func conferences() string {
	return Lines() + "rooms:\n  - {number: \"800\", name: hall}\n  - {number: \"801\", name: board, pin: \"2468\"}\n" +
		"numbers:\n  - {number: \"+982188776655\", to: \"room:hall\"}\n"
}

// roomOf is a room of the default tenant.
func roomOf(lab *Lab, name string) *directory.Room {
	lab.T.Helper()
	s := lab.Server.Directory()
	r := s.Room(s.TenantByName(directory.DefaultTenant).ID, name)
	if r == nil {
		lab.T.Fatalf("no room %s", name)
	}
	return r
}

// hearsAll asserts that within the next seconds a call hears these tones and no others.
func hearsAll(lab *Lab, c *softphone.Call, what string, hz ...float64) {
	lab.T.Helper()
	lab.Pass(500 * time.Millisecond)
	c.Forget()
	lab.Pass(2 * time.Second)
	for _, want := range hz {
		if !c.Hears(want) {
			lab.T.Errorf("%s hears %v Hz, not %v", what, c.Tones(), want)
		}
	}
	if len(c.Tones()) != len(hz) {
		lab.T.Errorf("%s hears %v Hz, want %v", what, c.Tones(), hz)
	}
}

func TestRoom(t *testing.T) {
	inLab(t, Options{File: conferences()}, func(t *testing.T, lab *Lab) {
		events := happened(lab, "room.")
		a, b, c := lab.Phone("101"), lab.Add(Device{User: "102", Codecs: []string{"pcmu"}}), lab.Phone("103")
		x := a.Dial("800")
		lab.Answered(x)
		hearsAll(lab, x, "the first member")
		y := b.Dial("800")
		lab.Answered(y)
		z := c.Dial("+982188776655")
		lab.Answered(z)
		lab.Pass(time.Second) // the tones at the door
		hearsAll(lab, x, "101", b.Hz, c.Hz)
		hearsAll(lab, y, "102", a.Hz, c.Hz)
		hearsAll(lab, z, "103", a.Hz, b.Hz)

		rooms, room := lab.Server.Rooms(), roomOf(lab, "hall")
		members := rooms.Members(room.ID)
		if len(members) != 3 || members[0].Number != "101" || members[2].Number != "103" || !members[1].Talking || members[1].Name != "Line 102" {
			t.Fatalf("members %+v", members)
		}
		if rooms.Mute(room.ID, "nobody", true) || !rooms.Mute(room.ID, members[1].ID, true) {
			t.Error("the wrong member was muted")
		}
		hearsAll(lab, x, "101 without 102", c.Hz)
		hearsAll(lab, y, "102, muted", a.Hz, c.Hz)
		rooms.Mute(room.ID, members[1].ID, false)
		hearsAll(lab, x, "101 with 102 again", b.Hz, c.Hz)
		if !rooms.Kick(room.ID, members[2].ID) {
			t.Error("nobody was kicked")
		}
		if o := lab.Ended(z); o.Cause.SIP != 200 {
			t.Errorf("103 left with %v", o.Cause)
		}
		lab.Pass(time.Second)
		hearsAll(lab, x, "101 without 103", b.Hz)
		y.Hangup()
		lab.Ended(y)
		x.Hangup()
		lab.Ended(x)
		lab.Pass(time.Second)
		if m := rooms.Members(room.ID); len(m) != 0 {
			t.Errorf("left behind: %+v", m)
		}
		if got, want := events(), strings.Fields("joined joined joined muted unmuted left left left"); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		r := lab.Records()[0]
		if len(r.Path) != 1 || r.Path[0].Kind != "room" || r.Path[0].Detail != "hall" {
			t.Errorf("path %+v", r.Path)
		}
	})
}

func TestRoomPIN(t *testing.T) {
	inLab(t, Options{File: conferences()}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		room := roomOf(lab, "board")
		x := a.Dial("801")
		lab.Answered(x)
		lab.Pass(2 * time.Second)
		lab.must(x.Press("1111"))
		lab.Pass(4 * time.Second)
		if m := lab.Server.Rooms().Members(room.ID); len(m) != 0 {
			t.Fatalf("a wrong PIN lets in: %+v", m)
		}
		lab.must(x.Press("2468"))
		lab.Pass(3 * time.Second)
		if m := lab.Server.Rooms().Members(room.ID); len(m) != 1 {
			t.Fatalf("the right PIN lets nobody in")
		}
		y := b.Dial("801")
		lab.Answered(y)
		for range 3 {
			lab.Pass(2 * time.Second)
			lab.must(y.Press("13#"))
			lab.Pass(3 * time.Second)
		}
		if o := lab.Ended(y); o.Cause.Words == "" {
			t.Errorf("after three tries: %v", o.Cause)
		}
		hearsAll(lab, x, "the only member")
		x.Hangup()
		lab.Ended(x)
		for _, r := range lab.Records() {
			if *r.From == "102" && r.Cause.Words != cause.NotAllowed().Words {
				t.Errorf("three wrong PINs end with %v", *r.Cause)
			}
		}
	})
}

// Ten minutes in a room and on a recorded call: nothing drifts, nothing is lost.
func TestTenMinutes(t *testing.T) {
	file := strings.Replace(conferences(), "name: Line 101\n", "name: Line 101\n    record: always\n", 1)
	inLab(t, Options{File: file}, func(t *testing.T, lab *Lab) {
		a, b, c, d := lab.Phone("101"), lab.Phone("102"), lab.Phone("103"), lab.Phone("104")
		near, _ := a.Connect("102", b)
		x, y := c.Dial("800"), d.Dial("800")
		lab.Answered(x)
		lab.Answered(y)
		lab.Pass(10 * time.Minute)
		hearsAll(lab, x, "103 after ten minutes", d.Hz)
		hearsAll(lab, y, "104 after ten minutes", c.Hz)
		for _, call := range []*softphone.Call{near, x, y} {
			call.Hangup()
			if o := lab.Ended(call); o.Media.Lost != 0 {
				t.Errorf("%d packets lost", o.Media.Lost)
			}
		}
		lab.Pass(time.Second)
		r := recordings(lab)[0]
		sound := channels(lab, r)
		if off := len(sound[0]) - int(r.Length.Milliseconds())*8; off < -400 || off > 400 || len(sound[0]) != len(sound[1]) {
			t.Errorf("%v of a call are %d and %d samples", r.Length, len(sound[0]), len(sound[1]))
		}
		for i, hz := range []float64{a.Hz, b.Hz} {
			for _, at := range []time.Duration{time.Second, 5 * time.Minute, 10 * time.Minute} {
				sounds(t, "channel", sound[i], at, at+3*time.Second, hz)
			}
			if silent := quiet(sound[i][4000:]); silent > 160 {
				t.Errorf("channel %d has %d samples of silence in a row", i, silent)
			}
		}
	})
}

// quiet is the longest run of silence.
func quiet(pcm []int16) (longest int) {
	run := 0
	for _, s := range pcm {
		if run++; s > 16 || s < -16 {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}
