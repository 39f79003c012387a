package registrar

import (
	"slices"
	"testing"

	"dialtone/internal/location"
	"dialtone/internal/sip"
)

func TestRFC3327Path(t *testing.T) {
	b := newBench(t, Policy{})
	m := b.register("101", "Contact: <sip:a@h>;expires=100", "Path: <sip:p3.example.com;lr>, <sip:p1.example.com;lr>", "Path: <sip:p0.example.com;lr>", "Supported: path")
	want(t, m, 200, "<sip:a@h>;expires=100")
	var paths []string
	for e := m.Elements(sip.HPath); e.Next(); {
		paths = append(paths, string(e.Value()))
	}
	if !slices.Equal(paths, []string{"<sip:p3.example.com;lr>", "<sip:p1.example.com;lr>", "<sip:p0.example.com;lr>"}) {
		t.Errorf("Path in the response: %q", paths)
	}
	if got := b.table.Lookup(nil, line, b.now)[0].Path; got != "<sip:p3.example.com;lr>, <sip:p1.example.com;lr>, <sip:p0.example.com;lr>" {
		t.Errorf("stored %q", got)
	}
	m = b.register("101", "Contact: <sip:a@h>;expires=100", "Path: <sip:p>")
	if m.Has(sip.HPath) {
		t.Error("Path goes to a UA that does not know it")
	}
	// A new registration brings its own path, or none.
	b.register("101", "Contact: <sip:a@h>;expires=100")
	if got := b.table.Lookup(nil, line, b.now)[0].Path; got != "" {
		t.Errorf("stored %q", got)
	}
	want(t, b.register("101", "Contact: <sip:a@h>", "Path: <sip:"), 400)
}

func TestRFC5626Outbound(t *testing.T) {
	const (
		i1     = `;+sip.instance="<urn:uuid:1>"`
		behind = "Via: SIP/2.0/UDP edge:5060;branch=z9hG4bK2, SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1"
	)
	tests := []struct {
		name     string
		lines    []string
		status   int
		outbound bool
		regID    uint32
	}{
		{"direct", []string{"Contact: <sip:a@h>;reg-id=1" + i1, "Supported: outbound, path"}, 200, true, 1},
		{"required", []string{"Contact: <sip:a@h>;reg-id=1" + i1, "Require: outbound"}, 200, true, 1},
		{"direct, not in Supported", []string{"Contact: <sip:a@h>;reg-id=1" + i1}, 200, false, 1},
		{"instance alone", []string{"Contact: <sip:a@h>" + i1, "Supported: outbound"}, 200, false, 0},
		{"reg-id alone is ignored", []string{"Contact: <sip:a@h>;reg-id=1", "Supported: outbound"}, 200, false, 0},
		{"reg-id 0 is none", []string{"Contact: <sip:a@h>;reg-id=0" + i1, "Supported: outbound"}, 200, false, 0},
		{"reg-id out of range is none", []string{"Contact: <sip:a@h>;reg-id=2147483648" + i1, "Supported: outbound"}, 200, false, 0},
		{"behind a proxy that does not support it", []string{behind, "Contact: <sip:a@h>;reg-id=1" + i1, "Supported: outbound"}, 439, false, 0},
		{"behind such a proxy, not in Supported", []string{behind, "Contact: <sip:a@h>;reg-id=1" + i1}, 200, false, 0},
		{"behind a proxy with Path but no ob", []string{behind, "Path: <sip:edge;lr>", "Contact: <sip:a@h>;reg-id=1" + i1, "Supported: outbound"}, 439, false, 0},
		{"behind a proxy with ob", []string{behind, "Path: <sip:edge;lr;ob>", "Contact: <sip:a@h>;reg-id=1" + i1, "Supported: outbound"}, 200, true, 1},
		{"two lasting contacts", []string{"Contact: <sip:a@h>;reg-id=1" + i1 + ", <sip:b@h>", "Supported: outbound"}, 400, false, 0},
		{"one lasting, one removed", []string{"Contact: <sip:a@h>;reg-id=1" + i1 + ", <sip:b@h>;expires=0", "Supported: outbound"}, 200, true, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{})
			m := b.register("101", tt.lines...)
			if m.Status() != tt.status {
				t.Fatalf("status %d %s", m.Status(), m.Reason())
			}
			if m.HasOption(sip.HRequire, "outbound") != tt.outbound || m.Has(sip.HFlowTimer) != tt.outbound {
				t.Errorf("Require %q, Flow-Timer %q", header(m, sip.HRequire), header(m, sip.HFlowTimer))
			}
			if tt.status == 200 {
				got := b.table.Lookup(nil, line, b.now)
				if len(got) != 1 || got[0].RegID != tt.regID || got[0].Flow != flow {
					t.Errorf("%+v", got)
				}
			}
		})
	}

	t.Run("two flows, and a flow that is replaced", func(t *testing.T) {
		b := newBench(t, Policy{})
		b.register("101", "Contact: <sip:a@h:1>;reg-id=1"+i1, "Supported: outbound")
		b.register("101", "Contact: <sip:a@h:2>;reg-id=2"+i1, "Supported: outbound", "Call-ID: two")
		// The same instance and reg-id with another contact URI is the same binding.
		m := b.register("101", "Contact: <sip:a@h:3>;expires=100;reg-id=1"+i1, "Supported: outbound")
		want(t, m, 200, "<sip:a@h:3>;reg-id=1"+i1+";expires=100", "<sip:a@h:2>;reg-id=2"+i1+";expires=3600")
		if targets := location.Targets(b.table.Lookup(nil, line, b.now)); len(targets) != 1 || len(targets[0]) != 2 {
			t.Errorf("targets %v", targets)
		}
		m = b.register("101", "Contact: <sip:whatever@h>;expires=0;reg-id=2"+i1, "Supported: outbound", "Call-ID: two")
		want(t, m, 200, "<sip:a@h:3>;reg-id=1"+i1+";expires=100")
	})
}
