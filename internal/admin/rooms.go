package admin

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/cdr"
	"dialtone/internal/conference"
	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// Conferences are the rooms in use; *conference.Rooms knows them.
type Conferences interface {
	Members(room directory.ID) []conference.Member
	Mute(room directory.ID, callID string, on bool) bool
	Kick(room directory.ID, callID string) bool
}

// RoomMember is a caller in a conference room.
type RoomMember struct {
	ID      string   `json:"id" doc:"Our identifier of the member's call"`
	Number  string   `json:"number"`
	Name    string   `json:"name"`
	Since   cdr.Time `json:"since"`
	Muted   bool     `json:"muted" doc:"Nobody hears the member"`
	Talking bool     `json:"talking"`
}

type (
	membersIn struct {
		TenantParameter
		ObjectParameter
	}
	memberIn struct {
		TenantParameter
		ObjectParameter
		Member string `path:"member" doc:"Our identifier of the member's call"`
	}
	// MemberChange is what can be changed of a member.
	MemberChange struct {
		Muted bool `json:"muted" doc:"Nobody hears the member"`
	}
	changeMemberIn struct {
		TenantParameter
		ObjectParameter
		Member string       `path:"member" doc:"Our identifier of the member's call"`
		Body   MemberChange `contentType:"application/merge-patch+json"`
	}
)

// conferenceRoutes registers who is in a room.
func (a *api) conferenceRoutes() {
	tags := []string{"rooms"}
	route(a, huma.Operation{OperationID: "list-members", Method: http.MethodGet, Path: "/rooms/{id}/members", Tags: tags,
		Summary: "List those who are in a room, in the order in which they came"}, a.listMembers)
	route(a, huma.Operation{OperationID: "change-member", Method: http.MethodPatch, Path: "/rooms/{id}/members/{member}", Tags: tags,
		Summary: "Mute a member of a room, or let everybody hear it again", MaxBodyBytes: objectLimit, DefaultStatus: http.StatusNoContent}, a.changeMember)
	route(a, huma.Operation{OperationID: "kick-member", Method: http.MethodDelete, Path: "/rooms/{id}/members/{member}", Tags: tags,
		Summary: "Hang up a member of a room", DefaultStatus: http.StatusNoContent}, a.kickMember)
}

// room finds one in the tenant that a request is about.
func (a *api) room(ctx context.Context, in TenantParameter, name string, r right) (*directory.Room, error) {
	tenant, err := a.scope(ctx, in.Tenant, r)
	if err != nil {
		return nil, err
	}
	s := a.Directory.Snapshot()
	found := s.Room(tenant.ID, name)
	if id, wrong := directory.ParseID(name); wrong == nil {
		found = s.RoomByID(id)
	}
	if found == nil || found.Tenant != tenant.ID {
		return nil, notFound("room", name)
	}
	return found, nil
}

func (a *api) listMembers(ctx context.Context, in *membersIn) (*pageOut[RoomMember], error) {
	room, err := a.room(ctx, in.TenantParameter, in.ID, readCalls)
	if err != nil {
		return nil, err
	}
	out := &pageOut[RoomMember]{Body: Page[RoomMember]{Items: []RoomMember{}}}
	for _, m := range a.Conferences.Members(room.ID) {
		out.Body.Items = append(out.Body.Items, RoomMember{ID: m.ID, Number: m.Number, Name: m.Name, Since: cdr.Time{Time: m.Since}, Muted: m.Muted, Talking: m.Talking})
	}
	return out, nil
}

func (a *api) changeMember(ctx context.Context, in *changeMemberIn) (*struct{}, error) {
	room, err := a.room(ctx, in.TenantParameter, in.ID, steerCalls)
	if err != nil {
		return nil, err
	}
	if !a.Conferences.Mute(room.ID, in.Member, in.Body.Muted) {
		return nil, notFound("member", in.Member)
	}
	return nil, a.noteMember(ctx, room, map[string]any{"act": "mute", "member": in.Member, "muted": in.Body.Muted})
}

func (a *api) kickMember(ctx context.Context, in *memberIn) (*struct{}, error) {
	room, err := a.room(ctx, in.TenantParameter, in.ID, steerCalls)
	if err != nil {
		return nil, err
	}
	if !a.Conferences.Kick(room.ID, in.Member) {
		return nil, notFound("member", in.Member)
	}
	return nil, a.noteMember(ctx, room, map[string]any{"act": "kick", "member": in.Member})
}

// noteMember writes an audit row about a member of a room.
func (a *api) noteMember(ctx context.Context, room *directory.Room, what map[string]any) error {
	text, err := json.Marshal(what)
	if err == nil {
		err = a.Store.Note(ctx, who(ctx).actor, store.Act{Tenant: room.Tenant, Kind: "member", Key: room.Name, After: text})
	}
	if err != nil {
		return a.failed(err)
	}
	return nil
}
