package directory

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestNextHopFaults(t *testing.T) {
	one := []HopTarget{{URI: "sip:10.0.0.7"}}
	set := func(targets ...HopTarget) *NextHop {
		return &NextHop{Name: "x", Domain: "pbx.example", Targets: targets}
	}
	many := make([]HopTarget, maxTargets+1)
	for i := range many {
		many[i].URI = fmt.Sprintf("sip:10.0.1.%d", i)
	}
	for _, c := range []struct {
		object *NextHop
		want   string
	}{
		{&NextHop{Name: "a", Domain: "PBX.example.", Targets: one}, ""},
		{&NextHop{Name: "a", Prefix: "+98", Targets: one}, ""},
		{&NextHop{Name: "a", Domain: "10.0.0.1", Prefix: "1", Targets: one, Hash: HashSource, Health: HealthNone, Patience: maxPatience}, ""},
		{&NextHop{}, "name required, domain required, targets required"},
		{&NextHop{Name: "a/b", Domain: "a b", Prefix: "1 2", Targets: one}, "name invalid, domain invalid, prefix invalid"},
		{&NextHop{Name: "a", Prefix: strings.Repeat("1", 65), Targets: one}, "prefix too_long"},
		{&NextHop{Name: "a", Prefix: "1", Targets: one, Hash: "user", Health: "ping"}, "hash invalid, health invalid"},
		{&NextHop{Name: "a", Prefix: "1", Targets: one, Patience: minPatience - 1}, "patience out_of_range"},
		{&NextHop{Name: "a", Prefix: "1", Targets: one, Patience: maxPatience + 1}, "patience out_of_range"},
		{&NextHop{Name: "a", Prefix: "1", Targets: many}, "targets out_of_range"},
		{set(HopTarget{URI: "sips:pbx.example"}, HopTarget{URI: "sip:[2001:db8::1]:5062;transport=tcp", Weight: maxOrder, Priority: maxOrder}), ""},
		{set(HopTarget{}), "targets[0].uri required"},
		{set(HopTarget{URI: "10.0.0.7"}), "targets[0].uri invalid"},
		{set(HopTarget{URI: "sip:101@10.0.0.7"}), "targets[0].uri invalid"},
		{set(HopTarget{URI: "sip:10.0.0.7?a=b"}), "targets[0].uri invalid"},
		{set(HopTarget{URI: "sip:a.example"}, HopTarget{URI: "sip:A.example"}), "targets[1].uri duplicate"},
		{set(HopTarget{URI: "sip:a.example", Weight: -1, Priority: maxOrder + 1}), "targets[0].priority out_of_range, targets[0].weight out_of_range"},
	} {
		if got := faults(t, c.object); got != c.want {
			t.Errorf("%+v: faults %q, want %q", c.object, got, c.want)
		}
	}
}

func TestNextHopDefaults(t *testing.T) {
	given := []HopTarget{{URI: "sip:a", Weight: 7}, {URI: "sip:b", Priority: 2, Drain: true}}
	n := NextHop{Name: "x", Domain: "PBX.Example.", Targets: given}
	n.SetDefaults()
	want := NextHop{Name: "x", Domain: "pbx.example", Hash: HashCallID, Health: HealthOptions, Patience: 2 * time.Second,
		Targets: []HopTarget{{"sip:a", 1, 7, false}, {"sip:b", 2, 1, true}}}
	if fmt.Sprint(n) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", n, want)
	}
	if given[0].Priority != 0 {
		t.Error("SetDefaults changed memory that others have")
	}
}

func TestNextHopsInTheSnapshot(t *testing.T) {
	w := newWorld(t)
	acme, other := w.tenant("acme", "acme.example"), w.tenant("other", "other.example")
	hop := func(tenant *Tenant, name, domain string) *NextHop {
		return &NextHop{Meta: Meta{Tenant: tenant.ID}, Name: name, Domain: domain, Targets: []HopTarget{{URI: "sip:10.0.0.7"}}}
	}
	a, b, c := hop(acme, "a", "a.example"), hop(acme, "b", "b.example"), hop(other, "a", "c.example")
	w.put(a, b, c)
	names := func() (out string) {
		for n := range w.Snapshot().AllNextHops() {
			out += n.Domain + " "
		}
		return out
	}
	s := w.Snapshot()
	if s.Counts().NextHops != 3 || s.NextHop(acme.ID, "a").ID != a.ID || s.NextHop(other.ID, "b") != nil || s.NextHopByID(c.ID).Domain != "c.example" {
		t.Errorf("%d sets, not all are found", s.Counts().NextHops)
	}
	if got := names(); len(strings.Fields(got)) != 3 {
		t.Errorf("all are %q", got)
	}
	var page []string
	for n := range s.NextHops(acme.ID, "a") {
		page = append(page, n.Name)
	}
	if fmt.Sprint(page) != "[b]" {
		t.Errorf("after a come %v", page)
	}
	before := s.NextHop(acme.ID, "a")
	a.Targets[0].URI = "sip:changed" // what the store holds is not what calls read
	if before.Targets[0].URI != "sip:10.0.0.7" {
		t.Error("the snapshot shares memory")
	}
	renamed := *a
	renamed.Name = "z"
	w.Apply([]Change{{Before: a, After: &renamed}, {Before: c}})
	s = w.Snapshot()
	if s.NextHop(acme.ID, "a") != nil || s.NextHop(acme.ID, "z") == nil || s.NextHopByID(c.ID) != nil || s.Counts().NextHops != 2 {
		t.Errorf("after a change: %q", names())
	}
}
