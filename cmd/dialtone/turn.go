package main

import (
	"fmt"
	"net/http"
	"strings"

	"dialtone/internal/admin"
	"dialtone/internal/admin/client"
)

type turnCmd struct {
	remote
	Credentials turnCredentialsCmd `cmd:"" help:"Make credentials for the STUN and TURN server; with --json as an RTCPeerConnection wants them."`
}

type turnCredentialsCmd struct{}

// Run makes credentials and prints them, once.
func (c *turnCredentialsCmd) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	var made admin.TURNCredentials
	if err := server.Decode(s.ctx, client.Request{Method: http.MethodPost, Path: "/turn/credentials"}, &made); err != nil {
		return err
	}
	if s.global.JSON {
		return s.printJSON(made)
	}
	_, err = fmt.Fprintf(s.stdout, "urls        %s\nusername    %s\ncredential  %s\nttl         %d\n",
		strings.Join(made.URLs, " "), made.Username, made.Credential, made.TTL)
	return err
}
