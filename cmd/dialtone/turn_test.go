package main

import "testing"

func TestTURNCredentials(t *testing.T) {
	made := `{"urls":["stun:192.0.2.1:3478","turn:192.0.2.1:3478?transport=udp"],"username":"1764000000:admin","credential":"c2VjcmV0","ttl":3600,"expires":"2025-11-24T16:00:00.000Z"}`
	f := newFake(t, map[string]answer{"POST /turn/credentials": {status: 201, body: made}})
	want := "urls        stun:192.0.2.1:3478 turn:192.0.2.1:3478?transport=udp\nusername    1764000000:admin\ncredential  c2VjcmV0\nttl         3600\n"
	if got := f.command("turn", "credentials"); got != (outcome{0, want, ""}) {
		t.Errorf("%+v", got)
	}
	if got := f.command("turn", "credentials", "--json"); got != (outcome{0, made + "\n", ""}) {
		t.Errorf("%+v", got)
	}
	off := newFake(t, map[string]answer{"POST /turn/credentials": {status: 503, body: `{"status":503,"code":"unavailable","detail":"this server has no TURN"}`}})
	if got := off.command("turn", "credentials"); got != (outcome{1, "", "dialtone: this server has no TURN\n"}) {
		t.Errorf("%+v", got)
	}
}
