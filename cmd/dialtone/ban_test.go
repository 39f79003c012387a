package main

import (
	"strings"
	"testing"
	"time"
)

func TestBans(t *testing.T) {
	until := time.Now().Add(90*time.Second + 500*time.Millisecond).UTC().Format(time.RFC3339Nano)
	ban := `{"source":"2001:db8::/64","until":"` + until + `","reason":"password","count":2}`
	f := newFake(t, map[string]answer{
		"GET /bans":                    {body: `{"items":[` + ban + `],"next":""}`},
		"POST /bans":                   {status: 201, body: ban},
		"DELETE /bans/2001:db8::%2F64": {status: 204},
		"DELETE /bans/192.0.2.7":       {status: 404, body: `{"status":404,"code":"not_found","detail":"no ban of \"192.0.2.7\""}`},
	})
	want := "SOURCE         REASON    ENDS IN  BANS OF LATE\n2001:db8::/64  password  "
	if got := f.command("ban", "list"); got.status != 0 || !strings.HasPrefix(got.out, want) || !strings.HasSuffix(got.out, "  2\n") {
		t.Errorf("list %+v\n%s", got, got.out)
	}
	if got := f.command("ban", "list", "--json"); got != (outcome{0, ban + "\n", ""}) {
		t.Errorf("JSON list %+v", got)
	}
	if got := f.command("ban", "add", "192.0.2.7", "--for", "90m"); got.status != 0 || !strings.Contains(got.out, "password") {
		t.Errorf("add %+v", got)
	}
	if a := f.asked[len(f.asked)-1]; a.line != "POST /bans" || a.body != `{"source":"192.0.2.7","seconds":5400}` {
		t.Errorf("asked %+v", a)
	}
	if got := f.command("ban", "add", "192.0.2.7", "--for", "1ms"); got.status != exitUsage {
		t.Errorf("a ban of a millisecond: %+v", got)
	}
	if got := f.command("ban", "rm", "2001:db8::/64"); got != (outcome{}) {
		t.Errorf("rm %+v", got)
	}
	if got := f.command("ban", "rm", "192.0.2.7"); got != (outcome{1, "", "dialtone: no ban of \"192.0.2.7\"\n"}) {
		t.Errorf("rm of none: %+v", got)
	}
}
