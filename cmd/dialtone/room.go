package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/alecthomas/kong"

	"dialtone/internal/admin"
	"dialtone/internal/admin/client"
)

type roomCmd struct {
	remote
	List    listCmd     `cmd:"" help:"List conference rooms."`
	Show    showCmd     `cmd:"" help:"Show a room."`
	Add     roomAdd     `cmd:"" help:"Add a room."`
	Set     roomSet     `cmd:"" help:"Change a room."`
	Rm      removeCmd   `cmd:"" help:"Remove rooms."`
	Members roomMembers `cmd:"" help:"Show who is in a room."`
	Mute    roomMute    `cmd:"" help:"Let nobody hear a member."`
	Unmute  roomUnmute  `cmd:"" help:"Let everybody hear a member again."`
	Kick    roomKick    `cmd:"" help:"Hang up a member."`
}

// AfterApply binds the noun that the subcommands speak of.
func (c *roomCmd) AfterApply(k *kong.Context) error {
	k.Bind(&noun{path: "/rooms", key: "name", columns: []string{"name", "number", "protected"}})
	return nil
}

type roomFields struct {
	Number *string `json:"number,omitempty" help:"Digits that are dialled."`
	PIN    *string `json:"pin,omitempty" name:"pin" help:"Digits that callers have to press; none takes the PIN away."`
}

type roomAdd struct {
	inTenant
	roomFields
	Name string `arg:""`
}

// Run adds a room.
func (c *roomAdd) Run(s *session, n *noun) error { return s.add(n, c.inTenant, c.Name, c.roomFields) }

type roomSet struct {
	inTenant
	roomFields
	Name string `arg:""`
}

// Run changes a room.
func (c *roomSet) Run(s *session, n *noun) error { return s.set(n, c.inTenant, c.Name, c.roomFields) }

type roomMembers struct {
	inTenant
	Name string `arg:"" help:"Name of the room."`
}

// Run shows who is in a room.
func (c *roomMembers) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	path := "/rooms/" + url.PathEscape(c.Name) + "/members"
	if s.global.JSON {
		return client.Each(s.ctx, server, path, c.query(), func(m json.RawMessage) error { return s.printJSON(m) })
	}
	t := newTable(s.stdout, "MEMBER", "NUMBER", "NAME", "FOR", "STATE")
	now := time.Now()
	err = client.Each(s.ctx, server, path, c.query(), func(m admin.RoomMember) error {
		state := ""
		switch {
		case m.Muted:
			state = "muted"
		case m.Talking:
			state = "talking"
		}
		t.row(m.ID, m.Number, m.Name, span(now.Sub(m.Since.Time)), state)
		return nil
	})
	if err != nil {
		return err
	}
	return t.flush()
}

// roomMember is a member on the command line.
type roomMember struct {
	inTenant
	Name   string `arg:"" help:"Name of the room."`
	Member string `arg:"" help:"Identifier of the member, which is that of its call."`
}

func (c *roomMember) ask(s *session, method string, body any) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	request := client.Request{Method: method, Path: "/rooms/" + url.PathEscape(c.Name) + "/members/" + url.PathEscape(c.Member), Query: c.query(), Body: body}
	if body != nil {
		request.Type = "application/merge-patch+json"
	}
	_, err = server.Do(s.ctx, request)
	return err
}

type roomMute struct{ roomMember }

// Run lets nobody hear a member.
func (c *roomMute) Run(s *session) error {
	return c.ask(s, http.MethodPatch, admin.MemberChange{Muted: true})
}

type roomUnmute struct{ roomMember }

// Run lets everybody hear a member again.
func (c *roomUnmute) Run(s *session) error { return c.ask(s, http.MethodPatch, admin.MemberChange{}) }

type roomKick struct{ roomMember }

// Run hangs up a member.
func (c *roomKick) Run(s *session) error { return c.ask(s, http.MethodDelete, nil) }
