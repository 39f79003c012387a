package admin

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// The routes of the API are a contract: this list changes on purpose only.
func TestRoutes(t *testing.T) {
	b := newBench(t)
	var routes []string
	for path, methods := range b.openAPI() {
		for method := range methods {
			routes = append(routes, strings.ToUpper(method)+" "+strings.TrimPrefix(path, Prefix))
		}
	}
	slices.Sort(routes)
	want := []string{
		"GET /audit", "GET /calls", "GET /calls/{id}", "GET /calls/{id}/media", "GET /calls/{id}/trace", "GET /events", "GET /export",
		"GET /records", "GET /records/{id}", "GET /registrations", "GET /status",
		"GET /bans", "POST /bans", "DELETE /bans/{source}", "POST /apply", "POST /calls/{id}/hangup", "POST /tokens", "POST /turn/credentials",
		"POST /calls/{id}/record", "GET /recordings", "GET /recordings/{id}", "PATCH /recordings/{id}", "DELETE /recordings/{id}",
		"GET /recordings/{id}/audio", "GET /calls/{id}/audio", "GET /rooms/{id}/members", "PATCH /rooms/{id}/members/{member}", "DELETE /rooms/{id}/members/{member}",
	}
	for _, kind := range []string{"lines", "next_hops", "numbers", "rooms", "sites", "tenants", "users"} {
		want = append(want, "DELETE /"+kind+"/{id}", "GET /"+kind, "GET /"+kind+"/{id}", "PATCH /"+kind+"/{id}", "POST /"+kind)
	}
	slices.Sort(want)
	if !slices.Equal(routes, want) {
		t.Errorf("routes\n%s\nwant\n%s", strings.Join(routes, "\n"), strings.Join(want, "\n"))
	}
}

func TestSchemas(t *testing.T) {
	b := newBench(t)
	document := decode[struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]map[string]any `json:"properties"`
			} `json:"schemas"`
			SecuritySchemes map[string]any `json:"securitySchemes"`
		} `json:"components"`
		Security []map[string]any `json:"security"`
	}](t, b.must(200, "GET", Prefix+"/openapi.json", "").body)
	schemas := document.Components.Schemas
	for _, name := range []string{"Tenant", "Site", "User", "Line", "Device", "Number", "NextHop", "HopTarget", "HopState", "Call", "CallMedia", "LegMedia", "StreamStats", "Registration", "Status", "Record", "AuditEntry", "Problem", "Report", "EventShape", "Ban", "TURNCredentials", "Recording", "Room", "RoomMember"} {
		if len(schemas[name].Properties) == 0 {
			t.Errorf("%s is not described; there are %v", name, slices.Sorted(maps.Keys(schemas)))
		}
	}
	for schema, fields := range map[string][]string{"Device": {"password", "sealed", "ha1"}, "User": {"password", "sealed"}} {
		for _, field := range fields {
			if p := schemas[schema].Properties[field]; p["writeOnly"] != true || p["type"] != "string" {
				t.Errorf("%s.%s is %v", schema, field, p)
			}
		}
	}
	if p := schemas["Call"].Properties["start"]; p["format"] != "date-time" {
		t.Errorf("a time is %v", p)
	}
	if p := schemas["Record"].Properties["cause"]; p == nil {
		t.Error("the cause of a record is missing")
	}
	if len(document.Security) != 2 || len(document.Components.SecuritySchemes) != 2 {
		t.Errorf("security %v", document.Security)
	}
}
