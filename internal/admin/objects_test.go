package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"dialtone/internal/admin/form"
	"dialtone/internal/directory"
)

func TestObjectLifeWithEventsAndAudit(t *testing.T) {
	b := newBench(t)
	stream := b.events("/events?tenant=default")
	for _, step := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		etag                     string
		contains                 []string
		absent                   []string
		event                    string // "" = none, and no audit row
	}{
		{
			name: "add a site", method: "POST", path: "/sites", body: `{"name":"tehran","subnets":["10.1.2.3/16"],"area_code":"21","country":"IR"}`,
			status: 201, etag: `"1"`, contains: []string{`"subnets":["10.1.0.0/16"]`, `"version":1`}, event: "site.created",
		},
		{
			name: "add a user", method: "POST", path: "/users", body: `{"name":"sara","email":"sara@example.com","password":"long enough 1"}`,
			status: 201, etag: `"1"`, contains: []string{`"role":"user"`}, absent: []string{"long enough", "argon2"}, event: "user.created",
		},
		{
			name: "add a line", method: "POST", path: "/lines",
			body:   `{"number":"101","name":"Sara","user":"sara","site":"tehran","devices":[{"username":"101","password":"s3cret-101-x"}]}`,
			status: 201, etag: `"1"`, contains: []string{`"user":"sara"`, `"site":"tehran"`, `"product":"extension"`, `"srtp":"optional"`},
			absent: []string{"s3cret", "sealed"}, event: "line.created",
		},
		{name: "taken number", method: "POST", path: "/lines", body: `{"number":"101"}`, status: 409, contains: []string{`"code":"conflict"`, `"field":"number"`, `"code":"duplicate"`}},
		{
			name: "weak secret", method: "POST", path: "/lines", body: `{"number":"102","devices":[{"username":"102","password":"1234"}]}`,
			status: 422, contains: []string{`"code":"invalid"`, `"field":"devices[0].password"`, `"code":"weak"`}, absent: []string{"1234\""},
		},
		{
			name: "several faults", method: "POST", path: "/lines", body: `{"number":"1 2","user":"nobody","max_calls":-1}`,
			status: 422, contains: []string{`"field":"number"`, `"field":"user"`, `"field":"max_calls"`},
		},
		{name: "unknown field", method: "POST", path: "/lines", body: `{"number":"103","forward":{}}`, status: 422, contains: []string{"forward"}},
		{name: "not JSON", method: "POST", path: "/lines", body: `{`, status: 400, contains: []string{`"code":"malformed"`}},
		{name: "too large", method: "POST", path: "/lines", body: `{"number":"` + strings.Repeat("1", objectLimit) + `"}`, status: 413, contains: []string{`"code":"too_large"`}},
		{name: "show by number", method: "GET", path: "/lines/101", status: 200, etag: `"1"`, contains: []string{`"number":"101"`}},
		{name: "not modified", method: "GET", path: "/lines/101", headers: []string{`If-None-Match: "1"`}, status: 304, etag: `"1"`},
		{name: "no such line", method: "GET", path: "/lines/999", status: 404, contains: []string{`"code":"not_found"`}},
		{
			name: "try a change", method: "PATCH", path: "/lines/101?dry_run=true", body: `{"name":"Sara K."}`,
			status: 200, etag: `"2"`, contains: []string{`"name":"Sara K."`},
		},
		{name: "the try changed nothing", method: "GET", path: "/lines/101", status: 200, etag: `"1"`, contains: []string{`"name":"Sara"`}},
		{
			name: "change", method: "PATCH", path: "/lines/101", body: `{"name":"Sara K.","site":null}`, headers: []string{`If-Match: "1"`},
			status: 200, etag: `"2"`, contains: []string{`"name":"Sara K."`, `"user":"sara"`}, absent: []string{"site"}, event: "line.changed",
		},
		{name: "same again", method: "PATCH", path: "/lines/101", body: `{"name":"Sara K."}`, status: 200, etag: `"2"`},
		{name: "outdated", method: "PATCH", path: "/lines/101", body: `{"name":"X"}`, headers: []string{`If-Match: "1"`}, status: 412, contains: []string{`"code":"changed"`}},
		{name: "patch with a type", method: "PATCH", path: "/lines/101", body: `{"max_calls":"two"}`, status: 422, contains: []string{`"field":"max_calls"`}},
		{name: "patch of nothing known", method: "PATCH", path: "/lines/101", body: `{"colour":"red"}`, status: 422, contains: []string{`"field":"colour"`}},
		{name: "patch in capitals", method: "PATCH", path: "/lines/101", body: `{"NAME":"x"}`, status: 422, contains: []string{`"field":"NAME"`}},
		{name: "patch of an unknown part", method: "PATCH", path: "/lines/101", body: `{"devices":[{"username":"101","pin":"1"}]}`, status: 422, contains: []string{`"field":"devices[0].pin"`}},
		{name: "two patches", method: "PATCH", path: "/lines/101", body: `{}}`, status: 400},
		{name: "patch that is a list", method: "PATCH", path: "/lines/101", body: `[]`, status: 400},
		{
			name: "devices keep their secrets", method: "PATCH", path: "/lines/101", body: `{"devices":[{"username":"101","transport":"tls"}]}`,
			status: 200, etag: `"3"`, contains: []string{`"transport":"tls"`}, event: "line.changed",
		},
		{name: "number", method: "POST", path: "/numbers", body: `{"number":"+982188776655","to":"line:101"}`, status: 201, etag: `"1"`, event: "number.created"},
		{name: "number to nowhere", method: "POST", path: "/numbers", body: `{"number":"+982188776656","to":"line:777"}`, status: 422, contains: []string{`"field":"to"`}},
		{name: "number to what is not there yet", method: "POST", path: "/numbers", body: `{"number":"+982188776656","to":"menu:main"}`, status: 422, contains: []string{`"unsupported"`}},
		{name: "user in use", method: "DELETE", path: "/users/sara", status: 409, contains: []string{`"code":"conflict"`, `"in_use"`}},
		{name: "line in use", method: "DELETE", path: "/lines/101", status: 409},
		{name: "remove the number", method: "DELETE", path: "/numbers/+982188776655", status: 204, event: "number.removed"},
		{name: "remove outdated", method: "DELETE", path: "/lines/101", headers: []string{`If-Match: "1"`}, status: 412},
		{name: "try to remove", method: "DELETE", path: "/lines/101?dry_run=true", status: 204},
		{name: "remove", method: "DELETE", path: "/lines/101", headers: []string{`If-Match: "3"`}, status: 204, event: "line.removed"},
		{name: "removed", method: "GET", path: "/lines/101", status: 404},
	} {
		t.Run(step.name, func(t *testing.T) {
			rows := b.auditRows()
			r := b.do(step.method, Prefix+step.path, step.body, step.headers...)
			if r.status != step.status {
				t.Fatalf("status %d, want %d\n%s", r.status, step.status, r.body)
			}
			if got := r.header.Get("ETag"); got != step.etag {
				t.Errorf("ETag %s, want %s", got, step.etag)
			}
			if r.status >= 400 && r.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("content type %s of a problem", r.header.Get("Content-Type"))
			}
			for _, s := range step.contains {
				if !strings.Contains(r.body, s) {
					t.Errorf("%q is missing in\n%s", s, r.body)
				}
			}
			for _, s := range step.absent {
				if strings.Contains(r.body, s) {
					t.Errorf("%q is in\n%s", s, r.body)
				}
			}
			wrote := b.auditRows() - rows
			if step.event == "" {
				if wrote != 0 {
					t.Errorf("%d audit rows for nothing", wrote)
				}
				return
			}
			if wrote != 1 {
				t.Errorf("%d audit rows, want 1", wrote)
			}
			if e := stream.next(); e.Type != step.event {
				t.Errorf("event %+v, want %s", e, step.event)
			}
		})
	}
	audit := decode[Page[AuditEntry]](t, b.must(200, "GET", Prefix+"/audit?limit=1", "").body)
	if len(audit.Items) != 1 || audit.Items[0].Key != "101" || audit.Items[0].Actor != "local owner" || audit.Items[0].After != nil || audit.Next == "" {
		t.Errorf("newest audit row %+v", audit)
	}
	if all := b.must(200, "GET", Prefix+"/audit?limit=1000", "").body; strings.Contains(all, "s3cret") || strings.Contains(all, "argon2") {
		t.Errorf("the audit trail tells secrets:\n%s", all)
	}
}

func TestDevicePasswordIsKeptAndReplaced(t *testing.T) {
	b := newBench(t)
	secret := func() [16]byte {
		account, ok := b.directory.Snapshot().Device(b.tenant("default"), "101")
		if !ok || len(account.Device.Credentials) != 1 {
			t.Fatal("no device with one password")
		}
		return account.Device.Credentials[0].MD5
	}
	hash := func(password string) [16]byte {
		m, _ := directory.HA1("101", "pbx.example", directory.Secret(password))
		return m
	}
	b.must(201, "POST", Prefix+"/lines", `{"number":"101","devices":[{"username":"101","password":"first-secret-1"}]}`)
	if secret() != hash("first-secret-1") {
		t.Error("the password was not taken")
	}
	b.must(200, "PATCH", Prefix+"/lines/101", `{"devices":[{"username":"101","srtp":"optional"}]}`)
	if secret() != hash("first-secret-1") {
		t.Error("a change of something else took the password away")
	}
	b.must(200, "PATCH", Prefix+"/lines/101", `{"devices":[{"username":"101","password":"second-secret-2"}]}`)
	if secret() != hash("second-secret-2") {
		t.Error("the new password was not taken")
	}
	ha1 := hash("third-secret-3")
	b.must(200, "PATCH", Prefix+"/lines/101", fmt.Sprintf(`{"devices":[{"username":"101","ha1":"%x"}]}`, ha1))
	if secret() != ha1 {
		t.Error("the hash was not taken")
	}
}

func TestListsAreCutIntoPages(t *testing.T) {
	b := newBench(t)
	for n := range 7 {
		b.must(201, "POST", Prefix+"/lines", fmt.Sprintf(`{"number":"%d"}`, 101+n))
	}
	var got []string
	pages, cursor := 0, ""
	for {
		page := decode[Page[form.Line]](t, b.must(200, "GET", Prefix+"/lines?limit=3&cursor="+cursor, "").body)
		pages++
		for _, l := range page.Items {
			got = append(got, l.Number)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if pages != 3 || strings.Join(got, " ") != "101 102 103 104 105 106 107" {
		t.Errorf("%d pages with %v", pages, got)
	}
	if r := b.do("GET", Prefix+"/lines?limit=0", ""); r.status != 422 {
		t.Errorf("limit 0: %d", r.status)
	}
	if r := b.do("GET", Prefix+"/lines?colour=red", ""); r.status != 422 {
		t.Errorf("unknown parameter: %d", r.status)
	}
	empty := b.must(200, "GET", Prefix+"/numbers", "").body
	if strings.TrimSpace(empty) != `{"items":[],"next":""}` {
		t.Errorf("empty list %s", empty)
	}
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	b := newBench(t)
	b.must(201, "POST", Prefix+"/tenants", `{"name":"acme","domains":["acme.example"],"parent":"default"}`)
	b.must(201, "POST", Prefix+"/lines?tenant=acme", `{"number":"101","name":"theirs"}`)
	b.must(201, "POST", Prefix+"/lines", `{"number":"101","name":"ours"}`)
	theirs := decode[form.Line](t, b.must(200, "GET", Prefix+"/lines/101?tenant=acme", "").body)
	if theirs.Name != "theirs" {
		t.Errorf("line of acme is %+v", theirs)
	}
	if r := b.do("GET", Prefix+"/lines/"+theirs.ID, ""); r.status != 404 {
		t.Errorf("another tenant's line by its identifier: %d", r.status)
	}
	if r := b.do("PATCH", Prefix+"/lines/"+theirs.ID, `{"name":"x"}`); r.status != 404 {
		t.Errorf("change of another tenant's line: %d", r.status)
	}
	if r := b.do("POST", Prefix+"/tenants", `{"name":"other","domains":["acme.example"]}`); r.status != http.StatusConflict {
		t.Errorf("domain of another tenant: %d %s", r.status, r.body)
	}
	if r := b.do("GET", Prefix+"/lines?tenant=nobody", ""); r.status != 404 {
		t.Errorf("lines of no tenant: %d", r.status)
	}
	if r := b.do("DELETE", Prefix+"/tenants/acme", ""); r.status != http.StatusConflict {
		t.Errorf("removal of a tenant that has lines: %d %s", r.status, r.body)
	}
	b.must(204, "DELETE", Prefix+"/lines/101?tenant=acme", "")
	b.must(204, "DELETE", Prefix+"/tenants/acme", "")
}

func TestMergePatch(t *testing.T) {
	// RFC 7396 appendix A, the cases whose result is an object.
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		got, err := merge(decode[map[string]any](t, c.target), []byte(c.patch))
		if err != nil {
			t.Errorf("%s with %s: %v", c.target, c.patch, err)
			continue
		}
		if fmt.Sprint(*got) != fmt.Sprint(decode[map[string]any](t, c.want)) {
			t.Errorf("%s with %s is %v, want %s", c.target, c.patch, *got, c.want)
		}
	}
}
