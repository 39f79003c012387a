package main

import "testing"

func TestRooms(t *testing.T) {
	f := newFake(t, map[string]answer{
		"GET /rooms":                     {body: `{"items":[{"name":"board","number":"800","protected":true}],"next":""}`},
		"GET /rooms/board/members":       {body: `{"items":[{"id":"c1","number":"101","name":"Sara","since":"2026-11-22T08:00:00.000Z","muted":true}],"next":""}`},
		"POST /rooms":                    {status: 201, body: `{"name":"board"}`},
		"PATCH /rooms/board":             {body: `{"name":"board"}`},
		"PATCH /rooms/board/members/c1":  {status: 204},
		"DELETE /rooms/board/members/c1": {status: 204},
		"DELETE /rooms/board":            {status: 204},
	})
	if got := f.command("room", "list"); got != (outcome{0, "NAME   NUMBER  PROTECTED\nboard  800     true\n", ""}) {
		t.Errorf("list %+v", got)
	}
	if got := f.command("room", "members", "board"); got.status != 0 || !containsAll(got.out, "c1", "101", "Sara", "muted") {
		t.Errorf("members %+v", got)
	}
	for _, c := range []struct {
		args       []string
		line, body string
	}{
		{[]string{"add", "board", "--number", "800", "--pin", "2468"}, "POST /rooms", `{"name":"board","number":"800","pin":"2468"}`},
		{[]string{"set", "board", "--pin", "none"}, "PATCH /rooms/board", `{"pin":"none"}`},
		{[]string{"mute", "board", "c1"}, "PATCH /rooms/board/members/c1", `{"muted":true}`},
		{[]string{"unmute", "board", "c1"}, "PATCH /rooms/board/members/c1", `{"muted":false}`},
		{[]string{"kick", "board", "c1"}, "DELETE /rooms/board/members/c1", ""},
		{[]string{"rm", "board"}, "DELETE /rooms/board", ""},
	} {
		got := f.command(append([]string{"room"}, c.args...)...)
		if a := f.last(); got.status != 0 || a.line != c.line || a.body != c.body {
			t.Errorf("%v: %+v, sent %s %s", c.args, got, a.line, a.body)
		}
	}
}
