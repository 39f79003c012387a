package admin

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/cdr"
)

// fakeTURN makes credentials that show who has asked.
type fakeTURN struct {
	off bool
	at  time.Time
}

func (f *fakeTURN) TURNCredentials(user string) (TURNCredentials, bool) {
	return TURNCredentials{URLs: []string{"turn:192.0.2.1:3478?transport=udp"}, Username: "1:" + user, Credential: "secret", TTL: 60,
		Expires: cdr.Time{Time: f.at}}, !f.off
}

// TestTURNCredentials: everybody who has signed in gets credentials of their own, by password or token, nobody else any.
func TestTURNCredentials(t *testing.T) {
	b := newBench(t)
	const path = Prefix + "/turn/credentials"
	r := b.must(201, "POST", path, "")
	if want := `{"urls":["turn:192.0.2.1:3478?transport=udp"],"username":"1:local owner","credential":"secret","ttl":60,"expires":"2026-11-22T08:00:00.000Z"}`; strings.TrimSpace(r.body) != want {
		t.Errorf("%s", r.body)
	}
	b.must(201, "POST", Prefix+"/users", `{"name":"nima","role":"user","password":"kelid-asb-4471"}`)
	if r := b.http(basic("nima", "kelid-asb-4471"), "POST", path, ""); r.status != 201 || !strings.Contains(r.body, `"1:nima@default"`) {
		t.Errorf("a user: %d %s", r.status, r.body)
	}
	token := decode[struct{ Token string }](t, b.must(201, "POST", Prefix+"/tokens", `{"user":"nima"}`).body).Token
	if r := b.http("Bearer "+token, "POST", path, ""); r.status != 201 || !strings.Contains(r.body, `"1:nima@default"`) {
		t.Errorf("a token: %d %s", r.status, r.body)
	}
	if r := b.http("", "POST", path, ""); r.status != 401 {
		t.Errorf("nobody: %d %s", r.status, r.body)
	}
	if r := b.do("GET", path, ""); r.status != 405 {
		t.Errorf("GET: %d", r.status)
	}
	b.turn.off = true
	if r := b.do("POST", path, ""); r.status != 503 || !strings.Contains(r.body, "turn.listen") {
		t.Errorf("off: %d %s", r.status, r.body)
	}
}
