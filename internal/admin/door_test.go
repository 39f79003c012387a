package admin

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/config"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// openAPI reads the document of the running server.
func (b *bench) openAPI() map[string]map[string]map[string]any {
	b.t.Helper()
	document := decode[struct {
		OpenAPI string                               `json:"openapi"`
		Paths   map[string]map[string]map[string]any `json:"paths"`
	}](b.t, b.must(200, "GET", Prefix+"/openapi.json", "").body)
	if document.OpenAPI != "3.1.0" {
		b.t.Errorf("the document is OpenAPI %q", document.OpenAPI)
	}
	return document.Paths
}

func TestEveryRouteAsksWhoIsThere(t *testing.T) {
	b := newBench(t)
	routes := 0
	for path, methods := range b.openAPI() {
		path = strings.ReplaceAll(path, "{id}", "101")
		for method, operation := range methods {
			routes++
			for _, credentials := range []string{"", "Bearer", "Bearer dt_", "Bearer dt_AAAA", "Basic", "Digest x", basic("admin", "wrong"), basic("nobody", adminPassword)} {
				if credentials != "" && routes > 1 {
					continue // one route for each kind of bad credentials: they are refused before routing
				}
				r := b.http(credentials, strings.ToUpper(method), path, "{}")
				if r.status != http.StatusUnauthorized || !strings.Contains(r.body, `"code":"unauthorized"`) {
					t.Errorf("%s %s with %q: %d %s", method, path, credentials, r.status, r.body)
				}
				if len(r.header.Values("WWW-Authenticate")) != 2 {
					t.Errorf("%s %s: no schemes are named", method, path)
				}
			}
			if operation["operationId"] == "" || operation["summary"] == nil {
				t.Errorf("%s %s is not described", method, path)
			}
			responses, _ := operation["responses"].(map[string]any)
			if responses["default"] == nil {
				t.Errorf("%s %s: problems are not described", method, path)
			}
		}
	}
	if routes < 35 {
		t.Errorf("only %d routes were tried", routes)
	}
	for _, path := range []string{Prefix + "/openapi.json", Prefix + "/openapi.yaml", "/", Prefix + "/nowhere"} {
		if r := b.http("", "GET", path, ""); r.status != http.StatusUnauthorized {
			t.Errorf("%s without credentials: %d", path, r.status)
		}
	}
}

func TestSignIn(t *testing.T) {
	b := newBench(t)
	if r := b.http(basic("admin", adminPassword), "GET", Prefix+"/lines", ""); r.status != 200 {
		t.Fatalf("administrator: %d %s", r.status, r.body)
	}
	if r := b.http(basic("admin@default", adminPassword), "POST", Prefix+"/lines", `{"number":"101"}`); r.status != 201 {
		t.Fatalf("administrator with tenant: %d %s", r.status, r.body)
	}
	audit := decode[Page[AuditEntry]](t, b.must(200, "GET", Prefix+"/audit?limit=1", "").body)
	if a := audit.Items[0]; a.Actor != "admin@default" || a.From != "127.0.0.1" {
		t.Errorf("audit names %s from %s", a.Actor, a.From)
	}
	if r := b.http(basic("admin", adminPassword), "GET", Prefix+"/nowhere", ""); r.status != 404 || !strings.Contains(r.body, `"not_found"`) {
		t.Errorf("unknown path: %d %s", r.status, r.body)
	}
	token := "Bearer " + decode[struct{ Token string }](t, b.must(201, "POST", Prefix+"/tokens", `{"user":"admin"}`).body).Token
	for range failuresMax {
		if r := b.http(basic("admin", "wrong"), "GET", Prefix+"/lines", ""); r.status != 401 {
			t.Fatalf("wrong password: %d", r.status)
		}
	}
	if r := b.http(basic("admin", adminPassword), "GET", Prefix+"/lines", ""); r.status != 429 || r.header.Get("Retry-After") != "60" {
		t.Errorf("after %d failures: %d %v", failuresMax, r.status, r.header)
	}
	if r := b.http(token, "GET", Prefix+"/lines", ""); r.status != 200 {
		t.Errorf("a token after these failures: %d %s", r.status, r.body)
	}
	if r := b.http(token[:len(token)-2]+"AA", "GET", Prefix+"/lines", ""); r.status != 429 {
		t.Errorf("a wrong token after these failures: %d", r.status)
	}
	b.clock.advance(61 * time.Second)
	if r := b.http(basic("admin", adminPassword), "GET", Prefix+"/lines", ""); r.status != 200 {
		t.Errorf("a minute later: %d %s", r.status, r.body)
	}
}

func TestPasswordChangeEndsWhatIsRemembered(t *testing.T) {
	b := newBench(t)
	ask := func(credentials string) int { return b.http(credentials, "GET", Prefix+"/lines", "").status }
	token := "Bearer " + decode[struct{ Token string }](t, b.must(201, "POST", Prefix+"/tokens", `{"user":"admin"}`).body).Token
	if got := [2]int{ask(basic("admin", adminPassword)), ask(token)}; got != [2]int{200, 200} {
		t.Fatalf("password and token: %v", got)
	}
	b.must(200, "PATCH", Prefix+"/users/admin", `{"language":"fa"}`)
	if got := [2]int{ask(basic("admin", adminPassword)), ask(token)}; got != [2]int{200, 200} {
		t.Fatalf("after a change of something else: %v", got)
	}
	b.must(200, "PATCH", Prefix+"/users/admin", `{"password":"another good one"}`)
	if got := [3]int{ask(basic("admin", adminPassword)), ask(token), ask(basic("admin", "another good one"))}; got != [3]int{401, 401, 200} {
		t.Errorf("after a change of the password: %v", got)
	}
}

func TestTokens(t *testing.T) {
	b := newBench(t)
	made := decode[struct {
		Token   string
		User    string
		Expires time.Time
	}](t, b.must(201, "POST", Prefix+"/tokens", `{"user":"admin","seconds":3600}`).body)
	if made.User != "admin" || !made.Expires.Equal(b.clock.now().Add(time.Hour)) {
		t.Errorf("made %+v", made)
	}
	if r := b.http("Bearer "+made.Token, "POST", Prefix+"/sites", `{"name":"x"}`); r.status != 201 {
		t.Fatalf("with the token: %d %s", r.status, r.body)
	}
	audit := decode[Page[AuditEntry]](t, b.must(200, "GET", Prefix+"/audit?limit=1", "").body)
	if audit.Items[0].Actor != "token of admin@default" {
		t.Errorf("audit names %s", audit.Items[0].Actor)
	}
	for i := range made.Token {
		c := byte('A')
		if made.Token[i] == c {
			c = 'B'
		}
		forged := made.Token[:i] + string(c) + made.Token[i+1:]
		if i%7 != 0 { // every byte would be many requests
			continue
		}
		b.clock.advance(2 * time.Second) // not to be slowed down
		if i%35 == 0 {
			b.clock.advance(time.Minute)
			made = decode[struct {
				Token   string
				User    string
				Expires time.Time
			}](t, b.must(201, "POST", Prefix+"/tokens", `{"user":"admin","seconds":3600}`).body)
			forged = made.Token[:i] + string(c) + made.Token[i+1:]
			if forged == made.Token {
				continue
			}
		}
		if r := b.http("Bearer "+forged, "GET", Prefix+"/sites", ""); r.status != 401 {
			t.Errorf("token with byte %d changed: %d", i, r.status)
		}
	}
	b.clock.advance(2 * time.Hour)
	if r := b.http("Bearer "+made.Token, "GET", Prefix+"/sites", ""); r.status != 401 {
		t.Errorf("expired token: %d", r.status)
	}
	b.must(201, "POST", Prefix+"/users", `{"name":"guest"}`)
	for _, user := range []string{"guest", "nobody"} {
		if r := b.do("POST", Prefix+"/tokens", fmt.Sprintf(`{"user":%q}`, user)); r.status != 422 {
			t.Errorf("token of %s: %d", user, r.status)
		}
	}
}

func TestRolesAndTenants(t *testing.T) {
	b := newBench(t)
	b.must(201, "POST", Prefix+"/tenants", `{"name":"reseller","kind":"reseller","parent":"default"}`)
	b.must(201, "POST", Prefix+"/tenants", `{"name":"customer","parent":"reseller"}`)
	b.must(201, "POST", Prefix+"/tenants", `{"name":"stranger"}`)
	const password = "good enough 9"
	for _, role := range []string{"admin", "supervisor", "agent", "user", "reader"} {
		b.must(201, "POST", Prefix+"/users?tenant=reseller", fmt.Sprintf(`{"name":"%s","role":"%s","sealed":"%s"}`, role, role, cheapHash(password).Reveal()))
	}
	b.must(201, "POST", Prefix+"/lines?tenant=stranger", `{"number":"900"}`)
	b.must(201, "POST", Prefix+"/lines?tenant=reseller", `{"number":"100"}`)
	b.live.calls = []Call{{ID: "c-reseller", Tenant: b.tenant("reseller").String()}, {ID: "c-stranger", Tenant: b.tenant("stranger").String()}}
	b.keep("r-reseller", "reseller", 1)
	b.keep("r-stranger", "stranger", 1)
	b.finish("01890a5d-0000-7000-8000-000000000001", "reseller", b.clock.now())
	b.finish("01890a5d-0000-7000-8000-000000000002", "stranger", b.clock.now())

	// Status by role in the order admin, supervisor, agent, user, reader.
	for _, c := range []struct {
		method, path, body string
		want               [5]int
	}{
		{"GET", "/lines", "", [5]int{200, 403, 403, 403, 200}},
		{"GET", "/lines?tenant=reseller", "", [5]int{200, 403, 403, 403, 200}},
		{"GET", "/lines?tenant=customer", "", [5]int{200, 403, 403, 403, 404}},
		{"GET", "/lines?tenant=stranger", "", [5]int{404, 403, 403, 403, 404}},
		{"GET", "/lines?tenant=default", "", [5]int{404, 403, 403, 403, 404}},
		{"PATCH", "/lines/100", `{"name":"x"}`, [5]int{200, 403, 403, 403, 403}},
		{"POST", "/sites?tenant=stranger", `{"name":"x"}`, [5]int{404, 403, 403, 403, 403}},
		{"POST", "/users", `{"name":"boss","role":"owner","password":"good enough 9"}`, [5]int{403, 403, 403, 403, 403}},
		{"POST", "/tenants", `{"name":"new"}`, [5]int{403, 403, 403, 403, 403}},
		{"DELETE", "/tenants/customer", "", [5]int{403, 403, 403, 403, 403}},
		{"GET", "/tenants/stranger", "", [5]int{404, 403, 403, 403, 404}},
		{"GET", "/tenants/customer", "", [5]int{200, 403, 403, 403, 404}},
		{"POST", "/next_hops", `{"name":"x","domain":"bank.example","targets":[{"uri":"sip:192.0.2.66"}]}`, [5]int{403, 403, 403, 403, 403}},
		{"GET", "/next_hops", "", [5]int{200, 403, 403, 403, 200}},
		{"GET", "/calls/c-reseller", "", [5]int{200, 200, 404, 404, 404}},
		{"GET", "/calls/c-stranger", "", [5]int{404, 404, 404, 404, 404}},
		{"POST", "/calls/c-stranger/hangup", "", [5]int{404, 404, 404, 404, 404}},
		{"GET", "/records/01890a5d-0000-7000-8000-000000000001", "", [5]int{200, 200, 403, 403, 403}},
		{"GET", "/records/01890a5d-0000-7000-8000-000000000002", "", [5]int{404, 404, 403, 403, 403}},
		{"GET", "/calls/call-1/trace", "", [5]int{404, 404, 403, 403, 403}},
		{"GET", "/recordings", "", [5]int{200, 200, 403, 403, 403}},
		{"GET", "/recordings?tenant=stranger", "", [5]int{404, 404, 403, 403, 403}},
		{"GET", "/recordings/r-reseller", "", [5]int{200, 200, 403, 403, 403}},
		{"GET", "/recordings/r-stranger", "", [5]int{404, 404, 403, 403, 403}},
		{"GET", "/recordings/r-stranger/audio", "", [5]int{404, 404, 403, 403, 403}},
		{"PATCH", "/recordings/r-reseller", `{"hold":true}`, [5]int{200, 403, 403, 403, 403}},
		{"DELETE", "/recordings/r-reseller", "", [5]int{409, 403, 403, 403, 403}},
		{"GET", "/calls/c-stranger/audio", "", [5]int{404, 404, 404, 404, 404}},
		{"GET", "/calls/c-reseller/audio", "", [5]int{426, 426, 404, 404, 404}},
		{"POST", "/calls/c-reseller/record", `{"action":"start"}`, [5]int{200, 200, 404, 404, 404}},
		{"POST", "/calls/c-stranger/record", `{"action":"start"}`, [5]int{404, 404, 404, 404, 404}},
		{"GET", "/registrations", "", [5]int{200, 200, 403, 403, 403}},
		{"GET", "/audit", "", [5]int{200, 403, 403, 403, 403}},
		{"GET", "/audit?tenant=stranger", "", [5]int{404, 403, 403, 403, 403}},
		{"GET", "/status", "", [5]int{403, 403, 403, 403, 403}},
		{"GET", "/export", "", [5]int{403, 403, 403, 403, 403}},
		{"POST", "/apply", "tenant: stranger", [5]int{403, 403, 403, 403, 403}},
	} {
		for i, role := range []string{"admin", "supervisor", "agent", "user", "reader"} {
			r := b.http(basic(role+"@reseller", password), c.method, Prefix+c.path, c.body)
			if r.status != c.want[i] {
				t.Errorf("%s: %s %s: %d, want %d\n%s", role, c.method, c.path, r.status, c.want[i], r.body)
			}
		}
	}
	list := b.http(basic("admin@reseller", password), "GET", Prefix+"/tenants", "").body
	if strings.Contains(list, "stranger") || strings.Contains(list, `"default"}`) || !strings.Contains(list, `"customer"`) {
		t.Errorf("tenants that the reseller sees: %s", list)
	}
	calls := b.http(basic("admin@reseller", password), "GET", Prefix+"/calls", "").body
	if strings.Contains(calls, "c-stranger") || !strings.Contains(calls, "c-reseller") {
		t.Errorf("calls that the reseller sees: %s", calls)
	}
}

func TestBrowsersOfOtherSitesAreRefused(t *testing.T) {
	b := newBench(t)
	r := b.http(basic("admin", adminPassword), "POST", Prefix+"/lines", `{"number":"1"}`, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example")
	if r.status != http.StatusForbidden {
		t.Errorf("cross-site request: %d", r.status)
	}
}

func TestMetricsAreOpenOnLoopbackOnly(t *testing.T) {
	b := newBench(t)
	if r := b.http("", "GET", "/metrics", ""); r.status != 200 || !strings.Contains(r.body, "dialtone_calls_active") {
		t.Errorf("metrics: %d %s", r.status, r.body)
	}
	if r := b.do("GET", "/metrics", ""); r.status != 200 {
		t.Errorf("metrics on the socket: %d", r.status)
	}
	lan := b.server.remote(config.HTTPListener{Addr: netip.MustParseAddrPort("0.0.0.0:1"), Serve: config.Services(), LAN: true})
	for source, want := range map[string]int{"203.0.113.7:1": 403, "10.1.2.3:1": 401, "[fd00::1]:1": 401, "[2001:db8::1]:1": 403, "127.0.0.1:1": 200} {
		w := &recorder{header: http.Header{}}
		lan.ServeHTTP(w, &http.Request{Method: "GET", URL: mustURL(t, "/metrics"), RemoteAddr: source, Header: http.Header{}})
		if w.status != want {
			t.Errorf("metrics for %s: %d, want %d", source, w.status, want)
		}
	}
}
