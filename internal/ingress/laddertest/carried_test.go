package laddertest

import (
	"strings"
	"testing"

	"dialtone/internal/sip"
)

func parsed(t *testing.T, text string) *sip.Message {
	t.Helper()
	m := &sip.Message{}
	if err := m.Parse([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return m
}

const (
	sentInvite = "INVITE sip:b@h SIP/2.0\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\nRoute: <sip:p;lr>\nMax-Forwards: 70\nFrom: <sip:a@h>;tag=1\n" +
		"To: <sip:b@h>\nCall-ID: c\nCSeq: 1 INVITE\nProxy-Authorization: x\nContact: <sip:a@a>\nX-One: 1\nx-two:  2\nContent-Length: 4\n\nbody"
	gotInvite = "INVITE sip:b@b SIP/2.0\nVia: SIP/2.0/UDP p;branch=z9hG4bK2\nRecord-Route: <sip:p;lr>\nMax-Breadth: 60\n" +
		"Via: SIP/2.0/UDP a;branch=z9hG4bK1;received=1.2.3.4\nMax-Forwards: 69\nFrom: <sip:a@h>;tag=1\n" +
		"To: <sip:b@h>\nCall-ID: c\nCSeq: 1 INVITE\nContact: <sip:a@a>\nX-One: 1\nx-two:  2\nContent-Length: 4\n\nbody"
)

// What a proxy may change passes; anything else is noticed.
func TestCarriedNotices(t *testing.T) {
	sent := parsed(t, sentInvite)
	good := parsed(t, gotInvite)
	if why := same(sent, good) + counted(sent, good); why != "" {
		t.Errorf("what a proxy does is called wrong: %s", why)
	}
	for name, change := range map[string][2]string{
		"a header's value":   {"X-One: 1", "X-One: 2"},
		"a header's name":    {"x-two:", "X-Two:"},
		"a header less":      {"X-One: 1\n", ""},
		"a header more":      {"X-One: 1\n", "X-One: 1\nX-New: 1\n"},
		"another order":      {"X-One: 1\nx-two:  2\n", "x-two:  2\nX-One: 1\n"},
		"the Contact":        {"<sip:a@a>", "<sip:a@p>"},
		"a tag":              {"tag=1", "tag=2"},
		"the body":           {"\n\nbody", "\n\nbodY"},
		"hops not counted":   {"Max-Forwards: 69", "Max-Forwards: 70"},
		"counted twice":      {"Max-Forwards: 69", "Max-Forwards: 68"},
		"no Record-Route":    {"Record-Route: <sip:p;lr>\n", ""},
		"no Via of a proxy":  {"Via: SIP/2.0/UDP p;branch=z9hG4bK2\n", ""},
		"a Via that is lost": {"Via: SIP/2.0/UDP a;branch=z9hG4bK1;received=1.2.3.4\n", ""},
	} {
		if got := parsed(t, strings.Replace(gotInvite, change[0], change[1], 1)); same(sent, got)+counted(sent, got) == "" {
			t.Errorf("%s: not noticed", name)
		}
	}
	// A request that begins no dialog leaves no route.
	message := func(text string) *sip.Message { return parsed(t, strings.ReplaceAll(text, "INVITE", "MESSAGE")) }
	if counted(message(sentInvite), message(gotInvite)) == "" {
		t.Error("a Record-Route in a MESSAGE is not noticed")
	}
	// In a response everything but Via is the callee's own, and his routes are, too.
	ok := "SIP/2.0 200 OK\nVia: SIP/2.0/UDP p;branch=z9hG4bK2\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\nRecord-Route: <sip:p;lr>\nFrom: <sip:a@h>;tag=1\n" +
		"To: <sip:b@h>;tag=2\nCall-ID: c\nCSeq: 1 INVITE\nContact: <sip:b@b>\n\n"
	up := strings.Replace(ok, "Via: SIP/2.0/UDP p;branch=z9hG4bK2\n", "", 1)
	if why := same(parsed(t, ok), parsed(t, up)); why != "" {
		t.Error(why)
	}
	for _, change := range [][2]string{{"<sip:p;lr>", "<sip:q;lr>"}, {"<sip:b@b>", "<sip:b@p>"}, {"tag=2", "tag=3"}} {
		if same(parsed(t, ok), parsed(t, strings.Replace(up, change[0], change[1], 1))) == "" {
			t.Errorf("%s: not noticed", change[1])
		}
	}
}
