package admin

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/cdr"
)

// TURN makes credentials for the STUN and TURN server of the exchange.
type TURN interface {
	// TURNCredentials are new ones for a user; false: this server has no TURN.
	TURNCredentials(user string) (TURNCredentials, bool)
}

// TURNCredentials are what an RTCPeerConnection takes as one of its iceServers (WebRTC 1.0, RTCIceServer).
type TURNCredentials struct {
	URLs       []string `json:"urls" doc:"Such as turn:192.0.2.1:3478?transport=udp"`
	Username   string   `json:"username" doc:"Unix seconds at which the credentials end, and the user"`
	Credential string   `json:"credential" doc:"Shown once"`
	TTL        int      `json:"ttl" doc:"Seconds until the credentials end; what is under way goes on"`
	Expires    cdr.Time `json:"expires"`
}

type (
	turnIn  struct{}
	turnOut struct{ Body TURNCredentials }
)

func (a *api) turnRoutes() {
	route(a, huma.Operation{
		OperationID: "add-turn-credentials", Method: http.MethodPost, Path: "/turn/credentials", Tags: []string{"turn"},
		Summary:       "Make credentials for the STUN and TURN server",
		Description:   "For everybody who has signed in. All credentials of a user share the limits of the user.",
		DefaultStatus: http.StatusCreated,
	}, a.addTURNCredentials)
}

func (a *api) addTURNCredentials(ctx context.Context, _ *turnIn) (*turnOut, error) {
	id := who(ctx)
	if !grants(id.role, useMedia) {
		return nil, forbidden()
	}
	if a.TURN == nil {
		return nil, noTURN()
	}
	c, ok := a.TURN.TURNCredentials(strings.TrimPrefix(id.actor.Name, "token of "))
	if !ok {
		return nil, noTURN()
	}
	return &turnOut{c}, nil
}

func noTURN() *Problem {
	return problem(http.StatusServiceUnavailable, CodeUnavailable, "this server has no TURN: turn.listen of its static file is empty")
}
