package ingress

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/sip"
)

// TestAdvise is RFC 7339 §6: what a client that can hold back reads in the Via of our responses.
func TestAdvise(t *testing.T) {
	g := newGate(t)
	now := time.Unix(1282321615, 782_400_000)
	const known = `SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKo;rport`
	ask := func(via string) (*sip.Message, bool) {
		t.Helper()
		m := g.offer(edge, "INVITE", "sip:102@pbx.example", "101@pbx.example", "102@pbx.example", "o", "Subject: x")
		if err := m.Parse([]byte(strings.Replace(string(m.Bytes()), known, via, 1))); err != nil {
			t.Fatal(err)
		}
		m.Received, m.Arrived = edge, now
		return m, g.advise(g, m, now) != nil
	}
	for _, c := range []struct{ via, want string }{
		{known + `;oc;oc-algo="loss,A"`, known + `;oc=0;oc-algo="loss";oc-validity=0;oc-seq=1282321615.782`},
		{`SIP/2.0/UDP 192.0.2.1:5060;oc;branch=z9hG4bKo;oc-algo="loss";x="a;oc"`,
			`SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKo;x="a;oc";oc=0;oc-algo="loss";oc-validity=0;oc-seq=1282321615.782`},
		{known + `;oc;oc-algo="loss", SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKp;oc`,
			known + `;oc=0;oc-algo="loss";oc-validity=0;oc-seq=1282321615.782, SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKp;oc`},
		{known, ""},
		{known + `;ocean=1`, ""},
		{known + `, SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKp;oc`, ""}, // not ours to answer
	} {
		m, ok := ask(c.via)
		if ok != (c.want != "") {
			t.Errorf("%s: answered %v", c.via, ok)
			continue
		}
		if !ok {
			continue
		}
		if v, _ := m.Header(sip.HVia); string(v) != c.want {
			t.Errorf("%s\nbecomes %s\nwant    %s", c.via, v, c.want)
		}
		if s, _ := m.Header(sip.HSubject); string(s) != "x" || m.Received != edge || !m.Arrived.Equal(now) {
			t.Errorf("the rest of the message has changed:\n%s", m.Bytes())
		}
		res, err := sip.NewResponse(m, 200, "", "t").Message()
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := res.Header(sip.HVia); !strings.Contains(string(v), "oc-seq=1282321615.782") {
			t.Errorf("the response says %s", v)
		}
	}

	g.overload()
	now = now.Add(time.Minute)
	m, _ := ask(known + `;oc;oc-algo="loss"`)
	v, err := m.Via()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"oc": "100", "oc-validity": "500", "oc-algo": "loss"} {
		if got, _ := v.Params.Value(name); string(got) != want {
			t.Errorf("%s is %s under full load, want %s", name, got, want)
		}
	}

	// A stranger is told nothing of our load (§5.2).
	m, _ = ask(known + `;oc;oc-algo="loss"`)
	m = g.offer(stranger, "INVITE", "sip:102@pbx.example", "101@pbx.example", "102@pbx.example", "o")
	text := strings.Replace(string(m.Bytes()), ";rport", `;rport;oc;oc-algo="loss"`, 1)
	if err := m.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	m.Received = stranger
	if g.advise(g, m, now) != nil {
		t.Error("a stranger is told")
	}
}
