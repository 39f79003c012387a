package admin

import (
	"strings"
	"testing"

	"dialtone/internal/admin/form"
)

// A next hop shows how its targets are; that is not part of the object, neither to write nor in its entity tag.
func TestNextHopShowsItsState(t *testing.T) {
	b := newBench(t)
	stream := b.events("/events?tenant=default")
	const targets = `[{"uri":"sip:10.0.0.7"},{"uri":"sip:10.0.0.8","priority":2,"weight":3,"drain":true}]`
	added := b.must(201, "POST", Prefix+"/next_hops", `{"name":"inside","domain":"PBX.inside.example","targets":`+targets+`}`)
	for _, want := range []string{`"domain":"pbx.inside.example"`, `"hash":"call-id"`, `"health":"options"`, `"patience":"2s"`,
		`{"uri":"sip:10.0.0.7","priority":1,"weight":1}`, `{"uri":"sip:10.0.0.8","priority":2,"weight":3,"drain":true}`} {
		if !strings.Contains(added.body, want) {
			t.Errorf("%s is missing in %s", want, added.body)
		}
	}
	if strings.Contains(added.body, `"state"`) {
		t.Errorf("a state where nothing is sent on: %s", added.body)
	}
	if e := stream.next(); e.Type != "next_hop.created" || e.Data["key"] != "inside" {
		t.Errorf("event %+v", e)
	}
	b.live.hops = []form.HopState{{URI: "sip:10.0.0.7", State: "down", Since: "2026-11-22T08:00:00.000Z"}, {URI: "sip:10.0.0.8", State: "draining"}}
	const state = `"state":[{"uri":"sip:10.0.0.7","state":"down","since":"2026-11-22T08:00:00.000Z"},{"uri":"sip:10.0.0.8","state":"draining"}]`
	for _, path := range []string{"/next_hops/inside", "/next_hops"} {
		if r := b.must(200, "GET", Prefix+path, "", `If-None-Match: "1"`); !strings.Contains(r.body, state) {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	rows := b.auditRows()
	same := b.must(200, "PATCH", Prefix+"/next_hops/inside", `{"state":[],"hash":"call-id"}`)
	if same.header.Get("ETag") != `"1"` || b.auditRows() != rows || !strings.Contains(same.body, state) {
		t.Errorf("the state was written: %v %s", same.header, same.body)
	}
	b.live.after = func() { b.live.hops = []form.HopState{{URI: "sip:10.0.0.9", State: "up"}} }
	changed := b.must(200, "PATCH", Prefix+"/next_hops/inside", `{"targets":[{"uri":"sip:10.0.0.9"}],"patience":null,"prefix":"+98"}`, `If-Match: "1"`)
	if !strings.Contains(changed.body, `"targets":[{"uri":"sip:10.0.0.9","priority":1,"weight":1}]`) || !strings.Contains(changed.body, `"state":[{"uri":"sip:10.0.0.9","state":"up"}]`) || !strings.Contains(changed.body, `"prefix":"+98"`) {
		t.Errorf("changed: %s", changed.body)
	}
	if e := stream.next(); e.Type != "next_hop.changed" || b.auditRows() != rows+1 {
		t.Errorf("event %+v, %d audit rows", e, b.auditRows()-rows)
	}
	for body, field := range map[string]string{
		`{"name":"x","domain":"pbx.example","targets":` + targets + `}`:                        "domain",
		`{"name":"x","domain":"y.example","targets":[{"uri":"10.0.0.7"}]}`:                     "targets[0].uri",
		`{"name":"x","domain":"y.example","targets":` + targets + `,"patience":"1h"}`:          "patience",
		`{"name":"x","domain":"y.example","targets":[{"uri":"sip:10.0.0.7","weight":100000}]}`: "targets[0].weight",
	} {
		r := b.do("POST", Prefix+"/next_hops", body)
		if r.status != 422 && r.status != 409 || !strings.Contains(r.body, `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	b.must(204, "DELETE", Prefix+"/next_hops/inside", "")
	if e := stream.next(); e.Type != "next_hop.removed" {
		t.Errorf("event %+v", e)
	}
}
