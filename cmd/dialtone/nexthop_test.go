package main

import (
	"testing"
)

func TestNextHops(t *testing.T) {
	const inside = `{"name":"inside","domain":"pbx.example","targets":[{"uri":"sip:10.0.0.7","priority":1,"weight":10},` +
		`{"uri":"sip:10.0.0.8","priority":2,"weight":1}],"hash":"call-id","health":"options",` +
		`"state":[{"uri":"sip:10.0.0.7","state":"up"},{"uri":"sip:10.0.0.8","state":"down","since":"2026-11-22T08:00:00.000Z"}]}`
	f := newFake(t, map[string]answer{
		"GET /next_hops":           {body: `{"items":[` + inside + `,{"name":"world","prefix":"+","targets":[{"uri":"sip:c.example"}]}],"next":""}`},
		"GET /next_hops/inside":    {body: inside, etag: `"7"`},
		"PATCH /next_hops/inside":  {body: `{"name":"inside"}`},
		"POST /next_hops":          {status: 201, body: `{"name":"inside"}`},
		"DELETE /next_hops/inside": {status: 204},
	})
	want := "NAME    DOMAIN       PREFIX  HASH     HEALTH   TARGETS                    STATE\n" +
		"inside  pbx.example  -       call-id  options  sip:10.0.0.7 sip:10.0.0.8  up down\n" +
		"world   -            +       -        -        sip:c.example              -\n"
	if got := f.command("next-hop", "list"); got != (outcome{0, want, ""}) {
		t.Errorf("list %+v\n%s", got, got.out)
	}
	for _, c := range []struct {
		args []string
		line string
		body string
	}{
		{[]string{"add", "inside", "--domain", "pbx.example", "--patience", "3s", "--target", "sip:10.0.0.7:5060;transport=tcp priority=1 weight=10", "--target", "sip:10.0.0.8 drain"},
			"POST /next_hops", `{"domain":"pbx.example","name":"inside","patience":"3s","targets":[{"priority":1,"uri":"sip:10.0.0.7:5060;transport=tcp","weight":10},{"drain":true,"uri":"sip:10.0.0.8"}]}`},
		{[]string{"set", "inside", "--hash", "source"}, "PATCH /next_hops/inside", `{"hash":"source"}`},
		{[]string{"set", "inside", "--rm-target", "sip:10.0.0.8", "--target", "sip:10.0.0.7 weight=5", "--target", "sip:10.0.0.9", "--prefix", "1"},
			"PATCH /next_hops/inside", `{"prefix":"1","targets":[{"uri":"sip:10.0.0.7","priority":1,"weight":5},{"uri":"sip:10.0.0.9"}]}`},
		{[]string{"drain", "inside", "sip:10.0.0.7"}, "PATCH /next_hops/inside",
			`{"targets":[{"uri":"sip:10.0.0.7","priority":1,"weight":10,"drain":true},{"uri":"sip:10.0.0.8","priority":2,"weight":1}]}`},
		{[]string{"undrain", "inside", "sip:10.0.0.8"}, "PATCH /next_hops/inside",
			`{"targets":[{"uri":"sip:10.0.0.7","priority":1,"weight":10},{"uri":"sip:10.0.0.8","priority":2,"weight":1}]}`},
		{[]string{"rm", "inside"}, "DELETE /next_hops/inside", ""},
	} {
		got := f.command(append([]string{"next-hop"}, c.args...)...)
		if a := f.last(); got.status != 0 || a.line != c.line || a.body != c.body {
			t.Errorf("%v: %+v\nsent %s %s\nwant %s %s", c.args, got, a.line, a.body, c.line, c.body)
		}
		if a := f.last(); c.args[0] == "drain" && a.head.Get("If-Match") != `"7"` {
			t.Error("a drain could undo what somebody else has changed")
		}
	}
	for _, c := range []struct {
		args []string
		want outcome
	}{
		{[]string{"drain", "inside", "sip:10.0.0.1"}, outcome{1, "", "dialtone: next hop inside has no target sip:10.0.0.1\n"}},
		{[]string{"set", "inside", "--rm-target", "sip:10.0.0.1"}, outcome{1, "", "dialtone: next hop inside has no target sip:10.0.0.1\n"}},
		{[]string{"set", "inside"}, outcome{2, "", "dialtone: nothing to change: give at least one field\n"}},
		{[]string{"add", "x", "--target", "sip:a weigth=1"}, outcome{2, "", "dialtone: --target \"sip:a weigth=1\": \"weigth=1\" is none of priority=N, weight=N and drain\n"}},
		{[]string{"add", "x", "--target", " "}, outcome{2, "", "dialtone: --target needs a URI\n"}},
	} {
		if got := f.command(append([]string{"next-hop"}, c.args...)...); got != c.want {
			t.Errorf("%v: %+v", c.args, got)
		}
	}
}
