package admin

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/guard"
)

// TestBans: a source is banned by hand and let in again; both leave an event and an audit row.
func TestBans(t *testing.T) {
	b := newBench(t)
	bad := netip.MustParseAddrPort("192.0.2.7:5060")
	if list := b.must(200, "GET", Prefix+"/bans", "").body; strings.TrimSpace(list) != `{"items":[],"next":""}` {
		t.Errorf("bans before any: %s", list)
	}
	events, rows := b.events("/events"), b.auditRows()

	if r := b.must(201, "POST", Prefix+"/bans?dry_run=true", `{"source":"192.0.2.7"}`); !strings.Contains(r.body, "192.0.2.7") || len(b.guard.Banned(b.clock.now())) > 0 {
		t.Errorf("dry run: %s", r.body)
	}
	ban := decode[Ban](t, b.must(201, "POST", Prefix+"/bans", `{"source":"192.0.2.7","seconds":60}`).body)
	if ban.Source != "192.0.2.7" || ban.Reason != "operator" || !ban.Until.Equal(b.clock.now().Add(time.Minute)) {
		t.Errorf("%+v", ban)
	}
	if b.guard.Admit(bad, b.clock.now()) != guard.Banned {
		t.Error("not banned")
	}
	if e := events.next(); e.Type != "guard.banned" || e.Object != "192.0.2.7" || e.Data["reason"] != "operator" || e.Tenant != "" {
		t.Errorf("event %+v", e)
	}
	b.must(201, "POST", Prefix+"/bans", `{"source":"2001:db8::1"}`)
	if e := events.next(); e.Object != "2001:db8::/64" {
		t.Errorf("event %+v", e)
	}
	list := decode[Page[Ban]](t, b.must(200, "GET", Prefix+"/bans", "").body)
	if len(list.Items) != 2 || list.Items[0].Source != "2001:db8::/64" || list.Items[1].Source != "192.0.2.7" {
		t.Errorf("bans %+v", list)
	}

	b.must(204, "DELETE", Prefix+"/bans/192.0.2.7?dry_run=true", "")
	if b.guard.Admit(bad, b.clock.now()) != guard.Banned {
		t.Error("a dry run has ended the ban")
	}
	b.must(204, "DELETE", Prefix+"/bans/192.0.2.7", "")
	if b.guard.Admit(bad, b.clock.now()) != guard.Admitted {
		t.Error("still banned")
	}
	if e := events.next(); e.Type != "guard.unbanned" || e.Data["source"] != "192.0.2.7" {
		t.Errorf("event %+v", e)
	}
	b.must(204, "DELETE", Prefix+"/bans/2001:db8::%2F64", "")
	b.must(404, "DELETE", Prefix+"/bans/192.0.2.7", "")
	b.must(404, "DELETE", Prefix+"/bans/nobody", "")

	if n := b.auditRows() - rows; n != 4 {
		t.Errorf("%d audit rows", n)
	}
	audit := decode[Page[AuditEntry]](t, b.must(200, "GET", Prefix+"/audit", "").body).Items
	if e := audit[0]; e.Kind != "ban" || e.Key != "2001:db8::/64" || e.Actor != "local owner" || len(e.Before) == 0 || len(e.After) > 0 {
		t.Errorf("audit %+v", e)
	}
	if e := audit[3]; e.Key != "192.0.2.7" || len(e.Before) > 0 || !strings.Contains(string(e.After), `"reason":"operator"`) {
		t.Errorf("audit %+v", e)
	}
	for body, reason := range map[string]string{
		`{"source":"pbx"}`: "is not an address", `{"source":"127.0.0.1"}`: "is trusted", `{"source":"10.0.0.0/8"}`: "is not an address",
		`{"source":"192.0.2.7","seconds":0}`: "seconds", `{"source":"192.0.2.7","seconds":2592001}`: "seconds",
	} {
		if r := b.must(422, "POST", Prefix+"/bans", body); !strings.Contains(r.body, reason) {
			t.Errorf("%s: %s", body, r.body)
		}
	}
	if b.auditRows()-rows != 4 {
		t.Error("refusals leave audit rows")
	}
}

// TestBansAreForTheOwner: they concern all tenants.
func TestBansAreForTheOwner(t *testing.T) {
	b := newBench(t)
	b.must(201, "POST", Prefix+"/users", `{"name":"clerk","role":"admin","password":"correct horse battery"}`)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/bans", ""}, {"POST", "/bans", `{"source":"192.0.2.7"}`}, {"DELETE", "/bans/192.0.2.7", ""},
	} {
		if r := b.http(basic("clerk", "correct horse battery"), c.method, Prefix+c.path, c.body); r.status != 403 {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.status, r.body)
		}
	}
}
