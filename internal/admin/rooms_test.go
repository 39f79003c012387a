package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/conference"
	"dialtone/internal/directory"
)

// fakeRooms is one member in every room.
type fakeRooms struct{ acts []string }

func (f *fakeRooms) Members(directory.ID) []conference.Member {
	return []conference.Member{{ID: "c1", Number: "101", Name: "Sara", Since: time.Unix(1, 0), Talking: true}}
}

func (f *fakeRooms) Mute(_ directory.ID, id string, on bool) bool {
	f.acts = append(f.acts, map[bool]string{true: "mute ", false: "unmute "}[on]+id)
	return id == "c1"
}

func (f *fakeRooms) Kick(_ directory.ID, id string) bool {
	f.acts = append(f.acts, "kick "+id)
	return id == "c1"
}

func TestRooms(t *testing.T) {
	b := newBench(t)
	b.must(201, "POST", Prefix+"/lines", `{"number":"101"}`)
	r := b.must(201, "POST", Prefix+"/rooms", `{"name":"board","number":"800","pin":"2468"}`)
	if strings.Contains(r.body, "2468") || !strings.Contains(r.body, `"protected":true`) {
		t.Errorf("a room with a PIN: %s", r.body)
	}
	for body, want := range map[string]string{
		`{"name":"x","number":"800"}`:                `"field":"number","code":"duplicate"`,
		`{"name":"board","number":"801"}`:            `"field":"name","code":"duplicate"`,
		`{"name":"x","number":"101"}`:                `is the number of line 101`,
		`{"name":"x","number":"8x0"}`:                `"field":"number","code":"invalid"`,
		`{"name":"x","number":"802","pin":"12"}`:     `"field":"pin","code":"invalid"`,
		`{"name":"x","number":"802","pin":"secret"}`: `"field":"pin","code":"invalid"`,
	} {
		if r := b.do("POST", Prefix+"/rooms", body); r.status != 409 && r.status != 422 || !strings.Contains(r.body, want) {
			t.Errorf("%s: %s, want %s", body, r.body, want)
		}
	}
	if r := b.must(409, "POST", Prefix+"/lines", `{"number":"800"}`); !strings.Contains(r.body, "is the number of room board") {
		t.Errorf("a line with the number of a room: %s", r.body)
	}
	pin := func() string {
		return b.directory.Snapshot().Room(b.tenant("default"), "board").PIN.Reveal()
	}
	b.must(200, "PATCH", Prefix+"/rooms/board", `{"number":"801"}`)
	if pin() != "2468" {
		t.Error("a change of the number has changed the PIN")
	}
	rows := b.auditRows()
	b.must(200, "PATCH", Prefix+"/rooms/board", `{"pin":"2468"}`)
	if b.auditRows() != rows {
		t.Error("the same PIN again is a change")
	}
	b.must(200, "PATCH", Prefix+"/rooms/board", `{"pin":"1357"}`)
	if pin() != "1357" || b.auditRows() != rows+1 {
		t.Errorf("PIN %s", pin())
	}
	if audit := b.must(200, "GET", Prefix+"/audit", "").body; strings.Contains(audit, "1357") || strings.Contains(audit, "2468") {
		t.Errorf("a PIN in the audit trail: %s", audit)
	}
	export := b.must(200, "GET", Prefix+"/export", "").body
	if strings.Contains(export, "1357") || !strings.Contains(export, "sealed:") {
		t.Errorf("export %s", export)
	}
	if report := b.must(200, "POST", Prefix+"/apply", export, "Content-Type: application/yaml").body; !strings.Contains(report, `"changes":[]`) && strings.Contains(report, "board") {
		t.Errorf("an export that was applied changes something: %s", report)
	}
	b.must(200, "PATCH", Prefix+"/rooms/board", `{"pin":"none"}`)
	if pin() != "" {
		t.Error("the room is not open")
	}
	b.must(201, "POST", Prefix+"/numbers", `{"number":"+982188776655","to":"room:board"}`)
	b.must(422, "POST", Prefix+"/numbers", `{"number":"+982188776656","to":"room:nowhere"}`)
	if r := b.do("DELETE", Prefix+"/rooms/board", ""); r.status/100 != 4 || !strings.Contains(r.body, "+982188776655") {
		t.Errorf("removal of a room that a number leads to: %d %s", r.status, r.body)
	}
}

func TestMembers(t *testing.T) {
	b := newBench(t)
	b.must(201, "POST", Prefix+"/rooms", `{"name":"board","number":"800"}`)
	rows := b.auditRows()
	list := decode[Page[RoomMember]](t, b.must(200, "GET", Prefix+"/rooms/board/members", "").body)
	if len(list.Items) != 1 || list.Items[0].Number != "101" || !list.Items[0].Talking {
		t.Errorf("members %+v", list)
	}
	b.must(404, "GET", Prefix+"/rooms/hall/members", "")
	b.must(204, "PATCH", Prefix+"/rooms/board/members/c1", `{"muted":true}`)
	b.must(204, "PATCH", Prefix+"/rooms/board/members/c1", `{"muted":false}`)
	b.must(404, "PATCH", Prefix+"/rooms/board/members/c9", `{"muted":true}`)
	b.must(204, "DELETE", Prefix+"/rooms/board/members/c1", "")
	b.must(404, "DELETE", Prefix+"/rooms/board/members/c9", "")
	if want := []string{"mute c1", "unmute c1", "mute c9", "kick c1", "kick c9"}; !slices.Equal(b.rooms.acts, want) {
		t.Errorf("asked for %v", b.rooms.acts)
	}
	if n := b.auditRows() - rows; n != 3 {
		t.Errorf("%d audit rows", n)
	}
}
